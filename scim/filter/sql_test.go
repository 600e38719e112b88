package filter

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/scim/dialect"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// store fills a connection with users and groups and returns the full
// representation of each resource.
func store(t *testing.T, d db.DB) map[string]Target {
	t.Helper()
	ctx := context.Background()
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := d.Exec(ctx, sql, args...); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	exec(`INSERT INTO environments (id, name, base_url, is_default, created_at, updated_at) VALUES ('env', 'E', 'https://e', TRUE, 0, 0)`)
	exec(`INSERT INTO tenants (environment_id, id, key, name, status, created_at, updated_at) VALUES ('env', 'ten', 'k', 'T', 'active', 0, 0)`)
	for _, c := range []string{"dir", "other"} {
		exec(`INSERT INTO scim_connections (tenant_id, id, environment_id, name, profile, status, delete_mode, created_at, updated_at)
			VALUES ('ten', $1, 'env', 'C', 'rfc', 'linked', 'soft', 0, 0)`, c)
	}
	ix, all := schema.Core(), make(map[string]Target)
	base, _ := schema.ParseTime("2026-01-01T00:00:00Z")
	resource := func(k schema.Kind, id string, membership, group any, doc *schema.Object, related []any) {
		t.Helper()
		keys, at := schema.KeysOf(k, doc), base.Add(time.Duration(len(all)%7)*500*time.Millisecond)
		null := func(s string) any {
			if s == "" {
				return nil
			}
			return s
		}
		exec(`INSERT INTO scim_resources (tenant_id, connection_id, id, kind, membership_id, group_id, user_name_key, external_id, display_name_key, active, version, created, modified, doc)
			VALUES ('ten', 'dir', $1, $2, $3, $4, $5, $6, $7, $8, 1, $9, $9, $10)`,
			id, k.String(), membership, group, null(keys.UserName), null(keys.ExternalID), null(keys.DisplayName), keys.Active, at.UnixMicro(), string(doc.Bytes()))
		for _, v := range ix.Values(k, doc, "title") {
			exec(`INSERT INTO scim_values (tenant_id, connection_id, resource_id, attr, value_key) VALUES ('ten', 'dir', $1, $2, $3)`, id, v.Attr, v.Key)
		}
		full := doc.Clone()
		full.Set("id", id)
		meta := schema.NewObject(3)
		meta.Set("resourceType", k.String())
		meta.Set("created", schema.FormatTime(at))
		meta.Set("lastModified", schema.FormatTime(at))
		full.Set("meta", meta)
		all[id] = Target{Doc: full, Related: func(string) []any { return related }}
	}
	element := func(id, kind string) any {
		o := schema.NewObject(2)
		o.Set("value", id)
		o.Set("type", kind)
		return o
	}
	const users = 40
	for g := range 3 {
		exec(`INSERT INTO groups (tenant_id, id, name, name_key, managed_by, connection_id, created_at, updated_at) VALUES ('ten', $1, 'g', 'g', 'scim', 'dir', 0, 0)`, fmt.Sprintf("grp%d", g))
	}
	for i := range users {
		doc := genUser().Example(i)
		doc.Set("userName", doc.String("userName")+fmt.Sprint(i))
		doc.Delete("groups")
		user, membership, id := fmt.Sprintf("usr%d", i), fmt.Sprintf("mem%d", i), fmt.Sprintf("r%d", i)
		exec(`INSERT INTO users (environment_id, id, email, email_key, email_verified, created_at, updated_at) VALUES ('env', $1, '', '', FALSE, 0, 0)`, user)
		exec(`INSERT INTO memberships (tenant_id, id, environment_id, user_id, status, managed_by, email, email_key, created_at, updated_at)
			VALUES ('ten', $1, 'env', $2, 'active', 'scim', '', '', 0, 0)`, membership, user)
		var groups []any
		if g := i % 3; g < 2 { // the third group has no user
			exec(`INSERT INTO group_members (tenant_id, group_id, membership_id, added_at) VALUES ('ten', $1, $2, 0)`, fmt.Sprintf("grp%d", g), membership)
			groups = append(groups, element(fmt.Sprintf("g%d", g), "direct"))
		}
		resource(schema.User, id, membership, nil, doc, groups)
	}
	exec(`INSERT INTO group_children (tenant_id, group_id, child_id, added_at) VALUES ('ten', 'grp1', 'grp2', 0)`)
	for g := range 3 {
		doc := schema.NewObject(1)
		doc.Set("displayName", fmt.Sprintf("Group %d", g))
		var members []any
		for i := range users {
			if i%3 == g && g < 2 {
				members = append(members, element(fmt.Sprintf("r%d", i), "User"))
			}
		}
		if g == 1 {
			members = append(members, element("g2", "Group"))
		}
		resource(schema.Group, fmt.Sprintf("g%d", g), nil, fmt.Sprintf("grp%d", g), doc, members)
	}
	return all
}

