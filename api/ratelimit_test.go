package api

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/limit"
)

// Each credential has a bucket and is told what is left of it (product 7.3).
func TestRateLimitHeaders(t *testing.T) {
	f := newFixture(t, openSQLite(t))
	f.h.Limit = limit.New(10, 3)
	for _, want := range []struct {
		status     int
		limit      string
		retryAfter string
	}{{200, `"api";r=2;t=1`, ""}, {200, `"api";r=1;t=1`, ""}, {200, `"api";r=0;t=1`, ""}, {429, `"api";r=0;t=1`, "1"}} {
		res := f.send("GET", "/api/v1/tenants", nil)
		if res.StatusCode != want.status || res.Header.Get("RateLimit") != want.limit || res.Header.Get("RateLimit-Policy") != `"api";q=3;w=1` || res.Header.Get("Retry-After") != want.retryAfter {
			t.Errorf("%d %v, want %+v", res.StatusCode, res.Header, want)
		}
	}
	if res := f.sendAs(hostB, f.keys[hostB], "GET", "/api/v1/tenants", nil); res.StatusCode != 200 {
		t.Errorf("another credential: %d", res.StatusCode)
	}
	f.clock.Advance(time.Second)
	f.do(200, "GET", "/tenants", nil)
}

// A tenant's tokens share a bucket besides (product 7.3): more tokens are not more
// requests, the answer tells of what ends first, and neither another tenant nor the
// vendor pays.
func TestRateLimitOfATenant(t *testing.T) {
	f := newFixture(t, openSQLite(t))
	token := func(tenant string) string {
		f.do(201, "POST", "/tenants", object{"name": tenant, "key": tenant})
		return text(f.do(201, "POST", "/tenants/"+tenant+"/api-tokens", object{"kind": "access_token", "description": "x", "role_ids": []string{f.roleByKey("read-only")}}), "secret")
	}
	one, other := token("acme"), token("other")
	two := text(f.do(201, "POST", "/tenants/acme/api-tokens", object{"kind": "access_token", "description": "y", "role_ids": []string{f.roleByKey("read-only")}}), "secret")
	f.h.Limit, f.h.TenantLimit = limit.New(10, 4), limit.New(10, 5)
	const policy = `"api";q=4;w=1, "tenant";q=5;w=1`
	for i, want := range []struct {
		key    string
		status int
		left   string
	}{
		{one, 200, `"api";r=3;t=1`},
		{one, 200, `"api";r=2;t=1`},
		{two, 200, `"tenant";r=2;t=1`}, // of its own there are 3 left
		{two, 200, `"tenant";r=1;t=1`},
		{one, 200, `"tenant";r=0;t=1`},
		{two, 429, `"tenant";r=0;t=1`},
		{one, 429, `"tenant";r=0;t=1`},
		{one, 429, `"api";r=0;t=1`}, // its own is used up, too
		{other, 200, `"api";r=3;t=1`},
	} {
		tenant := "acme"
		if want.key == other {
			tenant = "other"
		}
		res := f.sendAs(hostA, want.key, "GET", "/api/v1/tenants/"+tenant, nil)
		if res.StatusCode != want.status || res.Header.Get("RateLimit") != want.left || res.Header.Get("RateLimit-Policy") != policy || (res.Header.Get("Retry-After") != "") != (want.status == 429) {
			t.Errorf("%d: %d %v, want %+v", i, res.StatusCode, res.Header, want)
		}
	}
	if res := f.send("GET", "/api/v1/tenants/acme", nil); res.StatusCode != 200 || strings.Contains(res.Header.Get("RateLimit-Policy"), "tenant") {
		t.Errorf("the vendor: %d %v", res.StatusCode, res.Header)
	}
	f.clock.Advance(time.Second)
	if res := f.sendAs(hostA, two, "GET", "/api/v1/tenants/acme", nil); res.StatusCode != 200 {
		t.Errorf("after a while: %d", res.StatusCode)
	}
}

