package scim

import (
	"errors"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/scim/schema"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Failures of /Me (RFC 7644 §3.11).
var (
	errMe       = refuse(http.StatusNotImplemented, "", "This token belongs to a directory, not to a user: there is no /Me.")
	errMeWrite  = refuse(http.StatusNotImplemented, "", "/Me can only be read: the directory owns the user.")
	errNobody   = refuse(http.StatusNotFound, "", "You are not a user of this directory.")
	errMeToken  = refuse(http.StatusUnauthorized, "", "The access token is not valid for this connection.")
	errMePaused = refuse(http.StatusForbidden, "", "The connection is paused.")
)

const sqlMyself = `SELECT r.id FROM memberships m JOIN scim_resources r ON r.tenant_id = m.tenant_id AND r.membership_id = m.id
WHERE m.tenant_id = $1 AND m.user_id = $2 AND r.connection_id = $3 ORDER BY r.created, r.id LIMIT 1`

// isMe reports whether the path is that of /Me. One with encoded slashes goes to
// another route than it reads like.
func isMe(r *http.Request) bool {
	return r.URL.RawPath == "" && strings.HasSuffix(strings.TrimSuffix(r.URL.Path, "/"), "/v2/Me")
}

// beginMe is begin for a person's access token, which opens nothing but /Me. It
// has a limit of its own, so that people do not use up their directory's.
func (h *Handler) beginMe(r *http.Request, host tenants.Environment, token string) (*call, error) {
	ctx := r.Context()
	tenant, user, err := h.UserToken(ctx, host, token)
	if err != nil {
		return nil, err
	}
	connection := chi.URLParam(r, "connection")
	if !id.Valid(id.Directory, connection) {
		return nil, errMeToken
	}
	conn, err := h.Tenants.SCIMConnection(ctx, h.DB, tenant, connection)
	switch {
	case fault.KindOf(err) == fault.NotFound || err == nil && conn.Environment != host.ID:
		return nil, errMeToken
	case err != nil:
		return nil, err
	case conn.Status == tenants.SCIMPaused:
		return nil, errMePaused
	}
	c, err := h.callOf(ctx, conn, user, httpx.InfoOf(r))
	if err != nil {
		return nil, err
	}
	c.entry.Method, c.entry.Path = r.Method, pathOf(r, nil)
	if err := h.Limiter.Take("me "+user, c.now); err != nil {
		return c, err
	}
	err = h.DB.QueryRow(ctx, sqlMyself, tenant, user, conn.ID).Scan(&c.self)
	if errors.Is(err, db.ErrNotFound) {
		err = errNobody
	}
	return c, err
}

// me answers RFC 7644 §3.11: the resource of the person whose token it is, at
// its own location.
func (h *Handler) me(w http.ResponseWriter, r *http.Request, c *call) error {
	switch {
	case c.self == "":
		return errMe
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return errMeWrite
	}
	chi.RouteContext(r.Context()).URLParams.Add("id", c.self)
	return h.get(schema.User)(w, r, c)
}
