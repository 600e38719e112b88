package backoffice

import (
	"net/http"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/portal/ui"
	"github.com/gatehouse-id/gatehouse/signin/factor"
	"github.com/gatehouse-id/gatehouse/signin/staffauth"
)

// kinds of factors as people call them.
var kinds = map[string]string{factor.TOTP: "Authenticator app", factor.WebAuthn: "Passkey or security key"}

// notices say what was done, by the word that the address carries.
var notices = map[string]string{
	"factor": "The second factor was added.", "removed": "The second factor was removed.", "session": "The session has ended.", "password": "The password was changed. Other sessions have ended.",
}

func (h *Handler) home(w http.ResponseWriter, r *http.Request, _ actor.Actor, v staffauth.Visitor) error {
	own, err := h.auth.Account(r.Context(), v)
	if err != nil {
		return err
	}
	all, err := h.environments.All(r.Context())
	if err != nil {
		return err
	}
	p := homePage{Email: v.Person.Email, RecoveryCodes: own.RecoveryCodes, HasPassword: own.HasPassword}
	if notice, ok := notices[r.URL.Query().Get("done")]; ok {
		p.Notice = notice
	}
	for _, e := range all {
		if roles := v.Person.In(e.ID); len(roles) > 0 {
			p.Environments = append(p.Environments, environmentRow{Name: e.Name, Address: e.BaseURL, Roles: strings.Join(roles, ", ")})
		}
	}
	for _, f := range own.Factors {
		p.Factors = append(p.Factors, factorRow{ID: f.ID, Name: f.Name, Kind: kinds[f.Kind], Added: f.CreatedAt, Used: f.LastUsedAt})
	}
	for _, s := range own.Sessions {
		p.Sessions = append(p.Sessions, sessionRow{ID: s.ID, Browser: s.UserAgent, IP: s.IP, Since: s.CreatedAt, Used: s.LastUsedAt, This: s.ID == v.Session.ID})
	}
	h.overview(w, r, p)
	return nil
}

func (h *Handler) overview(w http.ResponseWriter, r *http.Request, p homePage) {
	p.Title = "Back office"
	h.ui.Render(w, r, http.StatusOK, "backoffice/home", p)
}

// back goes home and says what was done.
func back(w http.ResponseWriter, r *http.Request, done string) error {
	leave(w, r, staffauth.Home+"?done="+done)
	return nil
}

func (h *Handler) endSession(w http.ResponseWriter, r *http.Request, a actor.Actor, v staffauth.Visitor) error {
	if err := h.auth.SignOut(r.Context(), a, v, r.PostForm.Get("session")); err != nil {
		return err
	}
	return back(w, r, "session")
}

func (h *Handler) newApp(w http.ResponseWriter, r *http.Request, _ actor.Actor, v staffauth.Visitor) error {
	return h.addApp(w, r, v, nil)
}

func (h *Handler) addApp(w http.ResponseWriter, r *http.Request, v staffauth.Visitor, problem ui.Text) error {
	app, _, err := h.auth.BeginFactor(r.Context(), v, factor.TOTP)
	if err != nil {
		return err
	}
	h.app(w, r, app, appPage{Action: "/backoffice/factors", Back: staffauth.Home, Error: problem})
	return nil
}

func (h *Handler) newKey(w http.ResponseWriter, r *http.Request, _ actor.Actor, v staffauth.Visitor) error {
	return h.addKey(w, r, v, nil)
}

func (h *Handler) addKey(w http.ResponseWriter, r *http.Request, v staffauth.Visitor, problem ui.Text) error {
	_, options, err := h.auth.BeginFactor(r.Context(), v, factor.WebAuthn)
	if err != nil {
		return err
	}
	h.newKeyPage(w, r, options, "/backoffice/factors", staffauth.Home, problem)
	return nil
}

func (h *Handler) addFactor(w http.ResponseWriter, r *http.Request, a actor.Actor, v staffauth.Visitor) error {
	kind, answer := r.PostForm.Get("kind"), r.PostForm.Get("answer")
	problem := nothing(kind)
	if answer != "" {
		codes, err := h.auth.AddFactor(r.Context(), a, v, kind, r.PostForm.Get("name"), []byte(answer))
		if err == nil && len(codes) > 0 {
			h.codes(w, r, codes, "get", staffauth.Home)
			return nil
		}
		if err == nil {
			return back(w, r, "factor")
		}
		var ok bool
		if problem, ok = again(err); !ok {
			return err
		}
	}
	if kind == factor.WebAuthn {
		return h.addKey(w, r, v, problem)
	}
	return h.addApp(w, r, v, problem)
}

func (h *Handler) removeFactor(w http.ResponseWriter, r *http.Request, a actor.Actor, v staffauth.Visitor) error {
	if err := h.auth.RemoveFactor(r.Context(), a, v, r.PostForm.Get("factor")); err != nil {
		return err
	}
	return back(w, r, "removed")
}

func (h *Handler) newCodes(w http.ResponseWriter, r *http.Request, a actor.Actor, v staffauth.Visitor) error {
	codes, err := h.auth.RenewRecoveryCodes(r.Context(), a, v)
	if err != nil {
		return err
	}
	h.codes(w, r, codes, "get", staffauth.Home)
	return nil
}

func (h *Handler) newPassword(w http.ResponseWriter, r *http.Request, _ actor.Actor, v staffauth.Visitor) error {
	if err := h.auth.RequireFresh(v); err != nil {
		return err
	}
	h.password(w, r, passwordPage{Email: v.Person.Email, Action: "/backoffice/account/password", Back: staffauth.Home})
	return nil
}

func (h *Handler) changePassword(w http.ResponseWriter, r *http.Request, a actor.Actor, v staffauth.Visitor) error {
	err := h.auth.ChangePassword(r.Context(), a, v, r.PostForm.Get("password"))
	if problem, ok := again(err); ok {
		h.password(w, r, passwordPage{Email: v.Person.Email, Action: "/backoffice/account/password", Back: staffauth.Home, Error: problem})
		return nil
	}
	if err != nil {
		return err
	}
	return back(w, r, "password")
}
