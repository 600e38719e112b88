package login

import (
	"encoding/base64"
	"errors"
	"html/template"
	"net/http"
	"net/mail"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/portal/ui"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/signin/factor"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// mountLocal adds the pages of a sign-in without an identity provider.
func (h *Handler) mountLocal(r chi.Router) {
	r.Get("/login/password", h.step(h.showPassword))
	r.Post("/login/password", h.step(h.postPassword))
	r.Post("/login/passkey", h.step(h.postPasskey))
	r.Get("/login/account", h.step(h.showAccount))
	r.Post("/login/account", h.step(h.postAccount))
	r.Get("/login/forgot", h.public(h.showForgot))
	r.Post("/login/forgot", h.step(h.postForgot))
	r.Get("/login/reset/{token}", h.public(h.showReset))
	r.Post("/login/reset/{token}", h.public(h.postReset))
	r.Get("/login/unlock/{token}", h.public(h.showUnlock))
	r.Post("/login/unlock/{token}", h.public(h.postUnlock))
	r.Get("/mfa", h.step(h.showSecond))
	r.Post("/mfa", h.step(h.postSecond))
	r.Post("/mfa/key", h.step(h.postKey))
	r.Post("/mfa/mail", h.step(h.postMail))
	r.Post("/mfa/resume", h.step(h.postResume))
	r.Get("/mfa/enrol", h.step(h.showEnrol))
	r.Post("/mfa/enrol", h.step(h.postEnrol))
}

// answer is what the browser brings to a step.
func (h *Handler) answer(r *http.Request, env tenants.Environment) (signin.Local, error) {
	in := signin.Local{Environment: env, BrowserID: httpx.Browser(r), SessionCookie: httpx.SessionCookie(r), DeviceCookie: httpx.Device(r)}
	if r.Method != http.MethodPost {
		in.FlowID = r.URL.Query().Get("flow")
		return in, nil
	}
	if err := r.ParseForm(); err != nil {
		return in, fault.New(fault.Invalid, "SIGNIN_BAD_FORM", "The form did not arrive whole. Go back and send it again.").Because(err)
	}
	in.FlowID, in.Remember = r.PostForm.Get("flow"), r.PostForm.Get("remember") == "1"
	return in, nil
}

// step mounts a page of a sign-in, with what the browser brings to it.
func (h *Handler) step(f func(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor, in signin.Local) error) http.HandlerFunc {
	return h.public(func(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor) error {
		in, err := h.answer(r, env)
		if err != nil {
			return err
		}
		return f(w, r, env, a, in)
	})
}

// goOn sends the browser to where the sign-in stands.
func (h *Handler) goOn(w http.ResponseWriter, r *http.Request, env tenants.Environment, s signin.Step) error {
	at := func(path string) error {
		leave(w, r, path+"?flow="+url.QueryEscape(s.FlowID))
		return nil
	}
	switch s.Stage {
	case signin.StageAccount:
		return at("/login/account")
	case signin.StageSecond:
		return at("/mfa")
	case signin.StageEnrol:
		return at("/mfa/enrol")
	case signin.StageFirst:
		return at("/login")
	case signin.StageConnect:
		return at(connectPath)
	case signin.StageSSO:
		if len(s.Options) > 1 {
			h.choose(w, r, s.FlowID, s.Email, s.Options)
			return nil
		}
		leave(w, r, s.Options[0].LoginURL(s.FlowID)+"&login_hint="+url.QueryEscape(s.Email))
		return nil
	}
	if s.Refusal != nil {
		h.ui.Fault(w, r, h.log, s.Refusal, s.FlowID)
		return nil
	}
	if s.Waiting {
		httpx.ClearInvitation(w)
		h.waiting(w, r)
		return nil
	}
	httpx.SetSessionCookie(w, s.Cookie)
	if s.Device != "" {
		httpx.SetDevice(w, s.Device, signin.DeviceLife)
	}
	return h.arrived(w, r, env, s.Purpose, s.FlowID, s.Tenant)
}

// again shows a form once more, with what was wrong, where the person can mend
// it; what he cannot is a page of its own.
func again(err error) (ui.Text, bool) {
	f, ok := fault.From(err)
	if !ok {
		return nil, false
	}
	switch f.Code {
	case factor.ErrPassword.Code, factor.ErrWrong.Code, factor.ErrWrongKey.Code, "SIGNIN_TOO_MANY_ATTEMPTS", factor.ErrBusy.Code, factor.ErrExpired.Code, "SIGNIN_CODE_SENT", "factor_exists":
		return f.Text(), true
	}
	return f.Text(), strings.HasPrefix(f.Code, "password_")
}

// statusOf is that of a page which shows a form again: what is wrong with the answer,
// or that nothing could be judged now, and when it can be.
func statusOf(w http.ResponseWriter, err error) int {
	f, ok := fault.From(err)
	if !ok || f.Kind != fault.Limited && f.Kind != fault.Unavailable {
		return http.StatusUnprocessableEntity
	}
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt(int64((f.RetryAfter+time.Second-1)/time.Second), 10))
	}
	if f.Kind == fault.Limited {
		return http.StatusTooManyRequests
	}
	return http.StatusServiceUnavailable
}

