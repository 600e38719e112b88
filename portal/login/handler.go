package login

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/mail"
	"net/url"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/onboarding"
	"github.com/gatehouse-id/gatehouse/portal/ui"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

const maxForm = 16 << 10

// Upstream tells identity providers that a session ended (SAML single logout).
type Upstream interface {
	// LogoutUpstream gives where to send the browser, by a form with the fields when
	// there are any; it comes back to next. An empty action: nobody has to be told.
	LogoutUpstream(ctx context.Context, env tenants.Environment, s sessions.Session, next string) (action string, fields [][2]string, err error)
}

// Handler serves the sign-in pages.
type Handler struct {
	db           db.DB
	environments *tenants.Environments
	signin       *signin.Service
	sessions     *sessions.Service
	onboarding   *onboarding.Service
	upstream     Upstream
	ui           *ui.UI
	log          *slog.Logger
	csrf         *http.CrossOriginProtection
}

// New wires the pages.
func New(d db.DB, environments *tenants.Environments, s *signin.Service, ses *sessions.Service, on *onboarding.Service, up Upstream, u *ui.UI, log *slog.Logger) *Handler {
	return &Handler{db: d, environments: environments, signin: s, sessions: ses, onboarding: on, upstream: up, ui: u, log: log, csrf: http.NewCrossOriginProtection()}
}

// Mount adds the routes.
func (h *Handler) Mount(r chi.Router) {
	r.Group(func(r chi.Router) {
		r.Use(h.csrf.Handler)
		r.Get("/login", h.public(h.showLogin))
		r.Post("/login", h.public(h.postLogin))
		r.Get("/login/test", h.public(h.openTest))
		r.Get("/login/test/{flow}", h.public(h.showTest))
		r.Get("/login/break-glass/{token}", h.public(h.showBreakGlass))
		r.Post("/login/break-glass/{token}", h.public(h.postBreakGlass))
		r.Get("/signin/continue/{handle}", h.public(h.continueSignin))
		r.Post("/signin/continue/{handle}", h.public(h.confirmSignin))
		r.Get("/invitations/{token}", h.public(h.openInvitation))
		r.Get("/join/{token}", h.public(h.openInvitation))
		r.Get(invitationPath, h.public(h.showInvitation))
		r.Post(invitationPath, h.public(h.postInvitation))
		r.Get("/login/switch", h.public(h.showSwitch))
		r.Post("/login/switch", h.public(h.postSwitch))
		h.mountLocal(r)
		h.mountSocial(r)
		r.Get("/logout", h.public(h.showLogout))
		r.Post("/logout", h.public(h.postLogout))
		r.Get(logoutDone, h.public(h.showLoggedOut))
	})
}

type page func(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor) error

// public mounts a page that needs no session: everybody is anonymous until a
// sign-in has ended.
func (h *Handler) public(f page) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		env, err := h.environments.ByHost(r.Context(), r.Host)
		if err == nil {
			err = f(w, r, env, httpx.Anonymous(r, env.ID))
		}
		if err != nil {
			h.ui.Fault(w, r, h.log, err, "")
		}
	}
}

func (h *Handler) showLogin(w http.ResponseWriter, r *http.Request, env tenants.Environment, _ actor.Actor) error {
	flowID := r.URL.Query().Get("flow")
	if flowID == "" {
		return fault.New(fault.Invalid, "SIGNIN_NO_FLOW", "Sign-in starts in the application that you want to use. Open it and choose Sign in.")
	}
	f, err := h.signin.ChoosableFlow(r.Context(), h.db, env.ID, flowID, httpx.Browser(r))
	if err != nil {
		return err
	}
	if f.Organization == "" {
		return h.askIdentifier(w, r, env, http.StatusOK, f.ID, f.LoginHint, "")
	}
	options, err := h.signin.TenantOptions(r.Context(), h.db, f.Organization)
	if err != nil {
		return err
	}
	if len(options) == 0 {
		return h.askPassword(w, r, env, http.StatusOK, f.ID, f.LoginHint, "")
	}
	h.choose(w, r, f.ID, "", options)
	return nil
}

