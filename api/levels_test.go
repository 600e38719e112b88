package api

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// levelTenant is a tenant of the walk and what is known in it.
type levelTenant struct {
	id                          string
	users, groups, roles, links []string
	tokens, sso                 []string
	bearers                     []string       // secrets of tokens, with which others act
	initial                     map[string]int // user → level at the beginning
}

// levelWalk is one run: people of two tenants, a parent and its sub-account, who are
// no stronger than strongest do what the table says.
type levelWalk struct {
	*rapid.T
	f         *fixture
	system    []string // roles of all tenants, of levels 0 to 9
	tenants   []*levelTenant
	strongest int
	log       []string
}

// levelAction is something that people of tenants can do. Whether it is refused is
// no matter here; a new way to grant or to act on people needs one line in
// levelActions.
type levelAction struct {
	name string
	do   func(w *levelWalk, as string, t *levelTenant)
}

var levelActions = []levelAction{
	{"roles of a user", func(w *levelWalk, as string, t *levelTenant) {
		w.send(as, "PUT", t.path("users", w.one(t.users), "roles"), object{"role_ids": w.roles(t)})
	}},
	{"user with roles", func(w *levelWalk, as string, t *levelTenant) {
		w.made(&t.users, w.send(as, "POST", t.path("users"), object{"email": w.email(), "role_ids": w.roles(t)}))
	}},
	{"user with default roles", func(w *levelWalk, as string, t *levelTenant) {
		w.made(&t.users, w.send(as, "POST", t.path("users"), object{"email": w.email()}))
	}},
	{"change of a user", func(w *levelWalk, as string, t *levelTenant) {
		w.send(as, "PATCH", t.path("users", w.one(t.users)), object{"email": w.email()})
	}},
	{"deletion of a user", func(w *levelWalk, as string, t *levelTenant) {
		w.send(as, "DELETE", t.path("users", w.one(t.users)), nil)
	}},
	{"disabling", func(w *levelWalk, as string, t *levelTenant) {
		w.send(as, "POST", t.path("users", w.one(t.users))+rapid.SampledFrom([]string{":disable", ":enable", ":logout", ":approve"}).Draw(w.T, "verb"), nil)
	}},
	{"access period", func(w *levelWalk, as string, t *levelTenant) {
		w.send(as, "PUT", t.path("users", w.one(t.users), "access"), object{"expiration_in_seconds": 900})
	}},
	{"group with roles", func(w *levelWalk, as string, t *levelTenant) {
		w.made(&t.groups, w.send(as, "POST", t.path("groups"), object{"name": w.email(), "role_ids": w.roles(t)}))
	}},
	{"roles of a group", func(w *levelWalk, as string, t *levelTenant) {
		w.send(as, "PUT", t.path("groups", w.one(t.groups), "roles"), object{"role_ids": w.roles(t)})
	}},
	{"name of a group", func(w *levelWalk, as string, t *levelTenant) {
		w.send(as, "PATCH", t.path("groups", w.one(t.groups)), object{"name": w.groupName()})
	}},
	{"deletion of a group", func(w *levelWalk, as string, t *levelTenant) {
		w.send(as, "DELETE", t.path("groups", w.one(t.groups)), nil)
	}},
	{"members into a group", func(w *levelWalk, as string, t *levelTenant) {
		w.send(as, "POST", t.path("groups", w.one(t.groups), "members"), object{"user_ids": w.some(t.users)})
	}},
	{"members out of a group", func(w *levelWalk, as string, t *levelTenant) {
		w.send(as, "DELETE", t.path("groups", w.one(t.groups), "members"), object{"user_ids": w.some(t.users)})
	}},
	{"mappings", func(w *levelWalk, as string, t *levelTenant) {
		list := []object{}
		for range rapid.IntRange(0, 2).Draw(w.T, "mappings") {
			list = append(list, object{"group": w.groupName(), "role_ids": w.roles(t)})
		}
		w.send(as, "PUT", t.path("group-role-mappings"), object{"mappings": list})
	}},
	{"default roles of a connection", func(w *levelWalk, as string, t *levelTenant) {
		w.send(as, "PATCH", t.path("sso-connections", w.one(t.sso)), object{"default_role_ids": w.roles(t)})
	}},
	{"role of the tenant's own", func(w *levelWalk, as string, t *levelTenant) {
		body := object{"name": w.email(), "default": rapid.Bool().Draw(w.T, "default")}
		if rapid.Bool().Draw(w.T, "based") {
			body["base_role_id"] = w.role(t)
		}
		w.made(&t.roles, w.send(as, "POST", t.path("roles"), body))
	}},
	{"change of a role", func(w *levelWalk, as string, t *levelTenant) {
		w.send(as, "PATCH", t.path("roles", w.one(t.roles)), object{"permissions": []string{"fe.secure.delete.users"}, "default": rapid.Bool().Draw(w.T, "default")})
	}},
	{"deletion of a role", func(w *levelWalk, as string, t *levelTenant) {
		w.send(as, "DELETE", t.path("roles", w.one(t.roles)), nil)
	}},
	{"change of a role of all", func(w *levelWalk, as string, _ *levelTenant) {
		w.send(as, "PATCH", "/roles/"+w.one(w.system), object{"level": 0})
	}},
	{"invitation", func(w *levelWalk, as string, t *levelTenant) {
		body := object{"emails": []string{w.email()}}
		if rapid.Bool().Draw(w.T, "named") {
			body["role_ids"] = w.roles(t)
		}
		w.send(as, "POST", t.path("invitations"), body)
	}},
	{"invite link", func(w *levelWalk, as string, t *levelTenant) {
		body := object{}
		if rapid.Bool().Draw(w.T, "named") {
			body["role_ids"] = w.roles(t)
		}
		w.made(&t.links, w.send(as, "POST", t.path("invite-links"), body))
	}},
	{"API token", func(w *levelWalk, as string, t *levelTenant) {
		made := w.send(as, "POST", t.path("api-tokens"), object{"kind": "access_token", "description": "x", "role_ids": w.roles(t)})
		w.made(&t.tokens, made)
		if s := text(made, "secret"); s != "" && made != nil {
			w.credentials(t, s)
		}
	}},
	{"personal token", func(w *levelWalk, as string, t *levelTenant) {
		u := as[strings.LastIndexByte(as, '.')+1:]
		if made := w.send(as, "POST", t.path("users", u, "api-tokens"), object{"kind": "access_token", "description": "x"}); made != nil {
			w.credentials(t, text(made, "secret"))
		}
	}},
	{"sub-account access", func(w *levelWalk, as string, t *levelTenant) {
		w.send(as, "PUT", t.path("users", w.one(t.users), "sub-account-access"), object{"access": rapid.SampledFrom([]string{"default", "on", "off"}).Draw(w.T, "access")})
	}},
}

