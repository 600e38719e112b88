package backoffice

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/portal/ui"
	"github.com/gatehouse-id/gatehouse/signin/factor"
	"github.com/gatehouse-id/gatehouse/signin/staffauth"
	"github.com/gatehouse-id/gatehouse/tenants"
)

const maxForm = 48 << 10 // bytes; a key's answer has up to 32 KiB

// Provider is the relying party at the vendor's OpenID provider.
type Provider interface {
	// StaffQuestion gives where to send the browser, and what to keep for the answer.
	StaffQuestion(ctx context.Context, p staffauth.Provider, redirect string) (location string, question []byte, err error)
	// StaffAnswer judges the parameters that came back.
	StaffAnswer(ctx context.Context, p staffauth.Provider, redirect string, question []byte, query string) (staffauth.Identity, error)
}

// Handler serves the pages.
type Handler struct {
	auth         *staffauth.Service
	environments *tenants.Environments
	provider     Provider
	ui           *ui.UI
	log          *slog.Logger
	csrf         *http.CrossOriginProtection
}

// New wires the pages.
func New(auth *staffauth.Service, environments *tenants.Environments, p Provider, u *ui.UI, log *slog.Logger) *Handler {
	return &Handler{auth: auth, environments: environments, provider: p, ui: u, log: log, csrf: http.NewCrossOriginProtection()}
}

// Mount adds the routes.
func (h *Handler) Mount(r chi.Router) {
	r.Group(func(r chi.Router) {
		r.Use(h.csrf.Handler)
		r.Get("/backoffice/login", h.public(h.showLogin))
		r.Post("/backoffice/login", h.public(h.postLogin))
		r.Post("/backoffice/login/passkey", h.public(h.postPasskey))
		r.Post("/backoffice/login/sso", h.public(h.postProvider))
		r.Get(callbackPath, h.public(h.callback))
		r.Get("/backoffice/second", h.public(h.showSecond))
		r.Post("/backoffice/second", h.public(h.postSecond))
		r.Post("/backoffice/second/key", h.public(h.postSecondKey))
		r.Get("/backoffice/enrol", h.public(h.showEnrol))
		r.Post("/backoffice/enrol", h.public(h.postEnrol))
		r.Post("/backoffice/enrol/key", h.public(h.postEnrolKey))
		r.Get("/backoffice/continue", h.public(h.showContinue))
		r.Post("/backoffice/continue", h.public(h.postContinue))
		r.Get("/backoffice/welcome/{token}", h.public(h.openLink("/backoffice/welcome")))
		r.Get("/backoffice/welcome", h.public(h.showWelcome))
		r.Post("/backoffice/welcome", h.public(h.postWelcome))
		r.Get("/backoffice/password", h.public(h.showPassword))
		r.Post("/backoffice/password", h.public(h.postPassword))
		r.Get("/backoffice/forgot", h.public(h.showForgot))
		r.Post("/backoffice/forgot", h.public(h.postForgot))
		r.Get("/backoffice/reset/{token}", h.public(h.openLink("/backoffice/reset")))
		r.Get("/backoffice/reset", h.public(h.showReset))
		r.Post("/backoffice/reset", h.public(h.postReset))
		r.Post("/backoffice/logout", h.public(h.postLogout))

		r.Get(staffauth.Home, h.handle(h.home))
		r.Post("/backoffice/sessions/end", h.handle(h.endSession))
		r.Get("/backoffice/factors", h.handle(h.newApp))
		r.Post("/backoffice/factors", h.handle(h.addFactor))
		r.Post("/backoffice/factors/key", h.handle(h.newKey))
		r.Post("/backoffice/factors/remove", h.handle(h.removeFactor))
		r.Post("/backoffice/factors/codes", h.handle(h.newCodes))
		r.Get("/backoffice/account/password", h.handle(h.newPassword))
		r.Post("/backoffice/account/password", h.handle(h.changePassword))
	})
}

type page func(w http.ResponseWriter, r *http.Request, a actor.Actor) error

var (
	errNothing = fault.New(fault.NotFound, "NOT_FOUND", "Check the address.")
	errForm    = fault.New(fault.Invalid, "SIGNIN_BAD_FORM", "The form did not arrive whole. Go back and send it again.")
)

