package scim_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/internal/limit"
	"github.com/gatehouse-id/gatehouse/scim"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// client is an OAuth 2 client of a connection.
type client struct{ id, secret string }

func (c connection) client() client {
	c.g.t.Helper()
	var made client
	err := c.g.d.Tx(c.g.t.Context(), func(q db.Queryer) error {
		x, plain, err := c.g.tenants.AddSCIMClient(c.g.t.Context(), c.g.admin, q, c.tenant, c.id, "")
		made = client{x.ID, plain}
		return err
	})
	if err != nil {
		c.g.t.Fatal(err)
	}
	return made
}

func (c connection) dropClient(id string) {
	c.g.t.Helper()
	err := c.g.d.Tx(c.g.t.Context(), func(q db.Queryer) error {
		return c.g.tenants.DeleteSCIMClient(c.g.t.Context(), c.g.admin, q, c.tenant, c.id, id)
	})
	if err != nil {
		c.g.t.Fatal(err)
	}
}

func (c connection) change(p tenants.SCIMPatch) {
	c.g.t.Helper()
	err := c.g.d.Tx(c.g.t.Context(), func(q db.Queryer) error {
		_, err := c.g.tenants.UpdateSCIMConnection(c.g.t.Context(), c.g.admin, q, c.tenant, c.id, p)
		return err
	})
	if err != nil {
		c.g.t.Fatal(err)
	}
}

const formType = "application/x-www-form-urlencoded"

// tokenRequest sends a request to the token endpoint of a connection.
func (c connection) tokenRequest(method, contentType, authorization, body string) answer {
	c.g.t.Helper()
	r := httptest.NewRequestWithContext(c.g.t.Context(), method, "/scim/"+c.id+"/oauth2/token", strings.NewReader(body))
	r.Host = strings.TrimPrefix(baseURL, "http://")
	r.Header.Set("Content-Type", contentType)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	c.g.handler.ServeHTTP(w, r)
	raw, _ := io.ReadAll(w.Body)
	a := answer{status: w.Code, header: w.Header(), raw: raw}
	_ = json.Unmarshal(raw, &a.doc)
	return a
}

func basic(c client) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(c.id)+":"+url.QueryEscape(c.secret)))
}

func (c connection) grant(x client) answer {
	c.g.t.Helper()
	return c.tokenRequest("POST", formType, basic(x), "grant_type=client_credentials")
}

// with is the connection seen by the bearer of another token.
func (c connection) with(token any) connection {
	c.token, _ = token.(string)
	return c
}

func TestClientCredentials(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		now := clock.NewFake(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
		g := newGateway(t, d, options{clock: now})
		tenant := g.tenant("a")
		c, sibling, other := g.connect(tenant, "ping", "soft"), g.connect(tenant, "ping", "soft"), g.connect(g.tenant("b"), "ping", "soft")
		x, second := c.client(), c.client()

		a := c.grant(x)
		token := a.field("access_token")
		if a.status != 200 || a.field("token_type") != "Bearer" || a.field("expires_in") != 3600.0 || a.header.Get("Cache-Control") != "no-store" || a.header.Get("Content-Type") != "application/json" {
			t.Fatalf("basic: %v %v", a, a.header)
		}
		post := url.Values{"grant_type": {"client_credentials"}, "client_id": {x.id}, "client_secret": {x.secret}, "scope": {"anything"}}
		if a := c.tokenRequest("POST", formType+"; charset=utf-8", "", post.Encode()); a.status != 200 || a.field("scope") != "scim" {
			t.Errorf("in the body: %v", a)
		}
		c.with(token).must(200, "GET", "/Users", nil)
		c.with(token).must(201, "POST", "/Users", user("ann@x.example"))
		if n := g.count(`SELECT COUNT(*) FROM audit_events WHERE actor_id = $1`, x.id); n == 0 {
			t.Error("no event names the client")
		}
		c.must(200, "GET", "/Users", nil) // the connection's own token goes on
		if a := c.must(200, "GET", "/ServiceProviderConfig", nil); !strings.Contains(string(a.raw), `"type":"oauth2"`) || !strings.Contains(string(a.raw), baseURL+"/scim/"+c.id+"/oauth2/token") {
			t.Errorf("not announced: %v", a)
		}
		if n := g.count(`SELECT COUNT(*) FROM scim_clients WHERE hash = $1`, x.secret); n != 0 {
			t.Error("a secret is stored in clear")
		}

		// A token opens its connection alone, whole and unchanged.
		text, _ := token.(string)
		later := strings.Split(text, "_")
		later[2] = "9999999999"
		for name, attempt := range map[string]struct {
			c     connection
			token string
		}{
			"sibling": {sibling, text}, "another tenant": {other, text}, "cut": {c, text[:len(text)-1]}, "prolonged": {c, strings.Join(later, "_")},
			"another client's":  {c, strings.Replace(text, strings.TrimPrefix(x.id, "cli_"), strings.TrimPrefix(second.id, "cli_"), 1)},
			"the secret itself": {c, x.secret}, "long": {c, text + strings.Repeat("x", 400)}, "prefix": {c, "gwa_"},
		} {
			if a := attempt.c.with(attempt.token).do("GET", "/Users", nil); a.status != 401 {
				t.Errorf("%s: %v", name, a)
			}
		}

		now.Advance(time.Hour)
		if a := c.with(token).do("GET", "/Users", nil); a.status != 401 {
			t.Errorf("after an hour: %v", a)
		}
		token = c.grant(x).field("access_token")
		rest := c.grant(second).field("access_token")
		c.with(token).must(200, "GET", "/Users", nil)
		c.dropClient(x.id)
		if a := c.with(token).do("GET", "/Users", nil); a.status != 401 {
			t.Errorf("the client is gone: %v", a)
		}
		if a := c.grant(x); a.status != 401 || a.field("error") != "invalid_client" {
			t.Errorf("the client is gone: %v", a)
		}
		c.with(rest).must(200, "GET", "/Users", nil)

		paused := tenants.SCIMPaused
		c.change(tenants.SCIMPatch{Status: &paused})
		if a := c.grant(second); a.status != 400 || a.field("error") != "unauthorized_client" {
			t.Errorf("paused: %v", a)
		}
		if a := c.with(rest).do("GET", "/Users", nil); a.status != 403 {
			t.Errorf("paused: %v", a)
		}
		err := d.Tx(t.Context(), func(q db.Queryer) error {
			return g.tenants.DeleteSCIMConnection(t.Context(), g.admin, q, c.tenant, c.id)
		})
		if err != nil {
			t.Fatal(err)
		}
		if a := c.with(rest).do("GET", "/Users", nil); a.status != 401 {
			t.Errorf("the connection is gone: %v", a)
		}
		if a := c.grant(second); a.status != 401 {
			t.Errorf("the connection is gone: %v", a)
		}
	})
}

