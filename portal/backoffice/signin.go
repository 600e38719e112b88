package backoffice

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/portal/ui"
	"github.com/gatehouse-id/gatehouse/signin/factor"
	"github.com/gatehouse-id/gatehouse/signin/staffauth"
)

const maxEmail = 320

func (h *Handler) showLogin(w http.ResponseWriter, r *http.Request, _ actor.Actor) error {
	p := loginPage{Next: staffauth.NextPage(r.URL.Query().Get("next"))}
	if r.URL.Query().Get("again") != "" {
		p.Notice = staffauth.ErrStale.Text()
	}
	h.login(w, r, http.StatusOK, p)
	return nil
}

// login shows the page with the ways in that there are.
func (h *Handler) login(w http.ResponseWriter, r *http.Request, status int, p loginPage) {
	provider, err := h.auth.Provides(r.Context())
	if err != nil {
		h.ui.Fault(w, r, h.log, err, "")
		return
	}
	p.Provider = provider
	h.ways(w, r, status, p)
}

// ways shows the page. Its form may end at the vendor's provider, on another origin.
func (h *Handler) ways(w http.ResponseWriter, r *http.Request, status int, p loginPage) {
	p.Title = "Sign in to the back office"
	h.ui.Render(w, r, status, "backoffice/login", p, ui.CrossOriginForm())
}

func (h *Handler) postLogin(w http.ResponseWriter, r *http.Request, a actor.Actor) error {
	p := loginPage{Email: strings.TrimSpace(r.PostForm.Get("email")), Next: staffauth.NextPage(r.PostForm.Get("next"))}
	if p.Email == "" || len(p.Email) > maxEmail || r.PostForm.Get("password") == "" {
		p.Error = "Enter your e-mail address and your password."
		h.login(w, r, http.StatusUnprocessableEntity, p)
		return nil
	}
	s, err := h.auth.Password(r.Context(), a, browser(r), p.Email, r.PostForm.Get("password"), p.Next)
	if problem, ok := again(err); ok {
		p.Error = problem
		h.login(w, r, http.StatusUnprocessableEntity, p)
		return nil
	}
	if err != nil {
		return err
	}
	return h.goOn(w, r, s)
}

func (h *Handler) postPasskey(w http.ResponseWriter, r *http.Request, a actor.Actor) error {
	var problem ui.Text
	if answer := r.PostForm.Get("answer"); answer != "" {
		s, err := h.auth.Passkey(r.Context(), a, browser(r), []byte(answer))
		if err == nil {
			return h.goOn(w, r, s)
		}
		var ok bool
		if problem, ok = again(err); !ok {
			return err
		}
	}
	cookie, options, err := h.auth.BeginPasskey(r.Context(), browser(r), r.PostForm.Get("next"))
	if err != nil {
		return err
	}
	httpx.SetBackofficeFlow(w, cookie)
	h.key(w, r, keyPage{
		Page: ui.Page{Title: "Use a passkey"}, Lead: "Your browser asks for the passkey that you made for this address.", Action: "/backoffice/login/passkey",
		Ceremony: "get", Options: string(options), Error: problem, Back: "/backoffice/login",
	})
	return nil
}

func (h *Handler) key(w http.ResponseWriter, r *http.Request, p keyPage) {
	status := http.StatusOK
	if p.Error != nil {
		status = http.StatusUnprocessableEntity
	}
	h.ui.Render(w, r, status, "backoffice/key", p)
}

// labels of the ways to prove a second factor.
var labels = map[string]string{
	factor.WebAuthn: "Use a security key or passkey", factor.TOTP: "Use the authenticator app", staffauth.KindRecovery: "Use a recovery code",
}

func (h *Handler) showSecond(w http.ResponseWriter, r *http.Request, _ actor.Actor) error {
	s, err := h.auth.Stands(r.Context(), browser(r))
	if err != nil {
		return err
	}
	if s.Stage != staffauth.StageSecond {
		return h.goOn(w, r, s)
	}
	h.second(w, r, http.StatusOK, s, r.URL.Query().Get("kind"), nil)
	return nil
}

