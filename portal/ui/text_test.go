package ui_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/i18n"
	"github.com/gatehouse-id/gatehouse/portal/ui"
)

type spokenPage struct {
	ui.Page
	Text ui.Text
	Name string
	At   time.Time
}

var spokenPages = fstest.MapFS{"said.html": {Data: []byte(`{{template "card" .}}
{{define "content"}}<h1>{{t .Title}}</h1><p>{{with .Text}}{{t .}}{{end}}</p><p>{{t "Join as {email}" "email" (bdi .Name)}}</p><input aria-label="{{t "Join as {email}" "email" .Name}}">
<p>{{t "Your access ends on {time}." "time" (when .At "Europe/Berlin")}}</p>{{end}}`)}}

func speak(t *testing.T, target, accept string, p spokenPage) *httptest.ResponseRecorder {
	t.Helper()
	u, err := ui.New(spokenPages)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Header.Set("Accept-Language", accept)
	w := httptest.NewRecorder()
	u.Render(w, r, http.StatusOK, "said", p)
	return w
}

// product 7.7: what was chosen for the page, then what the application asked for,
// then what the browser prefers, then English.
func TestLanguageOfAPage(t *testing.T) {
	for _, x := range []struct{ chosen, target, accept, want string }{
		{"", "/", "", "en"},
		{"", "/", "de-DE,de;q=0.9,en;q=0.5", "de"},
		{"", "/", "fr, it", "en"},
		{"en", "/", "de", "en"},
		{"de-AT", "/", "en", "de"},
		{"pt", "/", "de", "de"}, // chosen, and not to be had
		{"", "/?ui_locales=fr+de", "en", "de"},
		{"en", "/?ui_locales=de", "de", "en"},
		{"", "/?ui_locales=%00%22%3E", "de", "de"},
	} {
		w := speak(t, x.target, x.accept, spokenPage{Page: ui.Page{Title: "Sign in", Lang: x.chosen}})
		title := map[string]string{"en": "<h1>Sign in</h1>", "de": "<h1>Anmelden</h1>"}[x.want]
		if w.Header().Get("Content-Language") != x.want || !strings.Contains(w.Body.String(), `<html lang="`+x.want+`">`) || !strings.Contains(w.Body.String(), title) {
			t.Errorf("%+v: %s\n%s", x, w.Header().Get("Content-Language"), w.Body)
		}
		if !strings.Contains(strings.Join(w.Header().Values("Vary"), ","), "Accept-Language") {
			t.Errorf("%+v: Vary %q", x, w.Header().Values("Vary"))
		}
	}
}

// What people typed never becomes markup, whatever stands around it, and its
// direction stays its own.
func TestValuesInTextsAreEscaped(t *testing.T) {
	for _, lang := range []string{"en", "de"} {
		w := speak(t, "/", "", spokenPage{
			Page: ui.Page{Title: hostile, Lang: lang}, Name: hostile, Text: i18n.T("Join as {email}", "email", hostile+"{email}"),
		})
		body := w.Body.String()
		if strings.Contains(body, "<img") || strings.Count(body, "<script") != 1 || strings.Contains(body, "ZgotmplZ") {
			t.Errorf("%s: not escaped:\n%s", lang, body)
		}
		if !strings.Contains(body, "<bdi>&#34;&gt;&lt;script&gt;") || strings.Count(body, "{email}") != 1 {
			t.Errorf("%s: the values are not there:\n%s", lang, body)
		}
	}
}

func TestTimesStandInTheZone(t *testing.T) {
	w := speak(t, "/", "de", spokenPage{At: time.Date(2026, 7, 1, 22, 30, 0, 0, time.UTC)})
	want := `Ihr Zugang endet am <time datetime="2026-07-01T22:30:00Z" title="1. Juli 2026, 22:30 UTC">2. Juli 2026, 00:30 CEST</time>.`
	if !strings.Contains(w.Body.String(), want) {
		t.Errorf("no %s in\n%s", want, w.Body)
	}
}

// A fault with a number in its message is translated, and so is one without.
func TestFaultsAreTranslated(t *testing.T) {
	u := newUI(t)
	for err, want := range map[error]string{
		fault.Filled(fault.Invalid, "X", "At least {n} characters. Several words are easy to remember and hard to guess.", "n", "15"): "Mindestens 15 Zeichen.",
		fault.New(fault.Invalid, "X", "The service is busy. Try again in a moment."):                                                  "Der Dienst ist ausgelastet.",
		fault.New(fault.Invalid, "X", "Nobody translated this {n}."):                                                                  "Nobody translated this {n}.",
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept-Language", "de")
		u.Fault(w, r, quiet, err, "")
		if !strings.Contains(w.Body.String(), want) || !strings.Contains(w.Body.String(), "Die Anmeldung konnte nicht fortgesetzt werden") {
			t.Errorf("%v: no %q in\n%s", err, want, w.Body)
		}
	}
}

func TestTextTakesTextAlone(t *testing.T) {
	for name, text := range map[string]string{
		"a number":              `{{t 1}}`,
		"a name without value":  `{{t "x" "name"}}`,
		"a value that is none":  `{{t "{x}" "x" .Title.X}}`,
		"something else inside": `{{t "{x}" "x" .}}`,
	} {
		u, err := ui.New(fstest.MapFS{"p.html": {Data: []byte(text)}})
		if err != nil {
			continue
		}
		if w := do(func(w http.ResponseWriter, r *http.Request) { u.Render(w, r, 200, "p", spokenPage{}) }); w.Code != http.StatusInternalServerError {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}
