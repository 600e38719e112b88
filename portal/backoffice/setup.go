package backoffice

import (
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/portal/ui"
	"github.com/gatehouse-id/gatehouse/signin/factor"
	"github.com/gatehouse-id/gatehouse/signin/staffauth"
)

// openLink moves a link's token out of the address, where histories and logs would
// keep it.
func (h *Handler) openLink(to string) page {
	return func(w http.ResponseWriter, r *http.Request, _ actor.Actor) error {
		httpx.SetBackofficeLink(w, chi.URLParam(r, "token"))
		leave(w, r, to)
		return nil
	}
}

func (h *Handler) showWelcome(w http.ResponseWriter, r *http.Request, _ actor.Actor) error {
	p, err := h.auth.ShowWelcome(r.Context(), httpx.BackofficeLink(r))
	if err != nil {
		return err
	}
	h.welcome(w, r, p.Email)
	return nil
}

func (h *Handler) welcome(w http.ResponseWriter, r *http.Request, email string) {
	h.ui.Render(w, r, http.StatusOK, "backoffice/welcome", welcomePage{Page: ui.Page{Title: "Welcome to the back office"}, Email: email}, ui.NoReferrer())
}

func (h *Handler) postWelcome(w http.ResponseWriter, r *http.Request, a actor.Actor) error {
	s, err := h.auth.UseWelcome(r.Context(), a, browser(r), httpx.BackofficeLink(r))
	if err != nil {
		return err
	}
	httpx.ClearBackofficeLink(w)
	return h.goOn(w, r, s)
}

func (h *Handler) showPassword(w http.ResponseWriter, r *http.Request, _ actor.Actor) error {
	s, err := h.auth.Stands(r.Context(), browser(r))
	if err != nil {
		return err
	}
	if s.Stage != staffauth.StagePassword {
		return h.goOn(w, r, s)
	}
	h.password(w, r, passwordPage{Email: s.Email, Action: "/backoffice/password"})
	return nil
}

func (h *Handler) password(w http.ResponseWriter, r *http.Request, p passwordPage) {
	status := http.StatusOK
	if p.Error != nil {
		status = http.StatusUnprocessableEntity
	}
	p.Title, p.MinLength = "Choose a password", staffauth.MinPassword
	h.ui.Render(w, r, status, "backoffice/password", p, ui.NoReferrer())
}

func (h *Handler) postPassword(w http.ResponseWriter, r *http.Request, a actor.Actor) error {
	s, err := h.auth.ChoosePassword(r.Context(), a, browser(r), r.PostForm.Get("password"))
	if problem, ok := again(err); ok {
		stands, err := h.auth.Stands(r.Context(), browser(r))
		if err != nil {
			return err
		}
		h.password(w, r, passwordPage{Email: stands.Email, Action: "/backoffice/password", Error: problem})
		return nil
	}
	if err != nil {
		return err
	}
	return h.goOn(w, r, s)
}

func (h *Handler) showEnrol(w http.ResponseWriter, r *http.Request, _ actor.Actor) error {
	s, err := h.auth.Stands(r.Context(), browser(r))
	if err != nil {
		return err
	}
	if s.Stage != staffauth.StageEnrol {
		return h.goOn(w, r, s)
	}
	if r.URL.Query().Get("kind") == factor.TOTP {
		return h.enrolApp(w, r, nil)
	}
	h.enrol(w, r)
	return nil
}

func (h *Handler) enrol(w http.ResponseWriter, r *http.Request) {
	h.ui.Render(w, r, http.StatusOK, "backoffice/enrol", enrolPage{ui.Page{Title: "Set up a second factor"}})
}

func (h *Handler) enrolApp(w http.ResponseWriter, r *http.Request, problem ui.Text) error {
	app, _, err := h.auth.BeginEnrol(r.Context(), browser(r), factor.TOTP)
	if err != nil {
		return err
	}
	h.app(w, r, app, appPage{Action: "/backoffice/enrol", Back: "/backoffice/enrol", Error: problem})
	return nil
}

func (h *Handler) app(w http.ResponseWriter, r *http.Request, app factor.NewTOTP, p appPage) {
	status := http.StatusOK
	if p.Error != nil {
		status = http.StatusUnprocessableEntity
	}
	p.Title, p.Secret = "Add your authenticator app", app.Secret
	p.URL = template.URL(app.URL) // of our own making: the template would not take the scheme otherwise
	if len(app.PNG) > 0 {
		p.QR = template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(app.PNG))
	}
	h.ui.Render(w, r, status, "backoffice/app", p)
}

func (h *Handler) postEnrolKey(w http.ResponseWriter, r *http.Request, _ actor.Actor) error {
	return h.enrolKey(w, r, nil)
}

func (h *Handler) enrolKey(w http.ResponseWriter, r *http.Request, problem ui.Text) error {
	_, options, err := h.auth.BeginEnrol(r.Context(), browser(r), factor.WebAuthn)
	if err != nil {
		return err
	}
	h.newKeyPage(w, r, options, "/backoffice/enrol", "/backoffice/enrol", problem)
	return nil
}

