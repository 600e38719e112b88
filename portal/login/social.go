package login

import (
	"net/http"
	"net/url"

	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/portal/ui"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// mountSocial adds the pages of a sign-in through a connection of the environment.
func (h *Handler) mountSocial(r chi.Router) {
	r.Get("/signin/social/{handle}", h.public(h.socialArrival))
	r.Get(connectPath, h.step(h.showConnect))
	r.Post(connectPath, h.step(h.postConnect))
}

const connectPath = "/login/connect"

// socialPart is what pages show of the environment's connections.
type socialPart struct {
	Flow    string
	Options []signin.SocialOption
	// Waiting is the account that is connected to whom signs in on this page.
	Waiting signin.PendingSocial
}

// connectPage asks whether an account that nobody has here is to be connected.
type connectPage struct {
	ui.Page
	Flow     string
	Provider string
	Email    string // empty: the provider says none
}

// social gives what the pages of a flow offer.
func (h *Handler) social(r *http.Request, env tenants.Environment, flow string) (socialPart, error) {
	options, waiting, err := h.signin.SocialOffer(r.Context(), signin.Local{Environment: env, FlowID: flow, BrowserID: httpx.Browser(r)})
	return socialPart{Flow: flow, Options: options, Waiting: waiting}, err
}

// offered is what a page was given to offer, if anything.
func offered(parts []socialPart) socialPart {
	if len(parts) == 0 {
		return socialPart{}
	}
	return parts[0]
}

func (h *Handler) askIdentifier(w http.ResponseWriter, r *http.Request, env tenants.Environment, status int, flow, email string, problem ui.Text) error {
	social, err := h.social(r, env, flow)
	if err == nil {
		h.identifier(w, r, status, flow, email, problem, social)
	}
	return err
}

func (h *Handler) askPassword(w http.ResponseWriter, r *http.Request, env tenants.Environment, status int, flow, email string, problem ui.Text) error {
	social, err := h.social(r, env, flow)
	if err == nil {
		h.password(w, r, status, flow, email, problem, social)
	}
	return err
}

// socialArrival goes on with what a connection of the environment verified, in the
// browser that asked.
func (h *Handler) socialArrival(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor) error {
	in, err := h.answer(r, env)
	if err != nil {
		return err
	}
	s, err := h.signin.Social(r.Context(), a, in, chi.URLParam(r, "handle"))
	if err != nil {
		return err
	}
	return h.goOn(w, r, env, s)
}

func (h *Handler) showConnect(w http.ResponseWriter, r *http.Request, _ tenants.Environment, _ actor.Actor, in signin.Local) error {
	p, err := h.signin.Pending(r.Context(), in)
	if err != nil {
		return err
	}
	h.connect(w, r, connectPage{Flow: in.FlowID, Provider: p.Provider, Email: p.Email})
	return nil
}

// connect is the same page whether or not anybody here has the account's address.
func (h *Handler) connect(w http.ResponseWriter, r *http.Request, p connectPage) {
	p.Title = "Connect this account?"
	h.ui.Render(w, r, http.StatusOK, "connect", p, ui.CrossOriginForm())
}

func (h *Handler) postConnect(w http.ResponseWriter, r *http.Request, _ tenants.Environment, _ actor.Actor, in signin.Local) error {
	if err := h.signin.AgreeSocial(r.Context(), in); err != nil {
		return err
	}
	leave(w, r, "/login/password?flow="+url.QueryEscape(in.FlowID))
	return nil
}