func (t *levelTenant) path(parts ...string) string {
	return "/tenants/" + t.id + "/" + strings.Join(parts, "/")
}

// one draws an id; nothing there to draw from gives one that nobody has.
func (w *levelWalk) one(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return rapid.SampledFrom(list).Draw(w.T, "id")
}

func (w *levelWalk) some(list []string) []string {
	ids := []string{}
	for range rapid.IntRange(1, 2).Draw(w.T, "how many") {
		ids = append(ids, w.one(list))
	}
	return ids
}

func (w *levelWalk) role(t *levelTenant) string { return w.one(slices.Concat(w.system, t.roles)) }

func (w *levelWalk) roles(t *levelTenant) []string {
	ids := []string{}
	for range rapid.IntRange(0, 2).Draw(w.T, "roles") {
		ids = append(ids, w.role(t))
	}
	return ids
}

func (w *levelWalk) email() string {
	return fmt.Sprintf("x%d-%d@acme.example", len(w.log), rapid.IntRange(0, 1_000_000).Draw(w.T, "address"))
}

func (w *levelWalk) groupName() string {
	return rapid.SampledFrom([]string{"pushed", "asserted", "other"}).Draw(w.T, "group name")
}

// send gives the body of a success, nil otherwise.
func (w *levelWalk) send(as, method, path string, body any) object {
	res := w.f.sendAs(hostA, as, method, "/api/v1"+path, body)
	shown, _ := json.Marshal(body)
	w.log = append(w.log, fmt.Sprintf("%s %s %s %s: %d", as, method, path, shown, res.StatusCode))
	if res.StatusCode >= 500 {
		w.fail("failed")
	}
	if res.StatusCode >= 300 || res.StatusCode == http.StatusNoContent {
		return nil
	}
	return decodeObject(w.f.T, res)
}

