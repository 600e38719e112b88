package httpx

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
)

// Route gives the pattern of the route that served the request; "unmatched"
// when none did. It is complete only after the handler has run.
func Route(r *http.Request) string {
	if c := chi.RouteContext(r.Context()); c != nil {
		if p := c.RoutePattern(); p != "" {
			return p
		}
	}
	if r.Pattern != "" {
		return r.Pattern
	}
	return "unmatched"
}

// AccessLog logs one line per request: method, route, status, bytes, duration
// and address. Answers of 500 and above are warnings; what failed is logged
// where it is mapped. now is a monotonic source, time.Now outside tests.
func AccessLog(log *slog.Logger, now func() time.Time) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			start := now()
			ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
			defer func() {
				status, level := ww.Status(), slog.LevelInfo
				if status == 0 {
					status = http.StatusOK // nothing was written: net/http answers 200
				}
				if status >= http.StatusInternalServerError {
					level = slog.LevelWarn
				}
				i := InfoOf(r)
				log.LogAttrs(r.Context(), level, "request",
					slog.String("method", clean(r.Method, 16)),
					slog.String("route", Route(r)),
					slog.Int("status", status),
					slog.Int("bytes", ww.BytesWritten()),
					slog.Float64("duration_ms", float64(now().Sub(start).Microseconds())/1000),
					slog.String("ip", i.IP.String()),
				)
			}()
			next.ServeHTTP(ww, r)
		})
	}
}

// Recover ends a panic of a handler: it is logged with its stack, and answer
// writes the surface's generic 500. When the answer had begun, the connection
// is cut instead, so that half an answer is not taken for a whole one.
func Recover(log *slog.Logger, answer http.HandlerFunc) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ww := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
			defer func() {
				v := recover()
				if v == nil {
					return
				}
				if v == http.ErrAbortHandler {
					panic(v) // net/http's own way to cut a connection
				}
				log.LogAttrs(r.Context(), slog.LevelError, "panic",
					slog.String("route", Route(r)),
					slog.String("panic", fmt.Sprint(v)),
					slog.String("stack", string(debug.Stack())),
				)
				if ww.Status() != 0 {
					panic(http.ErrAbortHandler)
				}
				answer(w, r)
			}()
			next.ServeHTTP(ww, r)
		})
	}
}
