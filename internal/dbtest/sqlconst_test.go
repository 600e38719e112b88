package dbtest_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

const root = "../.."

// dialectBudget bounds the statements that are written twice, as sqlXPostgres and sqlXSQLite.
const dialectBudget = 10

// statement is a constant whose name starts with "sql" and whose text is a whole statement.
type statement struct {
	name string // "directory.sqlInsertUser", with the path of the package
	text string
}

var (
	isStatement = regexp.MustCompile(`(?is)^\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\s`)
	parameter   = regexp.MustCompile(`\$([0-9]+)`)
	space       = regexp.MustCompile(`\s+`)
)

// A statement that no test runs is still one that both engines understand.
func TestStatementsArePrepared(t *testing.T) {
	all := statements(t)
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		engine := d.Dialect().Name
		for i, s := range all {
			if own := engineOf(s.name); own != "" && own != engine {
				continue
			}
			var err error
			if engine == db.Postgres {
				_, err = d.Exec(t.Context(), fmt.Sprintf("PREPARE s%d AS %s", i, s.text))
			} else {
				n := 0
				for _, m := range parameter.FindAllStringSubmatch(s.text, -1) {
					k, _ := strconv.Atoi(m[1])
					n = max(n, k)
				}
				var rows db.Rows
				if rows, err = d.Query(t.Context(), "EXPLAIN "+s.text, make([]any, n)...); err == nil {
					rows.Close()
					err = rows.Err()
				}
			}
			if err != nil {
				t.Errorf("%s: %v\n%s", s.name, err, s.text)
			}
		}
	})
}

func TestStatementsOfOneDialectAreFew(t *testing.T) {
	twice := map[string][]string{}
	for _, s := range statements(t) {
		if engine := engineOf(s.name); engine != "" && ofOneEngine[s.name] == "" {
			stem := strings.TrimSuffix(strings.TrimSuffix(s.name, "Postgres"), "SQLite")
			twice[stem] = append(twice[stem], engine)
		}
	}
	if len(twice) > dialectBudget {
		t.Errorf("%d statements differ between the engines, the budget is %d: %v", len(twice), dialectBudget, slices.Sorted(maps.Keys(twice)))
	}
	for stem, engines := range twice {
		if len(engines) != 2 {
			t.Errorf("%s exists for %v only", stem, engines)
		}
	}
}

// Tenants are kept apart by $1: a statement on a table whose key leads with tenant_id either says
// tenant_id = $1 (or inserts it first), or is in the list of those that cross tenants.
func TestStatementsNameTheTenant(t *testing.T) {
	tables := tenantTables(t)
	if len(tables) < 20 {
		t.Fatalf("only %d tables of tenants: %v", len(tables), tables)
	}
	seen := map[string]bool{}
	for _, s := range statements(t) {
		why := crossesTenants(tables, s.text)
		seen[s.name] = why != ""
		if why != "" && acrossTenants[s.name] == "" {
			t.Errorf("%s: %s; add the tenant, or its reason to acrossTenants\n%s", s.name, why, s.text)
		}
	}
	for name := range acrossTenants {
		if crosses, ok := seen[name]; !ok || !crosses {
			t.Errorf("%s is listed in acrossTenants and does not cross tenants (or is gone)", name)
		}
	}
}

func TestCrossesTenants(t *testing.T) {
	tables := []string{"groups", "memberships"}
	for _, good := range []string{
		`SELECT * FROM groups WHERE tenant_id = $1`,
		`SELECT * FROM groups g JOIN memberships m ON m.tenant_id = g.tenant_id WHERE g.tenant_id = $1 AND g.id = $2`,
		`UPDATE groups SET name = $2 WHERE tenant_id=$1`,
		`DELETE FROM groups WHERE (tenant_id = $1)`,
		`INSERT INTO groups (tenant_id, id) VALUES ($1, $2)`,
		`INSERT INTO groups ( tenant_id, id ) SELECT $1, key FROM json_each($2)`,
		`SELECT * FROM users WHERE id = $1`,
		`SELECT groups FROM users`,
		`SELECT id, groups, name FROM users`,
	} {
		if why := crossesTenants(tables, good); why != "" {
			t.Errorf("%s: %s", good, why)
		}
	}
	for _, bad := range []string{
		`SELECT * FROM groups`,
		`SELECT id, name FROM groups`,
		`SELECT * FROM groups WHERE tenant_id = $10`,
		`SELECT * FROM groups WHERE tenant_id = $2 AND id = $1`,
		`SELECT * FROM groups WHERE parent_tenant_id = $1`,
		`INSERT INTO groups (id, tenant_id) VALUES ($1, $2)`,
		`INSERT INTO groups (tenant_id, id) VALUES ($2, $1)`,
		`INSERT INTO groups (tenant_id, id) SELECT tenant_id, id FROM memberships`,
		`UPDATE groups SET name = ''`,
		`DELETE FROM users WHERE id IN (SELECT user_id FROM memberships)`,
		`SELECT * FROM users, memberships`,
		`SELECT * FROM groups g JOIN memberships m ON m.id = $2 WHERE g.tenant_id = $1`,
	} {
		if crossesTenants(tables, bad) == "" {
			t.Errorf("%s is let through", bad)
		}
	}
}

