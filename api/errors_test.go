package api

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
)

// What a request names may go while it runs: PostgreSQL then says so by a
// foreign key. That is a conflict of two requests and no defect.
func TestConflictOfRequests(t *testing.T) {
	var log strings.Builder
	h := &Handler{Deps: Deps{Logger: slog.New(slog.NewTextHandler(&log, nil))}}
	err := fmt.Errorf("statement 1: %w", &db.ConflictError{Constraint: "membership_roles_role_id_fkey", ForeignKey: true})
	p := h.problem(t.Context(), err, "req_x")
	if p.Status != http.StatusConflict || p.Code != "conflict" || strings.Contains(p.Detail, "fkey") || log.Len() > 0 {
		t.Errorf("%+v; %s", p, log.String())
	}
}
