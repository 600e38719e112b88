package scim_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/limit"
	"github.com/gatehouse-id/gatehouse/scim"
	"github.com/gatehouse-id/gatehouse/scim/schema"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// rerun is a store whose next transaction is rolled back and run again, as after
// a serialization failure, with something else done in between.
type rerun struct {
	db.DB
	between func()
}

var errAgain = errors.New("again")

func (r *rerun) Tx(ctx context.Context, f func(q db.Queryer) error) error {
	if between := r.between; between != nil {
		r.between = nil
		err := r.DB.Tx(ctx, func(q db.Queryer) error {
			if err := f(q); err != nil {
				return err
			}
			return errAgain
		})
		if !errors.Is(err, errAgain) {
			return err
		}
		between()
	}
	return r.DB.Tx(ctx, f)
}

// Every request has exactly one entry, also one whose transaction is run again
// and then finds nothing to change.
func TestSuiteLogAfterRerun(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		store := &rerun{DB: d}
		g := newGateway(t, store, options{})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		ann := c.must(201, "POST", "/Users", user("ann@x.example")).id()
		group := c.must(201, "POST", "/Groups", map[string]any{"displayName": "g"}).id()
		for path, change := range map[string]map[string]any{
			"/Users/" + ann:    patchOp(map[string]any{"op": "replace", "path": "title", "value": "Boss"}),
			"/Groups/" + group: patchOp(map[string]any{"op": "add", "path": "members", "value": members(ann)}),
		} {
			before := len(c.entries(scim.LogFilter{}))
			store.between = func() {
				if a := c.do("PATCH", path, change); a.status/100 != 2 {
					t.Error(a)
				}
			}
			if a := c.do("PATCH", path, change); a.status/100 != 2 {
				t.Error(a)
			}
			list := c.entries(scim.LogFilter{})
			if len(list) != before+2 {
				t.Fatalf("PATCH %s: %d entries of two requests", path, len(list)-before)
			}
			changes := 0
			for _, e := range list[:2] {
				changes += len(e.Changes)
			}
			if changes != 1 {
				t.Errorf("PATCH %s: %d changes logged, want that of the request that made it", path, changes)
			}
		}
	})
}

// Requests without a good credential cannot fill the log; how many are left out
// is told to the operator.
func TestSuiteLogLeavesOutStrangers(t *testing.T) {
	d := dbtest.Open(t, db.SQLite)
	g := newGateway(t, d, options{clock: clock.NewFake(clock.System{}.Now())})
	c := g.connect(g.tenant("a"), "okta", "soft")
	for range 50 {
		c.send(t.Context(), "GET", "/Users", map[string]*string{"Authorization": ptr("Bearer wrong")}, nil)
	}
	if n := len(c.entries(scim.LogFilter{Failed: true})); n != 20 {
		t.Errorf("%d of 50 logged", n)
	}
	if !strings.Contains(g.failures.String(), "entries=30\n") || !strings.Contains(g.failures.String(), "level=WARN") {
		t.Errorf("30 were left out: %s", g.failures)
	}
	g.failures.Reset()
	if c.entries(scim.LogFilter{}); g.failures.Len() > 0 {
		t.Errorf("told twice: %s", g.failures)
	}
}

// A refusal in the log says what happened and what an administrator does.
func TestSuitePlainReasons(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		now := clock.NewFake(clock.System{}.Now())
		g := newGateway(t, d, options{clock: now, limiter: limit.New(1, 30)})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		path := "/Users/" + c.must(201, "POST", "/Users", user("ann@x.example")).id()
		patch := func(op, path string, v any) map[string]any {
			return patchOp(map[string]any{"op": op, "path": path, "value": v})
		}
		ask := func(method, path string, headers map[string]string, body any, want ...string) {
			t.Helper()
			a := c.request(method, path, headers, body)
			now.Advance(2e9)
			list := c.entries(scim.LogFilter{Failed: true, Limit: 1})
			if a.status < 400 || len(list) != 1 || list[0].Status != a.status {
				t.Fatalf("%s %s: %v, logged %+v", method, path, a, list)
			}
			for _, w := range append(want, ".") {
				if !strings.Contains(list[0].Detail, w) || len(list[0].Detail) > 400 {
					t.Errorf("%s %s: %q, want %q", method, path, list[0].Detail, w)
				}
			}
		}
		ask("POST", "/Users", nil, user("ann@x.example"), "has this userName already", "match")
		ask("GET", "/Users"+searchFor("userName eq"), nil, nil, "filter", "matching attribute")
		ask("PATCH", path, nil, patch("add", "nickname2", "x"), "no such attribute", "nickname2", "mapping")
		ask("PATCH", path, nil, patch("add", "active", "maybe"), "true or false", "active", "mapping")
		ask("PATCH", path, nil, patch("replace", "id", "x"), "read-only", "id", "mapping")
		ask("PATCH", path, nil, patch("replace", `emails[type eq "fax"].value`, "x"), "matches nothing", "profile")
		ask("POST", "/Users", nil, "{", "JSON", "profile")
		ask("GET", "/Users/res_aaaaaaaaaaaaaaaaaaaaaaaaaa", nil, nil, "deleted")
		ask("GET", "/User", nil, nil, "address")
		ask("PUT", "/Users", nil, "{}", "PUT", "address")
		ask("PATCH", path, map[string]string{"If-Match": `W/"9"`}, patch("add", "title", "x"), "changed", "by itself")
		ask("POST", "/Users", map[string]string{"Content-Type": "text/xml"}, "<a/>", "type", "SCIM 2.0")
		ask("GET", "/Me", nil, nil, "directory")
		ask("GET", "/Users?cursor=forged", nil, nil, "cursor", "by itself")
		ask("GET", "/Users", map[string]string{"Authorization": "Bearer gws_wrong"}, nil, "token", "Why:", "Copy a token")
		ask("GET", "/Users", map[string]string{"Authorization": ""}, nil, "token", "Copy a token")
		for range 40 {
			c.do("GET", "/Users", nil)
		}
		ask("GET", "/Users", nil, nil, "by itself")
	})
}

