package login

import (
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-id/gatehouse/gatewaytest/htmlcheck"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/onboarding"
	"github.com/gatehouse-id/gatehouse/portal/ui"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// injection tries to break out of text, of an attribute and of a script, and to
// be taken for a template.
const injection = `"><script>alert(1)</script><img src=x onerror=alert(1)>' onfocus=alert(1) javascript:alert(1) {{.Flow}} </title></main>`

var (
	rtl       = "שלום عبد الرحمن بن محمد \u202eevil\u202c"
	emoji     = "👩🏽‍💻🏳️‍🌈 Æthelred & Søns <GmbH>"
	unbroken  = strings.Repeat("Donaudampfschifffahrt", 10)
	longEmail = strings.Repeat("w", 290) + "@x.example" // 300 characters
)

// fixture is one state of one page, as the handlers show it.
type fixture struct {
	name        string
	template    string // file name without .html
	status      int
	crossOrigin bool   // its POST may end on another origin
	title       string // a part of the heading; empty when hostile
	show        http.HandlerFunc
}

func newPages(t *testing.T) *Handler {
	t.Helper()
	u, err := ui.NewWith(ui.Config{Templates: []fs.FS{Templates()}, HTTPS: true})
	if err != nil {
		t.Fatal(err)
	}
	return &Handler{ui: u, log: slog.New(slog.DiscardHandler)}
}

// option is a connection of a tenant; the tenant's ID follows its name.
func option(connection, name, tenant string) signin.Option {
	return signin.Option{Tenant: "ten_" + tenant, TenantName: tenant, Connection: connection, Type: "saml", Name: name}
}

var (
	oneOption   = []signin.Option{option("sso_1", "Okta", "Acme Corp")}
	fiveOptions = []signin.Option{
		option("sso_1", "Okta", "Acme Corp"), option("sso_2", "Microsoft Entra ID", "Acme Corp"), option("sso_3", "Google Workspace", "Acme Corp"),
		option("sso_4", "Contractors", "Acme Corp"), option("sso_5", "Keycloak (old)", "Acme Corp"),
	}
	organizations = []signin.Option{
		option("sso_1", "Okta", "Acme Corp"),
		option("sso_2", "Microsoft Entra ID for the employees of the holding and its subsidiaries", "Rheinische Dampfkesselüberwachungsgesellschaft mbH & Co. KG"),
		option("sso_3", "Google Workspace", "École nationale supérieure des télécommunications"),
		option("sso_4", "Okta", "شركة الأمل للتجارة"),
	}
	hostileOptions = []signin.Option{
		option(injection, injection, injection), option("sso_2", rtl, emoji), option("sso_3", unbroken, unbroken),
		option("sso_4", "", ""), option("sso_5", "\x00\xff\u2028", "🦊"),
	}
)

var (
	yes        = true
	oktaTested = tenants.SSOConnection{Name: "Okta", Type: tenants.SAML, SAML: &tenants.SAMLSettings{IdPEntityID: "http://www.okta.com/exk1"}}
	failedTest = signin.TestResult{FlowID: "flw_01", Status: signin.TestFailed, Connection: oktaTested, Login: &signin.Login{
		Outcome: signin.OutcomeFailure, Code: "SAML_AUDIENCE_MISMATCH",
		Checks: []signin.Check{{Name: "signature", OK: true}, {Name: "audience", Expected: "https://gate.example/saml/sso_1", Actual: "https://elsewhere.example"}},
	}}
	succeededTest = signin.TestResult{FlowID: "flw_01", Status: signin.TestSucceeded, Connection: oktaTested, Login: &signin.Login{
		Outcome: signin.OutcomeSuccess, Checks: []signin.Check{{Name: "signature", OK: true, Expected: "a trusted key", Actual: "3f2a…"}},
		Detail: signin.Detail{
			Claims:  map[string][]string{"http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress": {"ada@acme.example"}, "groups": {"engineering", "everybody"}},
			Profile: &signin.Profile{Subject: "00u1", UserName: "ada@acme.example", Email: "ada@acme.example", EmailVerified: &yes, FirstName: "Ada"},
			Groups:  []string{"engineering", "everybody"}, GroupsKnown: true, GroupCount: 2,
			Roles: []signin.GrantedAs{{Key: "developer", Sources: []string{"group:engineering"}}, {Key: "read-only", Sources: []string{"default"}}},
			Would: &signin.Would{Outcome: signin.WouldRefused, Code: "POLICY_EMAIL_DOMAIN"},
		},
	}}
	hostileTest = signin.TestResult{FlowID: injection, Status: signin.TestSucceeded, Connection: tenants.SSOConnection{Name: injection}, Login: &signin.Login{
		Code: injection, Checks: []signin.Check{{Name: injection, Expected: unbroken, Actual: rtl}},
		Detail: signin.Detail{
			Claims:  map[string][]string{injection: {injection, unbroken}, unbroken: {rtl, emoji, "\x00\xff\u2028"}, "": nil},
			Profile: &signin.Profile{Subject: injection, Email: longEmail, FirstName: rtl, LastName: emoji, DisplayName: unbroken},
			Groups:  []string{injection, unbroken, rtl}, GroupCount: 1500, GroupsKnown: true,
			Roles: []signin.GrantedAs{{Key: unbroken, Sources: []string{injection}}}, Would: &signin.Would{Outcome: signin.WouldSignIn, Step: injection},
		},
	}}
)

// fixtures are all pages of the sign-in in all their states. sink is where the
// auto-post page posts to.
func (h *Handler) fixtures(sink string) []fixture {
	identifier := func(status int, flow, email, problem string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { h.identifier(w, r, status, flow, email, problem) }
	}
	choose := func(flow, email string, options []signin.Option) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { h.choose(w, r, flow, email, options) }
	}
	handle := func(f page) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if err := f(w, r, tenants.Environment{}, actor.Actor{}); err != nil {
				h.ui.Fault(w, r, h.log, err, "")
			}
		}
	}
	failure := func(p ui.ErrorPage) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { h.ui.ErrorPage(w, r, http.StatusForbidden, p) }
	}
	autopost := func(action string, fields ...[2]string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { h.ui.AutoPost(w, r, action, fields) }
	}
	device := func(p oidc.DevicePage) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { h.ui.Device(w, r, http.StatusOK, p) }
	}
	test := func(t signin.TestResult) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { h.test(w, r, t) }
	}
	invitation := func(s onboarding.Shown) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { h.invitation(w, r, http.StatusOK, s, "") }
	}
	const ok, unprocessable, forbidden = http.StatusOK, http.StatusUnprocessableEntity, http.StatusForbidden
	return append(append(h.localFixtures(), h.socialFixtures()...), []fixture{
		{"identifier empty", "identifier", ok, true, "Sign in", identifier(ok, "", "", "")},
		{"identifier", "identifier", ok, true, "Sign in", identifier(ok, "flw_01", "ada@acme.example", "")},
		{"identifier error", "identifier", unprocessable, true, "Sign in", identifier(unprocessable, "flw_01", "ada@acme.exmaple", "No single sign-on is set up for acme.exmaple. Check the address, or ask your administrator.")},
		{"identifier long", "identifier", unprocessable, true, "Sign in", identifier(unprocessable, "flw_01", longEmail, "No single sign-on is set up for "+longEmail+".")},
		{"identifier hostile", "identifier", unprocessable, true, "Sign in", identifier(unprocessable, injection, injection, injection+rtl+emoji)},

		{"choose empty", "choose", ok, true, "Sign in", choose("", "", []signin.Option{{}})},
		{"choose one", "choose", ok, true, "Sign in", choose("flw_01", "", oneOption)},
		{"choose five", "choose", ok, true, "Sign in", choose("flw_01", "ada@acme.example", fiveOptions)},
		{"choose organizations", "choose", ok, true, "Sign in", choose("flw_01", "ada@acme.example", organizations)},
		{"choose hostile", "choose", ok, true, "Sign in", choose(injection, longEmail, hostileOptions)},

		{"logout", "logout", ok, true, "Sign out", handle(h.showLogout)},
		{"logout done", "logout", ok, false, "Signed out", handle(h.postLogout)},

		{"confirm empty", "confirm", ok, true, "Change the account?", func(w http.ResponseWriter, r *http.Request) { h.confirm(w, r, "", "") }},
		{"confirm", "confirm", ok, true, "Change the account?", func(w http.ResponseWriter, r *http.Request) { h.confirm(w, r, "h1", "ada@acme.example") }},
		{"confirm hostile", "confirm", ok, true, "Change the account?", func(w http.ResponseWriter, r *http.Request) { h.confirm(w, r, injection, longEmail+rtl) }},

		{"breakglass empty", "breakglass", ok, true, "Emergency sign-in", func(w http.ResponseWriter, r *http.Request) { h.breakGlass(w, r, "", "", "") }},
		{"breakglass", "breakglass", ok, true, "Emergency sign-in", func(w http.ResponseWriter, r *http.Request) {
			h.breakGlass(w, r, "t1", "boss@acme.example", "Acme Corp")
		}},
		{"breakglass hostile", "breakglass", ok, true, "Emergency sign-in", func(w http.ResponseWriter, r *http.Request) { h.breakGlass(w, r, injection, longEmail, rtl+unbroken) }},

		{"signedin", "signedin", ok, false, "You are signed in", h.signedIn},
		{"signedin hostile", "signedin", ok, false, "You are signed in", func(w http.ResponseWriter, r *http.Request) {
			h.ui.Render(w, r, ok, "signedin", signedInPage{Page: ui.Page{Title: "You are signed in"}, Org: injection + unbroken})
		}},

		{"invitation empty", "invitation", ok, true, "You are invited", invitation(onboarding.Shown{})},
		{"invitation", "invitation", ok, true, "You are invited", invitation(onboarding.Shown{
			ID: "inv_01", TenantName: "Acme Corp", InvitedBy: "Grace Hopper", Email: "ada@acme.example", CanSignIn: true, AccessUntil: time.Date(2026, 4, 1, 12, 0, 0, 0, time.UTC),
		})},
		{"invitation password", "invitation", unprocessable, true, "You are invited", func(w http.ResponseWriter, r *http.Request) {
			h.invitation(w, r, unprocessable, onboarding.Shown{ID: "inv_01", TenantName: "Acme Corp", InvitedBy: "Grace Hopper", Email: "ada@acme.example", Password: true, CanSignIn: true}, "Use at least 15 characters. Several words are easy to remember.")
		}},
		{"invitation link", "invitation", ok, true, "You are invited", invitation(onboarding.Shown{ID: "lnk_01", TenantName: "Acme Corp", Approval: true, SignedInAs: "ada@acme.example", CanSignIn: true})},
		{"invitation hostile", "invitation", ok, true, "You are invited", invitation(onboarding.Shown{ID: injection, TenantName: rtl + unbroken, InvitedBy: injection, Email: longEmail, SignedInAs: injection + longEmail, CanSignIn: true})},

		{"joined", "joined", ok, false, "Your request was sent", h.waiting},
		{"joined member", "joined", ok, false, "You are a member now", func(w http.ResponseWriter, r *http.Request) { h.joined(w, r, "Acme Corp") }},
		{"joined hostile", "joined", ok, false, "You are a member now", func(w http.ResponseWriter, r *http.Request) { h.joined(w, r, injection+unbroken) }},

		{"test empty", "test", ok, false, "The test failed", test(signin.TestResult{})},
		{"test pending", "test", ok, false, "The test is under way", test(signin.TestResult{FlowID: "flw_01", Status: signin.TestPending})},
		{"test failed", "test", ok, false, "The test failed", test(failedTest)},
		{"test succeeded", "test", ok, false, "The test succeeded", test(succeededTest)},
		{"test hostile", "test", ok, false, "The test succeeded", test(hostileTest)},

		{"error empty", "error", forbidden, false, "Something went wrong", failure(ui.ErrorPage{})},
		{"error", "error", forbidden, false, "You cannot sign in here", func(w http.ResponseWriter, r *http.Request) {
			h.ui.Fault(w, r, h.log, fault.New(fault.Forbidden, "POLICY_USER_DEPROVISIONED", "Your organization has switched your account off. Ask your administrator."), "flw_01kc9z3n7w4vqtx2m8r5d6hjbe")
		}},
		{"error full", "error", forbidden, false, "Nothing is set up", failure(ui.ErrorPage{
			Page: ui.Page{Title: "Nothing is set up"}, Message: "This organization has no sign-in.", Code: "SIGNIN_NO_FLOW", FlowID: "flw_01",
			Help: "Ask the person who sent you here.", ActionURL: "/login", ActionText: "Start again",
		})},
		{"error hostile", "error", forbidden, false, "", failure(ui.ErrorPage{
			Page: ui.Page{Title: injection, Brand: ui.Brand{Name: emoji + unbroken}}, Message: rtl + unbroken, Code: unbroken, FlowID: injection, Help: emoji, ActionURL: "/login?x=" + injection, ActionText: unbroken,
		})},

		{"device empty", "device", ok, true, "Connect a device", device(oidc.DevicePage{})},
		{"device error", "device", ok, true, "Connect a device", device(oidc.DevicePage{Code: "WDJB-MJH", Problem: "This code is not known or has expired."})},
		{"device confirm", "device", ok, false, "Connect this device?", device(oidc.DevicePage{Code: "WDJB-MJHT", Application: "TV App", Organization: "Acme Corp", Tenant: "ten_1", Email: "ada@acme.example"})},
		{"device confirm hostile", "device", ok, false, "Connect this device?", device(oidc.DevicePage{Code: injection, Application: injection + rtl, Organization: unbroken, Tenant: injection, Email: longEmail})},
		{"device approved", "device", ok, false, "The device is connected", device(oidc.DevicePage{Done: "approved"})},
		{"device denied", "device", ok, false, "Nothing was connected", device(oidc.DevicePage{Done: "denied"})},

		{"autopost empty", "autopost", ok, true, "One moment", autopost(sink)},
		{"autopost", "autopost", ok, true, "One moment", autopost(sink, [2]string{"SAMLResponse", "PHNhbWxwOlJlc3BvbnNlLz4="}, [2]string{"RelayState", "r"})},
		{"autopost hostile", "autopost", ok, true, "One moment", autopost(sink+"?x="+unbroken, [2]string{injection, injection}, [2]string{"submit", rtl + emoji})},
	}...)
}

