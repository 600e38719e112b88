package scim_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/scim"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// A secret stands in filters, paths and queries as well as in values.
func TestLogHidesComparedSecrets(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "okta", "soft")
		x := badge()
		x.Attributes = append(x.Attributes, tenants.SCIMAttribute{Name: "card", Type: "complex", Returned: "never", SubAttributes: []tenants.SCIMAttribute{{Name: "number"}}})
		g.put(c.tenant, x)
		path := "/Users/" + c.must(201, "POST", "/Users", user("ann@x.example")).id()
		for _, filter := range []string{`password eq "hush"`, `userName eq "a" and password eq "hush"`, `password eq "hush`, badgeURN + `:pin eq "hush"`, badgeURN + `:pin eq hush`} {
			c.do("GET", "/Users?count=1&filter="+url.QueryEscape(filter), nil)
			c.do("POST", "/Users/.search", map[string]any{"filter": filter})
		}
		for _, key := range []string{"access_token", "token", "password", "client_secret", "Pass%77ord"} {
			c.do("GET", "/Users?count=1&"+key+"=hush", nil)
		}
		for _, p := range []string{`password[value eq "hush"]`, `emails[password eq "hush"].value`, badgeURN + `:pin[value eq "hush"]`, badgeURN + `:doors[code eq "hush"].type`, `password["hush`} {
			c.do("PATCH", path, patchOp(map[string]any{"op": "replace", "path": p, "value": "x"}))
		}
		for _, p := range []string{"passwd", badgeURN + ":card.number", badgeURN + ":card"} {
			c.do("PATCH", path, patchOp(map[string]any{"op": "replace", "path": p, "value": "hush"}))
		}
		c.do("PATCH", path, patchOp(map[string]any{"op": "add", "value": map[string]any{badgeURN + ":card.number": "hush"}}))
		c.do("POST", "/Bulk", map[string]any{"Operations": []any{map[string]any{"method": "PATCH", "path": path + "?token=hush", "data": map[string]any{"password": "hush"}}}})
		nobody := "Bearer nobody"
		c.send(t.Context(), "GET", "/Users?access_token=hush", map[string]*string{"Authorization": &nobody}, nil)

		list := c.entries(scim.LogFilter{Limit: 200})
		if len(list) < 25 {
			t.Fatalf("%d entries", len(list))
		}
		for _, e := range list {
			for _, text := range []string{e.Path, e.Body, e.Detail} {
				if strings.Contains(text, "hush") {
					t.Errorf("%s %d: %s", e.Method, e.Status, text)
				}
			}
			for _, ch := range e.Changes {
				if strings.Contains(string(ch.Old)+string(ch.New), "hush") {
					t.Errorf("change of %s: %s", ch.Attr, ch.New)
				}
			}
		}

		// What is no secret stays readable, words in its values or not.
		for path, want := range map[string]string{
			`/Users?filter=` + url.QueryEscape(`userName eq "token@x.example"`):          `/Users?filter=` + url.QueryEscape(`userName eq "token@x.example"`),
			`/Users?access_token=x&count=1&filter=` + url.QueryEscape(`title eq "a;b&"`): `/Users?access_token=(hidden)&count=1&filter=` + url.QueryEscape(`title eq "a;b&"`),
		} {
			c.must(200, "GET", path, nil)
			if e := c.entries(scim.LogFilter{})[0]; e.Path != want {
				t.Errorf("%s is logged as %s", path, e.Path)
			}
		}
	})
}

// A create that is refused made no resource that its entry could name.
func TestLogOfRefusedCreate(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "entra", "soft")
		for _, kind := range []struct {
			path string
			body map[string]any
		}{{"/Users", user("ann@x.example")}, {"/Groups", map[string]any{"displayName": "Eng"}}} {
			c.must(201, "POST", kind.path, kind.body)
			c.must(409, "POST", kind.path, kind.body)
			if e := c.entries(scim.LogFilter{})[0]; e.Status != 409 || e.Resource != "" {
				t.Errorf("%s: %d %q", kind.path, e.Status, e.Resource)
			}
		}
	})
}

// deaf is a store that fails once, when members are read for an answer.
type deaf struct {
	db.DB
	fail bool
}

type noRow struct{}

func (noRow) Scan(...any) error { return errors.New("gone") }

func (s *deaf) QueryRow(ctx context.Context, sql string, args ...any) db.Row {
	if s.fail && strings.Contains(sql, "group_members") {
		s.fail = false
		return noRow{}
	}
	return s.DB.QueryRow(ctx, sql, args...)
}

// A change whose answer failed has two entries, and costs no others theirs.
func TestLogOfFailedAnswer(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		s := &deaf{DB: d}
		g := newGateway(t, s, options{})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		ids := c.users(1, "u")
		path := "/Groups/" + c.must(201, "POST", "/Groups", map[string]any{"displayName": "g"}).id()
		s.fail = true
		c.must(500, "PUT", path, map[string]any{"displayName": "h", "members": members(ids...)})
		c.must(404, "GET", "/Users/res_nobody", nil)
		got := map[int]int{}
		for _, e := range c.entries(scim.LogFilter{}) {
			got[e.Status]++
		}
		if got[404] != 1 || got[500] != 1 || got[200] != 1 {
			t.Errorf("entries by status: %v", got)
		}
	})
}
