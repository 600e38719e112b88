package ui

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
)

var errBusy = fault.New(fault.Unavailable, "TRY_AGAIN", "The service is busy. Try again in a moment.")

// Fault shows a failure to the person: what happened, what to do, the code and
// the flow's number to quote. It is the one mapping from faults to pages. What
// is not a fault is a defect: the person sees the request id, the log the cause.
func (u *UI) Fault(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error, flowID string) {
	f, ok := fault.From(err)
	if !ok && (errors.Is(err, db.ErrRetry) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		f, ok = errBusy.Because(err), true
	}
	if !ok {
		log.ErrorContext(r.Context(), "page failed", "error", err, "route", httpx.Route(r), "flow", flowID)
		u.fail(w, r, http.StatusInternalServerError, "Something went wrong",
			"The page could not be shown. Try again in a moment; if it keeps failing, give your administrator the code below.", "INTERNAL", httpx.InfoOf(r).RequestID)
		return
	}
	log.InfoContext(r.Context(), "refused", "error", f, "route", httpx.Route(r), "flow", flowID)
	status, title := http.StatusBadRequest, "Sign-in could not continue"
	switch f.Kind {
	case fault.Forbidden, fault.Unauthenticated:
		status, title = http.StatusForbidden, "You cannot sign in here"
	case fault.NotFound:
		status, title = http.StatusNotFound, "There is nothing here"
	case fault.TooLarge:
		status = http.StatusRequestEntityTooLarge
	case fault.Limited:
		status, title = http.StatusTooManyRequests, "Too many attempts"
		w.Header().Set("Retry-After", strconv.Itoa(int(f.RetryAfter.Seconds())))
	case fault.Unavailable:
		status, title = http.StatusServiceUnavailable, "Try again in a moment"
	}
	u.fail(w, r, status, title, f.Text(), f.Code, flowID)
}
