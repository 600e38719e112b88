package filter

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gatehouse-id/gatehouse/scim/dialect"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

func TestRender(t *testing.T) {
	rfc := profile(t, "rfc")
	const values = "r.id IN (SELECT v.resource_id FROM scim_values v WHERE v.tenant_id = $1 AND v.connection_id = $2 AND v.attr = "
	for _, c := range []struct {
		filter, sql, args string
		exact             bool
	}{
		{`userName eq "Bob"`, `r.user_name_key = $4`, `[bob]`, true},
		{`userName eq "x' OR 1=1 --"`, `r.user_name_key = $4`, `[x' or 1=1 --]`, true},
		{`userName ne "Bob"`, `NOT COALESCE(r.user_name_key = $4, FALSE)`, `[bob]`, true},
		{`not (userName eq "Bob")`, `NOT COALESCE(r.user_name_key = $4, FALSE)`, `[bob]`, true},
		{`externalId eq "Ext"`, `r.external_id = $4`, `[Ext]`, true},
		{`externalId pr`, `NOT COALESCE(r.external_id IS NULL, FALSE)`, `[]`, true},
		{`displayName eq null`, `r.display_name_key IS NULL`, `[]`, true},
		{`id eq "res_1"`, `r.id = $4`, `[res_1]`, true},
		{`active eq true`, `r.active = $4`, `[true]`, true},
		{`active ne "True"`, `r.active = $4`, `[false]`, true},
		{`userName sw "Bo"`, `(r.user_name_key >= $4 AND r.user_name_key < $5)`, `[bo bp]`, true},
		{`userName sw "` + "\U0010ffff" + `"`, `(r.user_name_key >= $4)`, "[\U0010ffff]", true},
		{`userName sw ""`, `NOT COALESCE(r.user_name_key IS NULL, FALSE)`, `[]`, true},
		{`userName co "5%_!"`, `r.user_name_key LIKE $4 ESCAPE '!'`, `[%5!%!_!!%]`, true},
		{`externalId co "A"`, `r.external_id LIKE $4 ESCAPE '!'`, `[%A%]`, false},
		{`displayName gt "B"`, `r.display_name_key > $4`, `[b]`, true},
		{`meta.created ge "2026-01-01T00:00:00.0000001Z"`, `r.created >= $4`, `[1767225600000001]`, true},
		{`meta.lastModified gt "2026-01-01T00:00:00.0000009Z"`, `r.modified > $4`, `[1767225600000000]`, true},
		{`meta.created eq "2026-01-01T00:00:00.0000001Z"`, `FALSE`, `[]`, true},
		{`meta.resourceType eq "User"`, `TRUE`, `[]`, true},
		{`meta.resourceType eq "Group" and userName pr`, `FALSE`, `[]`, true},
		{`title pr`, `TRUE`, `[]`, false},
		{`title pr and userName eq "Bob"`, `r.user_name_key = $4`, `[bob]`, false},
		{`title pr or userName eq "Bob"`, `TRUE`, `[]`, false},
		{`userName eq "a" or externalId eq "b"`, `(r.user_name_key = $4 OR r.external_id = $5)`, `[a b]`, true},
		{`not (title pr or userName eq "Bob")`, `NOT COALESCE(r.user_name_key = $4, FALSE)`, `[bob]`, false},
		{`emails.value eq "A@B"`, values + `$4 AND v.value_key = $5)`, `[emails.value a@b]`, true},
		{`emails eq "A@B"`, values + `$4 AND v.value_key = $5)`, `[emails.value a@b]`, true},
		{`emails.value sw "A@"`, values + `$4 AND (v.value_key >= $5 AND v.value_key < $6))`, `[emails.value a@ aA]`, true},
		{`emails[type eq "work"].value eq "A@B"`, values + `$4 AND v.value_key = $5)`, `[emails.value a@b]`, false},
		{`emails[value eq "A@B"]`, values + `$4 AND v.value_key = $5)`, `[emails.value a@b]`, true},
		{`emails.value ne "A@B"`, `TRUE`, `[]`, false},
		{`not (emails.value eq "A@B")`, `NOT COALESCE(` + values + `$4 AND v.value_key = $5), FALSE)`, `[emails.value a@b]`, true},
		{`urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber eq "7"`, values + `$4 AND v.value_key = $5)`, `[urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber 7]`, true},
		{`nickName eq "Bo"`, values + `$4 AND v.value_key = $5)`, `[nickName bo]`, true}, // the connection's own attribute
		{`nickName sw "Bo"`, `TRUE`, `[]`, false},
	} {
		p := bound(t, schema.Core(), c.filter, rfc).Plan(Options{Matching: "nickName"})
		sql, args := p.Render(4)
		if sql != c.sql || fmt.Sprint(args) != c.args || p.Exact != c.exact || (p.Residual == nil) != c.exact {
			t.Errorf("%s plans to %s %v exact %v\n want %s %s %v", c.filter, sql, args, p.Exact, c.sql, c.args, c.exact)
		}
	}
	if sql, args := (*Bound)(nil).Plan(Options{}).Render(3); sql != "TRUE" || args != nil {
		t.Errorf("no filter plans to %s %v", sql, args)
	}
}