func TestTokenRequestRefused(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		tenant := g.tenant("a")
		c, sibling, other := g.connect(tenant, "ping", "soft"), g.connect(tenant, "ping", "soft"), g.connect(g.tenant("b"), "ping", "soft")
		x, brother, foreign := c.client(), sibling.client(), other.client()
		const good = "grant_type=client_credentials"
		raw := func(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }
		for name, r := range map[string]struct {
			method, contentType, authorization, body string
			status                                   int
			code                                     string
		}{
			"another connection's":   {"POST", formType, basic(brother), good, 401, "invalid_client"},
			"another tenant's":       {"POST", formType, basic(foreign), good, 401, "invalid_client"},
			"wrong secret":           {"POST", formType, basic(client{x.id, brother.secret}), good, 401, "invalid_client"},
			"wrong id":               {"POST", formType, basic(client{brother.id, x.secret}), good, 401, "invalid_client"},
			"a connection's token":   {"POST", formType, basic(client{x.id, c.token}), good, 401, "invalid_client"},
			"not base64":             {"POST", formType, "Basic !", good, 401, "invalid_client"},
			"no colon":               {"POST", formType, raw("x"), good, 401, "invalid_client"},
			"not form-encoded":       {"POST", formType, raw("%zz:x"), good, 401, "invalid_client"},
			"bearer":                 {"POST", formType, "Bearer " + c.token, good, 401, "invalid_client"},
			"nobody":                 {"POST", formType, "", good, 401, "invalid_client"},
			"an id without a secret": {"POST", formType, "", good + "&client_id=" + x.id, 401, "invalid_client"},
			"two ways at once":       {"POST", formType, basic(x), good + "&client_id=" + x.id + "&client_secret=" + x.secret, 400, "invalid_request"},
			"two names":              {"POST", formType, basic(x), good + "&client_id=" + brother.id, 400, "invalid_request"},
			"no grant type":          {"POST", formType, basic(x), "", 400, "invalid_request"},
			"twice":                  {"POST", formType, basic(x), good + "&" + good, 400, "invalid_request"},
			"another grant type":     {"POST", formType, basic(x), "grant_type=password", 400, "unsupported_grant_type"},
			"JSON":                   {"POST", "application/json", basic(x), `{"grant_type":"client_credentials"}`, 400, "invalid_request"},
			"not a form":             {"POST", formType, basic(x), "%zz", 400, "invalid_request"},
			"too long":               {"POST", formType, basic(x), good + "&x=" + strings.Repeat("y", 9000), 400, "invalid_request"},
			"GET":                    {"GET", formType, basic(x), "", 405, "invalid_request"},
		} {
			a := c.tokenRequest(r.method, r.contentType, r.authorization, r.body)
			if a.status != r.status || a.field("error") != r.code || a.header.Get("Cache-Control") != "no-store" || a.field("access_token") != nil {
				t.Errorf("%s: %v", name, a)
			}
			if named := strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic "); named != (r.status == 401 && r.authorization != "") {
				t.Errorf("%s: WWW-Authenticate %q", name, a.header.Get("WWW-Authenticate"))
			}
		}
		nowhere := c
		nowhere.id = "dir_" + id.Raw()
		if a := nowhere.grant(x); a.status != 401 || a.field("error") != "invalid_client" {
			t.Errorf("no such connection: %v", a)
		}
		found := false
		for _, e := range c.entries(scim.LogFilter{Failed: true}) {
			found = found || e.Path == "/oauth2/token" && e.Status == 401 && strings.HasPrefix(e.Detail, "invalid_client")
			if strings.Contains(e.Path+e.Detail+e.Body, x.secret) {
				t.Errorf("the log holds a secret: %+v", e)
			}
		}
		if !found {
			t.Error("no refusal in the log")
		}
		if g.failures.Len() > 0 {
			t.Errorf("logged as our fault: %s", g.failures)
		}
	})
}