// /Me is the resource of the person whose access token asks, and nothing else is
// open to it.
func TestSuiteMe(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c, other := g.connect(g.tenant("a"), "rfc", "soft"), g.connect(g.tenant("b"), "rfc", "soft")
		sibling := g.connect(c.tenant, "rfc", "soft")
		ann := c.must(201, "POST", "/Users", user("ann@x.example"))
		c.must(201, "POST", "/Users", user("bob@x.example"))
		var person string
		if err := d.QueryRow(t.Context(), `SELECT user_id FROM memberships WHERE tenant_id = $1 AND user_name_key = 'ann@x.example'`, c.tenant).Scan(&person); err != nil {
			t.Fatal(err)
		}
		g.scim.UserToken = func(_ context.Context, e tenants.Environment, token string) (string, string, error) {
			if e.ID != g.env.ID || token != "a.good.one" {
				return "", "", fault.New(fault.Unauthenticated, "invalid_token", "The access token is not valid.")
			}
			return c.tenant, person, nil
		}
		mine := map[string]string{"Authorization": "Bearer a.good.one"}
		for _, path := range []string{"/Me", "/Me/", "/Me?attributes=userName"} {
			for _, method := range []string{"GET", "HEAD"} {
				if a := c.request(method, path, mine, nil); a.status != 200 || a.id() != ann.id() || a.header.Get("Location") != baseURL+c.base+"/Users/"+ann.id() {
					t.Errorf("%s %s: %v %v", method, path, a, a.header)
				}
			}
		}
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
			if a := c.request(method, "/Me", mine, user("ann@x.example")); a.status != 501 {
				t.Errorf("%s: %v", method, a)
			}
		}
		for _, path := range []string{"/Users", "/Users/" + ann.id(), "/", "/Schemas", "/Users/Me", "/Nothing", "/Users/" + ann.id() + "%2Fv2%2FMe"} {
			if a := c.request("GET", path, mine, nil); a.status != 401 {
				t.Errorf("%s with a person's token: %v", path, a)
			}
		}
		for name, x := range map[string]struct {
			c      connection
			token  string
			status int
		}{
			"a bad token":           {c, "Bearer a.bad.one", 401},
			"another tenant":        {other, "Bearer a.good.one", 401},
			"another connection":    {sibling, "Bearer a.good.one", 404},
			"the directory's token": {c, "Bearer " + c.token, 501},
		} {
			if a := x.c.request("GET", "/Me", map[string]string{"Authorization": x.token}, nil); a.status != x.status {
				t.Errorf("%s: %v, want %d", name, a, x.status)
			}
		}
		for _, id := range []string{"%00", "x", "sso_" + c.id[4:]} {
			nowhere := c
			nowhere.base = "/scim/" + id + "/v2"
			if a := nowhere.request("GET", "/Me", mine, nil); a.status != 401 {
				t.Errorf("connection %s: %v", id, a)
			}
		}
		c.must(204, "DELETE", "/Users/"+ann.id(), nil)
		if a := c.request(http.MethodGet, "/Me", mine, nil); a.status != 404 {
			t.Errorf("after deletion: %v", a)
		}
	})
}

// What the list of scimTypes of RFC 7644 §3.12 gives for each kind of refusal is
// covered above; an error answers every media type of a request alike.
func TestSuiteErrorForm(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		for _, accept := range []string{"", "text/html", "application/json", "application/xml;q=1"} {
			for path, status := range map[string]int{"/Users/x": 404, "/Nothing": 404, "/Users?count=x": 400, "/Schemas?filter=x": 403, "/Bulk": 405, "/Me": 501} {
				a := c.request("GET", path, map[string]string{"Accept": accept}, nil)
				if a.status != status || fmt.Sprint(a.field("schemas")) != "["+schema.ErrorURN+"]" {
					t.Errorf("%s with Accept %q: %v", path, accept, a)
				}
			}
		}
	})
}
