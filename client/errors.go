package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Error is a refusal of the API (RFC 9457).
type Error struct {
	Status    int           `json:"status"`
	Code      string        `json:"code"`   // stable, for programs: tenant_not_found
	Detail    string        `json:"detail"` // for people
	RequestID string        `json:"instance"`
	Fields    []FieldError  `json:"errors"` // the inputs that were refused
	Wait      time.Duration `json:"-"`      // what Retry-After asks for; 0: nothing
}

// FieldError is an input that was refused.
type FieldError struct {
	Location string `json:"location"` // body.emails[5], query.limit
	Message  string `json:"message"`
	Code     string `json:"code"`
}

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "gatehouse: %d %s: %s", e.Status, e.Code, e.Detail)
	for _, f := range e.Fields {
		fmt.Fprintf(&b, " %s: %s", f.Location, f.Message)
	}
	if e.RequestID != "" {
		b.WriteString(" (" + e.RequestID + ")")
	}
	return b.String()
}

// CodeOf gives the code of a refusal in an error chain; empty when err is none.
func CodeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// newError reads a problem document. What something between sent instead has the
// status in words as its code.
func newError(r Response) *Error {
	e := &Error{}
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/problem+json") || json.Unmarshal(r.Body, e) != nil || e.Code == "" {
		*e = Error{Code: strings.ReplaceAll(strings.ToLower(http.StatusText(r.Status)), " ", "_"), Detail: "The answer is not one of Gatehouse.", RequestID: r.Header.Get("X-Request-Id")}
	}
	e.Status = r.Status
	if n, err := strconv.ParseInt(r.Header.Get("Retry-After"), 10, 32); err == nil && n > 0 {
		e.Wait = time.Duration(n) * time.Second
	}
	return e
}

// retry says whether another attempt may help, and after which pause: what the
// server asks for, else 0.5 s, 1 s, 2 s …, each with up to half of it more or less.
func retry(err error, attempt int) (time.Duration, bool) {
	pause := time.Duration(500<<min(attempt-1, 6)) * time.Millisecond
	pause += time.Duration((rand.Float64() - 0.5) * float64(pause))
	var e *Error
	if !errors.As(err, &e) {
		return pause, !errors.Is(err, context.Canceled)
	}
	switch {
	case e.Status == http.StatusTooManyRequests, e.Status == http.StatusServiceUnavailable, e.Status == http.StatusBadGateway, e.Status == http.StatusGatewayTimeout,
		e.Code == "request_in_flight": // our own, whose answer got lost
		return max(pause, e.Wait), true
	}
	return 0, false
}

// refusedUntouched reports whether the server refused the request before it began.
func refusedUntouched(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.Status == http.StatusTooManyRequests || e.Code == "try_again")
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
