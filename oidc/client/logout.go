package client

import (
	"context"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/sessions"
)

// logoutEvent is the member of events that makes a logout token one
// (OpenID Connect Back-Channel Logout §2.4).
const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

const maxSID = 1024 // bytes

var (
	errLogoutForm   = refuse("OIDC_LOGOUT_FORM", "Post one logout_token in a form.")
	errLogoutEvent  = refuse("OIDC_LOGOUT_EVENT", "The token is no logout token: its events lack that of back-channel logout.")
	errLogoutNonce  = refuse("OIDC_LOGOUT_NONCE", "The token is no logout token: it has a nonce.")
	errLogoutWho    = refuse("OIDC_LOGOUT_SUBJECT", "The logout token names neither a subject nor a session.")
	errLogoutID     = refuse("OIDC_LOGOUT_JTI", "The logout token has no jti, or one that is too long.")
	errLogoutReplay = refuse("OIDC_LOGOUT_REPLAY", "The logout token was already used.")
)

// backchannelLogout ends the sessions that a provider tells of (OpenID Connect
// Back-Channel Logout §2.5 to §2.8): those of the person, or of his session
// there, that came through this connection, with their refresh tokens; the
// applications are told by the job that follows every end. A session that is not
// known has nothing left to end: that is a success too.
func (h *Handler) backchannelLogout(w http.ResponseWriter, r *http.Request, q request) error {
	raw, err := logoutToken(r)
	if err != nil {
		return err
	}
	p, err := h.providers.get(r.Context(), q.conn.OIDC.Issuer, q.now, false)
	if err != nil {
		return err
	}
	v, err := verifyLogout(r.Context(), raw, p.keys, expect(q.conn, q.now))
	if err != nil {
		return err
	}
	err = h.db.Tx(r.Context(), func(tx db.Queryer) error { return h.logOut(r.Context(), tx, q, v) })
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	return nil
}

func logoutToken(r *http.Request) (string, error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return "", errLogoutForm
	}
	body, err := httpx.ReadBody(r, maxToken+maxForm)
	if err != nil {
		return "", err
	}
	v, err := url.ParseQuery(string(body))
	if err != nil || len(v["logout_token"]) != 1 || v.Get("logout_token") == "" {
		return "", errLogoutForm
	}
	return v.Get("logout_token"), nil
}

// verifyLogout judges a logout token (OpenID Connect Back-Channel Logout §2.6).
// Its age is bounded by iat too, so that used ones need not be remembered for long.
func verifyLogout(ctx context.Context, raw string, keys *oidc.KeySet, want expectation) (verified, error) {
	log := &checkLog{}
	v, err := verifyJWT(ctx, raw, typsLogout, keys, want.now, log)
	if err != nil {
		return v, err
	}
	events, _ := v.all["events"].(map[string]any)
	if _, ok := events[logoutEvent].(map[string]any); !ok {
		return v, errLogoutEvent
	}
	// An ID token is no logout token, whatever else it says.
	if _, ok := v.all["nonce"]; ok {
		return v, errLogoutNonce
	}
	if v.Issuer != want.issuer {
		return v, errIssuer
	}
	if !slices.Contains(v.Audience, want.clientID) {
		return v, errAudience
	}
	if err := v.judgeTimes(want.now, log); err != nil {
		return v, err
	}
	switch {
	case v.Subject == "" && v.SID == "", v.Subject != "" && !validSubject(v.Subject), !validText(v.SID, maxSID):
		return v, errLogoutWho
	case v.TokenID == "" || !validText(v.TokenID, maxSID):
		return v, errLogoutID
	}
	return v, nil
}

func validText(s string, limit int) bool {
	return len(s) <= limit && !strings.ContainsFunc(s, unicode.IsControl)
}

func (h *Handler) logOut(ctx context.Context, tx db.Queryer, q request, v verified) error {
	if fresh, err := firstUse(ctx, tx, q.conn, v.Issuer, v.TokenID, q.now.Add(maxIssued+2*leeway)); err != nil || !fresh {
		if err == nil {
			err = errLogoutReplay
		}
		return err
	}
	selectors := []sessions.Selector{{Environment: q.env.ID, Tenant: q.conn.Tenant, Connection: q.conn.ID, Upstream: v.SID}}
	if v.Subject != "" {
		people, err := users(ctx, tx, sqlUsersBySubject, q.conn.Tenant, q.conn.ID, v.Subject)
		if err != nil {
			return err
		}
		all := selectors[0]
		selectors = nil
		for _, user := range people {
			all.User = user
			selectors = append(selectors, all)
		}
	}
	ended, err := h.end(ctx, tx, q, selectors, "backchannel_logout")
	if err != nil {
		return err
	}
	return h.record(ctx, tx, q, "sso_connection.logout_received", selectors, ended)
}

// end ends the sessions of each selector.
func (h *Handler) end(ctx context.Context, tx db.Queryer, q request, selectors []sessions.Selector, reason string) (int, error) {
	ended := 0
	for _, sel := range selectors {
		n, err := h.sessions.End(ctx, q.a, tx, sel, reason)
		if err != nil {
			return ended, err
		}
		ended += n
	}
	return ended, nil
}

// record notes what an identity provider asked for, by which people.
func (h *Handler) record(ctx context.Context, tx db.Queryer, q request, action string, selectors []sessions.Selector, ended int) error {
	e := audit.Event{
		Environment: q.env.ID, Tenant: q.conn.Tenant, Action: action, Actor: q.a, Connection: q.conn.ID, At: q.now,
		Targets:  []audit.Target{{Type: "sso_connection", ID: q.conn.ID, Name: q.conn.Name}},
		Metadata: map[string]any{"sessions": ended},
	}
	for _, sel := range selectors {
		if sel.User != "" {
			e.Targets = append(e.Targets, audit.Target{Type: "user", ID: sel.User})
		}
	}
	return audit.Record(ctx, tx, e)
}
