package ui_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
)

func TestFaultTellsBusyFromBroken(t *testing.T) {
	u := newUI(t)
	for err, want := range map[error]int{
		db.ErrRetry:              http.StatusServiceUnavailable,
		context.Canceled:         http.StatusServiceUnavailable,
		context.DeadlineExceeded: http.StatusServiceUnavailable,
		http.ErrBodyNotAllowed:   http.StatusInternalServerError,
	} {
		var log strings.Builder
		w := do(func(w http.ResponseWriter, r *http.Request) {
			u.Fault(w, r, slog.New(slog.NewTextHandler(&log, nil)), fmt.Errorf("statement 0: %w", err), "")
		})
		if w.Code != want || strings.Contains(log.String(), "level=ERROR") != (want == http.StatusInternalServerError) || strings.Contains(w.Body.String(), "statement") {
			t.Errorf("%v: %d; %s", err, w.Code, log.String())
		}
	}
}