func (w *levelWalk) made(list *[]string, o object) {
	if o != nil {
		*list = append(*list, text(o, "id"))
	}
}

// credentials makes the bearer of a token one of those who act.
func (w *levelWalk) credentials(t *levelTenant, secret string) {
	t.bearers = append(t.bearers, secret)
}

func (w *levelWalk) fail(format string, args ...any) {
	w.Fatalf("%s, the strongest actor being of level %d:\n%s", fmt.Sprintf(format, args...), w.strongest, strings.Join(w.log, "\n"))
}

// bearer is the level of a token's roles now.
func (w *levelWalk) bearer(secret string) int {
	a, err := w.f.h.APITokens.Authenticate(w.f.Context(), w.f.d, w.f.envs[hostA], secret, netip.Addr{})
	if err != nil {
		return actor.NoLevel
	}
	return a.Level.Int()
}

// actors are the credentials of those who act: everybody with roles who is no
// stronger than strongest at this moment.
func (w *levelWalk) actors() []string {
	list := []string{"nobody"}
	for _, t := range w.tenants {
		for _, u := range t.users {
			if level, _ := w.level(t, u); level >= w.strongest && level != actor.NoLevel {
				list = append(list, "as."+t.id+"."+u)
			}
		}
		for _, secret := range t.bearers {
			if level := w.bearer(secret); level >= w.strongest && level != actor.NoLevel {
				list = append(list, secret)
			}
		}
	}
	return list
}

// level is that of a user's effective roles, and whether he is there and enabled.
func (w *levelWalk) level(t *levelTenant, user string) (int, bool) {
	p, err := w.f.h.Directory.PersonOf(w.f.Context(), w.f.d, t.id, user)
	if fault.KindOf(err) == fault.NotFound {
		return actor.NoLevel, false
	}
	if err != nil {
		w.Fatal(err)
	}
	e, err := w.f.h.RBAC.Effective(w.f.Context(), w.f.d, t.id, p.Membership.ID)
	if err != nil {
		w.Fatal(err)
	}
	return e.Level, p.Membership.DisabledAt.IsZero() && p.Membership.ExpiresAt.IsZero()
}

// check asks for what must hold after every step.
func (w *levelWalk) check() {
	roles := map[string]int{}
	for _, t := range w.tenants {
		for _, r := range data(w.f.do(200, "GET", "/tenants/"+t.id+"/roles", nil)) {
			roles[text(r, "id")] = int(r["level"].(float64))
		}
		for _, secret := range t.bearers {
			if level := w.bearer(secret); level < w.strongest {
				w.fail("a token is of level %d", level)
			}
		}
		for _, u := range t.users {
			level, usable := w.level(t, u)
			initial, seeded := t.initial[u]
			switch {
			case seeded && initial < w.strongest: // who is stronger stays as he is (product 122)
				if level != initial || !usable {
					w.fail("user %s of level %d is of level %d now, usable %v", u, initial, level, usable)
				}
			case level < w.strongest:
				w.fail("user %s is of level %d", u, level)
			}
		}
		for _, list := range []string{"invitations", "invite-links", "api-tokens"} {
			for _, o := range data(w.f.do(200, "GET", "/tenants/"+t.id+"/"+list+"?limit=200", nil)) {
				for _, id := range o["role_ids"].([]any) {
					if level, ok := roles[id.(string)]; ok && level < w.strongest {
						w.fail("%s %v promises a role of level %d", list, o["id"], level)
					}
				}
			}
		}
	}
}

