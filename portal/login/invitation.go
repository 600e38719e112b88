package login

import (
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/onboarding"
	"github.com/gatehouse-id/gatehouse/portal/ui"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/signin/factor"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// invitationPath is where an invitation is shown once its token is in the cookie.
const invitationPath = "/invitations"

// invitationPage says who invites to what, before anything is used up.
type invitationPage struct {
	ui.Page
	ID          string
	Org         string
	InvitedBy   string    // empty: nobody in particular
	Email       string    // to which the invitation is bound; empty: a link
	AccessUntil time.Time // of a guest; zero: permanent
	Zone        string    // the organization's time zone
	Approval    bool
	SignedInAs  string // who may join as he is; empty: nobody
	CanSignIn   bool
	Social      []signin.SocialOption
	Password    bool // he may choose a password
	MinLength   int
	Error       ui.Text
}

// joinedPage tells somebody who is a member now what comes next.
type joinedPage struct {
	ui.Page
	Org     string
	Waiting bool // for approval
}

var errOtherTab = fault.New(fault.Invalid, "INVITATION_OTHER_TAB", "Another invitation was opened in this browser since, or this one half an hour ago. Open the link in the mail again.")

// openInvitation moves the token out of the address: it would stand in the
// browser's history and in the Referer of what the page leads to. It asks nothing,
// so that it tells no scanner whether the token is good.
func (h *Handler) openInvitation(w http.ResponseWriter, r *http.Request, _ tenants.Environment, _ actor.Actor) error {
	httpx.SetInvitation(w, chi.URLParam(r, "token"))
	leave(w, r, invitationPath)
	return nil
}

func (h *Handler) showInvitation(w http.ResponseWriter, r *http.Request, env tenants.Environment, _ actor.Actor) error {
	s, err := h.onboarding.Show(r.Context(), h.db, env, httpx.Invitation(r), httpx.SessionCookie(r))
	if err != nil {
		return err
	}
	h.invitation(w, r, http.StatusOK, s, "")
	return nil
}

func (h *Handler) invitation(w http.ResponseWriter, r *http.Request, status int, s onboarding.Shown, problem ui.Text) {
	p := invitationPage{
		Page: ui.Page{Title: "You are invited", BrandOf: s.Tenant}, ID: s.ID, Org: s.TenantName, InvitedBy: s.InvitedBy, Email: s.Email,
		AccessUntil: s.AccessUntil, Zone: s.Timezone, Approval: s.Approval, SignedInAs: s.SignedInAs, CanSignIn: s.CanSignIn, Social: s.Social,
		Password: s.Password, MinLength: factor.MinAlone, Error: problem,
	}
	h.ui.Render(w, r, status, "invitation", p, ui.CrossOriginForm(), ui.NoReferrer())
}

// postInvitation begins the sign-in that accepts the invitation; who is signed in
// already as the right person may accept it as he is.
func (h *Handler) postInvitation(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor) error {
	if err := r.ParseForm(); err != nil {
		return fault.New(fault.Invalid, "SIGNIN_BAD_FORM", "The form did not arrive whole. Go back and send it again.").Because(err)
	}
	token := httpx.Invitation(r)
	if !onboarding.Names(token, r.PostForm.Get("invitation")) {
		return errOtherTab
	}
	if r.PostForm.Get("as") == "password" {
		return h.acceptWithPassword(w, r, env, a, token)
	}
	if r.PostForm.Get("as") == "session" {
		t, waiting, err := h.onboarding.AcceptAs(r.Context(), a, env, token, httpx.SessionCookie(r))
		if err != nil {
			return err
		}
		httpx.ClearInvitation(w)
		if waiting {
			h.waiting(w, r)
			return nil
		}
		return h.toTenant(w, r, env, t)
	}
	if r.PostForm.Get("as") == "social" {
		next, err := h.onboarding.BeginSocial(r.Context(), h.db, env, token, httpx.BrowserID(w, r), r.PostForm.Get("connection"))
		if err != nil {
			return err
		}
		leave(w, r, next.URL)
		return nil
	}
	next, err := h.onboarding.Begin(r.Context(), h.db, env, token, httpx.BrowserID(w, r))
	if err != nil {
		return err
	}
	leave(w, r, next.URL)
	return nil
}

func (h *Handler) joined(w http.ResponseWriter, r *http.Request, org string) {
	h.ui.Render(w, r, http.StatusOK, "joined", joinedPage{Page: ui.Page{Title: "You are a member now"}, Org: org})
}

func (h *Handler) waiting(w http.ResponseWriter, r *http.Request) {
	h.ui.Render(w, r, http.StatusOK, "joined", joinedPage{Page: ui.Page{Title: "Your request was sent"}, Waiting: true})
}

// acceptWithPassword lets in who has no account yet and chooses a password.
func (h *Handler) acceptWithPassword(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor, token string) error {
	t, err := h.onboarding.AcceptWithPassword(r.Context(), a, env, token, r.PostForm.Get("password"))
	if problem, ok := again(err); ok {
		refusal := err
		s, err := h.onboarding.Show(r.Context(), h.db, env, token, httpx.SessionCookie(r))
		if err != nil {
			return err
		}
		h.invitation(w, r, statusOf(w, refusal), s, problem)
		return nil
	}
	if err != nil {
		return err
	}
	httpx.ClearInvitation(w)
	return h.toTenant(w, r, env, t)
}

// toTenant begins a sign-in to the tenant at the application, or says that the
// person is a member now where none takes a sign-in that it did not begin.
func (h *Handler) toTenant(w http.ResponseWriter, r *http.Request, env tenants.Environment, t tenants.Tenant) error {
	target, err := h.signin.TenantStartURL(r.Context(), h.db, env, t.ID)
	if err == nil {
		leave(w, r, target)
		return nil
	}
	if fault.KindOf(err) == 0 {
		return err
	}
	h.joined(w, r, t.Name)
	return nil
}
