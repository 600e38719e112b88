package directory

import (
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

func TestUnstorableTextIsRefused(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		p := f.addUser("a", "ann@mail.example")
		g := f.group(admin("a"), Group{Tenant: "a", Name: "Eng", ManagedBy: Local})
		for _, bad := range []string{"a\x00b", "a\x1fb", "a\x7fb", "a\u0085b", "not\xffutf8"} {
			for name, do := range map[string]func(q db.Queryer) error{
				"e-mail": func(q db.Queryer) error {
					_, err := f.s.CreateUser(ctx, admin("a"), q, NewUser{Environment: "env", Tenant: "a", Email: bad + "@mail.example"})
					return err
				},
				"name": func(q db.Queryer) error {
					_, err := f.s.CreateUser(ctx, admin("a"), q, NewUser{Environment: "env", Tenant: "a", Email: "x@mail.example", FirstName: bad})
					return err
				},
				"changed name": func(q db.Queryer) error {
					_, err := f.s.UpdateUser(ctx, admin("a"), q, "a", p.User.ID, UserPatch{LastName: &bad})
					return err
				},
				"group": func(q db.Queryer) error {
					_, err := f.s.CreateGroup(ctx, admin("a"), q, "env", Group{Tenant: "a", Name: bad})
					return err
				},
				"group's metadata": func(q db.Queryer) error {
					metadata := `{"k":"` + bad + `"}`
					_, err := f.s.CreateGroup(ctx, admin("a"), q, "env", Group{Tenant: "a", Name: "M", Metadata: metadata})
					if err == nil && (bad == "a\x7fb" || bad == "a\u0085b") {
						return fault.New(fault.Invalid, "", "") // JSON may hold these
					}
					return err
				},
				"group's description": func(q db.Queryer) error {
					_, err := f.s.UpdateGroup(ctx, admin("a"), q, "env", "a", g.ID, GroupPatch{Description: &bad})
					return err
				},
				"member": func(q db.Queryer) error {
					_, err := f.s.AddMembers(ctx, admin("a"), q, "env", "a", g.ID, []string{bad})
					return err
				},
			} {
				if err := d.Tx(ctx, do); fault.KindOf(err) != fault.Invalid {
					t.Errorf("%s %q: %v", name, bad, err)
				}
			}
		}
		lines := "first line\n\tsecond"
		f.tx(func(q db.Queryer) error {
			_, err := f.s.UpdateGroup(ctx, admin("a"), q, "env", "a", g.ID, GroupPatch{Description: &lines})
			return err
		})
	})
}

// Groups that were stored before, or by a directory, may hold the separator of cursors.
func TestGroupPagesWithSeparatorInName(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		for _, name := range []string{"a\x1f1", "a\x1f2", "b"} {
			f.exec(`INSERT INTO groups (tenant_id, id, name, name_key, managed_by, created_at, updated_at) VALUES ('a', 'grp_' || $1, $1, $1, 'local', 1, 1)`, name)
		}
		seen := map[string]bool{}
		cursor := ""
		for range 3 {
			list, next, err := f.s.Groups(t.Context(), d, "a", cursor, 1)
			if err != nil || len(list) != 1 || seen[list[0].ID] {
				t.Fatalf("%+v, %v after %v", list, err, seen)
			}
			seen[list[0].ID], cursor = true, next
		}
		if cursor != "" {
			t.Errorf("a page after the last: %q", cursor)
		}
	})
}
