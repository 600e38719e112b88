package provider

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Limits of the device flow.
const (
	deviceLife     = 10 * time.Minute
	deviceInterval = 5 // seconds between polls; slow_down adds as many (RFC 8628 §3.5)
	userCodeLength = 8
	// userCodeLetters are without vowels, so that no code is a word, and without Y;
	// eight of them are 34 bits (RFC 8628 §6.1).
	userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"
)

// devicePath is the page that a person opens, and the address on the device's screen.
const devicePath = "/oauth2/device"

// deviceBody is the answer of RFC 8628 §3.2.
type deviceBody struct {
	DeviceCode string `json:"device_code"`
	UserCode   string `json:"user_code"`
	URI        string `json:"verification_uri"`
	Complete   string `json:"verification_uri_complete"`
	ExpiresIn  int64  `json:"expires_in"`
	Interval   int64  `json:"interval"`
}

// device begins the flow of a device that has no browser of its own (RFC 8628
// §3.1). Applications in a browser have one, and services have no person.
func (h *Handler) device(w http.ResponseWriter, r *http.Request, env tenants.Environment, _ actor.Actor) error {
	p, err := posted(r)
	if err != nil {
		return err
	}
	app, err := h.client(r.Context(), r, env, p)
	if err != nil {
		return err
	}
	if app.Type != tenants.Native && app.Type != tenants.Web {
		return refuse(oidc.UnauthorizedClient, "The device flow is for applications of the types native and web.")
	}
	scope, err := grantedScope(p["scope"])
	if err != nil {
		return err
	}
	code, shown, now := secret.Random(), newUserCode(), h.clock.Now()
	_, err = h.db.Exec(r.Context(), sqlInsertDevice, env.ID, secret.Hash(code), secret.Hash(shown), app.ID, scope, deviceInterval, db.At(now), db.At(now.Add(deviceLife)))
	if err != nil {
		return err
	}
	shown = shown[:4] + "-" + shown[4:]
	noStore(w)
	h.json(w, r, http.StatusOK, deviceBody{
		code, shown, env.URL(devicePath), env.URL(devicePath) + "?user_code=" + shown, int64(deviceLife.Seconds()), deviceInterval,
	})
	return nil
}

// newUserCode draws the letters evenly: a byte beyond the last whole round of the
// alphabet is drawn again.
func newUserCode() string {
	const n = len(userCodeLetters)
	out := make([]byte, 0, userCodeLength)
	for len(out) < userCodeLength {
		var b [2 * userCodeLength]byte
		_, _ = rand.Read(b[:]) // never fails
		for _, v := range b {
			if int(v) < 256/n*n && len(out) < userCodeLength {
				out = append(out, userCodeLetters[int(v)%n])
			}
		}
	}
	return string(out)
}

// foldUserCode takes a code as people type it: in any case, with or without the
// hyphen. ok is false for what cannot be one.
func foldUserCode(typed string) (code string, ok bool) {
	if len(typed) > 64 {
		return "", false
	}
	code = strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToUpper(typed))
	return code, len(code) == userCodeLength && strings.Trim(code, userCodeLetters) == ""
}

// showDevice asks for the code, has the person sign in, and then asks whether the
// device may. It decides nothing: links are followed by machines too.
func (h *Handler) showDevice(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor) error {
	p, repeated, err := parse(r.URL.RawQuery)
	if err != nil || len(repeated) > 0 {
		return refuse(oidc.InvalidRequest, "The address cannot be read.")
	}
	if p["user_code"] == "" {
		h.pages.Device(w, r, http.StatusOK, oidc.DevicePage{})
		return nil
	}
	code, ok := foldUserCode(p["user_code"])
	if !ok {
		return h.badUserCode(w, r, p["user_code"])
	}
	// Whether the code is one is told to nobody who has not signed in.
	// Nor which application it is of; whether that is open to the person is asked when
	// its tokens are made.
	open := tenants.Application{TenantAccess: tenants.AccessAll, UserAccess: tenants.AccessAll}
	ses, proof, err := h.satisfied(r.Context(), env, open, authRequest{Login: p["switch"] != ""}, httpx.SessionCookie(r))
	if errors.Is(err, errLogin) {
		return h.signInForDevice(w, r, env, a, code)
	}
	if err != nil {
		return err
	}
	app, err := h.guessedDevice(r, env, ses.UserID, code)
	if errors.Is(err, errUserCode) {
		return h.badUserCode(w, r, code)
	}
	if err != nil {
		return err
	}
	person, err := h.signin.Check(r.Context(), h.db, env.ID, proof.Tenant, ses.UserID, proof.Connection)
	if err != nil {
		return err
	}
	t, err := h.tenants.Get(r.Context(), h.db, env.ID, proof.Tenant)
	if err != nil {
		return err
	}
	h.pages.Device(w, r, http.StatusOK, oidc.DevicePage{
		Code: code[:4] + "-" + code[4:], Application: app.Name, Organization: t.Name, Tenant: t.ID, Email: person.Email,
	})
	return nil
}

