package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/oauth2"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// pending is what only we know of a question: stored encrypted.
type pending struct {
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"`
}

var (
	errParams    = refuse("OIDC_PARAMETERS", "The answer of the identity provider has a parameter twice or none of those it needs.")
	errState     = refuse("OIDC_STATE", "The answer of the identity provider does not belong to a sign-in that is under way. Start again from the application.")
	errStateUsed = refuse("OIDC_STATE_USED", "This answer of the identity provider was already used. Start again from the application.")
	errIss       = refuse("OIDC_ISS", "The answer came from another identity provider than the one that was asked.")
	errProvider  = refuse("OIDC_PROVIDER_ERROR", "The identity provider did not sign you in. Try again, or ask your administrator.")
	errExchange  = refuse("OIDC_TOKEN_ENDPOINT", "The identity provider did not accept the sign-in's code. Ask your administrator to check the client secret.")
	errNoIDToken = refuse("OIDC_NO_ID_TOKEN", "The identity provider sent no ID token.")
)

// login asks the provider.
func (h *Handler) login(w http.ResponseWriter, r *http.Request, q request) error {
	flowID := r.URL.Query().Get("flow")
	if flowID == "" {
		return h.startAtApplication(w, r, q)
	}
	f, err := h.signin.OpenFlow(r.Context(), h.db, flowID, httpx.Browser(r), q.conn)
	if err != nil {
		return err
	}
	p, err := h.providers.get(r.Context(), q.conn.OIDC.Issuer, q.now)
	if err != nil {
		return h.refused(w, r, q, f.ID, err, nil)
	}
	known := pending{Nonce: secret.Random(), Verifier: oauth2.GenerateVerifier()}
	state := secret.Random()
	stored, err := json.Marshal(known)
	if err != nil {
		return err
	}
	err = h.signin.NewRequest(r.Context(), h.db, signin.Request{
		Environment: q.env.ID, Tenant: q.conn.Tenant, Connection: q.conn.ID, Key: secret.Hash(state), FlowID: f.ID, Secret: stored,
	})
	if err != nil {
		return err
	}
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(known.Verifier), oauth2.SetAuthURLParam("nonce", known.Nonce)}
	if hint := r.URL.Query().Get("login_hint"); hint != "" && len(hint) <= signin.MaxEmail {
		options = append(options, oauth2.SetAuthURLParam("login_hint", hint))
	} else if f.LoginHint != "" {
		options = append(options, oauth2.SetAuthURLParam("login_hint", f.LoginHint))
	}
	if f.ForceAuthn {
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("max_age", "0"))
	}
	config := h.config(q, p, "")
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, config.AuthCodeURL(state, options...), http.StatusSeeOther)
	return nil
}

func (h *Handler) config(q request, p *provider, clientSecret string) oauth2.Config {
	endpoint := p.Endpoint()
	switch method := q.conn.OIDC.AuthMethod; {
	case method == tenants.AuthPost,
		method == "" && slices.Contains(p.authMethods, tenants.AuthPost) && !slices.Contains(p.authMethods, tenants.AuthBasic):
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	case clientSecret == "":
		endpoint.AuthStyle = oauth2.AuthStyleInParams // a public client names itself in the body
	default:
		endpoint.AuthStyle = oauth2.AuthStyleInHeader
	}
	return oauth2.Config{
		ClientID: q.conn.OIDC.ClientID, ClientSecret: clientSecret, Endpoint: endpoint,
		RedirectURL: q.env.OIDCRedirectURL(q.conn.ID), Scopes: q.conn.OIDC.Scopes,
	}
}

// callback takes the provider's answer: the browser first, then the state,
// which is used up whatever follows, then the code.
func (h *Handler) callback(w http.ResponseWriter, r *http.Request, q request) error {
	v := r.URL.Query()
	for _, name := range []string{"state", "code", "iss", "error"} {
		if len(v[name]) > 1 {
			return h.refused(w, r, q, "", errParams, nil)
		}
	}
	state := v.Get("state")
	if state == "" || len(state) > 200 {
		return h.refused(w, r, q, "", errState, nil)
	}
	pending, err := h.signin.FindRequest(r.Context(), h.db, q.conn.Tenant, q.conn.ID, secret.Hash(state))
	flowID := pending.FlowID
	if err != nil {
		return h.refused(w, r, q, flowID, stateFault(err), nil)
	}
	if _, err := h.signin.Flow(r.Context(), h.db, q.env.ID, flowID, httpx.Browser(r)); err != nil {
		return h.refused(w, r, q, flowID, err, nil)
	}
	if err := pending.Serves(q.conn); err != nil {
		return h.refused(w, r, q, flowID, err, nil)
	}
	var asked signin.Request
	err = h.db.Tx(r.Context(), func(tx db.Queryer) error {
		var err error
		asked, err = h.signin.TakeRequest(r.Context(), tx, q.conn.Tenant, q.conn.ID, secret.Hash(state))
		return err
	})
	if err != nil {
		return h.refused(w, r, q, flowID, stateFault(err), nil)
	}
	identity, checks, err := h.redeem(r.Context(), q, v, asked)
	if err != nil {
		return h.refused(w, r, q, flowID, err, checks)
	}
	handle := ""
	err = h.db.Tx(r.Context(), func(tx db.Queryer) error {
		handle, err = h.signin.SaveResult(r.Context(), tx, q.env.ID, asked.FlowID, identity)
		return err
	})
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, "/signin/continue/"+url.PathEscape(handle), http.StatusSeeOther)
	return nil
}

