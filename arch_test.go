package gatehouse

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/gatehouse-id/gatehouse"

// place is a package, or a tree of packages, of the house. Subpackages that
// have no row follow their parent's.
type place struct {
	path  string
	layer int
	below int      // may import every layer up to this one …
	also  []string // … and these
}

// house is the import table. Within a layer order counts where leftward says so.
var house = []place{
	{"internal/i18n", 0, -1, nil},
	{"internal/fault", 0, -1, leftward},
	{"internal/id", 0, -1, leftward},
	{"internal/clock", 0, -1, leftward},
	{"internal/secret", 0, -1, leftward},
	{"internal/permission", 0, -1, leftward},
	{"internal/actor", 0, -1, leftward},
	{"internal/limit", 0, -1, leftward},
	{"internal/safehttp", 0, -1, leftward},
	{"internal/mail", 0, -1, leftward},
	{"internal/db", 0, -1, leftward},

	{"migrations", 1, -1, nil}, // embed only
	{"internal/jobs", 1, 0, leftward},
	{"internal/httpx", 1, 0, leftward},
	{"audit", 1, 0, leftward},
	{"keys", 1, 0, leftward},
	{"internal/dbtest", 1, 0, leftward},

	{"sessions", 2, 1, nil},
	{"tenants", 3, 2, nil},
	{"directory", 4, 3, nil},
	{"policy", 4, 3, nil},
	{"rbac", 5, 4, nil},
	{"rbac/entitlement", 5, 4, []string{"rbac"}},
	{"rbac/apitoken", 5, 4, []string{"rbac"}},
	{"rbac/staff", 5, 4, []string{"rbac"}},
	{"signin/factor", 6, 5, nil},                          // what people prove themselves with
	{"signin/staffauth", 6, 5, []string{"signin/factor"}}, // the vendor's people: docs/adr/0011
	{"signin", 6, 5, []string{"signin/factor"}},
	{"onboarding", 6, 5, []string{"signin"}},

	{"scim", 7, 5, scimParts},
	{"scim/schema", 7, 5, scimParts},
	{"scim/filter", 7, 5, scimParts},
	{"scim/patch", 7, 5, scimParts},
	{"scim/dialect", 7, 5, scimParts},
	{"internal/entra", 7, 0, nil}, // Microsoft Graph: both protocols ask it, and the domain knows no HTTP
	{"saml", 7, 3, []string{"signin", "internal/entra"}},
	{"oidc", 7, 6, nil},
	{"oidc/client", 7, 6, []string{"oidc", "internal/entra"}},
	{"oidc/provider", 7, 6, []string{"oidc"}},
	{"webhooks", 7, 3, nil},

	{"portal/ui", 8, 7, nil},
	{"portal", 8, 7, []string{"portal/ui"}},
	{"api", 8, 7, nil},

	{"client", 9, -1, nil},
	{"examples", 9, -1, []string{"client"}},
	{"gatewaytest/idp", 9, 8, nil},
	{"gatewaytest/htmlcheck", 9, -1, nil},
	{"gatewaytest/chrome", 9, -1, nil},
	{"internal/gateway", 9, 8, nil}, // the wiring: docs/adr/0002
	{"gatewaytest", 9, 8, []string{"gatewaytest/idp", "gatewaytest/htmlcheck", "client", "internal/gateway"}},
	{"cmd", 9, 8, []string{"client", "examples", "gatewaytest/idp", "internal/gateway"}},

	{"docs", 9, -1, nil},                        // checks of the documents
	{"dev", 9, -1, []string{"gatewaytest/idp"}}, // the benchmark signs people in
}

// leftward lets a package import those of its layer that stand above it in house.
var leftward = []string{"<"}

// scimParts may import each other as long as Go finds no cycle.
var scimParts = []string{"scim/schema", "scim/filter", "scim/patch", "scim/dialect"}

