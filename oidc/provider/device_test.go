package provider

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// gadget is a device with its public application.
type gadget struct {
	*browser
	app tenants.Application
}

func (w *world) gadget() gadget {
	w.Helper()
	app, _ := w.application(tenants.NewApplication{Name: "TV App", Type: tenants.Native, ApplicationSettings: tenants.ApplicationSettings{
		RedirectURIs: []string{"http://127.0.0.1/cb"}, AuthMethod: tenants.AuthNone, RequirePKCE: true,
	}})
	return gadget{w.browser(), app}
}

func (g gadget) begin() deviceBody {
	g.Helper()
	r := g.post("/oauth2/device_authorization", url.Values{"client_id": {g.app.ID}, "scope": {"openid email offline_access"}})
	var d deviceBody
	if err := json.Unmarshal([]byte(r.body), &d); err != nil || r.StatusCode != 200 || r.Header.Get("Cache-Control") != "no-store" {
		g.Fatalf("%d %s", r.StatusCode, r.body)
	}
	return d
}

func (g gadget) poll(d deviceBody, edit ...func(*http.Request)) tokens {
	g.Helper()
	return g.token(url.Values{"grant_type": {oidc.GrantDevice}, "client_id": {g.app.ID}, "device_code": {d.DeviceCode}}, append(edit, func(*http.Request) {})...)
}

// wait lets the interval pass, with what slow_down added.
func (g gadget) wait() { g.clock.Advance(30 * time.Second) }

// shown reads what the page shows.
func (w *world) shown(r reply) oidc.DevicePage {
	w.Helper()
	var p oidc.DevicePage
	if err := json.Unmarshal([]byte(r.body), &p); err != nil {
		w.Fatalf("%d %s", r.StatusCode, r.body)
	}
	return p
}

// arrive enters a code and signs in on the way, if need be.
func (b *browser) arrive(code, who string) oidc.DevicePage {
	b.Helper()
	path := devicePath + "?user_code=" + url.QueryEscape(code)
	r := b.get(path)
	if r.StatusCode == http.StatusSeeOther {
		back, q := b.location(b.get(b.login(r, b.identity(who))))
		r = b.get(back + "?" + q.Encode())
	}
	return b.shown(r)
}

func (b *browser) decide(p oidc.DevicePage, decision string, edit ...func(*http.Request)) reply {
	b.Helper()
	return b.post(devicePath, url.Values{"user_code": {p.Code}, "tenant": {p.Tenant}, "decision": {decision}}, edit...)
}

// RFC 8628, from the device's request to its tokens and their end.
func TestDeviceFlow(t *testing.T) {
	each(t, func(w *world) {
		g := w.gadget()
		d := g.begin()
		if d.URI != w.env.BaseURL+"/oauth2/device" || d.Complete != d.URI+"?user_code="+d.UserCode || d.ExpiresIn != 600 || d.Interval != 5 ||
			len(d.UserCode) != 9 || d.UserCode[4] != '-' || strings.ContainsAny(d.UserCode, "AEIOUY") {
			t.Errorf("%+v", d)
		}
		if r := g.poll(d); r.Error != oidc.AuthorizationPending {
			t.Errorf("at first: %s", r.body)
		}
		if r := g.poll(d); r.Error != oidc.SlowDown {
			t.Errorf("at once again: %s", r.body)
		}
		w.clock.Advance(7 * time.Second) // the interval is ten now
		if r := g.poll(d); r.Error != oidc.SlowDown {
			t.Errorf("after seven seconds: %s", r.body)
		}
		g.wait()

		b := w.browser()
		if p := w.shown(b.get(devicePath)); p != (oidc.DevicePage{}) {
			t.Errorf("the empty page: %+v", p)
		}
		p := b.arrive(strings.ToLower(strings.ReplaceAll(d.UserCode, "-", " ")), "ada@acme.com")
		if p.Application != "TV App" || p.Organization != "Acme" || p.Tenant != w.acme.ID || p.Email != "ada@acme.com" || p.Code != d.UserCode {
			t.Fatalf("%+v", p)
		}
		if r := g.poll(d); r.Error != oidc.AuthorizationPending { // looking approves nothing
			t.Errorf("after the page was seen: %s", r.body)
		}
		if done := w.shown(b.decide(p, "approve")); done.Done != "approved" {
			t.Errorf("%+v", done)
		}
		if r := b.decide(p, "deny"); r.StatusCode != 404 {
			t.Errorf("a second decision: %d %s", r.StatusCode, r.body)
		}
		g.wait()
		got := g.poll(d)
		if got.StatusCode != 200 || got.Type != "Bearer" || got.Scope != "openid email offline_access" {
			t.Fatalf("%d %s", got.StatusCode, got.body)
		}
		c := w.part(got.Access, 1)
		if c["tenantId"] != w.acme.ID || c["client_id"] != g.app.ID || w.part(got.ID, 1)["aud"] != g.app.ID {
			t.Errorf("%v", c)
		}
		g.wait()
		if r := g.poll(d); r.Error != oidc.InvalidGrant {
			t.Errorf("used twice: %s", r.body)
		}
		refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.Refresh}, "client_id": {g.app.ID}}
		next := g.token(refresh, func(*http.Request) {})
		if next.StatusCode != 200 {
			t.Fatalf("refresh: %s", next.body)
		}
		if n := w.events("device.approved"); n != 1 {
			t.Errorf("%d events", n)
		}
		// The person's sign-out reaches the device's tokens and its application.
		sid, _ := c["sid"].(string)
		var clients int
		if err := w.db.QueryRow(w.ctx(), `SELECT COUNT(*) FROM session_clients WHERE session_id = $1 AND client_id = $2`, sid, g.app.ID).Scan(&clients); err != nil || clients != 1 {
			t.Errorf("%d applications to be told: %v", clients, err)
		}
		w.tx(func(q db.Queryer) error {
			_, err := w.sessions.End(w.ctx(), w.admin, q, sessions.Selector{Environment: w.env.ID, Session: sid}, "test")
			return err
		})
		refresh.Set("refresh_token", next.Refresh)
		if r := g.token(refresh, func(*http.Request) {}); r.Error != oidc.InvalidGrant {
			t.Errorf("after the sign-out: %s", r.body)
		}
	})
}

