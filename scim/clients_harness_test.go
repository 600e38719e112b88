package scim_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/scim"
)

// What clients send and what a right answer is, per client: each case stands for
// a request that the named client makes, or one that its rule lets it make.

// vendor is a connection of a profile with users and groups that cases refer to
// as {{u1}} to {{u4}} and {{g1}}; {{E}} is the enterprise extension.
type vendor struct {
	connection
	vars variables
	t    *testing.T
	n    int
}

// eachVendor runs f on a connection of each profile, on both engines.
func eachVendor(t *testing.T, profiles string, f func(c *vendor)) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		for _, profile := range strings.Fields(profiles) {
			t.Run(profile, func(t *testing.T) {
				c := &vendor{t: t, connection: g.connect(g.tenant(profile), profile, "hard"), vars: variables{
					"E": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User", "base": baseURL,
				}}
				for i, id := range c.users(4, "member") {
					c.vars[fmt.Sprint("u", i+1)] = id
				}
				c.vars["g1"] = c.must(201, "POST", "/Groups", map[string]any{"displayName": "inner"}).id()
				f(c)
				if g.failures.Len() > 0 {
					t.Errorf("logged as our fault: %s", g.failures)
					g.failures.Reset()
				}
			})
		}
	})
}

// op is one operation of a PATCH; path and value are left out when empty.
func op(name, path, value string) string {
	s := `{"op":"` + name + `"`
	if path != "" {
		s += `,"path":` + string(must(json.Marshal(path)))
	}
	if value != "" {
		s += `,"value":` + value
	}
	return s + `}`
}