// confined says where a third-party module may be imported outside tests; a
// module that is not listed may be imported nowhere. "*" is everywhere.
var confined = map[string][]string{
	"github.com/jackc/pgx/v5":                                  {"internal/db"},
	"modernc.org/sqlite":                                       {"internal/db"},
	"github.com/pressly/goose/v3":                              {"internal/db"},
	"github.com/wneessen/go-mail":                              {"internal/mail"},
	"html/template":                                            {"internal/mail", "portal", "examples"}, // an example is an application of its own
	"github.com/tink-crypto/tink-go/v2":                        {"keys"},
	"github.com/go-jose/go-jose/v4":                            {"keys", "oidc", "client", "gatewaytest"},
	"github.com/go-webauthn/webauthn":                          {"signin"},
	"github.com/pquerna/otp":                                   {"signin"},
	"github.com/elimity-com/scim":                              {"scim"},
	"github.com/crewjam/saml":                                  {"saml", "gatewaytest"},
	"github.com/russellhaering/goxmldsig":                      {"saml", "gatewaytest"},
	"github.com/beevik/etree":                                  {"saml", "gatewaytest"},
	"github.com/coreos/go-oidc/v3":                             {"oidc/client"},
	"github.com/danielgtaylor/huma/v2":                         {"api"},
	"github.com/alecthomas/kong":                               {"cmd"},
	"github.com/BurntSushi/toml":                               {"cmd"},
	"github.com/go-chi/chi/v5":                                 {"internal/httpx", "scim", "saml", "oidc", "webhooks", "portal", "api", "client", "examples", "gatewaytest", "cmd", "internal/gateway"},
	"github.com/prometheus/client_golang":                      {"internal/httpx", "cmd"},
	"go.opentelemetry.io/otel":                                 {"internal/httpx", "cmd"},
	"golang.org/x/crypto":                                      {"keys", "signin"},
	"golang.org/x/oauth2":                                      {"oidc/client", "examples", "cmd"},
	"golang.org/x/time":                                        {"internal/limit"},
	"golang.org/x/net":                                         {"*"}, // the next four extend the standard library
	"golang.org/x/text":                                        {"*"},
	"golang.org/x/sync":                                        {"*"},
	"golang.org/x/sys":                                         {"*"},
	"github.com/rogpeppe/go-internal":                          {}, // these only in tests
	"github.com/fxamacker/cbor/v2":                             {},
	"pgregory.net/rapid":                                       {},
	"github.com/google/go-cmp":                                 {},
	"go.uber.org/goleak":                                       {},
	"github.com/chromedp/chromedp":                             {"gatewaytest"},
	"github.com/chromedp/cdproto":                              {},
	"github.com/santhosh-tekuri/jsonschema":                    {},
	"github.com/pb33f/libopenapi-validator":                    {},
	"github.com/zitadel/oidc/v3":                               {},
	"github.com/standard-webhooks/standard-webhooks/libraries": {},
}

// aliases are the names of packages whose own name is one of ours.
var aliases = map[string]string{
	"github.com/elimity-com/scim":       "escim",
	"github.com/crewjam/saml":           "csaml",
	"github.com/coreos/go-oidc/v3/oidc": "gooidc",
}

// long lists the files above 700 lines, with the reason why they are not split.
var long = map[string]string{
	"migrations/0001_init.sql": "the schema of a release is read in one piece",
}

const (
	longLines = 700
	maxLines  = 1000
)

// nameless are package names that say nothing about what a package owns.
var nameless = []string{"util", "utils", "helper", "helpers", "common", "manager", "misc", "base", "shared", "lib"}

// source is one Go file.
type source struct {
	file, dir string
	ast       *ast.File
	test      bool
}

