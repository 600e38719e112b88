package staff

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/rbac"
)

// Product 19 and trap C11: which roles go together.
func TestCombinations(t *testing.T) {
	for _, good := range [][]string{
		{Admin},
		{Admin, Impersonator},
		{Impersonator, BackofficeEditor},
		{BackofficeViewer, Impersonator},
		{EntitlementsEditor, EntitlementsViewer},
		{EntitlementsEditor, BackofficeViewer, Impersonator}, // the viewer's role is held, not only what it may
	} {
		if _, err := checkRoles(good); err != nil {
			t.Errorf("%v: %v", good, err)
		}
	}
	for _, k := range []struct {
		roles []string
		code  string
	}{
		{[]string{Impersonator}, "invalid_role_combination"},
		{[]string{Impersonator, EntitlementsEditor}, "invalid_role_combination"},
		{[]string{Impersonator, EntitlementsViewer}, "invalid_role_combination"},
		{[]string{Impersonator, EntitlementsViewer, EntitlementsEditor}, "invalid_role_combination"},
		{nil, "invalid_role"},
		{[]string{"Admin"}, "invalid_role"},
		{[]string{Admin, ""}, "invalid_role"},
	} {
		if _, err := checkRoles(k.roles); fault.CodeOf(err) != k.code {
			t.Errorf("%v: %v, want %s", k.roles, err, k.code)
		}
	}
}

// Product 14 to 19, cell by cell: one permission of each column.
func TestMatrix(t *testing.T) {
	type cell struct{ read, write string }
	columns := []struct {
		name string
		cell
	}{
		{"accounts/users", cell{ReadTenants, WriteTenants}},
		{"accounts/users", cell{"fe.secure.read.users", "fe.secure.write.users"}},
		{"accounts/users", cell{"fe.account-hierarchy.read.subAccount", "fe.account-hierarchy.write.subAccount"}},
		{"block/delete", cell{"", "fe.secure.write.enableDisable"}},
		{"block/delete", cell{"", DeleteTenants}},
		{"block/delete", cell{"", "fe.secure.delete.users"}},
		{"logs", cell{"fe.secure.read.audits", ""}},
		{"roles/permissions", cell{ReadRoles, WriteRoles}},
		{"roles/permissions", cell{"fe.secure.read.roles", "fe.secure.delete.roles"}},
		{"plans/flags", cell{"bo.read.entitlements", "bo.write.entitlements"}},
		{"API access", cell{"fe.secure.read.tenantApiTokens", "fe.secure.delete.tenantApiTokens"}},
		{"security", cell{"fe.secure.read.samlConfiguration", "fe.secure.write.samlConfiguration"}},
		{"security", cell{"fe.secure.read.provisioningConfiguration", "fe.secure.write.securityPolicy"}},
		{"security", cell{ReadApplications, WriteApplications}},
		{"security", cell{"", "fe.secure.write.tenantApiTokens"}},
		{"environments", cell{ReadEnvironment, WriteEnvironment}},
		{"environments", cell{ReadStaff, WriteStaff}},
		{"environments", cell{ReadKeys, DeleteKeys}},
		{"impersonate", cell{"", Impersonate}},
	}
	want := map[string]map[string]string{
		Admin:              {"accounts/users": "RW", "block/delete": "W", "logs": "R", "roles/permissions": "RW", "plans/flags": "RW", "API access": "RW", "security": "RW", "environments": "RW"},
		BackofficeEditor:   {"accounts/users": "RW", "block/delete": "W", "logs": "R"},
		BackofficeViewer:   {"accounts/users": "R", "logs": "R"},
		EntitlementsEditor: {"accounts/users": "R", "logs": "R", "roles/permissions": "RW", "plans/flags": "RW", "API access": "RW"},
		EntitlementsViewer: {"accounts/users": "R", "logs": "R", "roles/permissions": "R", "plans/flags": "R", "API access": "R"},
		Impersonator:       {"impersonate": "W"},
	}
	for role, row := range want {
		held := permissionsOf([]string{role})
		for _, c := range columns {
			for verb, key := range map[string]string{"R": c.read, "W": c.write} {
				if may := strings.Contains(row[c.name], verb); key != "" && held.Has(key) != may {
					t.Errorf("%s, %s: %s %v, want %v", role, c.name, key, !may, may)
				}
			}
		}
	}
	both := permissionsOf([]string{EntitlementsViewer, BackofficeEditor})
	if !both.Has(WriteTenants) || !both.Has(ReadRoles) || both.Has(WriteRoles) {
		t.Error("two roles are their union")
	}
}

// Every permission of tenants has its column; a new one must be decided.
func TestEveryPermissionHasAnArea(t *testing.T) {
	d := dbtest.Open(t, db.SQLite)
	s := rbac.New(clock.NewFake(start))
	open(t, d)
	if err := d.Tx(t.Context(), func(q db.Queryer) error { return s.EnsurePresets(t.Context(), q, "env_a") }); err != nil {
		t.Fatal(err)
	}
	list, err := s.Permissions(t.Context(), d, "env_a")
	if err != nil || len(list) < 80 {
		t.Fatal(len(list), err)
	}
	listed := keys[EntitlementsEditor]
	known := map[string]bool{}
	for _, p := range list {
		if strings.Contains(p.Key, "*") {
			continue
		}
		known[p.Key] = true
		noun := p.Key[strings.LastIndexByte(p.Key, '.')+1:]
		if _, ok := nouns[noun]; !ok {
			t.Errorf("%s belongs to no area", p.Key)
		}
	}
	for _, key := range []string{"fe.secure.read.users", "fe.account-settings.read.app", "fe.account-hierarchy.read.subAccount"} {
		if !known[key] || !slices.Contains(listed, key) {
			t.Errorf("%s is not among the permissions of a role", key)
		}
	}
	for key := range exceptions {
		if !known[key] && !strings.HasPrefix(key, "bo.") {
			t.Errorf("the exception %s is no permission", key)
		}
	}
}

// The constants of the vendor's permissions have the form that an admin's
// wildcards cover, and an area.
func TestConstants(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "permissions.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		lit, ok := spec.Values[0].(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return true
		}
		key, err := strconv.Unquote(lit.Value)
		if err != nil || !strings.HasPrefix(key, "bo.") || key == Impersonate {
			return true
		}
		n++
		parts := strings.Split(key, ".")
		if len(parts) != 3 || !slices.Contains([]string{"read", "write", "delete"}, parts[1]) {
			t.Errorf("%s: not of the form bo.verb.noun", key)
		} else if _, ok := nouns[parts[2]]; !ok {
			t.Errorf("%s belongs to no area", key)
		}
		return true
	})
	if n < 15 {
		t.Errorf("only %d constants", n)
	}
}
