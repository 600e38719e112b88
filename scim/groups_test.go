package scim_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

func (c connection) users(n int, prefix string) []string {
	c.g.t.Helper()
	ids := make([]string, n)
	for i := range ids {
		ids[i] = c.must(201, "POST", "/Users", user(fmt.Sprintf("%s%d@x.example", prefix, i))).id()
	}
	return ids
}

func (c connection) membersOf(group string) []string {
	c.g.t.Helper()
	list, _ := c.must(200, "GET", "/Groups/"+group, nil).field("members").([]any)
	var ids []string
	for _, m := range list {
		o, _ := m.(map[string]any)
		ids = append(ids, fmt.Sprint(o["value"]))
	}
	slices.Sort(ids)
	return ids
}

func TestGroupMembership(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "okta", "soft")
		u := c.users(4, "u")
		group := c.must(201, "POST", "/Groups", map[string]any{"displayName": "Eng", "members": members(u[0], u[1])}).id()
		want := func(step string, ids ...string) {
			t.Helper()
			slices.Sort(ids)
			if got := c.membersOf(group); !slices.Equal(got, ids) {
				t.Errorf("%s: members %q, want %q", step, got, ids)
			}
		}
		change := func(ops ...map[string]any) { t.Helper(); c.must(204, "PATCH", "/Groups/"+group, patchOp(ops...)) }
		want("create", u[0], u[1])
		change(map[string]any{"op": "replace", "value": map[string]any{"id": group, "displayName": "Engineers"}})
		want("a rename keeps the members", u[0], u[1])
		change(map[string]any{"op": "remove", "path": `members[value eq "` + u[0] + `"]`}, map[string]any{"op": "add", "path": "members", "value": members(u[2])})
		want("Okta's remove and add", u[1], u[2])
		change(map[string]any{"op": "Remove", "path": "members", "value": members(u[1])})
		want("Entra's remove by value", u[2])
		change(map[string]any{"op": "remove", "path": `members[value eq "res_nobody"]`})
		want("removing a stranger", u[2])
		change(map[string]any{"op": "replace", "path": "members", "value": members(u[0], u[3])})
		want("replace", u[0], u[3])
		c.must(200, "PUT", "/Groups/"+group, map[string]any{"displayName": "Engineers"})
		want("PUT without members", u[0], u[3])
		c.must(200, "PUT", "/Groups/"+group, map[string]any{"displayName": "Engineers", "members": members(u[1])})
		want("PUT with members", u[1])
		change(map[string]any{"op": "replace", "path": "members", "value": []any{}})
		want("empty push")
		if a := c.do("PATCH", "/Groups/"+group, patchOp(map[string]any{"op": "add", "path": "members", "value": members(u[0], "res_nobody")})); a.status != 400 || a.field("scimType") != "invalidValue" {
			t.Errorf("an unknown member: %v", a)
		}
		want("nothing of a refused PATCH stays")
		before := c.must(200, "GET", "/Groups/"+group+"?excludedAttributes=members", nil)
		if _, there := before.doc.(map[string]any)["members"]; there {
			t.Error("excluded members are sent")
		}
		change(map[string]any{"op": "add", "path": "members", "value": members(u[0])})
		after := c.must(200, "GET", "/Groups/"+group, nil)
		if after.header.Get("ETag") == before.header.Get("ETag") {
			t.Error("a new member does not change the version")
		}
		change(map[string]any{"op": "add", "path": "members", "value": members(u[0])})
		if again := c.must(200, "GET", "/Groups/"+group, nil); again.header.Get("ETag") != after.header.Get("ETag") {
			t.Error("adding a member again changes the version")
		}
		if a := c.must(200, "GET", "/Users/"+u[0], nil); !strings.Contains(string(a.raw), group) || !strings.Contains(string(a.raw), `"display":"Engineers"`) {
			t.Errorf("groups of the user: %v", a)
		}
		if a := c.must(200, "GET", "/Users?filter=userName+sw+%22u%22", nil); strings.Count(string(a.raw), group) == 0 {
			t.Errorf("groups in a list: %v", a)
		}
		c.must(200, "GET", "/Groups/"+group, nil)
		if a := c.must(200, "GET", `/Groups?filter=members.value+eq+"`+u[0]+`"`, nil); a.field("totalResults") != 1.0 {
			t.Errorf("filter by member: %v", a)
		}
		if n := g.count(`SELECT COUNT(*) FROM audit_events WHERE action IN ('group.member_added', 'group.member_removed')`); n != 13 {
			t.Errorf("%d events for 13 changes of membership", n)
		}
		c.must(204, "DELETE", "/Users/"+u[0], nil)
		want("a deleted user leaves")
		c.must(204, "DELETE", "/Groups/"+group, nil)
		c.must(404, "GET", "/Groups/"+group, nil)
		if n := g.count(`SELECT COUNT(*) FROM groups`); n != 0 {
			t.Errorf("%d groups left", n)
		}
	})
}

func TestNestedGroups(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		inner := c.must(201, "POST", "/Groups", map[string]any{"displayName": "inner"}).id()
		outer := c.must(201, "POST", "/Groups", map[string]any{"displayName": "outer", "members": members(inner)}).id()
		if got := c.membersOf(outer); !slices.Equal(got, []string{inner}) {
			t.Errorf("members %q", got)
		}
		a := c.do("PATCH", "/Groups/"+inner, patchOp(map[string]any{"op": "add", "path": "members", "value": members(outer)}))
		if a.status != 400 || a.field("scimType") != "invalidValue" {
			t.Errorf("a circle: %v", a)
		}
		c.must(204, "PATCH", "/Groups/"+outer, patchOp(map[string]any{"op": "remove", "path": "members"}))
		if got := c.membersOf(outer); len(got) != 0 {
			t.Errorf("members %q", got)
		}
	})
}

