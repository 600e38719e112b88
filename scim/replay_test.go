package scim_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/scim"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// latest is the newest entry of a method.
func (c connection) latest(method string) scim.Entry {
	c.g.t.Helper()
	list := c.entries(scim.LogFilter{Method: method, Limit: 1})
	if len(list) != 1 {
		c.g.t.Fatalf("no %s in the log", method)
	}
	return list[0]
}

func (c connection) replay(e scim.Entry, dry bool) (scim.Entry, error) {
	c.g.t.Helper()
	return c.g.scim.Replay(c.g.t.Context(), c.g.admin, c.tenant, c.id, e.ID, dry)
}

func (c connection) mustReplay(e scim.Entry, dry bool) scim.Entry {
	c.g.t.Helper()
	got, err := c.replay(e, dry)
	if err != nil {
		c.g.t.Fatal(err)
	}
	return got
}

func TestReplay(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "entra", "soft")
		body := user("ann@x.example")
		body["password"] = "hunter2"
		taken := c.must(201, "POST", "/Users", user("ann@x.example")).id()
		c.must(409, "POST", "/Users", body)
		refused := c.latest("POST")
		if refused.Status != 409 {
			t.Fatalf("%+v", refused)
		}

		// While the cause lasts, so does the refusal.
		again := c.mustReplay(refused, false)
		if again.Status != 409 || !strings.HasPrefix(again.Detail, "uniqueness") || again.ReplayOf != refused.ID || again.ID == "" || again.ID == refused.ID {
			t.Errorf("replay of what is still refused: %+v", again)
		}
		c.must(204, "DELETE", "/Users/"+taken, nil)

		// A dry run says what would come and leaves no trace.
		users, entries, events := g.count(`SELECT COUNT(*) FROM scim_resources`), len(c.entries(scim.LogFilter{})), g.count(`SELECT COUNT(*) FROM audit_events`)
		tried := c.mustReplay(refused, true)
		if tried.Status != 201 || tried.ID != "" || !slices.ContainsFunc(tried.Changes, func(ch scim.Change) bool {
			return ch.Attr == "userName" && string(ch.New) == `"ann@x.example"`
		}) {
			t.Errorf("dry run: %+v", tried)
		}
		if n := g.count(`SELECT COUNT(*) FROM scim_resources`); n != users {
			t.Errorf("a dry run made %d resources", n-users)
		}
		if n := len(c.entries(scim.LogFilter{})); n != entries {
			t.Errorf("a dry run wrote %d log entries", n-entries)
		}
		if n := g.count(`SELECT COUNT(*) FROM audit_events`); n != events {
			t.Errorf("a dry run wrote %d events", n-events)
		}

		made := c.mustReplay(refused, false)
		if made.Status != 201 || made.Resource == "" || made.Resource == taken || len(made.Changes) == 0 {
			t.Fatalf("replay: %+v", made)
		}
		if a := c.must(200, "GET", "/Users/"+made.Resource, nil); a.field("userName") != "ann@x.example" {
			t.Errorf("%v", a)
		}
		stored, err := g.log.Get(t.Context(), d, c.tenant, c.id, made.ID)
		if err != nil || stored.Status != 201 || stored.ReplayOf != refused.ID || strings.Contains(stored.Body, "hidden") || strings.Contains(stored.Body, "password") {
			t.Errorf("log entry of the replay: %+v %v", stored, err)
		}
		if n := g.count(`SELECT COUNT(*) FROM audit_events WHERE actor_type = 'scim' AND actor_id = $1`, g.admin.Subject); n == 0 {
			t.Errorf("no event names who replayed")
		}

		// PATCH of a group: the members that moved are the change set.
		group := c.must(201, "POST", "/Groups", map[string]any{"displayName": "g", "members": members(made.Resource)}).id()
		c.must(204, "PATCH", "/Groups/"+group, patchOp(map[string]any{"op": "Remove", "path": "members", "value": members(made.Resource)}))
		removal := c.latest("PATCH")
		if len(removal.Changes) != 1 || removal.Changes[0].Attr != "members" || string(removal.Changes[0].Old) != `["ann@x.example"]` || removal.Changes[0].New != nil {
			t.Errorf("changes of a removal: %+v", removal.Changes)
		}
		c.must(204, "PATCH", "/Groups/"+group, patchOp(map[string]any{"op": "Add", "path": "members", "value": members(made.Resource)}))
		if tried := c.mustReplay(removal, true); tried.Status != 204 || len(tried.Changes) != 1 || string(tried.Changes[0].Old) != `["ann@x.example"]` {
			t.Errorf("dry run of a removal: %+v", tried)
		}
		if got := c.must(200, "GET", "/Groups/"+group, nil).field("members"); len(got.([]any)) != 1 {
			t.Errorf("a dry run moved members: %v", got)
		}
		if done := c.mustReplay(removal, false); done.Status != 204 || !slices.Contains(done.Rules, "removeByValue") {
			t.Errorf("replay of a removal: %+v", done)
		}
		if got := c.must(200, "GET", "/Groups/"+group, nil).field("members"); got != nil {
			t.Errorf("members after the replay: %v", got)
		}
		// A replay that finds nothing to do is in the log as well.
		idle := c.mustReplay(removal, false)
		if e, err := g.log.Get(t.Context(), d, c.tenant, c.id, idle.ID); err == nil {
			t.Errorf("written before its time: %+v", e)
		}
		c.entries(scim.LogFilter{}) // flushes
		if e, err := g.log.Get(t.Context(), d, c.tenant, c.id, idle.ID); err != nil || len(e.Changes) != 0 || e.ReplayOf != removal.ID {
			t.Errorf("replay without effect: %+v %v", e, err)
		}
		// DELETE has no body, and a second one finds nothing.
		c.must(204, "DELETE", "/Groups/"+group, nil)
		if e := c.mustReplay(c.latest("DELETE"), false); e.Status != 404 || !strings.HasPrefix(e.Detail, "There is no such user or group in this connection. It was deleted here") {
			t.Errorf("replay of a DELETE: %+v", e)
		}
	})
}