func (h *Handler) newKeyPage(w http.ResponseWriter, r *http.Request, options []byte, action, back string, problem ui.Text) {
	h.key(w, r, keyPage{
		Page: ui.Page{Title: "Add a passkey or security key"}, Lead: "Your browser leads you through it.", Action: action, Ceremony: "create",
		Options: string(options), Error: problem, Named: true, Back: back,
	})
}

func (h *Handler) postEnrol(w http.ResponseWriter, r *http.Request, a actor.Actor) error {
	kind, answer := r.PostForm.Get("kind"), r.PostForm.Get("answer")
	problem := nothing(kind)
	if answer != "" {
		codes, err := h.auth.Enrol(r.Context(), a, browser(r), kind, r.PostForm.Get("name"), []byte(answer))
		if err == nil {
			h.codes(w, r, codes, "post", "/backoffice/continue")
			return nil
		}
		var ok bool
		if problem, ok = again(err); !ok {
			return err
		}
	}
	if kind == factor.WebAuthn {
		return h.enrolKey(w, r, problem)
	}
	return h.enrolApp(w, r, problem)
}

func (h *Handler) codes(w http.ResponseWriter, r *http.Request, codes []string, method, action string) {
	h.ui.Render(w, r, http.StatusOK, "backoffice/codes", codesPage{Page: ui.Page{Title: "Keep your recovery codes"}, Codes: codes, Method: method, Action: action})
}

func (h *Handler) showContinue(w http.ResponseWriter, r *http.Request, _ actor.Actor) error {
	s, err := h.auth.Stands(r.Context(), browser(r))
	if err != nil {
		return err
	}
	if s.Stage != staffauth.StageReady {
		return h.goOn(w, r, s)
	}
	h.almost(w, r)
	return nil
}

func (h *Handler) almost(w http.ResponseWriter, r *http.Request) {
	h.ui.Render(w, r, http.StatusOK, "backoffice/almost", almostPage{ui.Page{Title: "Almost there"}})
}

func (h *Handler) postContinue(w http.ResponseWriter, r *http.Request, a actor.Actor) error {
	s, err := h.auth.Resume(r.Context(), a, browser(r))
	if err != nil {
		return err
	}
	return h.goOn(w, r, s)
}

func (h *Handler) showForgot(w http.ResponseWriter, r *http.Request, _ actor.Actor) error {
	h.forgot(w, r, forgotPage{})
	return nil
}

func (h *Handler) forgot(w http.ResponseWriter, r *http.Request, p forgotPage) {
	status := http.StatusOK
	if p.Error != nil {
		status = http.StatusUnprocessableEntity
	}
	p.Title = "Forgot your password?"
	if p.Sent {
		p.Title = "Look into your mailbox"
	}
	h.ui.Render(w, r, status, "backoffice/forgot", p)
}

func (h *Handler) postForgot(w http.ResponseWriter, r *http.Request, a actor.Actor) error {
	p := forgotPage{Email: strings.TrimSpace(r.PostForm.Get("email"))}
	if len(p.Email) > maxEmail || !strings.Contains(p.Email, "@") {
		p.Error = "Enter a whole e-mail address, such as ada@example.com."
	} else if err := h.auth.Forgot(r.Context(), a, p.Email); err != nil {
		var ok bool
		if p.Error, ok = again(err); !ok {
			return err
		}
	}
	p.Sent = p.Error == nil
	h.forgot(w, r, p)
	return nil
}

func (h *Handler) showReset(w http.ResponseWriter, r *http.Request, _ actor.Actor) error {
	return h.reset(w, r, nil)
}

func (h *Handler) reset(w http.ResponseWriter, r *http.Request, problem ui.Text) error {
	p, err := h.auth.ShowReset(r.Context(), httpx.BackofficeLink(r))
	if err != nil {
		return err
	}
	h.password(w, r, passwordPage{Email: p.Email, Action: "/backoffice/reset", Error: problem})
	return nil
}

func (h *Handler) postReset(w http.ResponseWriter, r *http.Request, a actor.Actor) error {
	err := h.auth.UseReset(r.Context(), a, httpx.BackofficeLink(r), r.PostForm.Get("password"))
	if problem, ok := again(err); ok {
		return h.reset(w, r, problem)
	}
	if err != nil {
		return err
	}
	httpx.ClearBackofficeLink(w)
	h.done(w, r, "Your password is set", "Sessions that were open have ended. Sign in with the new password and your second factor.")
	return nil
}

func (h *Handler) done(w http.ResponseWriter, r *http.Request, title, lead string) {
	h.ui.Render(w, r, http.StatusOK, "backoffice/done", donePage{Page: ui.Page{Title: title}, Lead: lead})
}

func (h *Handler) postLogout(w http.ResponseWriter, r *http.Request, a actor.Actor) error {
	v, err := h.auth.Visitor(r.Context(), httpx.Backoffice(r))
	if err == nil {
		err = h.auth.SignOut(r.Context(), a, v, v.Session.ID)
	}
	if err != nil && fault.KindOf(err) != fault.Unauthenticated {
		return err
	}
	httpx.ClearBackoffice(w)
	h.done(w, r, "Signed out", "You are signed out of the back office in this browser.")
	return nil
}
