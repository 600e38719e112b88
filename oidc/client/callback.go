package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/internal/safehttp"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/signin"
)

const (
	maxForm = 64 << 10 // bytes of a posted answer
	maxCode = 8 << 10
)

var (
	errParams    = refuse("OIDC_PARAMETERS", "The answer of the identity provider has a parameter twice or none of those it needs.")
	errMode      = refuse("OIDC_RESPONSE_MODE", "The answer of the identity provider did not arrive in the way that was asked for.")
	errState     = refuse("OIDC_STATE", "The answer of the identity provider does not belong to a sign-in that is under way. Start again from the application.")
	errStateUsed = refuse("OIDC_STATE_USED", "This answer of the identity provider was already used. Start again from the application.")
	errIss       = refuse("OIDC_ISS", "The answer came from another identity provider than the one that was asked.")
	errProvider  = refuse("OIDC_PROVIDER_ERROR", "The identity provider did not sign you in. Try again, or ask your administrator.")
	errExchange  = refuse("OIDC_TOKEN_ENDPOINT", "The identity provider did not accept the sign-in's code. Ask your administrator to check the client secret.")
	errNoIDToken = refuse("OIDC_NO_ID_TOKEN", "The identity provider sent no ID token.")
)

// attempt is a login on its way through the callback, with what its log entry
// will say.
type attempt struct {
	request
	flowID, purpose string
	log             checkLog
	idToken         map[string]any // claims, as far as they could be read
	userinfo        map[string]any
}

// callback takes the provider's answer: the browser first, then the state,
// which is used up whatever follows, then the code. A posted answer is a
// cross-site request without our cookie: its browser is proved one step later,
// at /signin/continue/{handle}, before any session exists (sso 4.1).
func (h *Handler) callback(w http.ResponseWriter, r *http.Request, q request) error {
	a := attempt{request: q}
	v, err := answerOf(w, r, q)
	if err != nil {
		return h.refused(w, r, &a, err)
	}
	state := v.Get("state")
	if state == "" || len(state) > 200 {
		return h.refused(w, r, &a, errState)
	}
	found, err := h.asked(r.Context(), q, secret.Hash(state))
	a.flowID, a.purpose = found.FlowID, found.Purpose
	if err != nil {
		return h.refused(w, r, &a, stateFault(err))
	}
	if r.Method != http.MethodPost {
		if _, err := h.signin.Flow(r.Context(), h.db, q.env.ID, a.flowID, httpx.Browser(r)); err != nil {
			return h.refused(w, r, &a, err)
		}
	}
	if err := serves(q, found); err != nil {
		return h.refused(w, r, &a, err)
	}
	var asked signin.Request
	err = h.db.Tx(r.Context(), func(tx db.Queryer) error {
		var err error
		asked, err = h.take(r.Context(), tx, q, secret.Hash(state))
		return err
	})
	if err != nil {
		return h.refused(w, r, &a, stateFault(err))
	}
	identity, err := h.redeem(r.Context(), &a, v, asked)
	if err != nil {
		return h.refused(w, r, &a, err)
	}
	identity.Checks, identity.Response = a.log.list, a.response()
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
	next := "/signin/continue/" + url.PathEscape(handle)
	if q.social != nil {
		next = signin.SocialPath(handle)
	}
	http.Redirect(w, r, next, http.StatusSeeOther)
	return nil
}

// asked finds the question that an answer is to, without using it up.
func (h *Handler) asked(ctx context.Context, q request, key string) (signin.Asked, error) {
	if q.social != nil {
		return h.signin.FindSocialRequest(ctx, h.db, q.env.ID, q.conn.ID, key)
	}
	return h.signin.FindRequest(ctx, h.db, q.conn.Tenant, q.conn.ID, key)
}

// take uses the question up.
func (h *Handler) take(ctx context.Context, tx db.Queryer, q request, key string) (signin.Request, error) {
	if q.social != nil {
		return h.signin.TakeSocialRequest(ctx, tx, q.env.ID, q.conn.ID, key)
	}
	return h.signin.TakeRequest(ctx, tx, q.conn.Tenant, q.conn.ID, key)
}

// serves refuses an answer to a connection that was switched off meanwhile.
func serves(q request, asked signin.Asked) error {
	if q.social == nil {
		return asked.Serves(q.conn)
	}
	if !q.social.SocialOffers(q.env) {
		return signin.ErrConnectionDisabled
	}
	return nil
}