func TestReplayRefuses(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c, other := g.connect(g.tenant("a"), "entra", "soft"), g.connect(g.tenant("b"), "entra", "soft")
		sibling := g.connect(c.tenant, "okta", "soft")
		id := c.must(201, "POST", "/Users", user("ann@x.example")).id()
		created := c.latest("POST")
		refused := func(name, code string, e scim.Entry) {
			t.Helper()
			for _, dry := range []bool{true, false} {
				got, err := c.replay(e, dry)
				if fault.CodeOf(err) != code || fault.KindOf(err) != fault.Conflict {
					t.Errorf("%s: %+v %v, want %s", name, got, err, code)
				}
			}
		}
		c.must(200, "GET", "/Users/"+id, nil)
		refused("read", "replay_read", c.latest("GET"))
		c.must(200, "POST", "/Users/.search", map[string]any{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:SearchRequest"}})
		refused("search", "replay_read", c.latest("POST"))
		c.must(200, "POST", "/Bulk", map[string]any{"Operations": []any{map[string]any{"method": "DELETE", "path": "/Users/" + id}}})
		bulk := c.entries(scim.LogFilter{Method: "POST"})
		refused("bulk", "replay_bulk", bulk[slices.IndexFunc(bulk, func(e scim.Entry) bool { return e.Path == "/Bulk" })])
		if e := c.mustReplay(c.latest("DELETE"), true); e.Status != 404 {
			t.Errorf("operation of a bulk request: %+v", e)
		}
		long := user("long@x.example")
		long["nickName"] = strings.Repeat("é", 10_000)
		c.must(201, "POST", "/Users", long)
		refused("long", "replay_truncated", c.latest("POST"))
		c.must(400, "POST", "/Users", `{"password":"hunter2"`)
		refused("withheld", "replay_withheld", c.latest("POST"))
		c.must(400, "POST", "/Users", `{"userName":`)
		refused("not JSON", "replay_no_body", c.latest("POST"))
		c.must(400, "POST", "/Users", ``)
		refused("no body", "replay_no_body", c.latest("POST"))
		secret := user("secret@x.example")
		secret["apiToken"] = "abc"
		c.must(201, "POST", "/Users", secret)
		refused("secret", "replay_hidden_value", c.latest("POST"))
		if a := (connection{g: g, base: c.base, token: "guess"}).do("DELETE", "/Users/"+id, nil); a.status != 401 {
			t.Fatal(a)
		}
		refused("stranger", "replay_unauthenticated", c.latest("DELETE"))
		other.must(201, "POST", "/Users", user("eve@x.example"))
		foreign := other.latest("POST")
		for name, at := range map[string]struct{ tenant, connection, entry string }{
			"another tenant's entry":     {c.tenant, c.id, foreign.ID},
			"another connection's entry": {c.tenant, sibling.id, created.ID},
			"another tenant's name":      {other.tenant, c.id, created.ID},
			"no entry":                   {c.tenant, c.id, "log_none"},
		} {
			if _, err := g.scim.Replay(t.Context(), g.admin, at.tenant, at.connection, at.entry, false); fault.KindOf(err) != fault.NotFound {
				t.Errorf("%s: %v", name, err)
			}
		}
		paused := tenants.SCIMPaused
		err := d.Tx(t.Context(), func(q db.Queryer) error {
			_, err := g.tenants.UpdateSCIMConnection(t.Context(), g.admin, q, c.tenant, c.id, tenants.SCIMPatch{Status: &paused})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.replay(created, false); fault.CodeOf(err) != "connection_paused" {
			t.Errorf("paused: %v", err)
		}
		if e := c.mustReplay(created, true); e.Status != 201 {
			t.Errorf("dry run of a paused connection: %+v", e)
		}
	})
}

// A password does not keep a request from being repeated, and what stands for it
// in the log is never stored.
func TestReplayLeavesPasswordsOut(t *testing.T) {
	d := dbtest.Open(t, db.SQLite)
	g := newGateway(t, d, options{})
	c := g.connect(g.tenant("a"), "okta", "soft")
	id := c.must(201, "POST", "/Users", user("ann@x.example")).id()
	for name, ops := range map[string][]map[string]any{
		"own operation": {{"op": "replace", "path": "password", "value": "hunter2"}, {"op": "replace", "path": "title", "value": "own operation"}},
		"URN path":      {{"op": "replace", "path": "urn:ietf:params:scim:schemas:core:2.0:User:password", "value": "hunter2"}, {"op": "replace", "path": "title", "value": "URN path"}},
		"no path":       {{"op": "replace", "value": map[string]any{"password": "hunter2", "title": "no path"}}},
	} {
		c.must(200, "PATCH", "/Users/"+id, patchOp(ops...))
		e := c.latest("PATCH")
		c.must(200, "PATCH", "/Users/"+id, patchOp(map[string]any{"op": "remove", "path": "title"}))
		if got := c.mustReplay(e, false); got.Status != 200 || len(got.Changes) != 1 || string(got.Changes[0].New) != `"`+name+`"` {
			t.Errorf("%s: %+v", name, got)
		}
	}
	c.do("PATCH", "/Users/"+id, patchOp(map[string]any{"op": "replace", "path": "password", "value": "hunter2"}))
	if _, err := c.replay(c.latest("PATCH"), false); fault.CodeOf(err) != "replay_hidden_value" {
		t.Errorf("nothing but a password: %v", err)
	}
}

func TestLogFilters(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		now := clock.NewFake(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
		g := newGateway(t, d, options{clock: now})
		c := g.connect(g.tenant("a"), "okta", "soft")
		id := c.must(201, "POST", "/Users", user("ann@x.example")).id()
		now.Advance(time.Minute)
		c.must(409, "POST", "/Users", user("ann@x.example"))
		c.must(404, "GET", "/Users/res_x", nil)
		now.Advance(time.Minute)
		c.must(200, "GET", "/Users/"+id, nil)
		at := func(minutes int) time.Time {
			return time.Date(2026, 3, 1, 12, minutes, 0, 0, time.UTC)
		}
		for _, tt := range []struct {
			name string
			f    scim.LogFilter
			want []int // statuses, newest first
		}{
			{"everything", scim.LogFilter{}, []int{200, 404, 409, 201}},
			{"method", scim.LogFilter{Method: "POST"}, []int{409, 201}},
			{"class 2", scim.LogFilter{Status: 2}, []int{200, 201}},
			{"class 4", scim.LogFilter{Status: 4}, []int{404, 409}},
			{"class 5", scim.LogFilter{Status: 5}, nil},
			{"failed", scim.LogFilter{Failed: true}, []int{404, 409}},
			{"failed and class 2", scim.LogFilter{Failed: true, Status: 2}, nil},
			{"resource", scim.LogFilter{Resource: id}, []int{200, 201}},
			{"resource and method", scim.LogFilter{Resource: id, Method: "POST"}, []int{201}},
			{"from", scim.LogFilter{From: at(1)}, []int{200, 404, 409}},
			{"before", scim.LogFilter{To: at(1)}, []int{201}},
			{"between", scim.LogFilter{From: at(1), To: at(2)}, []int{404, 409}},
		} {
			var got []int
			for _, e := range c.entries(tt.f) {
				got = append(got, e.Status)
			}
			slices.Sort(got)
			slices.Sort(tt.want)
			if !slices.Equal(got, tt.want) {
				t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
			}
		}
	})
}

func TestLogIsKeptThirtyDays(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		now := clock.NewFake(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
		g := newGateway(t, d, options{clock: now})
		c, other := g.connect(g.tenant("a"), "okta", "soft"), g.connect(g.tenant("b"), "okta", "soft")
		c.must(201, "POST", "/Users", user("old@x.example"))
		other.must(404, "GET", "/Users/res_x", nil)
		other.entries(scim.LogFilter{})
		now.Advance(scim.LogRetention)
		c.must(201, "POST", "/Users", user("new@x.example"))
		purge := func() int {
			t.Helper()
			if err := g.log.Purge(t.Context()); err != nil {
				t.Fatal(err)
			}
			return len(c.entries(scim.LogFilter{})) + len(other.entries(scim.LogFilter{}))
		}
		if n := purge(); n != 3 {
			t.Errorf("%d of 3 entries after exactly 30 days", n)
		}
		now.Advance(time.Second)
		if n := purge(); n != 1 {
			t.Errorf("%d entries after 30 days, want the new one", n)
		}
		if n := g.count(`SELECT COUNT(*) FROM scim_resources`); n != 2 {
			t.Errorf("retention of the log left %d resources of 2", n)
		}
	})
}