func TestRenderMembers(t *testing.T) {
	rfc := profile(t, "rfc")
	plan := func(k schema.Kind, s string) Plan {
		t.Helper()
		e, err := Parse(s, rfc)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Bind(schema.Core(), k, e, rfc)
		if err != nil {
			t.Fatal(err)
		}
		return b.Plan(Options{})
	}
	for _, s := range []string{`members.value eq "res_U"`, `members eq "res_U"`, `members[value eq "res_U"]`} {
		p := plan(schema.Group, s)
		sql, args := p.Render(3)
		if !p.Exact || fmt.Sprint(args) != "[res_U]" || !strings.HasPrefix(sql, "r.group_id IN (SELECT g.group_id") || !strings.HasSuffix(sql, "m.id = $3)") {
			t.Errorf("%s plans to %s %v", s, sql, args)
		}
	}
	p := plan(schema.User, `groups.value eq "res_G" and active eq true`)
	if sql, args := p.Render(3); !p.Exact || sql != "(r.membership_id IN (SELECT g.membership_id FROM scim_resources m JOIN group_members g"+
		" ON g.tenant_id = m.tenant_id AND g.group_id = m.group_id WHERE m.tenant_id = $1 AND m.connection_id = $2 AND m.id = $3) AND r.active = $4)" || fmt.Sprint(args) != "[res_G true]" {
		t.Errorf("groups plan to %s %v", sql, args)
	}
	// An exact condition on members is not evaluated again on a loaded list.
	if p := plan(schema.Group, `members.value eq "x" and externalId co "A"`); p.Exact || p.NeedsRelated != nil {
		t.Errorf("%v needs %v", p.Exact, p.NeedsRelated)
	}
	if p := plan(schema.Group, `members[value eq "x" and type eq "User"]`); p.Exact || !slices.Equal(p.NeedsRelated, []string{"members"}) || p.Cond.Kind != OnMember {
		t.Errorf("%v needs %v", p.Exact, p.NeedsRelated)
	}
	if p := plan(schema.Group, `members pr or displayName eq "x"`); !p.Exact {
		t.Error("members pr is not exact")
	}
}

// relation is what the database holds of one resource.
type relation struct {
	id                string
	keys              schema.Keys
	created, modified time.Time
	values            []schema.ValueRow
	groups            []string
}

// holds evaluates a condition as SQL does, NULL (empty key) included: nil is
// unknown.
func (r *relation) holds(c *Cond) *bool {
	yes := func(b bool) *bool { return &b }
	switch c.Kind {
	case True:
		return yes(true)
	case False:
		return yes(false)
	case Both, Either:
		x, y := r.holds(c.X), r.holds(c.Y)
		dominant := c.Kind == Either
		if x != nil && *x == dominant || y != nil && *y == dominant {
			return yes(dominant)
		}
		if x == nil || y == nil {
			return nil
		}
		return yes(!dominant)
	case Neither:
		x := r.holds(c.X)
		return yes(x == nil || !*x)
	case OnValue:
		for _, v := range r.values {
			if key := c.Arg.(string); v.Attr == c.Attr && (v.Key == key || c.Op == Sw && strings.HasPrefix(v.Key, key)) {
				return yes(true)
			}
		}
		return yes(false)
	case OnGroup:
		return yes(c.Arg == nil && len(r.groups) > 0 || slices.Contains(r.groups, fmt.Sprint(c.Arg)))
	case OnColumn:
		switch c.Column {
		case schema.ColumnActive:
			return yes(r.keys.Active == c.Arg)
		case schema.ColumnCreated, schema.ColumnModified:
			at := r.created
			if c.Column == schema.ColumnModified {
				at = r.modified
			}
			return yes(ordered(c.Op, int(max(-1, min(1, at.UnixMicro()-c.Arg.(int64))))))
		}
		key := map[schema.Column]string{schema.ColumnUserName: r.keys.UserName, schema.ColumnExternalID: r.keys.ExternalID, schema.ColumnDisplayName: r.keys.DisplayName, schema.ColumnID: r.id}[c.Column]
		if c.Arg == nil {
			return yes(key == "")
		}
		if key == "" {
			return nil
		}
		arg := c.Arg.(string)
		switch c.Op {
		case Sw: // as the rendered range
			end, bounded := after(arg)
			return yes(key >= arg && (!bounded || key < end))
		case Co: // SQLite's LIKE ignores the case of ASCII
			return yes(strings.Contains(strings.ToLower(key), strings.ToLower(arg)))
		case Ew:
			return yes(strings.HasSuffix(strings.ToLower(key), strings.ToLower(arg)))
		}
		return yes(ordered(c.Op, strings.Compare(key, arg)))
	}
	panic("unknown condition")
}