func TestTokenRequestsAreLimited(t *testing.T) {
	g := newGateway(t, dbtest.Open(t, db.SQLite), options{clock: clock.NewFake(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)), limiter: limit.New(25, 25)})
	c := g.connect(g.tenant("a"), "ping", "soft")
	x := c.client()
	for range 25 {
		c.grant(x)
	}
	if a := c.grant(x); a.status != 429 || a.header.Get("Retry-After") == "" {
		t.Errorf("above the limit: %v", a)
	}
	c.must(200, "GET", "/Users", nil)
}

// A refused credential is in the connection's log, with the reason that its
// bearer does not learn.
func TestRefusedCredentialsAreLogged(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		now := clock.NewFake(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
		g := newGateway(t, d, options{clock: now})
		c, other := g.connect(g.tenant("a"), "okta", "soft"), g.connect(g.tenant("b"), "okta", "soft")
		var short string
		err := d.Tx(t.Context(), func(q db.Queryer) (err error) {
			_, short, err = g.tenants.AddSCIMToken(t.Context(), g.admin, q, c.tenant, c.id, "", time.Minute)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		now.Advance(time.Minute)
		answers := map[string]bool{}
		for token, reason := range map[string]string{"": "bearer token", "x": "not copied whole", other.token: "another connection", short: "expired"} {
			a := c.with(token).do("GET", "/Users?filter=x", nil)
			if a.status != 401 {
				t.Errorf("%s: %v", reason, a)
			}
			if token != "" {
				answers[string(a.raw)] = true
			}
			list := c.entries(scim.LogFilter{})
			if e := list[0]; e.Status != 401 || e.Method != "GET" || e.Path != "/Users?filter=x" || !strings.Contains(e.Detail, reason) || e.RequestID == "" {
				t.Errorf("%s: %+v", reason, e)
			}
		}
		if len(answers) != 1 {
			t.Errorf("the bearer is told which: %v", answers)
		}
		paused := tenants.SCIMPaused
		c.change(tenants.SCIMPatch{Status: &paused})
		if a := c.do("GET", "/Users", nil); a.status != 403 || a.field("detail") != "The connection is paused." || !strings.Contains(string(a.raw), errorURN) {
			t.Errorf("paused: %v", a)
		}
		if a := c.with("x").do("GET", "/Users", nil); a.status != 401 {
			t.Errorf("paused, told to anybody: %v", a)
		}
		linked := tenants.SCIMLinked
		c.change(tenants.SCIMPatch{Status: &linked})
		c.must(200, "GET", "/Users", nil)
		if n := len(other.entries(scim.LogFilter{})); n != 0 {
			t.Errorf("%d entries at the token's own connection", n)
		}
		for range 200 {
			c.with("x").do("GET", "/Users", nil)
		}
		if n := len(c.entries(scim.LogFilter{Failed: true, Limit: 200})); n > 30 {
			t.Errorf("%d refusals in the log: anybody can write it full", n)
		}
		now.Advance(time.Second)
		before := g.count(`SELECT COUNT(*) FROM scim_requests`)
		nowhere := c
		nowhere.base = "/scim/dir_" + id.Raw() + "/v2"
		nowhere.do("GET", "/Users", nil)
		if err := g.log.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := g.count(`SELECT COUNT(*) FROM scim_requests`); n != before {
			t.Error("an unknown connection is logged")
		}
	})
}

// The token endpoint, like all of SCIM, answers on its environment's own host
// (identity rule 13).
func TestTokenOnUnknownHost(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "ping", "soft")
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/scim/"+c.id+"/oauth2/token", strings.NewReader("grant_type=client_credentials"))
		r.Host = "evil.example"
		w := httptest.NewRecorder()
		g.handler.ServeHTTP(w, r)
		if w.Code != 404 || !strings.Contains(w.Body.String(), "No environment") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}
