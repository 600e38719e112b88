package login

import (
	"net/http"
	"net/url"

	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/portal/ui"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// unlockPage asks before a mailed link lifts the lock of an account, and says when
// it has.
type unlockPage struct {
	ui.Page
	Action string
	Email  string
	Done   bool
}

// showUnlock asks; a GET uses nothing up.
func (h *Handler) showUnlock(w http.ResponseWriter, r *http.Request, env tenants.Environment, _ actor.Actor) error {
	token := chi.URLParam(r, "token")
	email, err := h.signin.UnlockShown(r.Context(), env, token)
	if err != nil {
		return err
	}
	h.unlock(w, r, unlockPage{Action: "/login/unlock/" + url.PathEscape(token), Email: email})
	return nil
}

func (h *Handler) unlock(w http.ResponseWriter, r *http.Request, p unlockPage) {
	p.Page.Title = "Unlock your account"
	if p.Done {
		p.Page.Title = "Your account is unlocked"
	}
	h.ui.Render(w, r, http.StatusOK, "unlock", p, ui.NoReferrer())
}

// postUnlock uses the link up.
func (h *Handler) postUnlock(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor) error {
	if err := h.signin.Unlock(r.Context(), a, env, chi.URLParam(r, "token")); err != nil {
		return err
	}
	h.unlock(w, r, unlockPage{Done: true})
	return nil
}