func TestImports(t *testing.T) {
	for _, s := range sources(t) {
		if s.dir == "." {
			continue // this file
		}
		p, ok := placeOf(s.dir)
		if !ok {
			t.Errorf("%s: package %s has no row in the table of arch_test.go: say where in the house it stands", s.file, s.dir)
			continue
		}
		for _, spec := range s.ast.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if why := refuse(p, s, name); why != "" {
				t.Errorf("%s imports %s: %s", s.file, name, why)
			}
			if want := aliases[name]; want != "" && (spec.Name == nil || spec.Name.Name != want) {
				t.Errorf("%s imports %s: name it %s, because our own package keeps the plain name", s.file, name, want)
			}
		}
	}
}

// refuse says why the file may not import name; empty when it may.
func refuse(p place, s source, name string) string {
	if ours, ok := strings.CutPrefix(name, module+"/"); ok {
		return refuseOurs(p, s, ours)
	}
	if name == module || name == "C" {
		return "nothing imports it (CGO_ENABLED=0)"
	}
	if first, _, _ := strings.Cut(name, "/"); !strings.Contains(first, ".") && name != "html/template" {
		return refuseStandard(p, s, name)
	}
	best := ""
	for m := range confined {
		if (name == m || strings.HasPrefix(name, m+"/")) && len(m) > len(best) {
			best = m
		}
	}
	switch {
	case best == "":
		return "it is no dependency of the project; a new one needs an ADR and a row in arch_test.go"
	case s.test:
		return ""
	case len(confined[best]) == 0:
		return "it is for tests"
	}
	for _, at := range confined[best] {
		if at == "*" || within(s.dir, at) {
			return ""
		}
	}
	return "it is confined to " + strings.Join(confined[best], ", ")
}

func refuseStandard(p place, s source, name string) string {
	switch {
	case s.test:
	case name == "testing" || strings.HasPrefix(name, "testing/") || name == "net/http/httptest":
		if !within(s.dir, "internal/dbtest") && (!within(s.dir, "gatewaytest") || within(s.dir, "gatewaytest/idp")) {
			return "test code stays in _test.go files, internal/dbtest and gatewaytest"
		}
	case name == "net/http" || strings.HasPrefix(name, "net/http/"):
		if p.layer >= 2 && p.layer <= 6 {
			return "the domain and the flows know no HTTP; status codes are mapped in the errors.go of a surface"
		}
		if p.layer < 2 && p.path != "internal/safehttp" && p.path != "internal/httpx" {
			return "of the plumbing only internal/safehttp and internal/httpx speak HTTP"
		}
	case name == "database/sql" || strings.HasPrefix(name, "database/sql/"):
		if p.path != "internal/db" {
			return "the database is reached through db.Queryer"
		}
	case name == "math/rand":
		return "use crypto/rand for secrets and math/rand/v2 for jitter"
	}
	return ""
}

func refuseOurs(p place, s source, ours string) string {
	q, ok := placeOf(ours)
	if !ok {
		return "that package has no row in the table of arch_test.go"
	}
	if s.test { // Go itself refuses cycles; tests may build what they need from any layer.
		if q.path == "cmd" {
			return "a command is not imported"
		}
		return ""
	}
	if q.path == p.path { // the same tree, such as saml and saml/verify
		if p.path == "portal" && strings.Join(strings.Split(ours, "/")[:2], "/") != strings.Join(strings.Split(s.dir, "/")[:2], "/") {
			return "pages share portal/ui and nothing else"
		}
		return ""
	}
	switch q.path {
	case "internal/dbtest":
		return "it is for tests"
	case "gatewaytest":
		return "it is for tests; demo uses gatewaytest/idp"
	}
	if slices.Contains(p.also, q.path) {
		return ""
	}
	if slices.Equal(p.also, leftward) && p.layer == q.layer && index(q) < index(p) {
		return ""
	}
	if q.layer > p.below {
		if q.layer == 7 && p.layer == 7 {
			return "protocols never import each other; signin.Identity is their only road to a session"
		}
		return "layer " + strconv.Itoa(p.layer) + " (" + p.path + ") may import our layers up to " + strconv.Itoa(p.below) +
			"; that one is of layer " + strconv.Itoa(q.layer)
	}
	if p.layer == 8 && q.layer == 7 && strings.Contains(ours, "/") {
		return "surfaces use only the exported service types of the root packages scim, saml and oidc"
	}
	return ""
}

