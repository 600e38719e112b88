package login_test

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/portal/login"
	"github.com/gatehouse-id/gatehouse/portal/ui"
)

// routes are the paths of a method, with something in the place of parameters.
func routes(t *testing.T, method string) []string {
	t.Helper()
	pages, err := ui.New(login.Templates())
	if err != nil {
		t.Fatal(err)
	}
	r := chi.NewRouter()
	login.New(nil, nil, nil, nil, nil, nil, pages, nil).Mount(r)
	var list []string
	err = chi.Walk(r, func(m, path string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if m == method {
			list = append(list, regexp.MustCompile(`\{[a-z]+\}`).ReplaceAllString(path, strings.Repeat("x", 43)))
		}
		return nil
	})
	if err != nil || len(list) < 8 {
		t.Fatalf("%d routes, %v", len(list), err)
	}
	return list
}

// ownSecret are routes that a secret in the address, a session or nothing at all
// belongs to, and no flow.
func ownSecret(path string) bool {
	return slices.ContainsFunc([]string{"/signin/continue/", "/login/break-glass/", "/login/reset/", "/login/unlock/", "/login/forgot", "/login/switch", "/logout", "/invitations"}, func(p string) bool { return strings.HasPrefix(path, p) })
}

// No form of another site is taken, and no answer of another browser than the one
// that the sign-in began in.
func TestForgedRequests(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		plain := w.Tenant("plain")
		w.member(t, "joe@plain.example", password, plain)
		b := browser.New(t)
		flow := flowOf(t, b.Get(w.StartURL()))
		fields := url.Values{"flow": {flow}, "email": {"joe@plain.example"}, "password": {password}, "kind": {"totp"}, "answer": {"000000"}, "tenant": {plain}}
		for _, path := range routes(t, http.MethodPost) {
			if p := b.Post(w.URL+path, fields, "https://evil.example"); p.Status != http.StatusForbidden || p.Header.Get("Set-Cookie") != "" {
				t.Errorf("%s of another origin: %s", path, p)
			}
			for _, site := range []string{"cross-site", "same-site"} {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.URL+path, strings.NewReader(fields.Encode()))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Header.Set("Sec-Fetch-Site", site)
				if p := b.Do(r); p.Status != http.StatusForbidden || strings.Contains(p.Body, "SIGNIN_") {
					t.Errorf("%s, %s: %s", path, site, p)
				}
			}
			if !ownSecret(path) {
				if p := browser.New(t).Post(w.URL+path, fields, ""); p.Status != http.StatusForbidden || !strings.Contains(p.Body, "SIGNIN_OTHER_BROWSER") {
					t.Errorf("%s of another browser: %s", path, p)
				}
			}
		}
		if n := w.Count(`SELECT COUNT(*) FROM sessions`) + w.Count(`SELECT COUNT(*) FROM attempts`) + w.Count(`SELECT COUNT(*) FROM challenges`); n != 0 {
			t.Errorf("%d rows were written", n)
		}
	})
}

// Nothing that is sent makes the server fail: every field and every parameter,
// with what databases and parsers stumble over.
func TestHostileInput(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		plain := w.Tenant("plain")
		w.member(t, "joe@plain.example", password, plain)
		w.SetPolicy(plain, policy.MFA, `{"enforce":"on"}`)
		b := browser.New(t)
		first := flowOf(t, b.Get(w.StartURL()))
		enrolling := flowOf(t, w.signIn(t, b, "joe@plain.example", password))
		hostile := []string{"\x00", "a\x00b@plain.example", "\xff\xfe", "\xed\xa0\x80", strings.Repeat("x", 9000), "' OR 1=1 --", "{{.}}", `{"id":"AA","rawId":"AA","type":"public-key","response":{}}`, "👩🏽‍💻"}
		names := []string{"flow", "email", "password", "kind", "answer", "name", "tenant", "connection"}
		base := func(flow string) url.Values {
			return url.Values{"flow": {flow}, "email": {"joe@plain.example"}, "password": {"x"}, "kind": {"webauthn"}, "answer": {"1"}, "tenant": {plain}}
		}
		failed := func(what string, p browser.Page) {
			if p.Status >= http.StatusInternalServerError {
				t.Errorf("%s: %d", what, p.Status)
			}
		}
		for _, flow := range []string{first, enrolling} {
			for _, path := range routes(t, http.MethodPost) {
				for _, name := range names {
					for _, value := range hostile {
						fields := base(flow)
						fields.Set(name, value)
						failed("POST "+path+" "+name+"="+value[:min(len(value), 20)], b.Post(w.URL+path, fields, ""))
						w.Exec(`DELETE FROM attempts`)
					}
				}
			}
			for _, path := range routes(t, http.MethodGet) {
				for _, value := range hostile {
					failed("GET "+path, b.Get(w.URL+path+"?"+url.Values{"flow": {value}, "kind": {value}, "email": {value}, "token": {value}}.Encode()))
					failed("GET "+path, b.Get(w.URL+path+"?"+url.Values{"flow": {flow}, "kind": {value}, "email": {value}}.Encode()))
				}
			}
		}
		for _, token := range []string{"%00", "%ff", strings.Repeat("x", 5000), ".."} {
			failed("token "+token, b.Get(w.URL+"/login/reset/"+token))
			failed("token "+token, b.Post(w.URL+"/login/reset/"+token, url.Values{"password": {newPassword}}, ""))
		}
		// Another content type is an empty form, and nobody comes in by it.
		for _, content := range []string{"application/json", "text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded; charset=%zz", ""} {
			for _, path := range routes(t, http.MethodPost) {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.URL+path, strings.NewReader(`{"flow":"`+first+`","email":"joe@plain.example","password":"`+password+`"}`))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Content-Type", content)
				failed(content+" "+path, b.Do(r))
			}
		}
		failed("percent", b.Get(w.URL+"/login/password?flow=%zz"))
		if n := w.Count(`SELECT COUNT(*) FROM sessions`); n != 0 {
			t.Errorf("%d sessions", n)
		}
	})
}