func get(f fixture) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	f.show(w, httptest.NewRequest(http.MethodGet, "/login", nil))
	return w
}

func TestPagesHoldInEveryState(t *testing.T) {
	for _, f := range newPages(t).fixtures("https://sp.example/acs") {
		w := get(f)
		body := w.Body.String()
		if w.Code != f.status {
			t.Errorf("%s: status %d, want %d", f.name, w.Code, f.status)
		}
		for _, problem := range htmlcheck.Check(w.Body.Bytes()) {
			t.Errorf("%s: %s", f.name, problem)
		}
		scripts := 1 // app.js
		if f.template == "autopost" {
			scripts = 2
		}
		if n := strings.Count(body, "<script"); n != scripts {
			t.Errorf("%s: %d scripts, want %d", f.name, n, scripts)
		}
		images := 0
		if f.template == "app" {
			images = strings.Count(body, `<img src="data:image/png;base64,`) // the QR code
		}
		if strings.Count(body, "<img") != images || strings.Contains(body, `href="javascript:`) || strings.Count(body, "</main>") != 1 {
			t.Errorf("%s: a hostile value is not escaped:\n%s", f.name, body)
		}
		heading, _, _ := strings.Cut(body[strings.Index(body, "<h1"):], "</h1>")
		if !strings.Contains(heading, f.title) {
			t.Errorf("%s: heading %q, want %q in it", f.name, heading, f.title)
		}
	}
}