// placeOf finds the row of a package: its own or the nearest parent's.
func placeOf(dir string) (place, bool) {
	for d := dir; d != "."; d = path.Dir(d) {
		for _, p := range house {
			if p.path == d {
				// scim is written in files, apart from the four that stand in the table.
				return p, p.path != "scim" || d == dir
			}
		}
	}
	return place{}, false
}

func index(p place) int {
	return slices.IndexFunc(house, func(q place) bool { return q.path == p.path })
}

func within(dir, tree string) bool { return dir == tree || strings.HasPrefix(dir, tree+"/") }

func TestPackages(t *testing.T) {
	documented, tests := map[string]bool{}, map[string]bool{}
	for _, s := range sources(t) {
		name := s.ast.Name.Name
		if slices.Contains(nameless, strings.TrimSuffix(name, "_test")) {
			t.Errorf("%s: package %s: name a package after what it owns", s.file, name)
		}
		if s.test {
			tests[s.dir] = true
			continue
		}
		documented[s.dir] = documented[s.dir] || s.ast.Doc != nil
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("package %s has no package comment: say in doc.go what it owns", dir)
		}
	}
	for dir := range tests {
		if _, ok := documented[dir]; !ok {
			t.Errorf("package %s is tests alone: give it a doc.go", dir)
		}
	}
}

func TestFileLength(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range files(t) {
		switch path.Ext(f) {
		case ".go", ".sql", ".html", ".css", ".js":
		default:
			continue
		}
		b := read(t, f)
		if generated.MatchString(b[:min(len(b), 500)]) || strings.Contains(f, "/vendor/") || strings.Contains(f, ".min.") {
			continue
		}
		n := strings.Count(b, "\n")
		seen[f] = n > longLines
		switch {
		case n > maxLines:
			t.Errorf("%s has %d lines: split it, %d is the limit", f, n, maxLines)
		case n > longLines && long[f] == "":
			t.Errorf("%s has %d lines: split it by noun, or give the reason in arch_test.go", f, n)
		}
	}
	for f := range long {
		if there, ok := seen[f]; ok && !there {
			t.Errorf("%s has no more than %d lines: strike it from arch_test.go", f, longLines)
		}
	}
}

var generated = regexp.MustCompile(`(?mi)^(//|--|/\*|<!--|#) ?(code )?generated `)

// The repository speaks of the project alone, not of the machine it was written on.
func TestNoForeignPaths(t *testing.T) {
	foreign := regexp.MustCompile(`(^|[^\w.])(/wo` + `rk/(main|shared|\.)|/tm` + `p/plan|\.lib` + `rary/|/home/[a-z]+/|/ro` + `ot/|/Us` + `ers/[A-Za-z]+/)`)
	for _, f := range files(t) {
		b := read(t, f)
		if strings.IndexByte(b[:min(len(b), 8000)], 0) >= 0 {
			continue // binary
		}
		for i, line := range strings.Split(b, "\n") {
			if m := foreign.FindString(line); m != "" {
				t.Errorf("%s:%d mentions %s", f, i+1, strings.TrimSpace(m))
			}
		}
	}
}