func ops(list ...string) string {
	return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[` + strings.Join(list, ",") + `]}`
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func parse(t *testing.T, text string) map[string]any {
	t.Helper()
	o := map[string]any{}
	if err := json.Unmarshal([]byte("{"+text+"}"), &o); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return o
}

// patchCase is a PATCH of a new user. start holds attributes that the user has
// besides userName and active, want those that differ then (null: gone), or "!"
// and the scimType of the refusal, after which nothing may have changed. rules
// are the dialect rules that the log must name.
type patchCase struct{ start, ops, want, rules string }

func (c *vendor) patches(cases []patchCase) {
	c.t.Helper()
	for _, x := range cases {
		c.patch(x)
	}
}

func (c *vendor) patch(x patchCase) {
	c.t.Helper()
	c.n++
	want := parse(c.t, c.vars.text(x.start))
	want["userName"], want["active"] = fmt.Sprintf("case%d@x.example", c.n), true
	path := "/Users/" + c.must(201, "POST", "/Users", want).id()
	before := resource(c.must(200, "GET", path, nil))
	scimType, refused := strings.CutPrefix(x.want, "!")
	a := c.do("PATCH", path, c.vars.text(ops(x.ops)))
	state := c.must(200, "GET", path, nil)
	switch got := resource(state); {
	case refused:
		if a.status != 400 || a.field("scimType") != scimType {
			c.t.Errorf("%s\n on {%s}\n answers %s\n want %s", x.ops, x.start, a, scimType)
		}
		if !reflect.DeepEqual(got, before) || state.header.Get("ETag") != `W/"1"` {
			c.t.Errorf("%s\n was refused and left %v", x.ops, got)
		}
	case a.status != 200:
		c.t.Errorf("%s\n on {%s}\n answers %s", x.ops, x.start, a)
	default:
		for k, v := range parse(c.t, c.vars.text(x.want)) {
			before[k] = v
			if v == nil {
				delete(before, k)
			}
		}
		if !reflect.DeepEqual(got, before) {
			c.t.Errorf("%s\n on {%s}\n gives %v\n want  %v", x.ops, x.start, got, before)
		}
		if !reflect.DeepEqual(resource(a), got) {
			c.t.Errorf("%s\n answers %v, but the user is %v", x.ops, a, got)
		}
	}
	c.fired(path, x.rules)
}

// resource is the answered resource without what the server assigns.
func resource(a answer) map[string]any {
	o := map[string]any{}
	m, _ := a.doc.(map[string]any)
	for k, v := range m {
		if k != "id" && k != "meta" && k != "schemas" && k != "groups" {
			o[k] = v
		}
	}
	return o
}

// fired asserts that the last entry of the log of a path names the rules.
func (c *vendor) fired(path, rules string) {
	c.t.Helper()
	if rules == "" {
		return
	}
	path = strings.TrimSuffix(path, "?") // an empty query is none
	for _, e := range c.entries(scim.LogFilter{Limit: 50}) {
		if e.Path != path || e.Method == "GET" && !strings.Contains(path, "?") {
			continue
		}
		for _, r := range strings.Fields(rules) {
			if !slices.Contains(e.Rules, r) {
				c.t.Errorf("%s %s fired %v, want %s; %s", e.Method, path, e.Rules, r, e.Body)
			}
		}
		return
	}
	c.t.Errorf("no entry of %s in the log", path)
}

// groupCase is a PATCH of a new group: start and want are its members ("u1 u2"),
// or want is "!" and a scimType.
type groupCase struct{ start, ops, want, rules string }

func (c *vendor) groups(cases []groupCase) {
	c.t.Helper()
	for _, x := range cases {
		c.n++
		path := "/Groups/" + c.must(201, "POST", "/Groups", map[string]any{
			"displayName": fmt.Sprint("Case ", c.n), "members": members(c.named(x.start)...),
		}).id()
		c.vars["id"] = strings.TrimPrefix(path, "/Groups/")
		a := c.do("PATCH", path, c.vars.text(ops(x.ops)))
		scimType, refused := strings.CutPrefix(x.want, "!")
		want := c.named(x.want)
		if refused {
			want = c.named(x.start)
			if a.status != 400 || a.field("scimType") != scimType {
				c.t.Errorf("%s\n answers %s\n want %s", x.ops, a, scimType)
			}
		} else if a.status != 204 || len(a.raw) > 0 {
			c.t.Errorf("%s\n answers %s", x.ops, a)
		}
		slices.Sort(want)
		if got := c.membersOf(c.vars["id"]); !slices.Equal(got, want) {
			c.t.Errorf("%s\n on %s leaves %v\n want %s", x.ops, x.start, got, x.want)
		}
		c.fired(path, x.rules)
	}
}

func (c *vendor) named(names string) []string {
	var ids []string
	for _, name := range strings.Fields(names) {
		ids = append(ids, c.vars[name])
	}
	return ids
}

// exchange is a request with its answer. req is method and path, then maybe
// "> name" to keep the id; want is what the answer holds: objects may hold more,
// null is absent, "<string>", "<number>",
// "<boolean>" and "<list>" are types.
type exchange struct {
	req, body string
	status    int
	want      string
	rules     string
}

func (c *vendor) exchanges(list []exchange) {
	c.t.Helper()
	for _, x := range list {
		req, keep, _ := strings.Cut(x.req, " > ")
		method, path, _ := strings.Cut(c.vars.text(req), " ")
		var body any
		if x.body != "" {
			body = c.vars.text(x.body)
		}
		a := c.do(method, path, body)
		if a.status != x.status {
			c.t.Errorf("%s %s: %s, want %d", x.req, x.body, a, x.status)
			continue
		}
		if keep != "" {
			c.vars[keep] = a.id()
		}
		if x.want != "" {
			if at := differs("$", a.doc, any(parse(c.t, c.vars.text(x.want)))); at != "" {
				c.t.Errorf("%s %s: %s\n in %s", x.req, x.body, at, a)
			}
		}
		c.fired(path, x.rules)
	}
}

// differs says where got is not what is wanted of it; empty: nowhere.
func differs(at string, got, want any) string {
	switch want := want.(type) {
	case map[string]any:
		o, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s is %v, want an object", at, got)
		}
		for k, v := range want {
			if v == nil && o[k] == nil {
				continue
			}
			if d := differs(at+"."+k, o[k], v); d != "" {
				return d
			}
		}
		return ""
	case []any:
		l, ok := got.([]any)
		if !ok || len(l) != len(want) {
			return fmt.Sprintf("%s is %v, want %v", at, got, want)
		}
		for i := range l {
			if d := differs(fmt.Sprintf("%s[%d]", at, i), l[i], want[i]); d != "" {
				return d
			}
		}
		return ""
	case string:
		if kinds := map[string]string{"<string>": "string", "<number>": "float64", "<boolean>": "bool", "<list>": "[]interface {}"}; kinds[want] != "" {
			if fmt.Sprintf("%T", got) == kinds[want] {
				return ""
			}
		}
	}
	if reflect.DeepEqual(got, want) {
		return ""
	}
	return fmt.Sprintf("%s is %v, want %v", at, got, want)
}