func TestSuggestedProfile(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "generic", "soft")
		suggested := func() string {
			t.Helper()
			c.entries(scim.LogFilter{}) // flushes
			s, err := g.log.Suggested(t.Context(), d, c.tenant, c.id)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		id := c.must(201, "POST", "/Users", user("ann@x.example")).id()
		if s := suggested(); s != "" {
			t.Errorf("%q out of nothing", s)
		}
		c.must(200, "PATCH", "/Users/"+id, patchOp(map[string]any{"op": "Replace", "path": "active", "value": false}))
		if s := suggested(); s != "entra" || c.latest("PATCH").Suggested != "entra" {
			t.Errorf("by the body: %q", s)
		}
		agent := "Okta SCIM Client 1.0.0"
		if a := c.send(t.Context(), "GET", "/Users?count=1", map[string]*string{"User-Agent": &agent}, nil); a.status != 200 {
			t.Fatal(a)
		}
		if s := suggested(); s != "okta" {
			t.Errorf("by the User-Agent: %q", s)
		}
		same := g.connect(g.tenant("b"), "okta", "soft")
		same.send(t.Context(), "GET", "/Users?count=1", map[string]*string{"User-Agent": &agent}, nil)
		if e := same.latest("GET"); e.Suggested != "" {
			t.Errorf("suggests the profile that the connection has: %+v", e)
		}
	})
}
