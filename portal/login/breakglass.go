package login

import (
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/portal/ui"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// showBreakGlass asks; a GET uses nothing up.
func (h *Handler) showBreakGlass(w http.ResponseWriter, r *http.Request, env tenants.Environment, _ actor.Actor) error {
	token := chi.URLParam(r, "token")
	p, t, err := h.signin.BreakGlassShow(r.Context(), h.db, env, token)
	if err != nil {
		return err
	}
	h.breakGlass(w, r, token, p.Email, t.Name)
	return nil
}

func (h *Handler) breakGlass(w http.ResponseWriter, r *http.Request, token, email, org string) {
	h.ui.Render(w, r, http.StatusOK, "breakglass", breakGlassPage{Page: ui.Page{Title: "Emergency sign-in"}, Token: token, Email: email, Org: org}, ui.CrossOriginForm(), ui.NoReferrer())
}

// postBreakGlass uses the link up, signs in and goes on to the default application.
func (h *Handler) postBreakGlass(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor) error {
	out, err := h.signin.BreakGlassUse(r.Context(), a, env, chi.URLParam(r, "token"), httpx.SessionCookie(r))
	if err != nil {
		return err
	}
	if out.Refusal != nil {
		return out.Refusal
	}
	httpx.SetSessionCookie(w, out.Cookie)
	target, err := h.signin.TenantStartURL(r.Context(), h.db, env, out.Tenant)
	return h.start(w, r, target, err)
}