func TestUniqueDisplayName(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		entra, okta := g.connect(g.tenant("a"), "entra", "soft"), g.connect(g.tenant("b"), "okta", "soft")
		for _, c := range []connection{entra, okta} {
			c.must(201, "POST", "/Groups", map[string]any{"displayName": "Eng"})
		}
		if a := entra.do("POST", "/Groups", map[string]any{"displayName": "ENG"}); a.status != 409 || a.field("scimType") != "uniqueness" {
			t.Errorf("entra: %v", a)
		}
		okta.must(201, "POST", "/Groups", map[string]any{"displayName": "Eng"})
		other := entra.must(201, "POST", "/Groups", map[string]any{"displayName": "Ops"}).id()
		if a := entra.do("PATCH", "/Groups/"+other, patchOp(map[string]any{"op": "replace", "path": "displayName", "value": "eng"})); a.status != 409 {
			t.Errorf("rename: %v", a)
		}
	})
}

func TestConcurrentPatchesOfOneGroup(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "entra", "soft")
		u := c.users(50, "u")
		group := c.must(201, "POST", "/Groups", map[string]any{"displayName": "Eng"}).id()
		var wg sync.WaitGroup
		for _, id := range u {
			wg.Go(func() {
				if a := c.do("PATCH", "/Groups/"+group, patchOp(map[string]any{"op": "Add", "path": "members", "value": members(id)})); a.status != 204 {
					t.Errorf("PATCH: %v", a)
				}
			})
		}
		wg.Wait()
		if got := c.membersOf(group); len(got) != 50 {
			t.Errorf("%d members after 50 parallel adds", len(got))
		}
		if a := c.must(200, "GET", "/Groups/"+group+"?excludedAttributes=members", nil); a.header.Get("ETag") != `W/"51"` {
			t.Errorf("version %s after 50 changes", a.header.Get("ETag"))
		}
	})
}

// Parallel PATCHes of different attributes of one user, while groups take that
// user in and let others go: every change is there at the end.
func TestConcurrentPatchesLoseNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "entra", "soft")
		u := c.users(2, "u")
		ann, bob := u[0], u[1]
		attributes := []string{"title", "nickName", "displayName", "userType", "locale", "name.givenName", "name.familyName", "name.middleName", "externalId"}
		groups := make([]string, 8)
		for i := range groups {
			groups[i] = c.must(201, "POST", "/Groups", map[string]any{"displayName": fmt.Sprint("g", i), "members": members(bob)}).id()
		}
		var wg sync.WaitGroup
		patch := func(status int, path string, ops ...map[string]any) {
			wg.Go(func() {
				if a := c.do("PATCH", path, patchOp(ops...)); a.status != status {
					t.Errorf("PATCH %s: %v", path, a)
				}
			})
		}
		for _, name := range attributes {
			patch(200, "/Users/"+ann, map[string]any{"op": "Replace", "path": name, "value": "new " + name})
		}
		for _, group := range groups {
			patch(204, "/Groups/"+group, map[string]any{"op": "Add", "path": "members", "value": members(ann)})
			patch(204, "/Groups/"+group, map[string]any{"op": "Remove", "path": "members", "value": members(bob)})
			patch(204, "/Groups/"+group, map[string]any{"op": "Replace", "path": "externalId", "value": "ext " + group})
		}
		wg.Wait()
		got := c.must(200, "GET", "/Users/"+ann, nil)
		name, _ := got.field("name").(map[string]any)
		for _, a := range attributes {
			v := got.field(a)
			if _, sub, ok := strings.Cut(a, "."); ok {
				v = name[sub]
			}
			if v != "new "+a {
				t.Errorf("%s is %v", a, v)
			}
		}
		if want := fmt.Sprintf(`W/"%d"`, 1+len(attributes)); got.header.Get("ETag") != want {
			t.Errorf("version %s of the user, want %s", got.header.Get("ETag"), want)
		}
		if in, _ := got.field("groups").([]any); len(in) != len(groups) {
			t.Errorf("the user is in %d of %d groups", len(in), len(groups))
		}
		for _, group := range groups {
			if got := c.membersOf(group); !slices.Equal(got, []string{ann}) {
				t.Errorf("members %v, want %s alone", got, ann)
			}
			if a := c.must(200, "GET", "/Groups/"+group, nil); a.field("externalId") != "ext "+group || a.header.Get("ETag") != `W/"4"` {
				t.Errorf("group %v, ETag %s", a, a.header.Get("ETag"))
			}
		}
	})
}

func TestParallelCreatesOfOneUser(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "okta", "soft")
		var mu sync.Mutex
		seen := map[int]int{}
		var wg sync.WaitGroup
		for range 12 {
			wg.Go(func() {
				a := c.do("POST", "/Users", user("ann@x.example"))
				mu.Lock()
				defer mu.Unlock()
				seen[a.status]++
			})
		}
		wg.Wait()
		if seen[201] != 1 || seen[409] != 11 {
			t.Errorf("statuses %v; %s", seen, g.failures)
		}
		if n := g.count(`SELECT COUNT(*) FROM memberships`); n != 1 {
			t.Errorf("%d memberships", n)
		}
		if a := c.must(200, "GET", "/Users", nil); a.field("totalResults") != 1.0 {
			t.Errorf("total: %v", a)
		}
	})
}
