package rig

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/htmlcheck"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Arrive asserts that the browser is signed in at the application.
func Arrive(t testing.TB, p browser.Page) Arrived {
	t.Helper()
	a, ok := ReadArrival(p.Body)
	if !ok || p.Status != http.StatusOK {
		t.Fatalf("the sign-in did not arrive: %s", p)
	}
	return a
}

// Refused asserts a sound error page with the code, that shows none of the leaks.
func Refused(t testing.TB, p browser.Page, code string, leaks ...string) {
	t.Helper()
	if p.Status < 400 || p.Status == http.StatusInternalServerError {
		t.Errorf("status %d", p.Status)
	}
	if !strings.Contains(p.Body, ">"+code+"<") {
		t.Fatalf("the page does not show %s: %s", code, p)
	}
	for _, leak := range leaks {
		if strings.Contains(p.Body, leak) {
			t.Errorf("the page shows %q: %s", leak, p)
		}
	}
	if faults := htmlcheck.Check([]byte(p.Body)); len(faults) > 0 {
		t.Errorf("faults of the page: %q", faults)
	}
	if got := p.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control: %q", got)
	}
	if got := p.Header.Get("Content-Security-Policy"); !strings.Contains(got, "default-src 'none'") {
		t.Errorf("Content-Security-Policy: %q", got)
	}
}

// Logged asserts the newest entry of a connection's login log.
func (r *Rig) Logged(c tenants.SSOConnection, outcome, code string) signin.Login {
	r.TB.Helper()
	list := r.Logins(c)
	if len(list) == 0 {
		r.TB.Fatal("the login log is empty")
	}
	if list[0].Outcome != outcome || list[0].Code != code {
		r.TB.Errorf("login log: %s %s, want %s %s", list[0].Outcome, list[0].Code, outcome, code)
	}
	return list[0]
}

// Written counts users, identities and sessions: what a refusal must not write.
func (r *Rig) Written() [3]int {
	return [3]int{r.Count(`SELECT COUNT(*) FROM users`), r.Count(`SELECT COUNT(*) FROM identities`), r.Count(`SELECT COUNT(*) FROM sessions`)}
}