// signInForDevice begins a sign-in that comes back to the code.
func (h *Handler) signInForDevice(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor, code string) error {
	kept, err := json.Marshal(authRequest{Device: code, At: h.clock.Now().Unix()})
	if err != nil {
		return err
	}
	browser := httpx.BrowserID(w, r)
	var next signin.Next
	err = h.db.Tx(r.Context(), func(q db.Queryer) (err error) {
		next, err = h.signin.Begin(r.Context(), a, q, signin.Start{Environment: env, BrowserID: browser, Request: kept})
		return err
	})
	if err != nil {
		return err
	}
	pageHeaders(w)
	http.Redirect(w, r, next.URL, http.StatusSeeOther)
	return nil
}

// resumeDevice goes back to the code after the sign-in.
func resumeDevice(w http.ResponseWriter, r *http.Request, code string) {
	pageHeaders(w)
	http.Redirect(w, r, devicePath+"?user_code="+url.QueryEscape(code), http.StatusSeeOther)
}

func (h *Handler) badUserCode(w http.ResponseWriter, r *http.Request, typed string) error {
	h.pages.Device(w, r, http.StatusUnprocessableEntity, oidc.DevicePage{
		Code: typed[:min(len(typed), userCodeLength+1)], Problem: "This code is not known or has expired. Compare it with your device, or start again there.",
	})
	return nil
}

var errUserCode = fault.New(fault.NotFound, "DEVICE_CODE_UNKNOWN", "This code is not known or has expired. Start again on your device.")

// guessedDevice finds the application of a code that waits for a decision, and
// counts the guess.
func (h *Handler) guessedDevice(r *http.Request, env tenants.Environment, user, code string) (tenants.Application, error) {
	try, err := h.signin.TryUserCode(r.Context(), env.ID, user, httpx.InfoOf(r).IP)
	if err != nil {
		return tenants.Application{}, err
	}
	var client string
	err = h.db.QueryRow(r.Context(), sqlFindDevice, env.ID, secret.Hash(code), db.At(h.clock.Now())).Scan(&client)
	if errors.Is(err, db.ErrNotFound) {
		return tenants.Application{}, errUserCode
	}
	if err != nil {
		return tenants.Application{}, err
	}
	if err := h.signin.UserCodeHeld(r.Context(), h.db, try); err != nil {
		return tenants.Application{}, err
	}
	app, err := h.tenants.Application(r.Context(), h.db, env.ID, client)
	if errors.Is(err, tenants.ErrApplicationNotFound) {
		err = errUserCode
	}
	return app, err
}