// The rules hold for what they should and only for that.
func TestRules(t *testing.T) {
	good := func(from, imported string) {
		t.Helper()
		if why := ask(t, from, imported); why != "" {
			t.Errorf("%s → %s: %s", from, imported, why)
		}
	}
	bad := func(from, imported string) {
		t.Helper()
		if ask(t, from, imported) == "" {
			t.Errorf("%s → %s is let through", from, imported)
		}
	}
	good("internal/actor", module+"/internal/permission")
	bad("internal/permission", module+"/internal/actor") // only those to its left
	bad("internal/fault", module+"/internal/id")
	good("audit", module+"/internal/jobs")
	bad("audit", module+"/keys")
	good("keys", module+"/audit")
	bad("migrations", module+"/internal/db")
	good("tenants", module+"/sessions")
	bad("sessions", module+"/tenants")
	bad("directory", module+"/policy") // same layer
	good("rbac/staff", module+"/rbac")
	bad("rbac", module+"/rbac/staff")
	bad("rbac/staff", module+"/rbac/apitoken")
	good("onboarding", module+"/signin")
	bad("signin", module+"/onboarding")
	good("scim", module+"/scim/patch")
	good("scim/patch", module+"/scim/filter")
	bad("scim/filter", module+"/scim")
	bad("scim/bulk", module+"/rbac") // no such subpackage
	bad("scim", module+"/signin")
	bad("scim", module+"/saml")
	good("saml", module+"/signin")
	good("saml", module+"/saml/verify")
	bad("saml", module+"/directory") // 0–3 and signin
	bad("saml", module+"/oidc")
	good("oidc/provider", module+"/oidc")
	bad("oidc/provider", module+"/oidc/client")
	bad("oidc", module+"/oidc/provider")
	bad("webhooks", module+"/rbac")
	good("portal/login", module+"/portal/ui")
	bad("portal/login", module+"/portal/setup")
	bad("portal/ui", module+"/portal/login")
	good("api", module+"/scim")
	bad("api", module+"/scim/filter")
	bad("api", module+"/portal/ui")
	bad("client", module+"/internal/fault")
	good("cmd/gatehouse", module+"/gatewaytest/idp")
	bad("cmd/gatehouse", module+"/gatewaytest")
	bad("signin", module+"/internal/dbtest")
	bad("internal/surprise", module+"/internal/fault")
	bad("signin", "net/http")
	bad("keys", "net/http")
	good("saml", "net/http")
	bad("api", "testing")
	good("gatewaytest", "testing")
	bad("gatewaytest/idp", "testing")
	bad("directory", "database/sql")
	bad("api", "html/template")
	good("portal/login", "html/template")
	bad("api", "github.com/jackc/pgx/v5")
	good("internal/db", "github.com/jackc/pgx/v5/pgxpool")
	bad("signin", "github.com/go-chi/chi/v5")
	good("saml/verify", "github.com/beevik/etree")
	bad("oidc/provider", "github.com/coreos/go-oidc/v3/oidc")
	bad("api", "github.com/google/go-cmp/cmp")
	bad("api", "github.com/stretchr/testify/require")
}

func ask(t *testing.T, from, imported string) string {
	t.Helper()
	p, ok := placeOf(from)
	if !ok {
		return "no such place"
	}
	return refuse(p, source{file: from + "/x.go", dir: from}, imported)
}

// files lists the text of the repository, without what git ignores by name.
func files(t *testing.T) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name == ".git" || name == "data" || name == "bin" || d.Name() == "node_modules" {
				return filepath.SkipDir
			}
			return nil
		}
		if d.Type().IsRegular() && name != "gatehouse" && !strings.HasSuffix(name, ".test") {
			out = append(out, filepath.ToSlash(name))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func sources(t *testing.T) []source {
	t.Helper()
	var out []source
	fset := token.NewFileSet()
	for _, f := range files(t) {
		if path.Ext(f) != ".go" || strings.Contains(f, "testdata/") {
			continue
		}
		a, err := parser.ParseFile(fset, f, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			t.Error(err)
			continue
		}
		out = append(out, source{file: f, dir: path.Dir(f), ast: a, test: strings.HasSuffix(f, "_test.go")})
	}
	return out
}

func read(t *testing.T, f string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.FromSlash(f))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