// stateFault gives the protocol's codes for what became of the request.
func stateFault(err error) error {
	switch {
	case errors.Is(err, signin.ErrRequestUsed):
		return errStateUsed.Because(err)
	case errors.Is(err, signin.ErrRequestUnknown), errors.Is(err, signin.ErrRequestExpired):
		return errState.Because(err)
	}
	return err
}

// redeem turns the answer into an identity, or says which check failed.
func (h *Handler) redeem(ctx context.Context, q request, v url.Values, asked signin.Request) (signin.Identity, []signin.Check, error) {
	var none signin.Identity
	var known pending
	if err := json.Unmarshal(asked.Secret, &known); err != nil {
		return none, nil, err
	}
	p, err := h.providers.get(ctx, q.conn.OIDC.Issuer, q.now)
	if err != nil {
		return none, nil, err
	}
	log := &checkLog{}
	// RFC 9207 §2.4: an answer of another provider is refused before its code is used.
	if iss := v.Get("iss"); (iss != "" || p.issParameter) && iss != q.conn.OIDC.Issuer {
		return none, log.list, log.fail("iss parameter", q.conn.OIDC.Issuer, iss, errIss)
	}
	if e := v.Get("error"); e != "" {
		err := log.fail("answer", "a code", e+" "+v.Get("error_description"), errProvider)
		return none, log.list, err
	}
	code := v.Get("code")
	if code == "" || len(code) > 8<<10 {
		err := log.fail("answer", "a code", "none", errParams)
		return none, log.list, err
	}
	clientSecret, err := h.tenants.ClientSecret(q.conn)
	if err != nil {
		return none, log.list, err
	}
	config := h.config(q, p, clientSecret)
	token, err := config.Exchange(h.providers.context(ctx), code, oauth2.VerifierOption(known.Verifier))
	if err != nil {
		detail := "no answer"
		var re *oauth2.RetrieveError
		if errors.As(err, &re) {
			detail = re.ErrorCode + " " + re.ErrorDescription
		}
		err = log.fail("token endpoint", "tokens", detail, errExchange.Because(err))
		return none, log.list, err
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		err := log.fail("id_token", "present", "absent", errNoIDToken)
		return none, log.list, err
	}
	c, all, checks, err := verifyIDToken(ctx, raw, p.keys, expectation{
		issuer: q.conn.OIDC.Issuer, clientID: q.conn.OIDC.ClientID, nonce: known.Nonce, accessToken: token.AccessToken, now: q.now,
	})
	log.list = append(log.list, checks...)
	if err != nil {
		return none, log.list, err
	}
	if all, err = h.userinfo(ctx, p, token, c.Subject, all, q.conn, log); err != nil {
		return none, log.list, err
	}
	identity, err := identityOf(q.conn, c, all)
	identity.Checks = log.list
	return identity, log.list, err
}

// refused records an answer that did not hold and shows its code. A failure
// that is ours goes on to the page for those.
func (h *Handler) refused(w http.ResponseWriter, r *http.Request, q request, flowID string, why error, checks []signin.Check) error {
	if fault.KindOf(why) == 0 {
		return why
	}
	if err := h.refusals.Take(q.conn.ID+" "+q.a.IP.String(), q.now); err != nil {
		return err
	}
	err := h.db.Tx(r.Context(), func(tx db.Queryer) error {
		return h.signin.RecordLogin(r.Context(), q.a, tx, q.env.ID, q.conn.Tenant, signin.Login{
			Connection: q.conn.ID, FlowID: flowID, At: q.now, Outcome: signin.OutcomeFailure, Code: fault.CodeOf(why), Checks: checks,
		})
	})
	if err != nil {
		return err
	}
	h.pages.Fault(w, r, h.log, why, flowID)
	return nil
}

func trimmed(v any) string {
	s, _ := v.(string)
	return strings.TrimSpace(s)
}
