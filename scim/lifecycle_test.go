package scim_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/sessions"
)

func (g *gateway) person(tenant, email string) directory.Person {
	g.t.Helper()
	list, _, err := g.directory.People(g.t.Context(), g.d, tenant, directory.Filter{Email: email})
	if err != nil || len(list) != 1 {
		g.t.Fatalf("people with %s: %v %v", email, list, err)
	}
	return list[0]
}

// signIn opens a session of the person in the tenant.
func (g *gateway) signIn(p directory.Person) string {
	g.t.Helper()
	var cookie string
	err := g.d.Tx(g.t.Context(), func(q db.Queryer) error {
		var err error
		_, cookie, err = g.sessions.Create(g.t.Context(), actor.Actor{Environment: g.env.ID, Tenant: p.Membership.Tenant}, q, sessions.Login{
			Environment: g.env.ID, UserID: p.User.ID, Idle: time.Hour, Absolute: time.Hour,
			Proof: sessions.Proof{Tenant: p.Membership.Tenant, Membership: p.Membership.ID, Method: "saml", AuthTime: time.Now()},
		})
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return cookie
}

func (g *gateway) signedIn(cookie string) bool {
	g.t.Helper()
	_, err := g.sessions.Find(g.t.Context(), g.d, g.env.ID, cookie)
	if err != nil && !errors.Is(err, sessions.ErrNoSession) {
		g.t.Fatal(err)
	}
	return err == nil
}

func TestDeactivationEndsSessions(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "entra", "soft")
		for name, off := range map[string]map[string]any{
			"okta":    {"op": "replace", "value": map[string]any{"active": false}},
			"entra":   {"op": "Replace", "path": "active", "value": "False"},
			"rfc":     {"op": "replace", "path": "active", "value": false},
			"deleted": nil,
		} {
			email := name + "@x.example"
			id := c.must(201, "POST", "/Users", user(email)).id()
			p := g.person(c.tenant, email)
			cookie := g.signIn(p)
			if !g.signedIn(cookie) {
				t.Fatal("no session to end")
			}
			c.must(200, "PATCH", "/Users/"+id, patchOp(map[string]any{"op": "replace", "path": "title", "value": "x"}))
			if !g.signedIn(cookie) {
				t.Errorf("%s: a change of title ended the session", name)
			}
			if off == nil {
				c.must(204, "DELETE", "/Users/"+id, nil)
			} else {
				c.must(200, "PATCH", "/Users/"+id, patchOp(off))
			}
			if g.signedIn(cookie) {
				t.Errorf("%s: the session lives on", name)
			}
			if off == nil {
				continue
			}
			if err := g.person(c.tenant, email).Membership.Usable(time.Now()); !errors.Is(err, directory.ErrDeprovisioned) {
				t.Errorf("%s: usable: %v", name, err)
			}
			c.must(200, "PATCH", "/Users/"+id, patchOp(map[string]any{"op": "Replace", "path": "active", "value": "True"}))
			if err := g.person(c.tenant, email).Membership.Usable(time.Now()); err != nil {
				t.Errorf("%s: activated again: %v", name, err)
			}
		}
	})
}

func TestDeleteModes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		for _, mode := range []string{"soft", "hard"} {
			c := g.connect(g.tenant(mode), "okta", mode)
			email := mode + "@x.example"
			first := c.must(201, "POST", "/Users", user(email)).id()
			before := g.person(c.tenant, email)
			c.must(204, "DELETE", "/Users/"+first, nil)
			c.must(404, "GET", "/Users/"+first, nil)
			c.must(404, "DELETE", "/Users/"+first, nil)
			if a := c.must(200, "GET", "/Users", nil); a.field("totalResults") != 0.0 {
				t.Errorf("%s: still listed: %v", mode, a)
			}
			if n := g.count(`SELECT COUNT(*) FROM memberships WHERE tenant_id = $1`, c.tenant); (n == 1) != (mode == "soft") {
				t.Errorf("%s: %d memberships after DELETE", mode, n)
			}
			link, err := g.directory.FindLink(t.Context(), d, directory.LinkQuery{Environment: g.env.ID, Tenant: c.tenant, Connection: "sso_x", SubjectKey: "k", Email: email})
			if err != nil || mode == "hard" && link.Outcome != directory.LinkRefused {
				t.Errorf("%s: a login after DELETE: %+v %v", mode, link, err)
			}
			second := c.must(201, "POST", "/Users", user(email)).id()
			if second == first {
				t.Errorf("%s: the id of a deleted resource is used again", mode)
			}
			after := g.person(c.tenant, email)
			if after.User.ID != before.User.ID || (after.Membership.ID == before.Membership.ID) != (mode == "soft") {
				t.Errorf("%s: created again as user %s, membership %s; was %s, %s", mode, after.User.ID, after.Membership.ID, before.User.ID, before.Membership.ID)
			}
		}
	})
}

func TestDefaultRoles(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "okta", "soft")
		c.must(201, "POST", "/Users", user("ann@x.example"))
		want := g.count(`SELECT COUNT(*) FROM roles WHERE is_default AND owner_tenant_id = ''`)
		if n := g.count(`SELECT COUNT(*) FROM membership_roles`); n != want {
			t.Errorf("%d roles of a new member, want the %d default ones", n, want)
		}
	})
}

