package login

import (
	"net/http"

	"github.com/gatehouse-id/gatehouse/onboarding"
	"github.com/gatehouse-id/gatehouse/signin"
)

// socialFixtures are the pages on which connections of the environment stand.
func (h *Handler) socialFixtures() []fixture {
	two := socialPart{Flow: "flw_01", Options: []signin.SocialOption{{Connection: "soc_1", Name: "Google"}, {Connection: "soc_2", Name: "Microsoft"}}}
	waits := socialPart{Flow: "flw_01", Waiting: signin.PendingSocial{Provider: "Google", Email: "ada@mail.example"}}
	hostile := socialPart{
		Flow: injection, Options: []signin.SocialOption{{Connection: injection, Name: injection}, {Connection: "soc_2", Name: unbroken}, {Connection: "soc_3", Name: rtl + emoji}, {}},
	}
	identifier := func(s socialPart) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			h.identifier(w, r, http.StatusOK, s.Flow, "ada@acme.example", "", s)
		}
	}
	password := func(s socialPart) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			h.password(w, r, http.StatusOK, s.Flow, "ada@acme.example", "", s)
		}
	}
	connect := func(p connectPage) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { h.connect(w, r, p) }
	}
	invitation := func(s onboarding.Shown) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { h.invitation(w, r, http.StatusOK, s, "") }
	}
	return []fixture{
		{"identifier social", "identifier", http.StatusOK, true, "Sign in", identifier(two)},
		{"identifier social hostile", "identifier", http.StatusOK, true, "Sign in", identifier(hostile)},
		{"password social", "password", http.StatusOK, true, "Sign in", password(two)},
		{"password connecting", "password", http.StatusOK, true, "Sign in", password(waits)},
		{"password social hostile", "password", http.StatusOK, true, "Sign in", password(hostile)},
		{"password connecting hostile", "password", http.StatusOK, true, "Sign in", password(socialPart{Flow: injection, Waiting: signin.PendingSocial{Provider: injection, Email: longEmail}})},
		{"connect empty", "connect", http.StatusOK, true, "Connect this account?", connect(connectPage{})},
		{"connect", "connect", http.StatusOK, true, "Connect this account?", connect(connectPage{Flow: "flw_01", Provider: "Google", Email: "ada@mail.example"})},
		{"connect hostile", "connect", http.StatusOK, true, "Connect this account?", connect(connectPage{Flow: injection, Provider: injection, Email: rtl + unbroken})},
		{"invitation social", "invitation", http.StatusOK, true, "You are invited", invitation(onboarding.Shown{ID: "inv_1", TenantName: "Acme Corp", Email: "ada@acme.example", Social: two.Options, Password: true})},
		{"invitation social hostile", "invitation", http.StatusOK, true, "You are invited", invitation(onboarding.Shown{ID: injection, TenantName: unbroken, Social: hostile.Options})},
	}
}