func (h *Handler) second(w http.ResponseWriter, r *http.Request, status int, s staffauth.Step, kind string, problem ui.Text) {
	p := secondPage{Page: ui.Page{Title: "One more step"}, Email: s.Email, Error: problem}
	if !slices.Contains(s.Kinds, kind) {
		kind = s.Kinds[0]
	}
	p.Kind, p.Code = kind, kind != factor.WebAuthn
	switch kind {
	case factor.TOTP:
		p.Lead, p.Label = "Open your authenticator app and enter the code that it shows.", "Code"
	case staffauth.KindRecovery:
		p.Lead, p.Label = "Enter one of the recovery codes that you kept. It serves once.", "Recovery code"
	default:
		p.Lead = "Your account asks for a security key or passkey."
		p.Others = append(p.Others, wayPage{Method: "post", Action: "/backoffice/second/key", Kind: factor.WebAuthn, Label: labels[factor.WebAuthn]})
	}
	for _, other := range s.Kinds {
		if other == kind {
			continue
		}
		way := wayPage{Method: "get", Action: "/backoffice/second", Kind: other, Label: labels[other]}
		if other == factor.WebAuthn {
			way.Method, way.Action = "post", "/backoffice/second/key"
		}
		p.Others = append(p.Others, way)
	}
	h.ui.Render(w, r, status, "backoffice/second", p)
}

func (h *Handler) postSecond(w http.ResponseWriter, r *http.Request, a actor.Actor) error {
	kind, answer := r.PostForm.Get("kind"), r.PostForm.Get("answer")
	problem := nothing(kind)
	if answer != "" {
		s, err := h.auth.Second(r.Context(), a, browser(r), kind, []byte(answer))
		if err == nil {
			return h.goOn(w, r, s)
		}
		var ok bool
		if problem, ok = again(err); !ok {
			return err
		}
	}
	s, err := h.auth.Stands(r.Context(), browser(r))
	switch {
	case err != nil:
		return err
	case s.Stage != staffauth.StageSecond:
		return h.goOn(w, r, s)
	case kind == factor.WebAuthn:
		return h.askKey(w, r, problem)
	}
	h.second(w, r, http.StatusUnprocessableEntity, s, kind, problem)
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

func (h *Handler) postSecondKey(w http.ResponseWriter, r *http.Request, _ actor.Actor) error {
	return h.askKey(w, r, nil)
}

func (h *Handler) askKey(w http.ResponseWriter, r *http.Request, problem ui.Text) error {
	options, err := h.auth.BeginSecond(r.Context(), browser(r))
	if err != nil {
		return err
	}
	h.key(w, r, keyPage{
		Page: ui.Page{Title: "One more step"}, Lead: "Your browser asks for your security key or passkey.", Action: "/backoffice/second", Ceremony: "get",
		Options: string(options), Error: problem, Back: "/backoffice/second",
	})
	return nil
}

// callbackPath is where the vendor's provider sends the browser back to.
const callbackPath = staffauth.CallbackPath

func (h *Handler) postProvider(w http.ResponseWriter, r *http.Request, a actor.Actor) error {
	p, err := h.auth.ProviderForSignin(r.Context())
	if err != nil {
		return err
	}
	location, question, err := h.provider.StaffQuestion(r.Context(), p, h.auth.CallbackURL())
	if err != nil {
		return h.auth.Refused(r.Context(), a, err)
	}
	cookie, err := h.auth.BeginProvider(r.Context(), browser(r), r.PostForm.Get("next"), question)
	if err != nil {
		return err
	}
	httpx.SetBackofficeFlow(w, cookie)
	leave(w, r, location)
	return nil
}

// callback takes the provider's answer. The flow's cookie, which is Lax, proves the
// browser that asked.
func (h *Handler) callback(w http.ResponseWriter, r *http.Request, a actor.Actor) error {
	in := browser(r)
	question, err := h.auth.TakeQuestion(r.Context(), in)
	if err != nil {
		return err
	}
	p, err := h.auth.ProviderForSignin(r.Context())
	if err != nil {
		return err
	}
	identity, err := h.provider.StaffAnswer(r.Context(), p, h.auth.CallbackURL(), question, r.URL.RawQuery)
	if fault.KindOf(err) != 0 {
		return h.auth.Refused(r.Context(), a, err)
	}
	if err != nil {
		return err
	}
	s, err := h.auth.FromProvider(r.Context(), a, in, p, identity)
	if err != nil {
		return err
	}
	return h.goOn(w, r, s)
}
