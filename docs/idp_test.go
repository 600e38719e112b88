package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/scim/dialect"
)

const guides = "idp"

var (
	codeForm = regexp.MustCompile(`\b(?:SAML|OIDC|POLICY|SIGNIN|SLO|GTR|METADATA)_[A-Z0-9_]+\b`)
	// The first three columns of the index: guide, presets, profiles.
	guideRow = regexp.MustCompile(`(?m)^\| \[[^]]+\]\(([a-z]+\.md)\)[^|]*\|([^|]*)\|([^|]*)\|`)
	quoted   = regexp.MustCompile("`([a-z]+)`")
	// A name of PingFederate's that looks like a code.
	notACode = map[string]bool{"SAML_SUBJECT": true}
)

// TestGuideCodes holds the guides to codes that signin explains.
func TestGuideCodes(t *testing.T) {
	known := explainedCodes(t)
	if len(known) < 100 {
		t.Fatalf("found %d codes in signin's explanations", len(known))
	}
	for name, text := range readGuides(t) {
		used := codeForm.FindAllString(text, -1)
		if len(used) == 0 {
			t.Errorf("%s names no code", name)
		}
		for _, code := range used {
			if !known[code] && !notACode[code] {
				t.Errorf("%s names %s, which signin does not explain", name, code)
			}
		}
	}
}

// TestGuideForEach holds the index to a guide for every preset and SCIM profile,
// and to exactly the guides that are there.
func TestGuideForEach(t *testing.T) {
	texts := readGuides(t)
	linked, presets, profiles := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, row := range guideRow.FindAllStringSubmatch(texts["README.md"], -1) {
		linked[row[1]] = true
		if texts[row[1]] == "" {
			t.Errorf("README.md leads to %s, which is not there", row[1])
		}
		for _, m := range quoted.FindAllStringSubmatch(row[2], -1) {
			presets[m[1]] = true
		}
		for _, m := range quoted.FindAllStringSubmatch(row[3], -1) {
			profiles[m[1]] = true
			if !strings.Contains(texts[row[1]], "`"+m[1]+"`") {
				t.Errorf("%s does not name its profile %s", row[1], m[1])
			}
		}
	}
	for name := range texts {
		if name != "README.md" && !linked[name] {
			t.Errorf("README.md does not lead to %s", name)
		}
	}
	all := presetKinds(t)
	if len(all) == 0 {
		t.Fatal("found no presets")
	}
	for _, kind := range all {
		if !presets[kind] {
			t.Errorf("preset %s has no guide", kind)
		}
		delete(presets, kind)
	}
	for _, name := range dialect.Names() {
		if !profiles[name] {
			t.Errorf("SCIM profile %s has no guide", name)
		}
		delete(profiles, name)
	}
	for kind := range presets {
		t.Errorf("README.md names the preset %s, which does not exist", kind)
	}
	for name := range profiles {
		t.Errorf("README.md names the SCIM profile %s, which does not exist", name)
	}
}

func readGuides(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(guides, "*.md"))
	if err != nil || len(files) < 2 {
		t.Fatalf("found %d guides: %v", len(files), err)
	}
	out := map[string]string{}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(name)] = string(b)
	}
	return out
}

// explainedCodes are the keys of the maps in signin/explanations*.go.
func explainedCodes(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "signin", "explanations*.go"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, name := range files {
		ast.Inspect(parseSource(t, name), func(n ast.Node) bool {
			if kv, ok := n.(*ast.KeyValueExpr); ok {
				if code, ok := text(kv.Key); ok {
					out[code] = true
				}
			}
			return true
		})
	}
	return out
}

// presetKinds are the values of the field Kind in tenants/presets.go.
func presetKinds(t *testing.T) []string {
	t.Helper()
	constants := map[string]string{}
	ast.Inspect(parseSource(t, filepath.Join("..", "tenants", "idpkind.go")), func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && len(v.Names) == 1 && len(v.Values) == 1 {
			if s, ok := text(v.Values[0]); ok {
				constants[v.Names[0].Name] = s
			}
		}
		return true
	})
	var out []string
	ast.Inspect(parseSource(t, filepath.Join("..", "tenants", "presets.go")), func(n ast.Node) bool {
		kv, ok := n.(*ast.KeyValueExpr)
		if !ok {
			return true
		}
		if key, ok := kv.Key.(*ast.Ident); !ok || key.Name != "Kind" {
			return true
		}
		kind, ok := text(kv.Value)
		if id, named := kv.Value.(*ast.Ident); named {
			kind, ok = constants[id.Name], constants[id.Name] != ""
		}
		if !ok {
			t.Errorf("tenants/presets.go has a kind that cannot be read")
		}
		out = append(out, kind)
		return true
	})
	return out
}

func parseSource(t *testing.T, name string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// text is the value of a string literal.
func text(e ast.Expr) (string, bool) {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(l.Value)
	return s, err == nil
}