var (
	mention     = regexp.MustCompile(`(?i)(\bFROM|\bJOIN|\bINTO|\bUPDATE|,) ([a-z_]+)\b`)
	aliased     = regexp.MustCompile(`(?i)^ (?:AS )?([a-z_0-9]+)\b`)
	clause      = regexp.MustCompile(`(?i)\b(SELECT|FROM|WHERE|SET|VALUES|BY|ON|RETURNING)\b|\(`)
	tenantIsOne = regexp.MustCompile(`(?i)(^|[^a-z_])([a-z_0-9]+\.)?tenant_id ?= ?\$1\b([^0-9]|$)`)
	insertsOne  = regexp.MustCompile(`(?i)\bINSERT INTO [a-z_]+( AS [a-z_]+)? ?\( ?tenant_id ?,.*?\) (VALUES ?\( ?|SELECT )\$1\b([^0-9]|$)`)
	keyword     = regexp.MustCompile(`(?i)^(WHERE|JOIN|LEFT|INNER|CROSS|ON|SET|GROUP|ORDER|LIMIT|VALUES|SELECT|USING|FOR|UNION|RETURNING|DEFAULT|HAVING|NATURAL|FULL|RIGHT|EXCEPT|INTERSECT|OFFSET)$`)
)

// crossesTenants says what is wrong with a statement; empty when it stays within the tenant $1.
func crossesTenants(tables []string, text string) string {
	text = strings.TrimSpace(space.ReplaceAllString(text, " "))
	var names []string // how each mentioned tenant table is called in the statement
	spaced := strings.ReplaceAll(text, ", ", " , ")
	for _, at := range mention.FindAllStringSubmatchIndex(spaced, -1) {
		name := spaced[at[4]:at[5]]
		if !slices.Contains(tables, strings.ToLower(name)) {
			continue
		}
		if before := clause.FindAllString(spaced[:at[0]], -1); spaced[at[2]] == ',' &&
			(len(before) == 0 || !strings.EqualFold(before[len(before)-1], "FROM")) {
			continue // a column of that name
		}
		if m := aliased.FindStringSubmatch(spaced[at[1]:]); m != nil && !keyword.MatchString(m[1]) {
			name = m[1]
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return ""
	}
	if !tenantIsOne.MatchString(text) && !insertsOne.MatchString(text) {
		return "it never says tenant_id = $1"
	}
	if len(names) == 1 {
		return ""
	}
	// Of several tables, each is bound to a tenant by its own column.
	for _, name := range names {
		own := regexp.MustCompile(`(?i)\b` + name + `\.tenant_id\b`)
		bare := regexp.MustCompile(`(?i)\b(FROM|UPDATE|INTO|JOIN) ` + name + `\b[^;]*?[^.a-z_]tenant_id\b`)
		if !own.MatchString(text) && !bare.MatchString(text) {
			return name + ".tenant_id is not bound"
		}
	}
	return ""
}

// engineOf returns the engine that the name of a constant ends with.
func engineOf(name string) string {
	switch {
	case ofOneEngine[name] != "":
		return ofOneEngine[name]
	case strings.HasSuffix(name, "Postgres"):
		return db.Postgres
	case strings.HasSuffix(name, "SQLite"):
		return db.SQLite
	}
	return ""
}

// tenantTables reads the snapshot: the tables whose primary key leads with tenant_id.
func tenantTables(t *testing.T) (tables []string) {
	t.Helper()
	text, err := os.ReadFile(root + "/migrations/schema.sqlite.sql")
	if err != nil {
		t.Fatal(err)
	}
	for part := range strings.SplitSeq(string(text), "\nCREATE TABLE ") {
		name, body, _ := strings.Cut(part, " (")
		if strings.Contains(body, "PRIMARY KEY (tenant_id,") {
			tables = append(tables, name)
		}
	}
	return tables
}

// constants of one package: what it defines, and which package each import name means in each file.
type constants struct {
	values map[string]ast.Expr
	files  map[string]map[string]string // of the constant: import name → path in the module
}

// statements finds the statements of the module outside tests. The texts are constant expressions:
// literals, names and their concatenation.
func statements(t *testing.T) (all []statement) {
	t.Helper()
	packages := map[string]*constants{}
	err := filepath.WalkDir(root, func(file string, e fs.DirEntry, err error) error {
		name := e.Name()
		switch {
		case err != nil:
			return err
		case e.IsDir() && file != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules"):
			return fs.SkipDir
		case e.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		collect(packages, filepath.ToSlash(dir), parsed)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	delete(packages, "internal/db") // its statements are about the engine, not about tables
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		for _, name := range slices.Sorted(maps.Keys(packages[dir].values)) {
			if !strings.HasPrefix(name, "sql") {
				continue
			}
			text, ok := evaluate(packages, dir, name, packages[dir].values[name])
			if ok && isStatement.MatchString(text) {
				all = append(all, statement{dir + "." + name, text})
			} else if !ok {
				t.Errorf("%s.%s is not a constant text that this test can read", dir, name)
			}
		}
	}
	return all
}

const module = "github.com/gatehouse-id/gatehouse/"

func collect(packages map[string]*constants, dir string, file *ast.File) {
	imports := map[string]string{}
	for _, i := range file.Imports {
		p, _ := strconv.Unquote(i.Path.Value)
		if ours, ok := strings.CutPrefix(p, module); ok {
			name := path.Base(ours)
			if i.Name != nil {
				name = i.Name.Name
			}
			imports[name] = ours
		}
	}
	c := packages[dir]
	if c == nil {
		c = &constants{map[string]ast.Expr{}, map[string]map[string]string{}}
		packages[dir] = c
	}
	for _, d := range file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, spec := range g.Specs {
			v := spec.(*ast.ValueSpec)
			for i, name := range v.Names {
				if i < len(v.Values) {
					c.values[name.Name], c.files[name.Name] = v.Values[i], imports
				}
			}
		}
	}
}

func evaluate(packages map[string]*constants, dir, in string, e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, err == nil && e.Kind == token.STRING
	case *ast.ParenExpr:
		return evaluate(packages, dir, in, e.X)
	case *ast.BinaryExpr:
		x, okX := evaluate(packages, dir, in, e.X)
		y, okY := evaluate(packages, dir, in, e.Y)
		return x + y, okX && okY && e.Op == token.ADD
	case *ast.Ident:
		v, ok := packages[dir].values[e.Name]
		if !ok {
			return "", false
		}
		return evaluate(packages, dir, e.Name, v)
	case *ast.SelectorExpr:
		x, ok := e.X.(*ast.Ident)
		if !ok {
			return "", false
		}
		other := packages[dir].files[in][x.Name]
		if packages[other] == nil || packages[other].values[e.Sel.Name] == nil {
			return "", false
		}
		return evaluate(packages, other, e.Sel.Name, packages[other].values[e.Sel.Name])
	}
	return "", false
}

// A deleted tenant waits for its rows to go, and is absent meanwhile: whoever reads
// tenants says so, or asks for active ones, which it is not.
func TestStatementsLeaveDeletedTenantsOut(t *testing.T) {
	reads := regexp.MustCompile(`(?i)\b(?:FROM|JOIN|UPDATE) tenants(?: ([a-z]+)\b)?`)
	seen := map[string]bool{}
	for _, s := range statements(t) {
		text := space.ReplaceAllString(s.text, " ")
		for _, m := range reads.FindAllStringSubmatch(text, -1) {
			prefix := `[^.]`
			if m[1] != "" && !keyword.MatchString(m[1]) {
				prefix = `\b` + m[1] + `\.`
			}
			if !regexp.MustCompile(prefix + `(deleted_at IS NULL|status = 'active')`).MatchString(text) {
				seen[s.name] = true
			}
		}
		if seen[s.name] && ofDeletedTenants[s.name] == "" {
			t.Errorf("%s finds deleted tenants: add deleted_at IS NULL, or its reason to ofDeletedTenants\n%s", s.name, s.text)
		}
	}
	for name := range ofDeletedTenants {
		if !seen[name] {
			t.Errorf("%s is listed in ofDeletedTenants and leaves them out (or is gone)", name)
		}
	}
}