func (h *Handler) showPassword(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor, in signin.Local) error {
	s, err := h.signin.Stands(r.Context(), a, in)
	if err != nil {
		return err
	}
	email := r.URL.Query().Get("email")
	if len(email) > signin.MaxEmail {
		email = ""
	}
	return h.askPassword(w, r, env, http.StatusOK, s.FlowID, email, "")
}

func (h *Handler) password(w http.ResponseWriter, r *http.Request, status int, flow, email string, problem ui.Text, social ...socialPart) {
	h.ui.Render(w, r, status, "password", passwordPage{Social: offered(social), Page: ui.Page{Title: "Sign in"}, Flow: flow, Email: email, Error: problem}, ui.CrossOriginForm())
}

func (h *Handler) postPassword(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor, in signin.Local) error {
	email := strings.TrimSpace(r.PostForm.Get("email"))
	if email == "" || len(email) > signin.MaxEmail || r.PostForm.Get("password") == "" {
		return h.askPassword(w, r, env, http.StatusUnprocessableEntity, in.FlowID, email, "Enter your e-mail address and your password.")
	}
	s, err := h.signin.Password(r.Context(), a, in, email, r.PostForm.Get("password"))
	if problem, ok := again(err); ok {
		return h.askPassword(w, r, env, statusOf(w, err), in.FlowID, email, problem)
	}
	if err != nil {
		return err
	}
	return h.goOn(w, r, env, s)
}

func (h *Handler) postPasskey(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor, in signin.Local) error {
	var problem ui.Text
	if answer := r.PostForm.Get("answer"); answer != "" {
		s, err := h.signin.Passkey(r.Context(), a, in, []byte(answer))
		if err == nil {
			return h.goOn(w, r, env, s)
		}
		var ok bool
		if problem, ok = again(err); !ok {
			return err
		}
	}
	options, err := h.signin.BeginPasskey(r.Context(), in)
	if err != nil {
		return err
	}
	h.key(w, r, keyPage{
		Page: ui.Page{Title: "Use a passkey"}, Lead: "Your browser asks for the passkey that you made for this address.", Flow: in.FlowID, Action: "/login/passkey",
		Ceremony: "get", Options: string(options), Error: problem, Back: "/login/password?flow=" + url.QueryEscape(in.FlowID),
	})
	return nil
}

func (h *Handler) key(w http.ResponseWriter, r *http.Request, p keyPage) {
	status := http.StatusOK
	if p.Error != nil && p.Error != "" {
		status = http.StatusUnprocessableEntity
	}
	h.ui.Render(w, r, status, "key", p, ui.CrossOriginForm())
}

func (h *Handler) showAccount(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor, in signin.Local) error {
	s, err := h.signin.Stands(r.Context(), a, in)
	if err != nil {
		return err
	}
	if s.Stage != signin.StageAccount {
		return h.elsewhere(w, r, env, a, in, s)
	}
	h.account(w, r, s)
	return nil
}

func (h *Handler) account(w http.ResponseWriter, r *http.Request, s signin.Step) {
	h.ui.Render(w, r, http.StatusOK, "account", accountPage{Page: ui.Page{Title: "Choose an organization"}, Flow: s.FlowID, Accounts: s.Accounts}, ui.CrossOriginForm())
}