// Refusals of the token endpoint (RFC 8628 §3.5), and who may begin at all.
func TestDeviceRefusals(t *testing.T) {
	each(t, func(w *world) {
		g := w.gadget()
		b := w.browser()

		denied := g.begin()
		if p := w.shown(b.decide(b.arrive(denied.UserCode, "ada@acme.com"), "deny")); p.Done != "denied" {
			t.Errorf("%+v", p)
		}
		if r := g.poll(denied); r.Error != oidc.AccessDenied {
			t.Errorf("denied: %s", r.body)
		}

		expired := g.begin()
		p := b.arrive(expired.UserCode, "ada@acme.com")
		w.clock.Advance(deviceLife)
		if r := b.decide(p, "approve"); r.StatusCode != 404 {
			t.Errorf("approved after its time: %d", r.StatusCode)
		}
		if r := g.poll(expired); r.Error != oidc.ExpiredToken {
			t.Errorf("expired: %s", r.body)
		}

		foreign := g.begin()
		b.decide(b.arrive(foreign.UserCode, "ada@acme.com"), "approve")
		form := url.Values{"grant_type": {oidc.GrantDevice}, "device_code": {foreign.DeviceCode}}
		if r := b.token(form); r.Error != oidc.InvalidGrant {
			t.Errorf("another client: %s", r.body)
		}
		form.Set("device_code", strings.ReplaceAll(foreign.UserCode, "-", ""))
		if r := b.token(form); r.Error != oidc.InvalidGrant {
			t.Errorf("the user code for the device code: %s", r.body)
		}
		form.Del("device_code")
		if r := b.token(form); r.Error != oidc.InvalidRequest {
			t.Errorf("no code: %s", r.body)
		}

		// Who was let in before loses it with his access.
		gone := g.begin()
		page := b.arrive(gone.UserCode, "ada@acme.com")
		b.decide(page, "approve")
		w.tx(func(q db.Queryer) error {
			_, err := q.Exec(w.ctx(), `UPDATE memberships SET disabled_at = 1 WHERE tenant_id = $1`, w.acme.ID)
			return err
		})
		if r := g.poll(gone); r.Error != oidc.InvalidGrant {
			t.Errorf("disabled meanwhile: %s", r.body)
		}

		spa, _ := w.application(tenants.NewApplication{Name: "SPA", Type: tenants.SPA, ApplicationSettings: tenants.ApplicationSettings{RedirectURIs: []string{callback}}})
		for name, c := range map[string]struct {
			form url.Values
			edit func(*http.Request)
			want string
		}{
			"an application in the browser": {url.Values{"client_id": {spa.ID}, "scope": {"openid"}}, func(*http.Request) {}, oidc.UnauthorizedClient},
			"nobody":                        {url.Values{"scope": {"openid"}}, func(*http.Request) {}, oidc.InvalidClient},
			"an unknown client":             {url.Values{"client_id": {"app_x"}, "scope": {"openid"}}, func(*http.Request) {}, oidc.InvalidClient},
			"a client without its secret":   {url.Values{"client_id": {w.app.ID}, "scope": {"openid"}}, func(*http.Request) {}, oidc.InvalidClient},
			"no scope":                      {url.Values{}, w.basic, oidc.InvalidScope},
		} {
			var e errorBody
			if r := b.post("/oauth2/device_authorization", c.form, c.edit); json.Unmarshal([]byte(r.body), &e) != nil || e.Error != c.want {
				t.Errorf("%s: %s, want %s", name, r.body, c.want)
			}
		}
		if r := b.post("/oauth2/device_authorization", url.Values{"scope": {"openid"}}, w.basic); r.StatusCode != 200 {
			t.Errorf("a web application: %s", r.body)
		}
	})
}

