package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/internal/permission"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// personToken stands for an access token of an admin of a tenant.
const personToken = "person.access.token"

// behindProxies serves the API with trusted proxies, to an admin of the tenant.
func (f *fixture) behindProxies(tenant string) func(method, path, peer, forwarded string, body any) (int, object) {
	f.h.UserActor = func(_ context.Context, env tenants.Environment, token string) (actor.Actor, error) {
		if token != personToken {
			return actor.Actor{}, errNoCredential
		}
		return actor.Actor{Environment: env.ID, Tenant: tenant, Kind: actor.User, Subject: "usr_admin", Level: actor.LevelOf(0), Permissions: permission.NewSet("fe.*")}, nil
	}
	r := chi.NewRouter()
	r.Use(httpx.Identify([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}))
	f.h.Mount(r)
	return func(method, path, peer, forwarded string, body any) (int, object) {
		f.Helper()
		text, err := json.Marshal(body)
		if err != nil {
			f.Fatal(err)
		}
		req := httptest.NewRequest(method, "http://"+hostA+"/api/v1"+path, bytes.NewReader(text))
		req.RemoteAddr = peer
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+personToken)
		if forwarded != "" {
			req.Header.Set("X-Forwarded-For", forwarded)
		}
		w := httptest.NewRecorder()
		r.ServeHTTP(w, req)
		var out object
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			f.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
		return w.Code, out
	}
}

func ipList(enabled bool, mode string, rules ...object) object {
	if rules == nil {
		rules = []object{}
	}
	return object{"enabled": enabled, "mode": mode, "rules": rules}
}

// Product 48, 49 and 125: adding, deleting and switching a rule, switching the list
// on and changing its mode are refused where they would keep their author out: by
// the address that trusted proxies vouch for, whatever the client writes itself.
func TestOwnAddress(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		call := f.behindProxies(text(f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"}), "id"))
		office, home, resting := object{"cidr": "192.0.2.0/24", "note": "office"}, object{"cidr": "198.51.100.7"}, object{"cidr": "192.0.2.0/24", "disabled": true}
		const excludes, includes = "ip_list_excludes_caller", "ip_list_includes_caller"
		for _, x := range []struct {
			name            string
			before, after   object
			peer, forwarded string
			want            string
		}{
			{"add to the allowlist", ipList(true, "allow"), ipList(true, "allow", office), "192.0.2.255:4711", "", ""},
			{"add another to the allowlist", ipList(true, "allow"), ipList(true, "allow", home), "192.0.3.0:4711", "", excludes},
			{"add to the denylist", ipList(true, "deny"), ipList(true, "deny", office), "192.0.2.0:4711", "", includes},
			{"add another to the denylist", ipList(true, "deny"), ipList(true, "deny", home), "192.0.2.0:4711", "", ""},
			{"delete the own from the allowlist", ipList(true, "allow", office, home), ipList(true, "allow", home), "192.0.2.9:4711", "", excludes},
			{"delete the last", ipList(true, "allow", office), ipList(true, "allow"), "192.0.2.9:4711", "", excludes},
			{"delete another", ipList(true, "allow", office, home), ipList(true, "allow", office), "192.0.2.9:4711", "", ""},
			{"let the own rest", ipList(true, "allow", office, home), ipList(true, "allow", resting, home), "192.0.2.9:4711", "", excludes},
			{"wake the own on the denylist", ipList(true, "deny", resting), ipList(true, "deny", office), "192.0.2.9:4711", "", includes},
			{"switch on", ipList(false, "allow", home), ipList(true, "allow", home), "192.0.2.9:4711", "", excludes},
			{"switch off", ipList(true, "allow", home), ipList(false, "allow", home), "192.0.2.9:4711", "", ""},
			{"prepare a list that is off", ipList(false, "allow"), ipList(false, "allow", home), "192.0.2.9:4711", "", excludes},
			{"empty it", ipList(true, "allow", home), ipList(false, "allow"), "192.0.2.9:4711", "", ""},
			{"allow becomes deny", ipList(true, "allow", office), ipList(true, "deny", office), "192.0.2.9:4711", "", includes},
			{"deny becomes allow", ipList(true, "deny", home), ipList(true, "allow", home), "192.0.2.9:4711", "", excludes},

			{"through a proxy", ipList(true, "allow"), ipList(true, "allow", office), "10.0.0.1:80", "192.0.2.9", ""},
			{"through two proxies", ipList(true, "allow"), ipList(true, "allow", office), "10.0.0.1:80", "203.0.113.1, 192.0.2.9, 10.9.9.9", ""},
			{"an address that the client wrote", ipList(true, "allow"), ipList(true, "allow", office), "10.0.0.1:80", "192.0.2.9, 203.0.113.1", excludes},
			{"a header without a proxy", ipList(true, "allow"), ipList(true, "allow", office), "203.0.113.1:80", "192.0.2.9", excludes},
			{"mapped by the proxy", ipList(true, "deny"), ipList(true, "deny", office), "[fd00::1]:80", "::ffff:192.0.2.9", includes},
			{"mapped in the rule", ipList(true, "deny"), ipList(true, "deny", object{"cidr": "::ffff:192.0.2.9"}), "192.0.2.9:80", "", includes},
			{"IPv6", ipList(true, "allow"), ipList(true, "allow", object{"cidr": "2001:db8::/127"}), "[2001:db8::2]:80", "", excludes},
			{"IPv6, the edge", ipList(true, "allow"), ipList(true, "allow", object{"cidr": "2001:db8::/127"}), "[2001:db8::1]:80", "", ""},
		} {
			f.do(200, "PUT", "/tenants/acme/policies/ip", x.before)
			status, body := call("PUT", "/tenants/acme/policies/ip", x.peer, x.forwarded, x.after)
			if got := text(body, "code"); got != x.want || (status == 200) != (x.want == "") {
				t.Errorf("%s: %d %v, want %q", x.name, status, body, x.want)
			}
		}
	})
}