// On both engines, the rows that the SQL selects and the residual keeps are the
// resources that match.
func TestSQLAgreesWithMatch(t *testing.T) {
	rfc := profile(t, "entra")
	rfc.Profile = rfc.With([]dialect.Rule{dialect.UnknownIsAbsent}, nil)
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		all := store(t, d)
		ctx := context.Background()
		check := func(k schema.Kind, e Expr, fatal func(string, ...any)) {
			b, err := Bind(schema.Core(), k, e, rfc)
			if err != nil {
				return
			}
			p := b.Plan(Options{Matching: "title"})
			sql, args := p.Render(4)
			rows, err := d.Query(ctx, `SELECT r.id FROM scim_resources r WHERE r.tenant_id = $1 AND r.connection_id = $2 AND r.kind = $3 AND `+sql,
				append([]any{"ten", "dir", k.String()}, args...)...)
			if err != nil {
				fatal("%s renders %s: %v", e, sql, err)
				return
			}
			defer rows.Close()
			var got, want []string
			for rows.Next() {
				var id string
				if err := rows.Scan(&id); err != nil {
					fatal("%v", err)
				}
				if p.Residual == nil || p.Residual.Match(all[id]) {
					got = append(got, id)
				}
			}
			if err := rows.Err(); err != nil {
				fatal("%v", err)
			}
			for id, target := range all {
				if strings.HasPrefix(id, "g") == (k == schema.Group) && b.Match(target) {
					want = append(want, id)
				}
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				fatal("%s renders %s %q\n and selects %v\n want %v", e, sql, args, got, want)
			}
		}
		for _, s := range []string{
			`members.value eq "r1"`, `members.value eq "g2"`, `members eq "r0"`, `members[value eq "g2" and type eq "Group"]`, `members pr`, `not (members pr)`,
			`members eq null`, `not (members.value eq "r1")`, `members.value eq "nobody"`, `displayName eq "group 1" or members.value eq "r0"`,
			`members[type eq "Group"] and displayName sw "g"`, `displayName co "P 1"`, `externalId eq null`, `userName pr`,
		} {
			e, err := Parse(s, rfc)
			if err != nil {
				t.Fatal(err)
			}
			check(schema.Group, e, t.Errorf)
		}
		for _, s := range []string{
			`groups.value eq "g0"`, `groups pr`, `not (groups.value eq "g1")`, `groups eq null and active eq true`, `groups[value eq "g1" and type eq "direct"]`,
			`userName eq "x' OR 1=1 --"`, `userName co "%"`, `userName co "_"`, `displayName co "a%" or displayName co "a_b"`, `displayName ew "É"`, `userName sw "é"`,
		} {
			e, err := Parse(s, rfc)
			if err != nil {
				t.Fatal(err)
			}
			check(schema.User, e, t.Errorf)
		}
		rapid.Check(t, func(t *rapid.T) { check(schema.User, genExpr(3, false).Draw(t, "filter"), t.Fatalf) })
	})
}