// Guessing is bounded by address, and one expired key of a neighbour is no guess.
func TestGuesses(t *testing.T) {
	f := newFixture(t, openSQLite(t))
	for range 200 { // a program that does not give up
		if got := f.sendAs(hostA, f.keys[hostB], "GET", "/api/v1/tenants", nil).StatusCode; got != 401 {
			t.Fatal(got)
		}
	}
	f.do(200, "GET", "/tenants", nil)
	tried := 0
	for ; tried < 1000; tried++ {
		res := f.sendAs(hostA, "gwm_"+strings.Repeat("a", tried+1), "GET", "/api/v1/tenants", nil)
		if res.StatusCode == 429 {
			if p := decodeObject(t, res); p["code"] != "too_many_attempts" || res.Header.Get("Retry-After") == "" {
				t.Errorf("%v %v", p, res.Header)
			}
			break
		}
	}
	if tried != failedBurst-1 {
		t.Errorf("%d guesses", tried)
	}
	f.refused(429, "too_many_attempts", "GET", "/tenants", nil)
	f.clock.Advance(3 * time.Second)
	f.do(200, "GET", "/tenants", nil)
}

func TestNetwork(t *testing.T) {
	for in, want := range map[string]string{"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1", "2001:db8:0:1::5": "2001:db8:0:1::/64", "2001:db8:0:1:ffff::": "2001:db8:0:1::/64"} {
		if got := network(netip.MustParseAddr(in)); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	_ = network(netip.Addr{})
}

// One credential per request, and one answer whatever is wrong with it.
func TestCredentials(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
		good := f.keys[hostA]
		for _, c := range []struct {
			why    string
			header http.Header
			want   int
			code   string
		}{
			{"X-API-KEY", http.Header{"X-Api-Key": {good}}, 200, ""},
			{"scheme in any case", http.Header{"Authorization": {"bearer " + good}}, 200, ""},
			{"both", http.Header{"X-Api-Key": {good}, "Authorization": {"Bearer " + good}}, 400, "ambiguous_credentials"},
			{"twice", http.Header{"X-Api-Key": {good, good}}, 400, "ambiguous_credentials"},
			{"none", http.Header{}, 401, "invalid_credentials"},
			{"empty", http.Header{"X-Api-Key": {""}}, 401, "invalid_credentials"},
			{"another scheme", http.Header{"Authorization": {"Basic " + good}}, 401, "invalid_credentials"},
			{"no scheme", http.Header{"Authorization": {good}}, 401, "invalid_credentials"},
			{"another environment's", http.Header{"X-Api-Key": {f.keys[hostB]}}, 401, "invalid_credentials"},
			{"nothing after the scheme", http.Header{"Authorization": {"Bearer "}}, 401, "invalid_credentials"},
			{"cut", http.Header{"X-Api-Key": {good[:len(good)-1]}}, 401, "invalid_credentials"},
			{"an unknown form", http.Header{"X-Api-Key": {"x"}}, 401, "invalid_credentials"},
			{"a token that nobody signed", http.Header{"Authorization": {"Bearer a.b.c"}}, 401, "invalid_credentials"},
			{"endless", http.Header{"X-Api-Key": {strings.Repeat("x", maxCredential+1)}}, 401, "invalid_credentials"},
		} {
			res := f.exchange(hostA, c.header, "GET", "/api/v1/tenants/acme", nil)
			if got := decodeObject(t, res); res.StatusCode != c.want || text(got, "code") != c.code {
				t.Errorf("%s: %d %v, want %d %s", c.why, res.StatusCode, got, c.want, c.code)
			}
			if (res.Header.Get("WWW-Authenticate") != "") != (c.want == 401) {
				t.Errorf("%s: WWW-Authenticate %q", c.why, res.Header.Get("WWW-Authenticate"))
			}
		}
	})
}

// Link leads to the next page at the configured address, whatever Host says.
func TestNextLink(t *testing.T) {
	f := newFixture(t, openSQLite(t))
	for _, name := range []string{"a", "b", "c"} {
		f.do(201, "POST", "/tenants", object{"name": name})
	}
	path, seen := "/api/v1/tenants?limit=2", 0
	for pages := 1; path != ""; pages++ {
		res := f.exchange("LOCALHOST:8080", http.Header{"X-Api-Key": {f.keys[hostA]}}, "GET", path, nil)
		page := decodeObject(t, res)
		seen += len(data(page))
		link := res.Header.Get("Link")
		if (link == "") != (page["next_cursor"] == nil) || pages > 2 {
			t.Fatalf("page %d: %v, Link %q", pages, page, link)
		}
		path = ""
		if link != "" {
			address, rel, _ := strings.Cut(link, ">; ")
			after, ok := strings.CutPrefix(address, "<http://"+hostA)
			if !ok || rel != `rel="next"` || !strings.Contains(after, "limit=2") {
				t.Fatalf("Link %q", link)
			}
			path = after
		}
	}
	if seen != 3 {
		t.Errorf("%d tenants", seen)
	}
}