// A template without a fixture would be checked by nothing.
func TestEveryTemplateHasFixtures(t *testing.T) {
	seen := map[string]int{}
	for _, f := range newPages(t).fixtures("https://sp.example/acs") {
		seen[f.template]++
		if !strings.HasPrefix(f.name, f.template) {
			t.Errorf("the fixture %q shows the template %q", f.name, f.template)
		}
	}
	files, err := fs.Glob(Templates(), "*.html")
	if err != nil || len(files) == 0 {
		t.Fatalf("templates: %v, %v", files, err)
	}
	for _, file := range append(files, "error.html", "autopost.html", "device.html") { // those of portal/ui
		if name := strings.TrimSuffix(file, ".html"); !strings.HasPrefix(name, "_") && seen[name] < 2 {
			t.Errorf("%s has %d fixtures", file, seen[name])
		}
	}
}

func TestPageHeaders(t *testing.T) {
	for _, f := range newPages(t).fixtures("https://sp.example/acs") {
		h, referrer := get(f).Header(), "same-origin"
		if f.template == "reset" || f.template == "breakglass" { // a secret address led there
			referrer = "no-referrer"
		}
		for name, want := range map[string]string{
			"Cache-Control":                "no-store",
			"Content-Type":                 "text/html; charset=utf-8",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Referrer-Policy":              referrer,
			"Strict-Transport-Security":    "max-age=31536000",
			"X-Content-Type-Options":       "nosniff",
			"X-Frame-Options":              "DENY",
		} {
			if name == "Referrer-Policy" && (f.template == "invitation" || f.template == "unlock") {
				want = "no-referrer" // a secret address led there (product 7.5)
			}
			if got := h.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", f.name, name, got, want)
			}
		}
		if h.Get("Permissions-Policy") == "" {
			t.Errorf("%s: no Permissions-Policy", f.name)
		}
		policy := map[string]string{}
		for directive := range strings.SplitSeq(h.Get("Content-Security-Policy"), ";") {
			name, value, _ := strings.Cut(strings.TrimSpace(directive), " ")
			policy[name] = value
		}
		want := map[string]string{
			"default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self' data:", "font-src": "'self'",
			"connect-src": "'self'", "frame-ancestors": "'none'", "base-uri": "'none'",
		}
		if !f.crossOrigin {
			want["form-action"] = "'self'"
		}
		if f.template == "autopost" { // that of its own inline script, which portal/ui checks
			hash, found := strings.CutPrefix(policy["script-src"], "'self' 'sha256-")
			if !found || strings.Contains(hash, " ") {
				t.Errorf("%s: script-src %q, want one hash", f.name, policy["script-src"])
			}
			delete(policy, "script-src")
			delete(want, "script-src")
		}
		if diff := cmp.Diff(want, policy); diff != "" {
			t.Errorf("%s: policy (-want +got):\n%s", f.name, diff)
		}
	}
}

