package login

import (
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/portal/ui"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// switchPage lists a person's organizations.
type switchPage struct {
	ui.Page
	Places []signin.Place
}

// showSwitch lists where the person of the browser's session may go.
func (h *Handler) showSwitch(w http.ResponseWriter, r *http.Request, env tenants.Environment, _ actor.Actor) error {
	ses, err := h.sessions.Find(r.Context(), h.db, env.ID, httpx.SessionCookie(r))
	if err != nil {
		return err
	}
	places, err := h.signin.Places(r.Context(), h.db, ses)
	if err != nil {
		return err
	}
	h.places(w, r, places)
	return nil
}

func (h *Handler) places(w http.ResponseWriter, r *http.Request, places []signin.Place) {
	h.ui.Render(w, r, http.StatusOK, "switch", switchPage{Page: ui.Page{Title: "Change the organization"}, Places: places}, ui.CrossOriginForm())
}

// postSwitch leads to the default application, which asks for the organization that
// was chosen.
func (h *Handler) postSwitch(w http.ResponseWriter, r *http.Request, env tenants.Environment, _ actor.Actor) error {
	if err := r.ParseForm(); err != nil {
		return fault.New(fault.Invalid, "SIGNIN_BAD_FORM", "The form did not arrive whole. Go back and send it again.").Because(err)
	}
	ses, err := h.sessions.Find(r.Context(), h.db, env.ID, httpx.SessionCookie(r))
	if err != nil {
		return err
	}
	target, err := h.signin.PlaceURL(r.Context(), h.db, env, ses, r.PostForm.Get("tenant"))
	if err != nil {
		return err
	}
	leave(w, r, target)
	return nil
}