// Attacks of sso.md 5.3 on the page: guesses, forged forms, other people's
// organizations.
func TestDeviceAttacks(t *testing.T) {
	each(t, func(w *world) {
		g := w.gadget()
		d := g.begin()
		// Whoever has not signed in learns nothing of a code.
		stranger := w.browser()
		for _, code := range []string{d.UserCode, "BCDF-GHJK"} {
			if r := stranger.get(devicePath + "?user_code=" + code); r.StatusCode != http.StatusSeeOther {
				t.Errorf("%s: %d %s", code, r.StatusCode, r.body)
			}
		}
		for _, typed := range []string{"AAAA-AAAA", "BCDF-GHJ", "BCDF-GHJK-L", strings.Repeat("B", 500), "<script>", "ＢＣＤＦＧＨＪＫ"} {
			if r := stranger.get(devicePath + "?user_code=" + url.QueryEscape(typed)); r.StatusCode != 422 || w.shown(r).Problem == "" {
				t.Errorf("%.20s: %d %s", typed, r.StatusCode, r.body)
			}
		}

		b := w.browser()
		p := b.arrive(d.UserCode, "ada@acme.com")
		for name, edit := range map[string]func(*http.Request){
			"another site":    func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
			"another origin":  func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
			"a sister origin": func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
		} {
			if r := b.decide(p, "approve", edit); r.StatusCode != 403 {
				t.Errorf("from %s: %d", name, r.StatusCode)
			}
		}
		if r := b.get(devicePath + "?" + url.Values{"user_code": {p.Code}, "tenant": {p.Tenant}, "decision": {"approve"}}.Encode()); w.shown(r).Done != "" {
			t.Error("approved by an address")
		}
		other := p
		other.Tenant = w.globex.ID
		if r := b.decide(other, "approve"); r.StatusCode != http.StatusSeeOther {
			t.Errorf("for an organization that the session does not satisfy: %d %s", r.StatusCode, r.body)
		}
		if r := stranger.decide(p, "approve"); r.StatusCode != http.StatusSeeOther {
			t.Errorf("without a session: %d %s", r.StatusCode, r.body)
		}
		g.wait()
		if r := g.poll(d); r.Error != oidc.AuthorizationPending {
			t.Errorf("after all that: %s", r.body)
		}

		// Guesses end soon, and one's own code does not clear them.
		limited := 0
		for i := range 12 {
			guess := "BBBB-BBB" + string(userCodeLetters[i])
			if r := b.get(devicePath + "?user_code=" + guess); r.StatusCode == http.StatusTooManyRequests {
				limited++
			}
		}
		if limited < 8 {
			t.Errorf("%d of 12 guesses were held off", limited)
		}
		if r := b.get(devicePath + "?user_code=" + d.UserCode); r.StatusCode != http.StatusTooManyRequests || r.Header.Get("Retry-After") == "" {
			t.Errorf("held off by the code that is right: %d", r.StatusCode)
		}
		w.clock.Advance(2 * time.Second)
		if r := b.get(devicePath + "?user_code=" + d.UserCode); r.StatusCode != 200 {
			t.Errorf("a little later: %d %s", r.StatusCode, r.body)
		}
		w.clock.Advance(time.Second)
		b.get(devicePath + "?user_code=CCCC-CCCC")
		if r := b.get(devicePath + "?user_code=" + d.UserCode); r.StatusCode != http.StatusTooManyRequests {
			t.Errorf("one's own code cleared the guesses: %d", r.StatusCode)
		}
	})
}

// Of questions at once one gets the tokens.
func TestDevicePollsAtOnce(t *testing.T) {
	each(t, func(w *world) {
		g := w.gadget()
		d := g.begin()
		b := w.browser()
		b.decide(b.arrive(d.UserCode, "ada@acme.com"), "approve")
		var mu sync.Mutex
		var wg sync.WaitGroup
		got := 0
		for range 8 {
			wg.Go(func() {
				r := g.poll(d)
				mu.Lock()
				defer mu.Unlock()
				if r.StatusCode == 200 {
					got++
				}
			})
		}
		wg.Wait()
		if got != 1 {
			t.Errorf("%d got tokens", got)
		}
	})
}

// A device may bind its tokens to its key (RFC 9449 §5).
func TestDeviceDPoP(t *testing.T) {
	each(t, func(w *world) {
		g := w.gadget()
		p, key := w.fapi(), newKey(t)
		d := g.begin()
		b := w.browser()
		b.decide(b.arrive(d.UserCode, "ada@acme.com"), "approve")
		got := g.poll(d, dpop(p.proof(key, "/oauth2/token")))
		cnf, _ := w.part(got.Access, 1)["cnf"].(map[string]any)
		if got.Type != "DPoP" || cnf["jkt"] != thumbprint(t, key) {
			t.Fatalf("%s %v", got.body, cnf)
		}
		stolen := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.Refresh}, "client_id": {g.app.ID}}
		if r := g.token(stolen, func(*http.Request) {}); r.Error != oidc.InvalidDPoPProof {
			t.Errorf("without the key: %s", r.body)
		}
	})
}