// elsewhere leads from a page that is not the next one to the one that is. A GET
// signs nobody in: where nothing more is asked, it offers to go on.
func (h *Handler) elsewhere(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor, in signin.Local, s signin.Step) error {
	if s.Stage != signin.StageDone {
		return h.goOn(w, r, env, s)
	}
	if r.Method != http.MethodPost {
		h.almost(w, r, s.FlowID)
		return nil
	}
	s, err := h.signin.Resume(r.Context(), a, in)
	if err != nil {
		return err
	}
	return h.goOn(w, r, env, s)
}

func (h *Handler) almost(w http.ResponseWriter, r *http.Request, flow string) {
	h.ui.Render(w, r, http.StatusOK, "almost", almostPage{Page: ui.Page{Title: "Almost there"}, Flow: flow}, ui.CrossOriginForm())
}

func (h *Handler) postAccount(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor, in signin.Local) error {
	s, err := h.signin.ChooseAccount(r.Context(), a, in, r.PostForm.Get("tenant"))
	if err != nil {
		return err
	}
	return h.goOn(w, r, env, s)
}

// labels of the ways to prove a second factor.
var labels = map[string]string{
	factor.WebAuthn: "Use a security key or passkey", factor.TOTP: "Use the authenticator app", signin.KindRecovery: "Use a recovery code", signin.KindMail: "Send a code by e-mail",
}

func (h *Handler) showSecond(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor, in signin.Local) error {
	s, err := h.signin.Stands(r.Context(), a, in)
	if err != nil {
		return err
	}
	kind := r.URL.Query().Get("kind")
	if !asksSecond(s, kind) {
		return h.elsewhere(w, r, env, a, in, s)
	}
	h.second(w, r, http.StatusOK, env, s, kind, "")
	return nil
}

// asksSecond reports whether the page of this second factor is the one to show: a
// code by mail is for who has no factor.
func asksSecond(s signin.Step, kind string) bool {
	return s.Stage == signin.StageSecond || s.Stage == signin.StageEnrol && kind == signin.KindMail
}

func (h *Handler) second(w http.ResponseWriter, r *http.Request, status int, env tenants.Environment, s signin.Step, kind string, problem ui.Text) {
	p := secondPage{Page: ui.Page{Title: "One more step"}, Flow: s.FlowID, Error: problem, Remember: !s.SSO && env.Settings.FeatureOn(tenants.FeatureRememberDevice)}
	if !slices.Contains(s.Kinds, kind) {
		kind = s.Kinds[0]
	}
	p.Kind, p.Code = kind, kind != factor.WebAuthn
	switch kind {
	case factor.TOTP:
		p.Lead, p.Label = "Open your authenticator app and enter the code that it shows.", "Code"
	case signin.KindRecovery:
		p.Lead, p.Label = "Enter one of the recovery codes that you kept. It serves once.", "Recovery code"
	case signin.KindMail:
		p.Lead, p.Label = "We have mailed you a code. Enter it here; it serves for 10 minutes.", "Code"
		p.Others = append(p.Others, wayPage{Method: "post", Action: "/mfa/mail", Label: "Send another code"}, wayPage{Method: "get", Action: "/mfa/enrol", Label: "Choose another way"})
	default:
		p.Lead = "Your account asks for a security key or passkey."
		p.Others = append(p.Others, wayPage{Method: "post", Action: "/mfa/key", Kind: factor.WebAuthn, Label: labels[factor.WebAuthn]})
	}
	for _, other := range s.Kinds {
		if other == kind || kind == signin.KindMail {
			continue
		}
		way := wayPage{Method: "get", Action: "/mfa", Kind: other, Label: labels[other]}
		if other == factor.WebAuthn {
			way.Method, way.Action = "post", "/mfa/key"
		}
		p.Others = append(p.Others, way)
	}
	h.ui.Render(w, r, status, "second", p, ui.CrossOriginForm())
}

func (h *Handler) postSecond(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor, in signin.Local) error {
	kind, answer := r.PostForm.Get("kind"), r.PostForm.Get("answer")
	problem, status := nothing(kind), http.StatusUnprocessableEntity
	if answer != "" {
		s, err := h.signin.Second(r.Context(), a, in, kind, []byte(answer))
		if err == nil {
			return h.goOn(w, r, env, s)
		}
		var ok bool
		if problem, ok = again(err); !ok {
			return err
		}
		status = statusOf(w, err)
	}
	stands, err := h.signin.Stands(r.Context(), a, in)
	if err != nil {
		return err
	}
	if !asksSecond(stands, kind) {
		return h.elsewhere(w, r, env, a, in, stands)
	}
	if kind == factor.WebAuthn {
		return h.askKey(w, r, env, a, in, problem)
	}
	h.second(w, r, status, env, stands, kind, problem)
	return nil
}