func TestPasswordIsNotKept(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "okta", "soft")
		body := user("ann@x.example")
		body["password"] = "t0p-s3cret-1"
		id := c.must(201, "POST", "/Users", body).id()
		c.must(200, "PATCH", "/Users/"+id, patchOp(map[string]any{"op": "replace", "value": map[string]any{"password": "t0p-s3cret-2"}}))
		c.must(200, "PATCH", "/Users/"+id, patchOp(map[string]any{"op": "replace", "path": "password", "value": "t0p-s3cret-3"}))
		c.do("POST", "/Users", `{"password":"t0p-s3cret-4",`)
		c.do("POST", "/Users", `{"p\u0061ssword":"t0p-s3cret-5"}`)
		if err := g.log.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"users", "memberships", "scim_resources", "scim_requests", "audit_events"} {
			rows, err := d.Query(t.Context(), everything[table])
			if err != nil {
				t.Fatal(err)
			}
			for rows.Next() {
				var text string
				if err := rows.Scan(&text); err != nil {
					t.Fatal(err)
				}
				if strings.Contains(text, "s3cret") {
					t.Errorf("%s holds a password: %s", table, text)
				}
			}
			rows.Close()
		}
	})
}

var everything = map[string]string{
	"users":          `SELECT email || password_hash || name FROM users`,
	"memberships":    `SELECT email || display_name FROM memberships`,
	"scim_resources": `SELECT doc FROM scim_resources`,
	"scim_requests":  `SELECT body || changes || detail || path FROM scim_requests`,
	"audit_events":   `SELECT changes || metadata || targets FROM audit_events`,
}

func TestCostOfRequests(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "entra", "soft")
		c.must(200, "GET", "/Users", nil) // the token's first use is written
		seq := 0
		cost := func(method, path string, body any) (statements, trips int64) {
			t.Helper()
			ctx, counter := db.Count(t.Context())
			if a := c.send(ctx, method, path, nil, encode(t, body)); a.status >= 300 {
				t.Fatalf("%s %s: %v", method, path, a)
			}
			return counter.Statements(), counter.RoundTrips()
		}
		within := func(what string, statements, trips, maxStatements, maxTrips int64) {
			t.Helper()
			if statements > maxStatements || trips > maxTrips && d.Dialect().Name == db.Postgres {
				t.Errorf("%s: %d statements in %d round trips, at most %d in %d", what, statements, trips, maxStatements, maxTrips)
			}
		}
		fresh := func() string {
			seq++
			return strings.Repeat("u", seq) + "@x.example"
		}
		s, r := cost("POST", "/Users", user(fresh()))
		within("create", s, r, 16, 4)
		s, r = cost("GET", "/Users?filter=userName+eq+%22u@x.example%22", "")
		within("lookup", s, r, 3, 2)
		id := c.must(201, "POST", "/Users", user(fresh())).id()
		s, r = cost("PATCH", "/Users/"+id, patchOp(map[string]any{"op": "Replace", "path": "active", "value": "False"}))
		within("deactivate", s, r, 13, 4)
		group := c.must(201, "POST", "/Groups", map[string]any{"displayName": "g"}).id()
		add := func() (int64, int64) {
			id := c.must(201, "POST", "/Users", user(fresh())).id()
			return cost("PATCH", "/Groups/"+group, patchOp(map[string]any{"op": "Add", "path": "members", "value": members(id)}))
		}
		smallS, smallR := add()
		within("add member", smallS, smallR, 8, 4)
		for range 40 {
			add()
		}
		if s, r := add(); s != smallS || r != smallR {
			t.Errorf("add member: %d statements in %d trips to a large group, %d in %d to a small one", s, r, smallS, smallR)
		}
		many := c.users(60, "m")
		s, _ = cost("PATCH", "/Groups/"+group, patchOp(map[string]any{"op": "Add", "path": "members", "value": members(many...)}))
		within("add 60 members", s, 0, 8, 0)
		for _, path := range []string{"/Groups/" + group + "?excludedAttributes=members", "/Users/" + id} {
			s, r = cost("GET", path, "")
			within(path, s, r, 3, 2)
		}
		one, _ := cost("GET", "/Users?count=1", "")
		if all, _ := cost("GET", "/Users?count=100", ""); all != one {
			t.Errorf("a page of 100 costs %d statements, a page of one %d", all, one)
		}
	})
}

func TestClientGone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "okta", "soft")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if a := c.send(ctx, "POST", "/Users", nil, encode(t, user("ann@x.example"))); a.status != 500 && a.status != 503 {
			t.Errorf("a cancelled request: %v", a)
		}
		c.must(201, "POST", "/Users", user("ann@x.example"))
	})
}

// Who comes back is in no group of his directory until it says so, even where a
// change of a group ran beside his deletion and put him back.
func TestRevivalBringsNoGroups(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		id := c.must(201, "POST", "/Users", user("ann@x.example")).id()
		group := c.must(201, "POST", "/Groups", map[string]any{"displayName": "g", "members": members(id)}).id()
		c.must(204, "DELETE", "/Users/"+id, nil)
		if n := g.count(`SELECT COUNT(*) FROM audit_events WHERE tenant_id = $1 AND action = 'group.member_removed'`, c.tenant); n != 1 {
			t.Errorf("%d events of his leaving", n)
		}
		err := d.Tx(t.Context(), func(q db.Queryer) error {
			n, err := q.Exec(t.Context(), `INSERT INTO group_members (tenant_id, group_id, membership_id, added_at)
SELECT m.tenant_id, g.id, m.id, CAST(0 AS BIGINT) FROM memberships m JOIN groups g ON g.tenant_id = m.tenant_id WHERE m.tenant_id = $1`, c.tenant)
			if err == nil && n != 1 {
				t.Errorf("%d rows", n)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		again := c.must(201, "POST", "/Users", user("ann@x.example")).id()
		if a := c.must(200, "GET", "/Users/"+again, nil); a.field("groups") != nil || len(c.membersOf(group)) > 0 {
			t.Errorf("revived: %v, members %v", a, c.membersOf(group))
		}
	})
}