// What is in the address changes nothing: no password, code or answer is taken
// from it, and looking at a page uses nothing up.
func TestGETsChangeNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		plain := w.Tenant("plain")
		user := w.member(t, "joe@plain.example", password, plain)
		b := browser.New(t)
		shows(t, form(t, b, b.Get(w.URL+"/login/forgot?flow=x"), "/login/forgot", "email", "joe@plain.example"), http.StatusOK, "mailbox")
		token := regexp.MustCompile(`/login/reset/([A-Za-z0-9_-]{43})`).FindStringSubmatch(w.mails()[0])[1]
		flow := flowOf(t, b.Get(w.StartURL()))
		state := func() [5]int {
			return [5]int{
				w.Count(`SELECT COUNT(*) FROM sessions`), w.Count(`SELECT COUNT(*) FROM audit_events`), w.Count(`SELECT COUNT(*) FROM password_resets WHERE used_at IS NULL`),
				w.Count(`SELECT COUNT(*) FROM attempts`), w.Count(`SELECT COUNT(*) FROM flows WHERE finished_at IS NOT NULL OR user_id <> '' OR tenant_id <> ''`),
			}
		}
		before := state()
		all := url.Values{"flow": {flow}, "email": {"joe@plain.example"}, "password": {password}, "kind": {"totp"}, "answer": {"000000"}, "tenant": {plain}}.Encode()
		for _, path := range routes(t, http.MethodGet) {
			path = strings.Replace(path, "/reset/"+strings.Repeat("x", 43), "/reset/"+token, 1)
			b.Get(w.URL + path + "?" + all)
		}
		if after := state(); after != before {
			t.Errorf("%v became %v", before, after)
		}
		// All is proved, and still a GET does not sign in.
		w.SetPolicy(plain, policy.MFA, `{"enforce":"on"}`)
		p := w.signIn(t, b, "joe@plain.example", password)
		flow = flowOf(t, p)
		w.SetPolicy(plain, policy.MFA, `{"enforce":"off"}`)
		for _, path := range []string{"/mfa", "/mfa/enrol", "/login/account"} {
			p = b.Get(w.URL + path + "?flow=" + flow)
			shows(t, p, http.StatusOK, "Almost there")
		}
		if n := w.Count(`SELECT COUNT(*) FROM sessions`); n != 0 {
			t.Errorf("a GET made %d sessions", n)
		}
		if a := arrived(t, form(t, b, p, "/mfa/resume")); a.User != user {
			t.Errorf("%+v", a)
		}
	})
}

// A session's secret that somebody planted before the sign-in is not the one
// after it; whose session it was ends.
func TestSessionFixation(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		plain := w.Tenant("plain")
		w.member(t, "joe@plain.example", password, plain)
		w.member(t, "mallory@plain.example", password, plain)
		mallory, victim := browser.New(t), browser.New(t)
		planted := arrived(t, w.signIn(t, mallory, "mallory@plain.example", password))
		at, err := url.Parse(w.URL)
		if err != nil {
			t.Fatal(err)
		}
		secret := mallory.Cookie(w.URL, "__Host-session")
		victim.Client.Jar.SetCookies(at, []*http.Cookie{{Name: "__Host-session", Value: secret, Path: "/"}})
		a := arrived(t, w.signIn(t, victim, "joe@plain.example", password))
		own := victim.Cookie(w.URL, "__Host-session")
		if own == secret || a.Session == planted.Session {
			t.Error("the planted session is the victim's")
		}
		if n := w.Count(`SELECT COUNT(*) FROM sessions WHERE id = $1 AND ended_at IS NULL`, planted.Session); n != 0 {
			t.Error("the planted session goes on")
		}
		// The same person again: the secret changes, and the former one is worth nothing.
		again := arrived(t, w.signIn(t, victim, "joe@plain.example", password, "prompt", "login"))
		if victim.Cookie(w.URL, "__Host-session") == own || again.User != a.User {
			t.Errorf("the secret did not rotate: %+v", again)
		}
		if _, err := w.Sessions.Find(t.Context(), w.DB, w.Env.ID, own); fault.KindOf(err) == 0 {
			t.Errorf("the former secret: %v", err)
		}
	})
}