// nothing is what an empty answer is told; it is no try. One of a key comes from
// a browser without script, which the page tells by itself.
func nothing(kind string) ui.Text {
	if kind == factor.WebAuthn {
		return nil
	}
	return "Enter the code."
}

// postKey asks for a key: one that the person has, or a new one.
func (h *Handler) postKey(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor, in signin.Local) error {
	if r.PostForm.Get("kind") == "enrol" {
		return h.newKey(w, r, a, in, "")
	}
	return h.askKey(w, r, env, a, in, "")
}

func (h *Handler) askKey(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor, in signin.Local, problem ui.Text) error {
	options, err := h.signin.BeginSecond(r.Context(), a, in, factor.WebAuthn)
	if err != nil {
		return err
	}
	remember := env.Settings.FeatureOn(tenants.FeatureRememberDevice)
	if remember {
		stands, err := h.signin.Stands(r.Context(), a, in)
		if err != nil {
			return err
		}
		remember = !stands.SSO
	}
	h.key(w, r, keyPage{
		Page: ui.Page{Title: "One more step"}, Lead: "Your browser asks for your security key or passkey.", Flow: in.FlowID, Action: "/mfa", Ceremony: "get",
		Options: string(options), Error: problem, Remember: remember, Back: "/mfa?flow=" + url.QueryEscape(in.FlowID),
	})
	return nil
}

func (h *Handler) newKey(w http.ResponseWriter, r *http.Request, a actor.Actor, in signin.Local, problem ui.Text) error {
	_, options, err := h.signin.BeginEnrol(r.Context(), a, in, factor.WebAuthn)
	if err != nil {
		return err
	}
	h.key(w, r, keyPage{
		Page: ui.Page{Title: "Add a passkey or security key"}, Lead: "Your browser leads you through it.", Flow: in.FlowID, Action: "/mfa/enrol", Ceremony: "create",
		Options: string(options), Error: problem, Named: true, Back: "/mfa/enrol?flow=" + url.QueryEscape(in.FlowID),
	})
	return nil
}

func (h *Handler) postMail(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor, in signin.Local) error {
	if _, err := h.signin.BeginSecond(r.Context(), a, in, signin.KindMail); err != nil && fault.CodeOf(err) != "SIGNIN_CODE_SENT" {
		return err
	}
	leave(w, r, "/mfa?kind="+signin.KindMail+"&flow="+url.QueryEscape(in.FlowID))
	return nil
}

func (h *Handler) postResume(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor, in signin.Local) error {
	s, err := h.signin.Resume(r.Context(), a, in)
	if err != nil {
		return err
	}
	return h.goOn(w, r, env, s)
}

func (h *Handler) showEnrol(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor, in signin.Local) error {
	s, err := h.signin.Stands(r.Context(), a, in)
	if err != nil {
		return err
	}
	if s.Stage != signin.StageEnrol {
		return h.elsewhere(w, r, env, a, in, s)
	}
	if r.URL.Query().Get("kind") == factor.TOTP {
		return h.newApp(w, r, http.StatusOK, a, in, "")
	}
	h.enrol(w, r, s.FlowID)
	return nil
}

func (h *Handler) enrol(w http.ResponseWriter, r *http.Request, flow string) {
	h.ui.Render(w, r, http.StatusOK, "enrol", enrolPage{Page: ui.Page{Title: "Set up a second step"}, Flow: flow}, ui.CrossOriginForm())
}

func (h *Handler) newApp(w http.ResponseWriter, r *http.Request, status int, a actor.Actor, in signin.Local, problem ui.Text) error {
	app, _, err := h.signin.BeginEnrol(r.Context(), a, in, factor.TOTP)
	if err != nil {
		return err
	}
	h.app(w, r, status, in.FlowID, app, problem)
	return nil
}

