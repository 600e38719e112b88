package docs

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/scim/dialect"
)

const (
	divergencesFile = "divergences.md"
	rulesHead       = "<!-- generated from scim/dialect: go generate ./docs -->\n"
)

// TestDivergences keeps the table of SCIM dialect rules what the code says.
func TestDivergences(t *testing.T) {
	text, err := os.ReadFile(divergencesFile)
	if err != nil {
		t.Fatal(err)
	}
	head, _, found := strings.Cut(string(text), rulesHead)
	if !found {
		t.Fatalf("%s has no line %q", divergencesFile, rulesHead)
	}
	want := head + rulesHead + ruleTable(t)
	if *update {
		if err := os.WriteFile(divergencesFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(text) {
		t.Errorf("%s is not what scim/dialect says; run: go generate ./docs", divergencesFile)
	}
}

func ruleTable(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("| rule | what it tolerates | profiles | source |\n|---|---|---|---|\n")
	cell := strings.NewReplacer("|", `\|`, "\n", " ")
	for _, r := range dialect.Rules() {
		var on []string
		for _, name := range dialect.Names() {
			p, err := dialect.Lookup(name)
			if err != nil {
				t.Fatal(err)
			}
			if p.Has(r) {
				on = append(on, name)
			}
		}
		profiles := strings.Join(on, ", ")
		if len(on) == len(dialect.Names()) {
			profiles = "all"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", r, cell.Replace(r.Doc()), profiles, cell.Replace(r.Source()))
	}
	return b.String()
}