// A second factor proves its own person in its own sign-in.
func TestSecondFactorOfAnotherFlow(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		plain := w.Tenant("plain")
		w.member(t, "joe@plain.example", password, plain)
		w.member(t, "mallory@plain.example", password, plain)
		w.SetPolicy(plain, policy.MFA, `{"enforce":"on"}`)
		enrolled := func(email string) (secret string, codes []string) {
			b := browser.New(t)
			secret, codes, end := w.enrol(t, b, w.signIn(t, b, email, password))
			arrived(t, end)
			return secret, codes
		}
		enrolled("joe@plain.example")
		secret, codes := enrolled("mallory@plain.example")
		w.Clock.Advance(time.Minute)
		b := browser.New(t)
		p := w.signIn(t, b, "joe@plain.example", password)
		shows(t, form(t, b, p, "/mfa", "kind", "totp", "answer", w.code(t, secret)), http.StatusUnprocessableEntity, "did not match")
		shows(t, form(t, b, p, "/mfa", "kind", "recovery", "answer", codes[0]), http.StatusUnprocessableEntity, "did not match")
		// The person who is asked cannot be exchanged for one who has answered.
		mallory := w.signIn(t, b, "mallory@plain.example", password)
		if a := arrived(t, form(t, b, mallory, "/mfa", "kind", "totp", "answer", w.code(t, secret))); a.Flow == flowOf(t, p) {
			t.Errorf("%+v", a)
		}
		shows(t, b.Post(w.URL+"/mfa/resume", url.Values{"flow": {flowOf(t, p)}}, ""), http.StatusOK, "One more step")
		// Nor can a factor be added on the way by who has only the password.
		shows(t, b.Post(w.URL+"/mfa/enrol", url.Values{"flow": {flowOf(t, p)}, "kind": {"totp"}, "answer": {"1"}}, ""), http.StatusBadRequest, "SIGNIN_STEP")
		shows(t, b.Post(w.URL+"/mfa/mail", url.Values{"flow": {flowOf(t, p)}}, ""), http.StatusBadRequest, "SIGNIN_STEP")
		shows(t, b.Post(w.URL+"/mfa/key", url.Values{"flow": {flowOf(t, p)}, "kind": {"enrol"}}, ""), http.StatusBadRequest, "SIGNIN_STEP")

		// A mailed code serves in the sign-in that it was mailed for.
		w.member(t, "new@plain.example", password, plain)
		one, two := form(t, b, w.signIn(t, b, "new@plain.example", password), "/mfa/mail"), form(t, b, w.signIn(t, b, "new@plain.example", password), "/mfa/mail")
		var sent []string
		for _, m := range w.mails() {
			if code := regexp.MustCompile(`[0-9]{4} [0-9]{4}`).FindString(m); code != "" {
				sent = append(sent, code)
			}
		}
		if len(sent) != 2 {
			t.Fatalf("%d codes", len(sent))
		}
		shows(t, form(t, b, two, "/mfa", "kind", "mail", "answer", sent[0]), http.StatusUnprocessableEntity, "did not match")
		arrived(t, form(t, b, one, "/mfa", "kind", "mail", "answer", sent[0]))
		shows(t, form(t, b, one, "/mfa", "kind", "mail", "answer", sent[0]), http.StatusBadRequest, "SIGNIN_FLOW_FINISHED")
	})
}

