package login

import (
	"bytes"
	"encoding/json"
	"image/png"
	"net/http"
	"testing"

	"github.com/pquerna/otp/totp"

	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/signin/factor"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// rememberDevice is an environment that lets browsers be remembered.
var rememberDevice = tenants.Environment{Settings: tenants.EnvironmentSettings{Features: map[tenants.Feature]bool{tenants.FeatureRememberDevice: true}}}

// anApp is a key of an authenticator app as package factor gives it.
func anApp(account string) factor.NewTOTP {
	key, err := totp.Generate(totp.GenerateOpts{Issuer: "Gatehouse", AccountName: account, Secret: []byte("12345678901234567890")})
	if err != nil {
		panic(err)
	}
	app := factor.NewTOTP{Secret: "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ", URL: key.URL()}
	if img, err := key.Image(200, 200); err == nil {
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			panic(err)
		}
		app.PNG = b.Bytes()
	}
	return app
}

// askingOptions are what navigator.credentials.get is given, as JSON.
const askingOptions = `{"publicKey":{"challenge":"c1ZXy8f0RrA","timeout":300000,"rpId":"gate.example","userVerification":"required"}}`

func hostileOptionsJSON() string {
	text, err := json.Marshal(map[string]string{"challenge": injection + rtl})
	if err != nil {
		panic(err)
	}
	return string(text)
}

var (
	recoveryList = []string{
		"mzxw-6ytb-oi2d-gnbv", "gezd-gnbv-gy3t-qojq", "ob3w-64tf-on2w-6zlt", "kfuw-o3tj-ojxw-43tf", "nbxw-2zjb-mfrg-k5dj",
		"pfzx-i33s-mv2g-64lu", "onsw-g4tf-oqqg-22lt", "mrxw-433u-f5rg-k3dm", "jruw-s43u-ojuw-4z3t", "orug-s4za-ovzw-k3ts",
	}
	severalAccounts = []signin.Account{
		{Tenant: "ten_1", Name: "Acme Corp"}, {Tenant: "ten_2", Name: "Rheinische Dampfkesselüberwachungsgesellschaft mbH & Co. KG"}, {Tenant: "ten_3", Name: "شركة الأمل للتجارة"},
	}
	hostileAccounts = []signin.Account{{Tenant: injection, Name: injection}, {Tenant: "ten_2", Name: unbroken}, {Tenant: "ten_3", Name: rtl + emoji}, {Tenant: "ten_4", Name: "\x00\xff\u2028"}, {}}
)