// Product 2.7: before and after a list is switched on, anybody who may read it can
// ask whether it lets him in (product 47, 50).
func TestVerifyAddress(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		call := f.behindProxies(text(f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"}), "id"))
		list := func(enabled bool, mode string) object {
			return ipList(enabled, mode, object{"cidr": "192.0.2.0/24"}, object{"cidr": "192.0.2.9"}, object{"cidr": "198.51.100.7", "disabled": true})
		}
		for _, x := range []struct {
			name           string
			own, env       object
			address, rule  string
			permitted, may bool
		}{
			{"on the allowlist", list(true, "allow"), nil, "192.0.2.9", "192.0.2.9/32", true, true},
			{"not on the allowlist", list(true, "allow"), nil, "203.0.113.1", "", false, false},
			{"on the allowlist, resting", list(true, "allow"), nil, "198.51.100.7", "", false, false},
			{"not on it, and it is off", list(false, "allow"), nil, "203.0.113.1", "", true, false},
			{"on the denylist", list(true, "deny"), nil, "192.0.2.1", "192.0.2.0/24", false, false},
			{"on it, and it is off", list(false, "deny"), nil, "192.0.2.1", "192.0.2.0/24", true, false},
			{"the environment keeps it out", list(true, "allow"), ipList(true, "deny", object{"cidr": "192.0.0.0/8"}), "192.0.2.9", "192.0.2.9/32", false, true},
		} {
			f.do(200, "PUT", "/tenants/acme/policies/ip", x.own)
			if x.env == nil {
				x.env = ipList(false, "allow")
			}
			f.do(200, "PUT", "/environment/policies/ip", x.env)
			status, got := call("GET", "/tenants/acme/policies/ip:verify", "10.0.0.1:80", x.address, nil)
			if status != 200 || got["address"] != x.address || got["permitted"] != x.permitted || got["would_be_permitted"] != x.may || got["rule"] != x.rule || got["enabled"] != x.own["enabled"] {
				t.Errorf("%s: %d %v", x.name, status, got)
			}
		}
		if got := f.do(200, "GET", "/environment/policies/ip:verify", nil); got["permitted"] != false || got["rule"] != "192.0.0.0/8" {
			t.Errorf("%v", got)
		}
		if status, got := call("GET", "/environment/policies/ip:verify", "192.0.2.9:1", "", nil); status != http.StatusForbidden {
			t.Errorf("the environment's rules for a tenant's admin: %d %v", status, got)
		}
	})
}

// Product 40 to 46 and 2.7: the bounds of what an environment or a tenant can choose.
func TestBoundsOfPolicies(t *testing.T) {
	f := newFixture(t, openSQLite(t))
	f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
	for kind, x := range map[string]struct{ good, bad []object }{
		"mfa": {
			[]object{{"enforce": "off"}, {"enforce": "unless_sso"}, {"enforce": "on", "remember_seconds": 0}, {"enforce": "on", "remember_seconds": 60}},
			[]object{{}, {"enforce": "sometimes"}, {"enforce": "on", "remember_seconds": 59}, {"enforce": "on", "remember_seconds": 7776001}, {"enforce": "on", "remember_seconds": -1}},
		},
		"lockout": {
			[]object{{"max_attempts": 1}, {"max_attempts": 100, "lock_seconds": 604800}},
			[]object{{}, {"max_attempts": 0}, {"max_attempts": 101}, {"max_attempts": 5, "lock_seconds": 604801}, {"max_attempts": 5, "lock_seconds": -1}},
		},
		"password": {
			[]object{{}, {"history": 1}, {"history": 10, "min_length": 8}, {"min_length": 256}},
			[]object{{"history": 11}, {"history": -1}, {"min_length": 7}, {"min_length": 257}},
		},
		"sessions": {
			[]object{{}, {"idle_seconds": 60, "absolute_seconds": 60, "max_concurrent": 1}, {"idle_seconds": 2073600}},
			[]object{{"idle_seconds": 59}, {"idle_seconds": 2073601}, {"absolute_seconds": 59}, {"max_concurrent": -1}, {"max_concurrent": 1001}},
		},
		"domains": {
			[]object{{"enabled": true, "mode": "deny", "domains": []string{"Bücher.example"}, "block_public_domains": true}},
			[]object{{"enabled": true, "mode": "deny", "domains": []string{"a@b.example"}}, {"enabled": true, "mode": "maybe", "domains": []string{}}},
		},
		"social": {[]object{{"allowed": true}, {"allowed": false}}, []object{{}, {"allowed": "no"}}},
	} {
		for _, path := range []string{"/tenants/acme/policies/", "/environment/policies/"} {
			for _, body := range x.good {
				f.do(200, "PUT", path+kind, body)
			}
			for _, body := range x.bad {
				if res := f.send("PUT", "/api/v1"+path+kind, body); res.StatusCode != 422 {
					t.Errorf("%s%s %v: %d", path, kind, body, res.StatusCode)
				}
			}
		}
	}
}