// levelTenantOf makes a tenant with one person of each level, three local groups of
// different strength, a group that a directory pushed, and a person with an
// identity whose groups were asserted.
func (w *levelWalk) levelTenantOf(id string) *levelTenant {
	f := w.f
	t := &levelTenant{id: id, initial: map[string]int{}}
	add := func(roles ...string) string {
		u := text(f.do(201, "POST", t.path("users"), object{"email": fmt.Sprintf("u%d@acme.example", len(t.users)), "role_ids": append([]string{}, roles...)}), "id")
		t.users = append(t.users, u)
		return u
	}
	for _, r := range w.system {
		add(r)
	}
	plain, pushed := add(), add()
	for _, r := range [][]string{{}, {w.system[1]}, {w.system[3]}} {
		t.groups = append(t.groups, text(f.do(201, "POST", t.path("groups"), object{"name": fmt.Sprint("g", len(t.groups)), "role_ids": r}), "id"))
	}
	f.do(200, "POST", t.path("groups", t.groups[2], "members"), object{"user_ids": []string{plain}})
	t.sso = []string{text(f.do(201, "POST", t.path("sso-connections"), object{"type": "saml", "name": "x", "idp_metadata_url": "https://idp.example/metadata"}), "id")}
	dir := text(f.do(201, "POST", t.path("scim-connections"), object{"name": "x"}), "id")
	membership := func(u string) string {
		p, err := f.h.Directory.PersonOf(f.Context(), f.d, t.id, u)
		if err != nil {
			w.Fatal(err)
		}
		return p.Membership.ID
	}
	exec := func(sql string, args ...any) {
		if _, err := f.d.Exec(f.Context(), sql, append([]any{t.id}, args...)...); err != nil {
			w.Fatal(err)
		}
	}
	exec(`INSERT INTO groups (tenant_id, id, name, name_key, managed_by, connection_id, created_at, updated_at) VALUES ($1, 'grp_pushed', 'pushed', 'pushed', 'scim', $2, 1, 1)`, dir)
	exec(`INSERT INTO group_members (tenant_id, group_id, membership_id, added_at) VALUES ($1, 'grp_pushed', $2, 1)`, membership(pushed))
	exec(`INSERT INTO identities (tenant_id, id, connection_id, subject_key, subject, membership_id, created_at) VALUES ($1, 'idn', $2, 'k', 's', $3, 1)`, t.sso[0], membership(plain))
	exec(`INSERT INTO identity_groups (tenant_id, connection_id, identity_id, name) VALUES ($1, $2, 'idn', 'asserted')`, t.sso[0])
	t.groups = append(t.groups, "grp_pushed")
	for _, u := range t.users {
		t.initial[u], _ = w.level(t, u)
	}
	return t
}

// levelChecks bounds the runs of a walk, which are many requests each; a number
// given by -rapid.checks stands. A failure is not kept: ids are new in each run.
func levelChecks(t *testing.T, n int) {
	set := func(name, value string) {
		f := flag.Lookup(name)
		if before := f.Value.String(); before == f.DefValue {
			if err := f.Value.Set(value); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = f.Value.Set(before) })
		}
	}
	set("rapid.checks", fmt.Sprint(n))
	set("rapid.nofailfile", "true")
}

// No sequence of what people of a tenant and their tokens can do gives anybody a
// role stronger than the strongest of them, promises one, or touches somebody
// stronger: product 105 and 121 to 123.
func TestNobodyGetsStronger(t *testing.T) {
	levelChecks(t, 12)
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.admitPeople()
		var system []string
		for _, level := range []int{0, 2, 4, 6, 8} {
			system = append(system, f.accountRole(fmt.Sprint("level-", level), level, "fe.secure.*", "fe.account-hierarchy.*", "fe.account-settings.*"))
		}
		runs, done := 0, map[string]int{}
		rapid.Check(t, func(r *rapid.T) {
			runs++
			w := &levelWalk{T: r, f: f, system: system}
			parent := text(f.do(201, "POST", "/tenants", object{"name": fmt.Sprint("t", runs), "subaccounts_enabled": true, "subaccount_access": "always_on"}), "id")
			child := text(f.do(201, "POST", "/tenants", object{"name": fmt.Sprint("t", runs, "child"), "parent_id": parent}), "id")
			w.tenants = []*levelTenant{w.levelTenantOf(parent), w.levelTenantOf(child)}
			w.strongest = rapid.SampledFrom([]int{2, 4, 6}).Draw(r, "strongest")
			w.check()
			for range rapid.IntRange(30, 60).Draw(r, "steps") {
				as := rapid.SampledFrom(w.actors()).Draw(r, "who")
				a := rapid.SampledFrom(levelActions).Draw(r, "what")
				before := len(w.log)
				a.do(w, as, rapid.SampledFrom(w.tenants).Draw(r, "where"))
				if len(w.log) == before || !strings.Contains(w.log[len(w.log)-1], ": 20") {
					continue // what is refused changes nothing, or the next step shows it
				}
				done[a.name]++
				w.check()
			}
			w.check()
		})
		for _, a := range levelActions {
			if done[a.name] == 0 {
				t.Logf("never succeeded: %s", a.name)
			}
		}
		t.Logf("%d runs; succeeded: %v", runs, done)
	})
}