func (h *Handler) postLogin(w http.ResponseWriter, r *http.Request, env tenants.Environment, _ actor.Actor) error {
	if err := r.ParseForm(); err != nil {
		return fault.New(fault.Invalid, "SIGNIN_BAD_FORM", "The form did not arrive whole. Go back and send it again.").Because(err)
	}
	f, err := h.signin.ChoosableFlow(r.Context(), h.db, env.ID, r.PostForm.Get("flow"), httpx.Browser(r))
	if err != nil {
		return err
	}
	email := ""
	if f.Organization == "" {
		email = strings.TrimSpace(r.PostForm.Get("email"))
	}
	var options []signin.Option
	if f.Organization != "" {
		options, err = h.signin.TenantOptions(r.Context(), h.db, f.Organization)
	} else {
		address, bad := mail.ParseAddress(email)
		if bad != nil || len(email) > signin.MaxEmail {
			return h.askIdentifier(w, r, env, http.StatusUnprocessableEntity, f.ID, email, "Enter a whole e-mail address, such as ada@example.com.")
		}
		email = address.Address // without the name that a mail program copies along
		options, err = h.signin.Discover(r.Context(), h.db, env.ID, email)
	}
	if err != nil {
		return err
	}
	chosen, ok := pick(options, r.PostForm.Get("connection"))
	switch {
	case ok:
		if err := h.signin.Choose(r.Context(), h.db, f, chosen); err != nil {
			return err
		}
		target := chosen.LoginURL(f.ID)
		if email != "" {
			target += "&login_hint=" + url.QueryEscape(email)
		}
		http.Redirect(w, r, target, http.StatusSeeOther)
	case len(options) > 0:
		h.choose(w, r, f.ID, email, options)
	default:
		// The same for whoever has an account here and who has none.
		return h.askPassword(w, r, env, http.StatusOK, f.ID, email, "")
	}
	return nil
}

// pick finds the chosen connection among those offered, so that a form cannot
// name another; without a choice, the only one.
func pick(options []signin.Option, connection string) (signin.Option, bool) {
	for _, o := range options {
		if o.Connection == connection || connection == "" && len(options) == 1 {
			return o, true
		}
	}
	return signin.Option{}, false
}

func (h *Handler) identifier(w http.ResponseWriter, r *http.Request, status int, flow, email string, problem ui.Text, social ...socialPart) {
	h.ui.Render(w, r, status, "identifier", identifierPage{Social: offered(social), Page: ui.Page{Title: "Sign in"}, Flow: flow, Email: email, EmailError: problem}, ui.CrossOriginForm())
}

func (h *Handler) choose(w http.ResponseWriter, r *http.Request, flow, email string, options []signin.Option) {
	p := choosePage{Page: ui.Page{Title: "Sign in"}, Flow: flow, Email: email, Org: options[0].TenantName, Options: options}
	for _, o := range options {
		p.Several = p.Several || o.Tenant != options[0].Tenant
	}
	h.ui.Render(w, r, http.StatusOK, "choose", p, ui.CrossOriginForm())
}

// continueSignin ends a sign-in in the browser that began it.
func (h *Handler) continueSignin(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor) error {
	return h.arrive(w, r, env, a, false)
}

// confirmSignin is continueSignin after the person said yes to change from
// somebody else.
func (h *Handler) confirmSignin(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor) error {
	return h.arrive(w, r, env, a, true)
}

func (h *Handler) arrive(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor, confirmed bool) error {
	handle := chi.URLParam(r, "handle")
	out, err := h.signin.Continue(r.Context(), a, env, signin.Arrival{
		Handle: handle, BrowserID: httpx.BrowserID(w, r), SessionCookie: httpx.SessionCookie(r), Confirmed: confirmed, DeviceCookie: httpx.Device(r),
	})
	switch {
	case err != nil:
		return err
	case out.Confirm != "":
		h.confirm(w, r, handle, out.Confirm)
		return nil
	case out.Asked != "":
		return h.goOn(w, r, env, signin.Step{FlowID: out.FlowID, Stage: out.Asked})
	case out.Test:
		leave(w, r, signin.TestPath(out.FlowID))
		return nil
	case out.Refusal != nil:
		h.ui.Fault(w, r, h.log, out.Refusal, out.FlowID)
		return nil
	case out.Waiting:
		httpx.ClearInvitation(w)
		h.waiting(w, r)
		return nil
	}
	httpx.SetSessionCookie(w, out.Cookie)
	return h.arrived(w, r, env, out.Purpose, out.FlowID, out.Tenant)
}

