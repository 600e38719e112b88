package signin_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

var aCode = regexp.MustCompile(`^(SAML|SLO|METADATA|OIDC|POLICY|SIGNIN|GTR|REVOCATION)_[A-Z0-9_]+$`)

// codes are the codes that the program's source has as literals.
func codes(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch d.Name() {
			case "gatewaytest", "testdata", "dev", "examples", ".git":
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasPrefix(filepath.Base(path), "explanations") || filepath.Base(path) == "presets.go" {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if s, err := strconv.Unquote(lit.Value); err == nil && aCode.MatchString(s) {
					found[s] = path
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Every code explains itself: what it means, who can mend it and what to do
// (sso 2.2).
func TestEveryCodeIsExplained(t *testing.T) {
	found := codes(t)
	if len(found) < 100 {
		t.Fatalf("only %d codes found", len(found))
	}
	for code, path := range found {
		e, ok := signin.Explain(code, "")
		if !ok {
			t.Errorf("%s of %s is not explained", code, path)
			continue
		}
		if e.Summary == "" || e.Action == "" {
			t.Errorf("%s: %+v", code, e)
		}
		switch e.Who {
		case signin.WhoIdPAdmin, signin.WhoTenantAdmin, signin.WhoVendor, signin.WhoPerson:
		default:
			t.Errorf("%s: who is %q", code, e.Who)
		}
	}
	if _, ok := signin.Explain("SAML_NO_SUCH_CODE", ""); ok {
		t.Error("a code that nobody gives is explained")
	}
	if _, ok := signin.Explain("", ""); ok {
		t.Error("no code is explained")
	}
}

// Where to go is said in the words of the console at hand.
func TestExplanationNamesTheScreen(t *testing.T) {
	for _, k := range []struct{ code, kind, want string }{
		{"SAML_AUDIENCE_MISMATCH", tenants.KindOkta, "Audience URI (SP Entity ID)"},
		{"SAML_AUDIENCE_MISMATCH", tenants.KindEntra, "Basic SAML Configuration"},
		{"SAML_UNSIGNED", tenants.KindGoogle, "Signed response"},
		{"SAML_NAMEID", tenants.KindADFS, "Transform rule"},
		{"SAML_NO_EMAIL", tenants.KindKeycloak, "Mappers"},
		{"SAML_NO_EMAIL", tenants.KindOneLogin, "Include in SAML assertion"},
		{"SAML_STATUS_REQUEST_DENIED", tenants.KindJumpCloud, "User Groups"},
		{"SAML_DESTINATION", tenants.KindPing, "ACS URLs"},
		{"SAML_DESTINATION", tenants.KindPingFederate, "SP Connections"},
		{"SAML_DESTINATION", "", "ACS address"},
		{"OIDC_NO_EMAIL", tenants.KindEntra, "Token configuration"},
		{"SAML_UNTRUSTED_KEY", tenants.KindOkta, "Certificates"},
		{"SAML_REPLAY", tenants.KindOkta, ""},
	} {
		if e, ok := signin.Explain(k.code, k.kind); !ok || !strings.Contains(e.Where, k.want) || k.want == "" && e.Where != "" {
			t.Errorf("%s %s: %q", k.code, k.kind, e.Where)
		}
	}
}
