package provider

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// authorize answers an authorization request: with a code when the session
// suffices, otherwise by beginning a sign-in, which comes back as ?resume=.
func (h *Handler) authorize(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor) error {
	p, repeated, done, err := asked(w, r)
	if err != nil || done {
		return err
	}
	if flow := p["resume"]; flow != "" {
		return h.resume(w, r, env, a, flow)
	}
	if flow := p["cancel"]; flow != "" {
		return h.cancel(w, r, env, flow)
	}
	isPushed := strings.HasPrefix(p["request_uri"], requestURI)
	if isPushed {
		if p, err = h.pushed(r.Context(), env, p, repeated); err != nil {
			return err
		}
	}
	app, err := h.target(r.Context(), env, p, repeated)
	if err != nil {
		return err
	}
	req, err := h.request(r.Context(), env, app, p, repeated)
	if err == nil && app.RequirePAR && !isPushed {
		err = refuse(oidc.InvalidRequest, "This application must push its requests.")
	}
	if err != nil {
		return h.answerError(w, r, env, req, err)
	}
	ses, proof, err := h.satisfied(r.Context(), env, app, req, httpx.SessionCookie(r))
	if errors.Is(err, errMore) {
		done, failed := h.carry(w, r, env, a, app, req, proof)
		if done || failed != nil {
			return failed
		}
		err = errLogin
	}
	switch {
	case err == nil:
		return h.issue(w, r, env, a, app, req, ses, proof)
	case !errors.Is(err, errLogin):
		return h.answerError(w, r, env, req, err)
	case req.none:
		return h.answerError(w, r, env, req, refuse(oidc.LoginRequired, "The person has to sign in."))
	}
	req.Login = req.Login || req.choose
	kept, err := json.Marshal(req)
	if err != nil {
		return err
	}
	browser := httpx.BrowserID(w, r)
	var next signin.Next
	err = h.db.Tx(r.Context(), func(q db.Queryer) (err error) {
		next, err = h.signin.Begin(r.Context(), a, q, signin.Start{
			Environment: env, BrowserID: browser, Organization: req.organization, Connection: req.Connection,
			LoginHint: req.loginHint, DomainHint: req.domainHint, Locales: req.locales, ForceAuthn: req.Login || req.MaxAge != nil, Request: kept,
			Demand: signin.Demand{ACRs: req.ACRs},
		})
		return err
	})
	if err != nil {
		return h.answerError(w, r, env, req, err)
	}
	pageHeaders(w)
	http.Redirect(w, r, next.URL, http.StatusSeeOther)
	return nil
}

var (
	// errLogin: the session does not suffice.
	errLogin = errors.New("a sign-in is needed")
	// errMore: the session is the right person's, and does not suffice as it is.
	errMore = errors.New("more than the session proves is needed")
)

