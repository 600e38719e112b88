package provider

import (
	"errors"
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// confirmLogout is the page that asks before it signs out; it belongs to the
// sign-in pages.
const confirmLogout = "/logout"

// loggedOut is the page that says that the sign-out is done.
const loggedOut = "/logout/done"

// logout ends the browser's session for an application (OpenID Connect
// RP-Initiated Logout §2). An ID token of the person who is signed in proves that
// the application means him; without one he is asked first, and the browser is
// sent nowhere afterwards, because a stranger may have made the link (§3).
func (h *Handler) logout(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor) error {
	p, repeated, done, err := asked(w, r)
	if err != nil || done {
		return err
	}
	if len(repeated) > 0 {
		return refuse(oidc.InvalidRequest, "A parameter came more than once.")
	}
	if len(p["state"]) > maxState {
		return refuse(oidc.InvalidRequest, "state is too long.")
	}
	var hint idClaims
	if p["id_token_hint"] != "" {
		if hint, err = h.idTokenHint(r.Context(), env, p["id_token_hint"]); err != nil {
			return err
		}
		if p["client_id"] != "" && p["client_id"] != hint.Audience {
			return refuse(oidc.InvalidRequest, "client_id is not that of id_token_hint.")
		}
	}
	after, err := h.afterLogout(r, env, p, hint)
	if err != nil {
		return err
	}
	ses, err := h.sessions.Find(r.Context(), h.db, env.ID, httpx.SessionCookie(r))
	if err != nil && !errors.Is(err, sessions.ErrNoSession) {
		return err
	}
	pageHeaders(w)
	if hint.Subject == "" || ses.ID != "" && ses.UserID != hint.Subject {
		http.Redirect(w, r, confirmLogout, http.StatusSeeOther)
		return nil
	}
	if ses.ID != "" {
		a.Kind, a.Subject, a.Session = actor.User, ses.UserID, ses.ID
		a.Tenant = hint.TenantID
		err := h.db.Tx(r.Context(), func(q db.Queryer) error {
			_, err := h.sessions.End(r.Context(), a, q, sessions.Selector{Environment: env.ID, Session: ses.ID}, "logout")
			return err
		})
		if err != nil {
			return err
		}
	}
	httpx.ClearSessionCookie(w)
	if gone, err := h.logoutUpstream(w, r, env, ses, after); err != nil || gone {
		return err
	}
	if after == "" {
		h.pages.Error(w, r, http.StatusOK, "You are signed out", "You can close this window.", "", "")
		return nil
	}
	w.Header().Set("Location", after)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// logoutUpstream sends the browser to the identity providers through which the
// ended session came, where they take logout messages; from there it comes to
// after, which the application registered. gone is false when there are none.
func (h *Handler) logoutUpstream(w http.ResponseWriter, r *http.Request, env tenants.Environment, ended sessions.Session, after string) (gone bool, err error) {
	if h.upstream == nil || ended.ID == "" {
		return false, nil
	}
	if after == "" {
		after = env.URL(loggedOut)
	}
	action, fields, err := h.upstream.LogoutUpstream(r.Context(), env, ended, after)
	switch {
	case err != nil || action == "":
		return false, err
	case len(fields) > 0:
		h.pages.AutoPost(w, r, action, fields)
	default:
		w.Header().Set("Location", action)
		w.WriteHeader(http.StatusSeeOther)
	}
	return true, nil
}

// afterLogout gives the address to go on at. One that the application has not
// registered, letter by letter, ends on an error page (§3).
func (h *Handler) afterLogout(r *http.Request, env tenants.Environment, p params, hint idClaims) (string, error) {
	uri := p["post_logout_redirect_uri"]
	if uri == "" {
		return "", nil
	}
	clientID := hint.Audience
	if clientID == "" {
		clientID = p["client_id"]
	}
	if clientID == "" {
		return "", refuse(oidc.InvalidRequest, "post_logout_redirect_uri needs id_token_hint or client_id.")
	}
	app, err := h.tenants.Application(r.Context(), h.db, env.ID, clientID)
	switch {
	case errors.Is(err, tenants.ErrApplicationNotFound):
		return "", refuse(oidc.InvalidClient, "The application is not known here.")
	case err != nil:
		return "", err
	case !app.HasPostLogoutRedirectURI(uri):
		return "", refuse(oidc.InvalidRequest, "The application asked to continue at an address that it has not registered (post_logout_redirect_uri).")
	}
	if p["state"] == "" {
		return uri, nil
	}
	return withQuery(uri, [][2]string{{"state", p["state"]}}), nil
}
