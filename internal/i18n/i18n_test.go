package i18n_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/i18n"
)

func load(t *testing.T, files map[string]string) (*i18n.Catalogue, error) {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return i18n.Load(fsys)
}

func german(t *testing.T) *i18n.Catalogue {
	t.Helper()
	c, err := load(t, map[string]string{
		"de/a.json": `{"Sign in": "Anmelden", "Signed in as {email}.": "Angemeldet als {email}."}`,
		"de/b.json": `{"Sign in": "Anmelden", "Code": "Code"}`,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTranslates(t *testing.T) {
	c := german(t)
	for _, x := range []struct{ lang, english, want string }{
		{"de", "Sign in", "Anmelden"},
		{"en", "Sign in", "Sign in"},
		{"de", "Never translated", "Never translated"},
		{"fr", "Sign in", "Sign in"},
	} {
		if got := c.Text(x.lang, x.english); got != x.want {
			t.Errorf("%s %q: %q", x.lang, x.english, got)
		}
	}
	if got := c.In("de", i18n.T("Signed in as {email}.", "email", "{email} {x}")); got != "Angemeldet als {email} {x}." {
		t.Errorf("what a value holds was looked at: %q", got)
	}
	if c.Has("de", "Never translated") || !c.Has("de", "Code") || !c.Has("en", "anything") {
		t.Error("Has is wrong")
	}
}

func TestRefusesBrokenCatalogues(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"two translations":       {"de/a.json": `{"A":"B"}`, "de/b.json": `{"A":"C"}`},
		"two in one file":        {"de/a.json": `{"A":"B","A":"C"}`},
		"another placeholder":    {"de/a.json": `{"A {x}":"B {y}"}`},
		"a placeholder too few":  {"de/a.json": `{"A {x}":"B"}`},
		"empty":                  {"de/a.json": `{"A":" "}`},
		"nested":                 {"de/a.json": `{"A":{"B":"C"}}`},
		"a number":               {"de/a.json": `{"A":1}`},
		"no object":              {"de/a.json": `["A"]`},
		"two objects":            {"de/a.json": `{} {}`},
		"cut":                    {"de/a.json": `{"A":`},
		"a directory, no tongue": {"no language/a.json": `{"A":"B"}`},
	} {
		if _, err := load(t, files); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestMatch(t *testing.T) {
	c := german(t)
	for _, x := range []struct {
		want      string
		preferred []string
	}{
		{"en", nil},
		{"en", []string{""}},
		{"de", []string{"de"}},
		{"de", []string{"de-AT"}},
		{"de", []string{"", "de-CH, en;q=0.5"}},
		{"en", []string{"en-GB", "de"}},
		{"de", []string{"fr-CA de en"}},         // ui_locales: in the order of preference
		{"de", []string{"fr", "de-DE,de;q=.9"}}, // none of the first is ours
		{"en", []string{"fr", "it"}},
		{"de", []string{"en;q=0.1, de;q=0.9"}},
		{"de", []string{"\x00;;;,,", "de"}},
		{"en", []string{"de" + strings.Repeat(",de", 1000)}},
		{"en", []string{"<script>"}},
	} {
		if got := c.Match(x.preferred...); got != x.want {
			t.Errorf("%q: %s, want %s", x.preferred, got, x.want)
		}
	}
	if !slices.Equal(c.Languages(), []string{"en", "de"}) {
		t.Errorf("languages %v", c.Languages())
	}
}

func TestFill(t *testing.T) {
	for _, x := range []struct {
		message, want string
		args          []string
	}{
		{"a {b} c", "a 1 c", []string{"b", "1"}},
		{"{b}{b}", "11", []string{"b", "1"}},
		{"{b}", "{b}", nil},
		{"{b}", "{b}", []string{"b"}},
		{"{", "{", nil},
		{"{}", "{}", []string{"", "x"}},
		{"{ b} {B} {b", "{ b} {B} {b", []string{"b", "1"}},
		{"{{b}}", "{1}", []string{"b", "1"}},
		{"", "", nil},
	} {
		if got := i18n.Fill(x.message, x.args...); got != x.want {
			t.Errorf("%q: %q, want %q", x.message, got, x.want)
		}
	}
}

func FuzzFill(f *testing.F) {
	f.Add("{a} {b}", "x")
	f.Fuzz(func(t *testing.T, message, value string) {
		whole := ""
		for _, p := range i18n.Split(message) {
			if p.Name != "" {
				whole += "{" + p.Name + "}"
			} else {
				whole += p.Text
			}
		}
		if whole != message {
			t.Errorf("the parts of %q make %q", message, whole)
		}
		i18n.Fill(message, "a", value)
	})
}

// product 7.7: dates in the reader's zone; the zones are in the program.
func TestDate(t *testing.T) {
	at := time.Date(2026, 3, 1, 22, 5, 0, 0, time.UTC)
	for _, x := range []struct{ lang, zone, want string }{
		{"en", "", "1 March 2026, 22:05 UTC"},
		{"de", "Europe/Berlin", "1. März 2026, 23:05 CET"},
		{"en", "Asia/Kolkata", "2 March 2026, 03:35 IST"},
		{"en", "Local", "1 March 2026, 22:05 UTC"},
		{"en", "../../etc/passwd", "1 March 2026, 22:05 UTC"},
	} {
		if got := i18n.Date(x.lang, at.In(i18n.Zone(x.zone))); got != x.want {
			t.Errorf("%s %s: %q", x.lang, x.zone, got)
		}
	}
}