// localFixtures are the pages of a sign-in without an identity provider.
func (h *Handler) localFixtures() []fixture {
	const ok, unprocessable, limited = http.StatusOK, http.StatusUnprocessableEntity, http.StatusTooManyRequests
	password := func(status int, flow, email, problem string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { h.password(w, r, status, flow, email, problem) }
	}
	key := func(p keyPage) http.HandlerFunc {
		if p.Title == "" {
			p.Title = "One more step"
		}
		return func(w http.ResponseWriter, r *http.Request) { h.key(w, r, p) }
	}
	account := func(flow string, accounts []signin.Account) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			h.account(w, r, signin.Step{FlowID: flow, Accounts: accounts})
		}
	}
	places := func(accounts []signin.Account) http.HandlerFunc {
		var list []signin.Place
		for i, c := range accounts {
			list = append(list, signin.Place{Account: c, Open: i%2 == 0})
		}
		return func(w http.ResponseWriter, r *http.Request) { h.places(w, r, list) }
	}
	second := func(status int, env tenants.Environment, flow, kind, problem string, kinds ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			h.second(w, r, status, env, signin.Step{FlowID: flow, Stage: signin.StageSecond, Kinds: kinds}, kind, problem)
		}
	}
	enrol := func(flow string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { h.enrol(w, r, flow) }
	}
	app := func(status int, flow string, app factor.NewTOTP, problem string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { h.app(w, r, status, flow, app, problem) }
	}
	codes := func(flow string, codes []string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { h.codes(w, r, flow, codes) }
	}
	forgot := func(status int, p forgotPage) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { h.forgot(w, r, status, p) }
	}
	reset := func(status int, p resetPage) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { h.reset(w, r, status, p) }
	}
	passkey := keyPage{Lead: "Your browser asks for your security key or passkey.", Flow: "flw_01", Action: "/mfa", Ceremony: "get", Options: askingOptions, Back: "/mfa?flow=flw_01"}
	refused, newKey := passkey, passkey
	refused.Error, refused.Remember = factor.ErrWrongKey.Message, true
	newKey.Title, newKey.Ceremony, newKey.Named, newKey.Action = "Add a passkey or security key", "create", true, "/mfa/enrol"
	all := []string{factor.TOTP, factor.WebAuthn, signin.KindRecovery}
	return []fixture{
		{"password empty", "password", ok, true, "Sign in", password(ok, "", "", "")},
		{"password", "password", ok, true, "Sign in", password(ok, "flw_01", "ada@acme.example", "")},
		{"password wrong", "password", unprocessable, true, "Sign in", password(unprocessable, "flw_01", "ada@acme.example", factor.ErrPassword.Message)},
		{"password hostile", "password", unprocessable, true, "Sign in", password(unprocessable, injection, longEmail+rtl, injection+unbroken)},

		{"key empty", "key", ok, true, "One more step", key(keyPage{})},
		{"key", "key", ok, true, "One more step", key(passkey)},
		{"key refused", "key", unprocessable, true, "One more step", key(refused)},
		{"key new", "key", ok, true, "Add a passkey", key(newKey)},
		{"key hostile", "key", unprocessable, true, "One more step", key(keyPage{
			Lead: rtl + unbroken, Flow: injection, Action: "/mfa?x=" + injection, Ceremony: injection, Options: hostileOptionsJSON(), Named: true, Remember: true, Error: injection + emoji, Back: "/mfa?flow=" + injection,
		})},

		{"account empty", "account", ok, true, "Choose an organization", account("", nil)},
		{"account", "account", ok, true, "Choose an organization", account("flw_01", severalAccounts)},
		{"account hostile", "account", ok, true, "Choose an organization", account(injection, hostileAccounts)},

		{"switch empty", "switch", ok, true, "Change the organization", places(nil)},
		{"switch", "switch", ok, true, "Change the organization", places(severalAccounts)},
		{"switch hostile", "switch", ok, true, "Change the organization", places(hostileAccounts)},

		{"second empty", "second", ok, true, "One more step", second(ok, tenants.Environment{}, "", "", "", factor.TOTP)},
		{"second app", "second", ok, true, "One more step", second(ok, rememberDevice, "flw_01", "", "", all...)},
		{"second wrong", "second", unprocessable, true, "One more step", second(unprocessable, rememberDevice, "flw_01", factor.TOTP, factor.ErrWrong.Message, all...)},
		{"second key", "second", ok, true, "One more step", second(ok, rememberDevice, "flw_01", factor.WebAuthn, "", factor.WebAuthn, factor.TOTP, signin.KindRecovery)},
		{"second recovery", "second", ok, true, "One more step", second(ok, tenants.Environment{}, "flw_01", signin.KindRecovery, "", all...)},
		{"second mail", "second", ok, true, "One more step", second(ok, tenants.Environment{}, "flw_01", signin.KindMail, "", signin.KindMail)},
		{"second hostile", "second", unprocessable, true, "One more step", second(unprocessable, rememberDevice, injection, injection, injection+rtl+unbroken, all...)},

		{"enrol empty", "enrol", ok, true, "Set up a second step", enrol("")},
		{"enrol", "enrol", ok, true, "Set up a second step", enrol("flw_01")},
		{"enrol hostile", "enrol", ok, true, "Set up a second step", enrol(injection)},

		{"app empty", "app", ok, true, "Add your authenticator app", app(ok, "", factor.NewTOTP{}, "")},
		{"app", "app", ok, true, "Add your authenticator app", app(ok, "flw_01", anApp("ada@acme.example"), "")},
		{"app wrong", "app", unprocessable, true, "Add your authenticator app", app(unprocessable, "flw_01", anApp(longEmail), factor.ErrWrong.Message)},
		{"app hostile", "app", unprocessable, true, "Add your authenticator app", app(unprocessable, injection, anApp(injection+rtl), injection+unbroken)},

		{"codes empty", "codes", ok, true, "Keep your recovery codes", codes("", nil)},
		{"codes", "codes", ok, true, "Keep your recovery codes", codes("flw_01", recoveryList)},
		{"codes hostile", "codes", ok, true, "Keep your recovery codes", codes(injection, []string{injection, unbroken, rtl})},

		{"almost empty", "almost", ok, true, "Almost there", func(w http.ResponseWriter, r *http.Request) { h.almost(w, r, "") }},
		{"almost", "almost", ok, true, "Almost there", func(w http.ResponseWriter, r *http.Request) { h.almost(w, r, "flw_01") }},
		{"almost hostile", "almost", ok, true, "Almost there", func(w http.ResponseWriter, r *http.Request) { h.almost(w, r, injection) }},

		{"forgot empty", "forgot", ok, false, "Forgot your password?", forgot(ok, forgotPage{})},
		{"forgot", "forgot", ok, false, "Forgot your password?", forgot(ok, forgotPage{Flow: "flw_01", Email: "ada@acme.example"})},
		{"forgot wrong", "forgot", unprocessable, false, "Forgot your password?", forgot(unprocessable, forgotPage{Flow: "flw_01", Email: "ada@", Error: "Enter a whole e-mail address, such as ada@example.com."})},
		{"forgot sent", "forgot", ok, false, "Look into your mailbox", forgot(ok, forgotPage{Flow: "flw_01", Email: "ada@acme.example", Sent: true})},
		{"forgot hostile", "forgot", limited, false, "Forgot your password?", forgot(limited, forgotPage{Flow: injection, Email: longEmail + rtl, Error: injection + unbroken})},
		{"forgot hostile sent", "forgot", ok, false, "Look into your mailbox", forgot(ok, forgotPage{Flow: injection, Email: longEmail + rtl, Sent: true})},

		{"reset empty", "reset", ok, false, "Choose a new password", reset(ok, resetPage{})},
		{"reset", "reset", ok, false, "Choose a new password", reset(ok, resetPage{Action: "/login/reset/t1", Email: "ada@acme.example", MinLength: 15})},
		{"reset weak", "reset", unprocessable, false, "Choose a new password", reset(unprocessable, resetPage{Action: "/login/reset/t1", Email: "ada@acme.example", MinLength: 15, Error: "This password is among those that attackers try first. Choose another one."})},
		{"reset done", "reset", ok, false, "Your password is set", reset(ok, resetPage{Done: true})},
		{"unlock empty", "unlock", ok, false, "Unlock your account", func(w http.ResponseWriter, r *http.Request) { h.unlock(w, r, unlockPage{}) }},
		{"unlock", "unlock", ok, false, "Unlock your account", func(w http.ResponseWriter, r *http.Request) {
			h.unlock(w, r, unlockPage{Action: "/login/unlock/t1", Email: "ada@acme.example"})
		}},
		{"unlock done", "unlock", ok, false, "Your account is unlocked", func(w http.ResponseWriter, r *http.Request) { h.unlock(w, r, unlockPage{Done: true}) }},
		{"unlock hostile", "unlock", ok, false, "Unlock your account", func(w http.ResponseWriter, r *http.Request) {
			h.unlock(w, r, unlockPage{Action: "/login/unlock/" + injection, Email: longEmail + rtl})
		}},
		{"reset hostile", "reset", unprocessable, false, "Choose a new password", reset(unprocessable, resetPage{Action: "/login/reset/" + injection, Email: longEmail + rtl, MinLength: 256, Error: injection + unbroken})},
	}
}

// Of the factors that a person has the page asks for one and offers the others.
func TestSecondOffersEveryOtherWay(t *testing.T) {
	h := newPages(t)
	for _, f := range h.localFixtures() {
		want := map[string][]string{
			"second app":      {`name="kind" value="totp"`, "Use a security key or passkey", "Use a recovery code"},
			"second key":      {`class="btn primary block" type="submit">Use a security key`, "Use the authenticator app", "Use a recovery code"},
			"second recovery": {`inputmode="text"`, "Use a security key or passkey", "Use the authenticator app"},
			"second mail":     {"Send another code", "Choose another way"},
			"second hostile":  {`name="kind" value="totp"`},
		}[f.name]
		body := get(f).Body.Bytes()
		for _, text := range want {
			if !bytes.Contains(body, []byte(text)) {
				t.Errorf("%s lacks %q", f.name, text)
			}
		}
	}
}