// satisfied finds the browser's session and the tenant that it may answer for:
// the named one, or else the one that it satisfied last (identity rule 6), of
// several one where the application is open to the person. It fails with errLogin
// when a sign-in may help, and with errMore when the session may be gone on from;
// the proof then names the tenant that is asked for, and none where the person is to
// choose.
func (h *Handler) satisfied(ctx context.Context, env tenants.Environment, app tenants.Application, req authRequest, cookie string) (sessions.Session, sessions.Proof, error) {
	none := func(err error) (sessions.Session, sessions.Proof, error) {
		return sessions.Session{}, sessions.Proof{}, err
	}
	if req.Login || cookie == "" {
		return none(errLogin)
	}
	tenant := req.hintTenant
	if req.organization != "" {
		t, err := h.tenants.Get(ctx, h.db, env.ID, req.organization)
		if fault.KindOf(err) == fault.NotFound {
			return none(refuse(oidc.InvalidRequest, "organization names none that exists here."))
		}
		if err != nil {
			return none(err)
		}
		tenant = t.ID
	}
	ses, err := h.sessions.Find(ctx, h.db, env.ID, cookie)
	if err == nil && req.choose && (req.Subject == "" || req.Subject == ses.UserID) {
		return ses, sessions.Proof{Tenant: tenant}, errMore
	}
	if errors.Is(err, sessions.ErrNoSession) || err == nil && req.Subject != "" && req.Subject != ses.UserID {
		return none(errLogin)
	}
	if err != nil {
		return none(err)
	}
	var proof sessions.Proof
	for _, p := range slices.Backward(ses.Tenants) { // they come in the order in which they were satisfied
		if tenant != "" && p.Tenant != tenant || req.Connection != "" && p.Connection != req.Connection {
			continue
		}
		err := h.tenants.CheckApplication(ctx, h.db, app, p.Tenant, ses.UserID)
		if err != nil && !errors.Is(err, tenants.ErrNotAssigned) {
			return none(err)
		}
		if err == nil || proof.Tenant == "" {
			proof = p
		}
		if err == nil {
			break
		}
	}
	switch {
	case proof.Tenant == "" && tenant == "" || proof.Tenant != "" && !req.recent(proof, h.clock.Now()):
		return none(errLogin)
	case proof.Tenant == "":
		return ses, sessions.Proof{Tenant: tenant}, errMore
	}
	_, err = h.signin.Check(ctx, h.db, env.ID, proof.Tenant, ses.UserID, proof.Connection)
	if fault.KindOf(err) == fault.Forbidden {
		return none(errLogin) // which tells the person why not
	}
	if err == nil && len(req.ACRs) > 0 && signin.ACRMet(proof.ACR, req.ACRs) == "" {
		err = errMore
	}
	return ses, proof, err
}

// carry goes on from the session: to one more factor, or to another tenant. done is
// false when only a new sign-in helps.
func (h *Handler) carry(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor, app tenants.Application, req authRequest, proof sessions.Proof) (done bool, err error) {
	kept, err := json.Marshal(req)
	if err != nil {
		return false, err
	}
	in := signin.Carry{
		Local:  signin.Local{Environment: env, SessionCookie: httpx.SessionCookie(r), DeviceCookie: httpx.Device(r)},
		Tenant: proof.Tenant, Connection: req.Connection, MaxAge: req.MaxAge, Demand: signin.Demand{ACRs: req.ACRs, Choose: req.choose}, LoginHint: req.loginHint, Locales: req.locales,
		Request: kept, Silent: req.none,
	}
	if !req.none {
		in.BrowserID = httpx.BrowserID(w, r)
	}
	out, err := h.signin.Carry(r.Context(), a, in)
	switch {
	case err != nil:
		return true, h.answerError(w, r, env, req, err)
	case out.Refusal != nil && req.none:
		return true, h.answerError(w, r, env, req, out.Refusal)
	case out.Refusal != nil:
		return true, out.Refusal // the person reads why
	case out.Enough:
		proof, _ := out.Session.Proof(proof.Tenant)
		return true, h.conclude(w, r, env, a, app, req, out.Session, proof)
	case out.Stage == signin.StageFirst:
		return false, nil
	case out.Stage == signin.StageDone:
		httpx.SetSessionCookie(w, out.Cookie)
		proof, _ := out.Session.Proof(out.Tenant)
		return true, h.conclude(w, r, env, a, app, req, out.Session, proof)
	case !req.none:
		pageHeaders(w)
		http.Redirect(w, r, out.Path(), http.StatusSeeOther)
		return true, nil
	}
	why := map[signin.Stage]*wireError{
		signin.StageSSO:     {code: oidc.LoginRequired, description: "The person has to sign in through the organization's identity provider."},
		signin.StageAccount: {code: oidc.AccountSelection, description: "The person has to choose an organization."},
	}[out.Stage]
	if why == nil {
		why = &wireError{code: oidc.InteractionRequired, description: "The person has to give a second factor."}
	}
	return true, h.answerError(w, r, env, req, why)
}

// errUnmet: an essential authentication context was not reached.
var errUnmet = refuse(oidc.UnmetAuthentication, "The person cannot sign in as strongly as the application requires.")