// public mounts a page that needs no session.
func (h *Handler) public(f page) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		a, err := h.arrive(r)
		if err == nil {
			err = f(w, r, a)
		}
		switch {
		case err == nil:
		case errors.Is(err, staffauth.ErrFlow), errors.Is(err, staffauth.ErrStep), errors.Is(err, staffauth.ErrNoSecond):
			f, _ := fault.From(err)
			h.login(w, r, http.StatusUnprocessableEntity, loginPage{Error: f.Text(), Next: staffauth.Home})
		default:
			h.ui.Fault(w, r, h.log, err, "")
		}
	}
}

// arrive lets a request in that came to the address of the back office.
func (h *Handler) arrive(r *http.Request) (actor.Actor, error) {
	env, err := h.environments.ByHost(r.Context(), r.Host)
	if err != nil {
		return actor.Actor{}, err
	}
	if !h.auth.Hosts(env) {
		return actor.Actor{}, errNothing
	}
	if r.Method == http.MethodPost {
		if err := r.ParseForm(); err != nil {
			return actor.Actor{}, errForm.Because(err)
		}
	}
	return httpx.Anonymous(r, env.ID), nil
}

// handle mounts a page for who is signed in; everybody else is sent to sign in, and
// comes back to where he wanted to go. So is who has to sign in anew for what he
// wants to do.
func (h *Handler) handle(f func(w http.ResponseWriter, r *http.Request, a actor.Actor, v staffauth.Visitor) error) http.HandlerFunc {
	return h.public(func(w http.ResponseWriter, r *http.Request, a actor.Actor) error {
		v, err := h.auth.Visitor(r.Context(), httpx.Backoffice(r))
		if err == nil {
			err = f(w, r, a, v)
		}
		next := staffauth.Home
		if r.Method == http.MethodGet {
			next = staffauth.NextPage(r.URL.RequestURI())
		}
		switch {
		case fault.KindOf(err) == fault.Unauthenticated:
			httpx.ClearBackoffice(w)
			leave(w, r, "/backoffice/login?next="+url.QueryEscape(next))
		case errors.Is(err, staffauth.ErrStale):
			leave(w, r, "/backoffice/login?again=1&next="+url.QueryEscape(next))
		default:
			return err
		}
		return nil
	})
}

// browser is what the browser brings to a step of a sign-in.
func browser(r *http.Request) staffauth.Browser {
	return staffauth.Browser{Flow: httpx.BackofficeFlow(r), Session: httpx.Backoffice(r)}
}

// goOn sends the browser to where its sign-in stands.
func (h *Handler) goOn(w http.ResponseWriter, r *http.Request, s staffauth.Step) error {
	if s.Flow != "" {
		httpx.SetBackofficeFlow(w, s.Flow)
	}
	switch s.Stage {
	case staffauth.StageDone:
		httpx.ClearBackofficeFlow(w)
		httpx.ClearBackofficeLink(w)
		httpx.SetBackoffice(w, s.Session)
		leave(w, r, s.Next)
	case staffauth.StageSecond:
		leave(w, r, "/backoffice/second")
	case staffauth.StageEnrol:
		leave(w, r, "/backoffice/enrol")
	case staffauth.StagePassword:
		leave(w, r, "/backoffice/password")
	case staffauth.StageReady:
		leave(w, r, "/backoffice/continue")
	default:
		leave(w, r, "/backoffice/login")
	}
	return nil
}

// leave sends the browser on without telling the next page where it was.
func leave(w http.ResponseWriter, r *http.Request, target string) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, target, http.StatusSeeOther)
}

// again shows a form once more, with what was wrong, where the person can mend it.
func again(err error) (ui.Text, bool) {
	f, ok := fault.From(err)
	if !ok {
		return nil, false
	}
	switch f.Code {
	case factor.ErrPassword.Code, factor.ErrWrong.Code, factor.ErrWrongKey.Code, factor.ErrBusy.Code, factor.ErrExpired.Code, factor.ErrKeyExists.Code, factor.ErrTooMany.Code, "SIGNIN_TOO_MANY_ATTEMPTS":
		return f.Text(), true
	}
	return f.Text(), strings.HasPrefix(f.Code, "password_")
}