// A link to set a password serves in its own environment alone, in time, and
// once, also when it is used twice at the same moment.
func TestResetLinks(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		plain := w.Tenant("plain")
		w.member(t, "joe@plain.example", password, plain)
		b := browser.New(t)
		ask := func() string {
			t.Helper()
			w.Clock.Advance(2 * time.Minute)
			shows(t, form(t, b, b.Get(w.URL+"/login/forgot?flow=x"), "/login/forgot", "email", "joe@plain.example"), http.StatusOK, "mailbox")
			links := regexp.MustCompile(`/login/reset/([A-Za-z0-9_-]{43})`)
			for _, m := range slices.Backward(w.mails()) {
				if found := links.FindStringSubmatch(m); found != nil {
					return found[1]
				}
			}
			t.Fatal("no link")
			return ""
		}
		token := ask()
		other := w.Env
		other.ID = "env_other"
		anonymous := actor.Actor{Environment: other.ID, Kind: actor.Anonymous, Level: actor.NoLevel}
		if err := w.Signin.Reset(t.Context(), anonymous, other, token, newPassword); fault.CodeOf(err) != "SIGNIN_RESET_EXPIRED" {
			t.Errorf("in another environment: %v", err)
		}
		w.Clock.Advance(16 * time.Minute)
		shows(t, b.Get(w.URL+"/login/reset/"+token), http.StatusBadRequest, "SIGNIN_RESET_EXPIRED")
		shows(t, b.Post(w.URL+"/login/reset/"+token, url.Values{"password": {newPassword}}, ""), http.StatusBadRequest, "SIGNIN_RESET_EXPIRED")

		token = ask()
		pages := together(func(n int) browser.Page {
			return browser.New(t).Post(w.URL+"/login/reset/"+token, url.Values{"password": {newPassword + strings.Repeat("!", n)}}, "")
		})
		if n := count(pages, "Your password is set"); n != 1 {
			t.Errorf("one link set %d passwords: %v", n, pages)
		}
	})
}

// together sends two requests at once.
func together(send func(n int) browser.Page) []browser.Page {
	pages := make([]browser.Page, 2)
	var wait sync.WaitGroup
	for n := range pages {
		wait.Go(func() { pages[n] = send(n) })
	}
	wait.Wait()
	return pages
}

func count(pages []browser.Page, text string) (n int) {
	for _, p := range pages {
		if strings.Contains(p.Body, text) {
			n++
		}
	}
	return n
}

// Each step is taken once: of two clicks one signs in, and the other one finds
// the sign-in over.
func TestDoubleClicks(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		plain := w.Tenant("plain")
		w.member(t, "joe@plain.example", password, plain)
		b := browser.New(t)
		p := send(t, b, b.Get(w.StartURL()), "email", "joe@plain.example")
		fields := url.Values{"flow": {flowOf(t, p)}, "email": {"joe@plain.example"}, "password": {password}}
		pages := together(func(int) browser.Page { return b.Post(w.URL+"/login/password", fields, "") })
		if in, over := count(pages, `"Session":`), count(pages, "SIGNIN_FLOW_FINISHED"); in != 1 || over != 1 {
			t.Errorf("%d came in, %d were over: %v", in, over, pages)
		}
		if n := w.Count(`SELECT COUNT(*) FROM sessions`); n != 1 {
			t.Errorf("%d sessions", n)
		}

		w.SetPolicy(plain, policy.MFA, `{"enforce":"on"}`)
		b = browser.New(t)
		_, codes, _ := w.enrol(t, b, w.signIn(t, b, "joe@plain.example", password))
		// Two browsers with one recovery code.
		seats := []*browser.Browser{browser.New(t), browser.New(t)}
		var flows []string
		for _, s := range seats {
			flows = append(flows, flowOf(t, w.signIn(t, s, "joe@plain.example", password)))
		}
		pages = together(func(n int) browser.Page {
			return seats[n].Post(w.URL+"/mfa", url.Values{"flow": {flows[n]}, "kind": {"recovery"}, "answer": {codes[0]}}, "")
		})
		if in, wrong := count(pages, `"Session":`), count(pages, "did not match"); in != 1 || wrong != 1 {
			t.Errorf("%d came in, %d were refused: %v", in, wrong, pages)
		}
	})
}

// A password that is longer than any may be is wrong, not an error, and an
// account cannot be told by it.
func TestLongPassword(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		plain := w.Tenant("plain")
		w.member(t, "joe@plain.example", password, plain)
		b := browser.New(t)
		p := send(t, b, b.Get(w.StartURL()), "email", "joe@plain.example")
		for _, long := range []string{strings.Repeat("x", 5000), strings.Repeat("é", 2400), password + "\x00", password + "\xff"} {
			shows(t, form(t, b, p, "/login/password", "email", "joe@plain.example", "password", long), http.StatusUnprocessableEntity, "is wrong")
			w.Exec(`DELETE FROM attempts`)
		}
		shows(t, form(t, b, p, "/login/password", "email", "joe@plain.example", "password", strings.Repeat("x", 20<<10)), http.StatusBadRequest, "SIGNIN_BAD_FORM")
		arrived(t, form(t, b, p, "/login/password", "email", "joe@plain.example", "password", password))
	})
}