// conclude answers after a sign-in: it holds an essential authentication context
// to what was reached.
func (h *Handler) conclude(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor, app tenants.Application, req authRequest, ses sessions.Session, proof sessions.Proof) error {
	if req.Essential && signin.ACRMet(proof.ACR, req.ACRs) == "" {
		return h.answerError(w, r, env, req, errUnmet)
	}
	return h.issue(w, r, env, a, app, req, ses, proof)
}

// recent reports whether the authentication is young enough for max_age
// (OpenID Connect Core §3.1.2.1).
func (req authRequest) recent(p sessions.Proof, now time.Time) bool {
	return req.MaxAge == nil || now.Sub(p.AuthTime) <= time.Duration(*req.MaxAge)*time.Second
}

// loginSlack is what a sign-in itself may take of max_age, and by how much the
// identity provider's clock may differ.
const loginSlack = signin.FlowLifetime

// resume goes on with the request that began a flow, in the browser that began
// it and with the session that it ended in.
func (h *Handler) resume(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor, flow string) error {
	result, err := h.signin.Finished(r.Context(), h.db, env.ID, flow, httpx.Browser(r))
	if err != nil {
		return err
	}
	var req authRequest
	if err := json.Unmarshal(result.Request, &req); err != nil {
		return err
	}
	if req.Device != "" {
		resumeDevice(w, r, req.Device)
		return nil
	}
	// The application may have changed meanwhile.
	app, err := h.target(r.Context(), env, params{"client_id": req.ClientID, "redirect_uri": req.RedirectURI}, nil)
	if err != nil {
		return err
	}
	ses, err := h.sessions.Find(r.Context(), h.db, env.ID, httpx.SessionCookie(r))
	if err != nil && !errors.Is(err, sessions.ErrNoSession) {
		return err
	}
	proof, ok := ses.Proof(result.Tenant)
	if err != nil || ses.ID != result.SessionID || !ok {
		return fault.New(fault.Invalid, "SIGNIN_SESSION_ENDED", "The session of this sign-in has ended. Start again from the application.")
	}
	began := time.Unix(req.At, 0)
	switch {
	case req.Connection != "" && (req.Connection != result.Connection || req.Connection != proof.Connection):
		return h.answerError(w, r, env, req, refuse(oidc.LoginRequired, "The person signed in through another connection than was asked for."))
	case req.Subject != "" && req.Subject != ses.UserID:
		return h.answerError(w, r, env, req, refuse(oidc.LoginRequired, "Another person signed in than id_token_hint names."))
	case req.Login && proof.SatisfiedAt.Before(began):
		return h.answerError(w, r, env, req, refuse(oidc.LoginRequired, "The person did not sign in anew."))
	case req.MaxAge != nil && began.Sub(proof.AuthTime) > time.Duration(*req.MaxAge)*time.Second+loginSlack:
		return h.answerError(w, r, env, req, refuse(oidc.LoginRequired, "The identity provider did not ask the person anew."))
	}
	return h.conclude(w, r, env, a, app, req, ses, proof)
}

// cancel tells the application that the person would not sign in (RFC 6749
// §4.1.2.1), in the browser that began the flow. A sign-in that no application
// began just ends.
func (h *Handler) cancel(w http.ResponseWriter, r *http.Request, env tenants.Environment, flow string) error {
	f, err := h.signin.Flow(r.Context(), h.db, env.ID, flow, httpx.Browser(r))
	if err != nil {
		return err
	}
	if f.Purpose != signin.PurposeAuthorize {
		h.pages.Error(w, r, http.StatusOK, "You are not signed in", "You can close this window.", "", "")
		return nil
	}
	var req authRequest
	if err := json.Unmarshal(f.Request, &req); err != nil {
		return err
	}
	if _, err := h.target(r.Context(), env, params{"client_id": req.ClientID, "redirect_uri": req.RedirectURI}, nil); err != nil {
		return err // the application may have changed meanwhile
	}
	return h.answerError(w, r, env, req, refuse(oidc.AccessDenied, "The person cancelled the sign-in."))
}