// What the person typed comes back, so that he mends it instead of typing it
// again, and the message stands at the field.
func TestIdentifierKeepsTheAddress(t *testing.T) {
	h := newPages(t)
	w := httptest.NewRecorder()
	h.identifier(w, httptest.NewRequest(http.MethodPost, "/login", nil), http.StatusUnprocessableEntity, "flw_01", longEmail, "Not known.")
	for _, want := range []string{`value="` + longEmail + `"`, `name="flow" value="flw_01"`, `aria-invalid="true"`, "Not known."} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s in\n%s", want, w.Body)
		}
	}
}

// Each option posts its own connection. Only where several organizations are
// offered do the options name theirs.
func TestChooseOffersEveryOption(t *testing.T) {
	h := newPages(t)
	show := func(options []signin.Option) string {
		w := httptest.NewRecorder()
		h.choose(w, httptest.NewRequest(http.MethodGet, "/login", nil), "flw_01", "ada@acme.example", options)
		return w.Body.String()
	}
	for _, options := range [][]signin.Option{oneOption, fiveOptions, organizations} {
		page := show(options)
		if n := strings.Count(page, "<button"); n != len(options) {
			t.Errorf("%d buttons for %d options", n, len(options))
		}
		for _, o := range options {
			for _, want := range []string{`name="connection" value="` + o.Connection + `"`, template.HTMLEscapeString(o.Name), template.HTMLEscapeString(o.TenantName)} {
				if !strings.Contains(page, want) {
					t.Errorf("no %s in\n%s", want, page)
				}
			}
		}
	}
	if n := strings.Count(show(fiveOptions), "Acme Corp"); n != 1 {
		t.Errorf("one organization is named %d times", n)
	}
}