// arrived leads somebody who is signed in to where he wanted to go.
func (h *Handler) arrived(w http.ResponseWriter, r *http.Request, env tenants.Environment, purpose, flow, tenant string) error {
	switch purpose {
	case signin.PurposeStart:
		target, err := h.signin.UnsolicitedURL(r.Context(), h.db, env, flow)
		return h.start(w, r, target, err)
	case signin.PurposeJoin:
		httpx.ClearInvitation(w)
		target, err := h.signin.TenantStartURL(r.Context(), h.db, env, tenant)
		return h.start(w, r, target, err)
	}
	leave(w, r, "/oauth2/authorize?resume="+url.QueryEscape(flow))
	return nil
}

// start goes on to the application, or says that the person is signed in where
// none takes a login that it did not begin.
func (h *Handler) start(w http.ResponseWriter, r *http.Request, target string, err error) error {
	if errors.Is(err, signin.ErrNoStart) {
		h.signedIn(w, r)
		return nil
	}
	if err == nil {
		leave(w, r, target)
	}
	return err
}

func (h *Handler) signedIn(w http.ResponseWriter, r *http.Request) {
	h.ui.Render(w, r, http.StatusOK, "signedin", signedInPage{Page: ui.Page{Title: "You are signed in"}})
}

func (h *Handler) confirm(w http.ResponseWriter, r *http.Request, handle, email string) {
	h.ui.Render(w, r, http.StatusOK, "confirm", confirmPage{Page: ui.Page{Title: "Change the account?"}, Handle: handle, Email: email}, ui.CrossOriginForm())
}

// leave sends the browser on without telling the next page where it was.
func leave(w http.ResponseWriter, r *http.Request, target string) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, target, http.StatusSeeOther)
}

// logoutDone says that a sign-out is done, also to who comes back from there.
const logoutDone = "/logout/done"

func (h *Handler) showLogout(w http.ResponseWriter, r *http.Request, _ tenants.Environment, _ actor.Actor) error {
	h.ui.Render(w, r, http.StatusOK, "logout", logoutPage{Page: ui.Page{Title: "Sign out?"}}, ui.CrossOriginForm())
	return nil
}

func (h *Handler) showLoggedOut(w http.ResponseWriter, r *http.Request, _ tenants.Environment, _ actor.Actor) error {
	h.ui.Render(w, r, http.StatusOK, "logout", logoutPage{Page: ui.Page{Title: "Signed out"}, Done: true})
	return nil
}

func (h *Handler) postLogout(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor) error {
	var ended sessions.Session
	if cookie := httpx.SessionCookie(r); cookie != "" {
		err := h.db.Tx(r.Context(), func(q db.Queryer) (err error) {
			if ended, err = h.sessions.Find(r.Context(), q, env.ID, cookie); err != nil {
				return err
			}
			who := a
			who.Kind, who.Subject, who.Session = actor.User, ended.UserID, ended.ID
			_, err = h.sessions.End(r.Context(), who, q, sessions.Selector{Environment: env.ID, Session: ended.ID}, "logout")
			return err
		})
		if err != nil && fault.KindOf(err) == 0 {
			return err
		}
	}
	httpx.ClearSessionCookie(w)
	if ended.ID != "" {
		// The session is over here, whatever becomes of those at identity providers.
		action, fields, err := h.upstream.LogoutUpstream(r.Context(), env, ended, env.URL(logoutDone))
		if err != nil {
			return err
		}
		if len(fields) > 0 {
			h.ui.AutoPost(w, r, action, fields)
			return nil
		}
		if action != "" {
			leave(w, r, action)
			return nil
		}
	}
	return h.showLoggedOut(w, r, env, a)
}