// answerOf reads the parameters of the authorization response: from the address,
// or from the form where that was asked for (OAuth 2.0 Form Post Response Mode).
// None may come twice (RFC 6749 §3.1).
func answerOf(w http.ResponseWriter, r *http.Request, q request) (url.Values, error) {
	text := r.URL.RawQuery
	switch r.Method {
	case http.MethodGet:
	case http.MethodPost:
		media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if !q.conn.OIDC.FormPost || err != nil || media != "application/x-www-form-urlencoded" || text != "" {
			return nil, errMode
		}
		body, err := httpx.ReadBody(r, maxForm)
		if err != nil {
			return nil, err
		}
		text = string(body)
	default:
		w.Header().Set("Allow", "GET, POST")
		return nil, errMode
	}
	v, err := url.ParseQuery(text)
	if err != nil {
		return nil, errParams.Because(err)
	}
	for _, values := range v {
		if len(values) > 1 {
			return nil, errParams
		}
	}
	return v, nil
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
func (h *Handler) redeem(ctx context.Context, a *attempt, v url.Values, asked signin.Request) (signin.Identity, error) {
	var none signin.Identity
	var known pending
	if err := json.Unmarshal(asked.Secret, &known); err != nil {
		return none, err
	}
	if o := a.conn.OIDC; known.Issuer != o.Issuer || known.ClientID != o.ClientID {
		return none, a.log.fail("provider", known.Issuer+" for "+known.ClientID, o.Issuer+" for "+o.ClientID, errState)
	}
	p, err := h.providers.logIn(ctx, a.conn.OIDC.Issuer, a.now, a.social != nil)
	if err != nil {
		return none, a.log.fail("discovery", "the identity provider's configuration", cause(err), err)
	}
	// RFC 9207 §2.4: an answer of another provider is refused before its code is used.
	// Of many directories behind one issuer the answer names the person's own.
	if iss := v.Get("iss"); (iss != "" || p.issParameter) && iss != a.conn.OIDC.Issuer && (p.template == "" || !fits(p.template, iss)) {
		return none, a.log.fail("iss parameter", a.conn.OIDC.Issuer, iss, errIss)
	}
	if e := v.Get("error"); e != "" {
		return none, a.log.fail("answer", "a code", e+" "+v.Get("error_description"), errProvider)
	}
	code := v.Get("code")
	if code == "" || len(code) > maxCode {
		return none, a.log.fail("answer", "a code", "none", errParams)
	}
	token, err := h.exchange(ctx, a, p, code, known.Verifier)
	if err != nil {
		return none, err
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return none, a.log.fail("id_token", "present", "absent", errNoIDToken)
	}
	want := expect(a.conn, a.now)
	want.social, want.template = a.social != nil, p.template
	want.nonce, want.accessToken, want.code = known.Nonce, token.AccessToken, code
	if known.Fresh {
		want.authAfter = asked.CreatedAt
	}
	id, err := verifyIDToken(ctx, raw, p.keys, want, &a.log)
	a.idToken = id.all
	if err != nil {
		return none, err
	}
	if p.template == "" {
		id.Issuer = a.conn.OIDC.Issuer // one person, in whichever form it came
	}
	if err := h.userinfo(ctx, a, p, token.AccessToken, id); err != nil {
		return none, err
	}
	if a.social != nil {
		return socialIdentity(a.conn, id, a.merged())
	}
	identity, err := identityOf(a.conn, id, a.merged())
	if err != nil {
		return none, err
	}
	return h.completeGroups(ctx, a, identity)
}

// exchange redeems the code (RFC 6749 §4.1.3, RFC 7636 §4.5).
func (h *Handler) exchange(ctx context.Context, a *attempt, p *provider, code, verifier string) (*oauth2.Token, error) {
	config := h.config(a.request, p)
	options, err := h.authenticate(ctx, a.request, p, &config)
	if err != nil {
		if fault.KindOf(err) != 0 {
			err = a.log.fail("client key", "an active key of the connection", "none", err)
		}
		return nil, err
	}
	token, err := config.Exchange(h.providers.context(ctx), code, append(options, oauth2.VerifierOption(verifier))...)
	if err == nil {
		return token, nil
	}
	detail := "no answer: " + cause(err)
	var re *oauth2.RetrieveError
	if errors.As(err, &re) {
		detail = strings.TrimSpace(fmt.Sprintf("status %d %s %s", re.Response.StatusCode, re.ErrorCode, re.ErrorDescription))
		err = errors.New(clip(detail)) // its own text holds the whole answer
	}
	return nil, a.log.fail("token endpoint", "tokens", detail, errExchange.Because(err))
}

// cause says why a fetch failed, for the log: an address that may not be reached
// is mended by another person than one that is down. Of failures on the network
// it tells the guarded client's code alone, not what a name resolved to.
func cause(err error) string {
	var network *url.Error
	if errors.As(err, &network) {
		return fault.CodeOf(safehttp.Fault(network))
	}
	if f, ok := fault.From(err); ok && f.Cause == nil {
		return f.Code
	} else if ok {
		return f.Cause.Error()
	}
	return err.Error()
}

// refused records an answer that did not hold and shows its code. A failure
// that is ours goes on to the page for those.
func (h *Handler) refused(w http.ResponseWriter, r *http.Request, a *attempt, why error) error {
	if fault.KindOf(why) == 0 {
		return why
	}
	if err := h.refusals.Take(a.conn.ID+" "+a.a.IP.String(), a.now); err != nil {
		return err
	}
	login := signin.Login{
		Connection: a.conn.ID, FlowID: a.flowID, At: a.now, Outcome: signin.OutcomeFailure, Code: fault.CodeOf(why),
		Checks: a.log.list, Response: a.response(),
	}
	if a.purpose == signin.PurposeTest {
		login.Purpose = signin.PurposeTest
	}
	err := h.db.Tx(r.Context(), func(tx db.Queryer) error {
		if a.social != nil {
			return h.signin.RecordSocial(r.Context(), a.a, tx, a.env.ID, "", login)
		}
		return h.signin.RecordLogin(r.Context(), a.a, tx, a.env.ID, a.conn.Tenant, login)
	})
	if err != nil {
		return err
	}
	if login.Purpose == signin.PurposeTest {
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, signin.TestPath(a.flowID), http.StatusSeeOther)
		return nil
	}
	h.pages.Fault(w, r, h.log, why, a.flowID)
	return nil
}

func trimmed(v any) string {
	s, _ := v.(string)
	return strings.TrimSpace(s)
}