// decideDevice takes the person's answer. It comes from our own page, as the
// cross-origin protection sees to, and is for the organization that the page named.
func (h *Handler) decideDevice(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor) error {
	p, err := posted(r)
	if err != nil {
		return err
	}
	code, ok := foldUserCode(p["user_code"])
	if !ok || p["decision"] != "approve" && p["decision"] != "deny" {
		return refuse(oidc.InvalidRequest, "The form did not arrive whole. Go back and send it again.")
	}
	ses, err := h.sessions.Find(r.Context(), h.db, env.ID, httpx.SessionCookie(r))
	if errors.Is(err, sessions.ErrNoSession) {
		resumeDevice(w, r, code)
		return nil
	}
	if err != nil {
		return err
	}
	proof, ok := ses.Proof(p["tenant"])
	if !ok {
		resumeDevice(w, r, code)
		return nil
	}
	app, err := h.guessedDevice(r, env, ses.UserID, code)
	if err != nil {
		return err
	}
	status := "denied"
	if p["decision"] == "approve" {
		status = "approved"
	}
	now := h.clock.Now()
	a.Kind, a.Subject, a.Tenant, a.Session = actor.User, ses.UserID, proof.Tenant, ses.ID
	err = h.db.Tx(r.Context(), func(q db.Queryer) error {
		person, err := h.signin.Check(r.Context(), q, env.ID, proof.Tenant, ses.UserID, proof.Connection)
		if err != nil {
			return err
		}
		a.Name, a.Email = person.Name, person.Email
		if status == "approved" {
			if err := h.tenants.CheckApplication(r.Context(), q, app, proof.Tenant, ses.UserID); err != nil {
				return err
			}
		}
		n, err := q.Exec(r.Context(), sqlDecideDevice, env.ID, secret.Hash(code), app.ID, status, ses.ID, proof.Tenant, ses.UserID, db.At(now))
		if err == nil && n == 0 {
			err = errUserCode
		}
		if err != nil {
			return err
		}
		return audit.Record(r.Context(), q, audit.Event{
			Environment: env.ID, Tenant: proof.Tenant, Action: "device." + status, Actor: a, At: now,
			Targets: []audit.Target{{Type: "application", ID: app.ID, Name: app.Name}},
		})
	})
	if err != nil {
		return err
	}
	h.pages.Device(w, r, http.StatusOK, oidc.DevicePage{Done: status})
	return nil
}

// deviceGrant answers a device that asks whether it may (RFC 8628 §3.4). The
// person's answer becomes a code that is redeemed at once, so that the tokens are
// made as those of every sign-in.
func (h *Handler) deviceGrant(ctx context.Context, env tenants.Environment, a actor.Actor, app tenants.Application, jkt string, p params) (grant, error) {
	if p["device_code"] == "" {
		return grant{}, refuse(oidc.InvalidRequest, "device_code is missing.")
	}
	var g grant
	var refused error
	err := h.db.Tx(ctx, func(q db.Queryer) error {
		g = grant{app: app, jkt: jkt}
		var d deviceRequest
		d, refused = deviceRequest{}, nil
		err := h.poll(ctx, q, env, app, p["device_code"], &d)
		if refused = wireOnly(err); refused != nil { // how often it asked stays written
			return nil
		}
		if err != nil {
			return err
		}
		carried, err := json.Marshal(codeRequest{Scope: d.scope})
		if err != nil {
			return err
		}
		code, err := h.sessions.IssueCode(ctx, q, sessions.Code{
			Environment: env.ID, ClientID: app.ID, Session: d.session, Tenant: d.tenant, UserID: d.user, Request: carried,
		})
		if err != nil {
			return err
		}
		refused, err = h.redeem(ctx, env, a, q, &g, code, func(codeRequest) error { return nil })
		return err
	})
	if err == nil {
		err = refused
	}
	return g, err
}

// deviceRequest is what the person decided.
type deviceRequest struct{ scope, session, tenant, user string }

// poll counts the question and uses an approval up. Its refusals are wireErrors.
func (h *Handler) poll(ctx context.Context, q db.Queryer, env tenants.Environment, app tenants.Application, code string, d *deviceRequest) error {
	now := h.clock.Now()
	var status string
	var slowed, expires, used db.Time
	err := q.QueryRow(ctx, sqlPollDevice, env.ID, secret.Hash(code), app.ID, db.At(now)).
		Scan(&status, &d.scope, &d.session, &d.tenant, &d.user, &slowed, &expires, &used)
	switch {
	case errors.Is(err, db.ErrNotFound):
		return refuse(oidc.InvalidGrant, "device_code is not valid.")
	case err != nil:
		return err
	case !used.IsZero():
		return refuse(oidc.InvalidGrant, "device_code was used before.")
	case !now.Before(expires.Time):
		return refuse(oidc.ExpiredToken, "The code has expired. Begin again.")
	case !slowed.IsZero():
		return refuse(oidc.SlowDown, "Ask less often.")
	case status == "pending":
		return refuse(oidc.AuthorizationPending, "The person has not decided yet.")
	case status != "approved":
		return refuse(oidc.AccessDenied, "The person refused the device.")
	}
	_, err = q.Exec(ctx, sqlUseDevice, env.ID, secret.Hash(code), db.At(now))
	return err
}

// wireOnly gives err if it is a refusal in the protocol's words.
func wireOnly(err error) error {
	var w *wireError
	if errors.As(err, &w) {
		return w
	}
	return nil
}