func genUser() *rapid.Generator[*schema.Object] {
	return rapid.Custom(func(t *rapid.T) *schema.Object {
		o := schema.NewObject(10)
		word := func(name string) string { return rapid.SampledFrom(words[1:]).Draw(t, name) }
		maybe := func(to *schema.Object, key string) {
			if rapid.Bool().Draw(t, key+"?") {
				to.Set(key, word(key))
			}
		}
		o.Set("userName", word("userName"))
		for _, key := range []string{"displayName", "externalId", "title"} {
			maybe(o, key)
		}
		o.Set("active", rapid.Bool().Draw(t, "active"))
		name := schema.NewObject(1)
		maybe(name, "familyName")
		if name.Len() > 0 {
			o.Set("name", name)
		}
		list := func(key string) {
			var all []any
			for range rapid.IntRange(0, 3).Draw(t, key) {
				e := schema.NewObject(3)
				for _, s := range []string{"value", "type", "display"} {
					maybe(e, s)
				}
				if key == "emails" && rapid.Bool().Draw(t, "primary?") {
					e.Set("primary", rapid.Bool().Draw(t, "primary"))
				}
				all = append(all, e)
			}
			if all != nil {
				o.Set(key, all)
			}
		}
		list("emails")
		list("groups")
		ext := schema.NewObject(2)
		maybe(ext, "employeeNumber")
		if ext.Len() > 0 {
			o.Set(schema.EnterpriseURN, ext)
		}
		return o
	})
}

// The condition of a plan holds for every resource that matches, and where the
// plan says that it is exact, for no other; with the residual, plan and matcher
// agree always.
func TestPlanAgreesWithMatch(t *testing.T) {
	d := profile(t, "entra")
	d.Profile = d.With([]dialect.Rule{dialect.UnknownIsAbsent}, nil)
	ix := schema.Core()
	planned, exact := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		e := genExpr(4, false).Draw(t, "filter")
		b, err := Bind(ix, schema.User, e, d)
		if err != nil {
			t.Skip("the filter is refused")
		}
		doc := genUser().Draw(t, "user")
		r := relation{id: rapid.SampledFrom([]string{"r1", "r2", "a"}).Draw(t, "id"), keys: schema.KeysOf(schema.User, doc)}
		at := func(name string) time.Time {
			base := rapid.SampledFrom([]string{"2026-01-01T00:00:00Z", "2026-01-02T00:00:00.123456Z", "2025-12-31T23:59:59.999999Z"}).Draw(t, name)
			v, _ := schema.ParseTime(base)
			return v
		}
		r.created, r.modified = at("created"), at("modified")
		matching := rapid.SampledFrom([]string{"", "title", "name.familyName"}).Draw(t, "matching")
		r.values = ix.Values(schema.User, doc, matching)
		for _, g := range doc.List("groups") {
			if v, ok := g.(*schema.Object).Get("value"); ok {
				r.groups = append(r.groups, v.(string))
			} else {
				g.(*schema.Object).Set("value", "none") // a group of the database has an id
				r.groups = append(r.groups, "none")
			}
		}
		doc.Set("id", r.id)
		meta := schema.NewObject(3)
		meta.Set("resourceType", "User")
		meta.Set("created", schema.FormatTime(r.created))
		meta.Set("lastModified", schema.FormatTime(r.modified))
		doc.Set("meta", meta)

		want := b.Match(Target{Doc: doc})
		p := b.Plan(Options{Matching: matching})
		h := r.holds(p.Cond)
		cond := h != nil && *h
		got := cond && (p.Residual == nil || p.Residual.Match(Target{Doc: doc}))
		if want && !cond {
			t.Fatalf("%s loses %s", e, doc.Bytes())
		}
		if p.Exact && cond != want {
			t.Fatalf("%s is not exact on %s", e, doc.Bytes())
		}
		if got != want {
			t.Fatalf("%s: plan says %v, matcher %v on %s", e, got, want, doc.Bytes())
		}
		if p.Cond.Kind != True {
			planned++
		}
		if p.Exact {
			exact++
		}
		sql, args := p.Render(3)
		for i := range args {
			if !strings.Contains(sql, fmt.Sprintf("$%d", 3+i)) {
				t.Fatalf("%s does not use parameter %d of %v", sql, 3+i, args)
			}
		}
	})
	if planned == 0 || exact == 0 {
		t.Errorf("%d filters were planned, %d exactly", planned, exact)
	}
}

func TestAfter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix := rapid.StringN(1, 4, -1).Draw(t, "prefix")
		s := rapid.StringN(0, 6, -1).Draw(t, "s")
		if rapid.Bool().Draw(t, "with") {
			s = prefix + s
		}
		end, bounded := after(prefix)
		if got := s >= prefix && (!bounded || s < end); got != strings.HasPrefix(s, prefix) {
			t.Fatalf("prefix %q of %q: the range to %q says %v", prefix, s, end, got)
		}
	})
	for in, want := range map[string]string{"a": "b", "\ud7ff": "\ue000", "a\U0010ffff": "b", "\u007f": "\u0080"} {
		if got, _ := after(in); got != want {
			t.Errorf("after(%q) = %q, want %q", in, got, want)
		}
	}
}

func BenchmarkPlan(b *testing.B) {
	f := bound(b, schema.Core(), `userName eq "test.user@okta.local"`, profile(b, "rfc"))
	b.ReportAllocs()
	for b.Loop() {
		f.Plan(Options{}).Render(3)
	}
}