func (h *Handler) app(w http.ResponseWriter, r *http.Request, status int, flow string, app factor.NewTOTP, problem ui.Text) {
	p := appPage{
		Page: ui.Page{Title: "Add your authenticator app"}, Flow: flow, Secret: app.Secret, Error: problem,
		// Of our own making: the template would not take the scheme otherwise.
		URL: template.URL(app.URL),
	}
	if len(app.PNG) > 0 {
		p.QR = template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(app.PNG))
	}
	h.ui.Render(w, r, status, "app", p, ui.CrossOriginForm())
}

func (h *Handler) postEnrol(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor, in signin.Local) error {
	kind, answer := r.PostForm.Get("kind"), r.PostForm.Get("answer")
	problem, status := nothing(kind), http.StatusUnprocessableEntity
	if answer != "" {
		codes, err := h.signin.Enrol(r.Context(), a, in, kind, r.PostForm.Get("name"), []byte(answer))
		if err == nil {
			h.codes(w, r, in.FlowID, codes)
			return nil
		}
		var ok bool
		if problem, ok = again(err); !ok {
			return err
		}
		status = statusOf(w, err)
	}
	if kind == factor.WebAuthn {
		return h.newKey(w, r, a, in, problem)
	}
	return h.newApp(w, r, status, a, in, problem)
}

func (h *Handler) codes(w http.ResponseWriter, r *http.Request, flow string, codes []string) {
	h.ui.Render(w, r, http.StatusOK, "codes", codesPage{Page: ui.Page{Title: "Keep your recovery codes"}, Flow: flow, Codes: codes}, ui.CrossOriginForm())
}

func (h *Handler) showForgot(w http.ResponseWriter, r *http.Request, _ tenants.Environment, _ actor.Actor) error {
	h.forgot(w, r, http.StatusOK, forgotPage{Flow: r.URL.Query().Get("flow")})
	return nil
}

func (h *Handler) forgot(w http.ResponseWriter, r *http.Request, status int, p forgotPage) {
	p.Title = "Forgot your password?"
	if p.Sent {
		p.Title = "Look into your mailbox"
	}
	if len(p.Flow) > 63 {
		p.Flow = ""
	}
	h.ui.Render(w, r, status, "forgot", p)
}

func (h *Handler) postForgot(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor, in signin.Local) error {
	email := strings.TrimSpace(r.PostForm.Get("email"))
	address, bad := mail.ParseAddress(email)
	if bad != nil || len(email) > signin.MaxEmail {
		h.forgot(w, r, http.StatusUnprocessableEntity, forgotPage{Flow: in.FlowID, Email: email, Error: "Enter a whole e-mail address, such as ada@example.com."})
		return nil
	}
	if err := h.signin.Forgot(r.Context(), a, env, address.Address); err != nil {
		if problem, ok := again(err); ok {
			h.forgot(w, r, statusOf(w, err), forgotPage{Flow: in.FlowID, Email: email, Error: problem})
			return nil
		}
		return err
	}
	h.forgot(w, r, http.StatusOK, forgotPage{Flow: in.FlowID, Email: address.Address, Sent: true})
	return nil
}

func (h *Handler) showReset(w http.ResponseWriter, r *http.Request, env tenants.Environment, _ actor.Actor) error {
	return h.askReset(w, r, env, http.StatusOK, "")
}

func (h *Handler) askReset(w http.ResponseWriter, r *http.Request, env tenants.Environment, status int, problem ui.Text) error {
	token := chi.URLParam(r, "token")
	email, rules, err := h.signin.ResetShown(r.Context(), env, token)
	if err != nil {
		return err
	}
	h.reset(w, r, status, resetPage{Action: "/login/reset/" + url.PathEscape(token), Email: email, MinLength: rules.MinLength, Error: problem})
	return nil
}

func (h *Handler) reset(w http.ResponseWriter, r *http.Request, status int, p resetPage) {
	p.Title = "Choose a new password"
	if p.Done {
		p.Title = "Your password is set"
	}
	h.ui.Render(w, r, status, "reset", p, ui.NoReferrer())
}

func (h *Handler) postReset(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor) error {
	if _, err := h.answer(r, env); err != nil {
		return err
	}
	err := h.signin.Reset(r.Context(), a, env, chi.URLParam(r, "token"), r.PostForm.Get("password"))
	if problem, ok := again(err); ok && !errors.Is(err, factor.ErrReset) {
		return h.askReset(w, r, env, statusOf(w, err), problem)
	}
	if err != nil {
		return err
	}
	h.reset(w, r, http.StatusOK, resetPage{Done: true})
	return nil
}