// issue sends the browser back with a code, if the application is open to the
// person; a denial stands in the tenant's log.
func (h *Handler) issue(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor, app tenants.Application, req authRequest, ses sessions.Session, proof sessions.Proof) error {
	err := h.tenants.CheckApplication(r.Context(), h.db, app, proof.Tenant, ses.UserID)
	if errors.Is(err, tenants.ErrNotAssigned) {
		a.Kind, a.Subject, a.Session, a.Connection, a.Tenant = actor.User, ses.UserID, ses.ID, proof.Connection, proof.Tenant
		e := audit.Event{
			Environment: env.ID, Tenant: proof.Tenant, Action: "authorization.denied", Outcome: audit.Denied, Actor: a, At: h.clock.Now(),
			Targets: []audit.Target{{Type: "application", ID: app.ID, Name: app.Name}}, Metadata: map[string]any{"code": fault.CodeOf(err)},
		}
		if failed := h.db.Tx(r.Context(), func(q db.Queryer) error { return audit.Record(r.Context(), q, e) }); failed != nil {
			err = failed
		}
	}
	if err != nil {
		return h.answerError(w, r, env, req, err)
	}
	carried, err := json.Marshal(codeRequest{RedirectURI: req.RedirectURI, Scope: req.Scope, Nonce: req.Nonce, Challenge: req.Challenge, JKT: req.JKT, ACR: signin.ACRMet(proof.ACR, req.ACRs)})
	if err != nil {
		return err
	}
	code, err := h.sessions.IssueCode(r.Context(), h.db, sessions.Code{
		Environment: env.ID, ClientID: req.ClientID, Session: ses.ID, Tenant: proof.Tenant, UserID: ses.UserID, Request: carried,
	})
	if err != nil {
		return h.answerError(w, r, env, req, err)
	}
	h.answer(w, r, env, req, [][2]string{{"code", code}})
	return nil
}

// answerError sends the browser back with an error (RFC 6749 §4.1.2.1).
func (h *Handler) answerError(w http.ResponseWriter, r *http.Request, env tenants.Environment, req authRequest, err error) error {
	we := asWire(err)
	switch {
	case we == nil && unavailable(err):
		h.log.LogAttrs(r.Context(), slog.LevelWarn, "oidc: unavailable", slog.Any("error", err))
		we = &wireError{code: oidc.TemporarilyUnavailable, description: reference(r)}
	case we == nil:
		h.log.LogAttrs(r.Context(), slog.LevelError, "oidc: failed", slog.Any("error", err))
		we = &wireError{code: oidc.ServerError, description: reference(r)}
	case fault.KindOf(err) == fault.Forbidden:
		we = &wireError{code: oidc.AccessDenied, description: we.description}
	case fault.KindOf(err) != 0:
		we = &wireError{code: oidc.InvalidRequest, description: we.description}
	}
	h.answer(w, r, env, req, [][2]string{{"error", we.code}, {"error_description", printable(we.description)}})
	return nil
}

// answer sends the parameters to the client's address, with state and iss
// (RFC 9207 §2), by 303 so that no POST is repeated there (RFC 9700 §4.12).
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, env tenants.Environment, req authRequest, fields [][2]string) {
	if req.State != "" {
		fields = append(fields, [2]string{"state", req.State})
	}
	fields = append(fields, [2]string{"iss", env.BaseURL})
	pageHeaders(w)
	if req.ResponseMode == "form_post" {
		h.pages.AutoPost(w, r, req.RedirectURI, fields)
		return
	}
	w.Header().Set("Location", withQuery(req.RedirectURI, fields))
	w.WriteHeader(http.StatusSeeOther)
}

// withQuery adds parameters to a registered address, leaving what it has as it
// is (RFC 6749 §3.1.2).
func withQuery(uri string, fields [][2]string) string {
	var b strings.Builder
	b.WriteString(uri)
	separator := byte('?')
	if strings.Contains(uri, "?") {
		separator = '&'
		if strings.HasSuffix(uri, "?") || strings.HasSuffix(uri, "&") {
			separator = 0
		}
	}
	for _, f := range fields {
		if separator != 0 {
			b.WriteByte(separator)
		}
		separator = '&'
		b.WriteString(f[0] + "=" + url.QueryEscape(f[1]))
	}
	return b.String()
}
