package mail

import (
	"bytes"
	"embed"
	"html/template"
	"io/fs"
	"strings"
	texttemplate "text/template"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/i18n"
)

// Letter is what a mail says, in English; To translates it. All of it is text:
// nothing is taken for HTML.
type Letter struct {
	// Lang are the languages of the reader, as i18n.Catalogue.Match takes a list; Zone
	// is his time zone. Empty: English, UTC.
	Lang, Zone string
	// Args fill the placeholders of all texts: names and values in turn.
	Args       []string
	Subject    string
	Paragraphs []string
	Facts      []Fact
	Steps      []string // what to do, in order
	Closing    string   // why the reader gets this
}

// Fact is a line that the reader may have to copy.
type Fact struct {
	Label string
	Value string    // as it is, never translated
	At    time.Time // a time, in place of a value
}

//go:embed locale
var locales embed.FS

var texts = func() *i18n.Catalogue {
	files, err := fs.Sub(locales, "locale")
	if err != nil {
		panic(err) // cannot happen: the path is embedded above
	}
	return i18n.MustLoad(files)
}()

//go:embed templates
var templates embed.FS

var (
	htmlLetter = template.Must(template.ParseFS(templates, "templates/letter.html"))
	textLetter = texttemplate.Must(texttemplate.New("letter.txt").
			Funcs(texttemplate.FuncMap{"number": func(i int) int { return i + 1 }}).ParseFS(templates, "templates/letter.txt"))
)

// To addresses the letter. What cannot stand in one line, such as a line break in
// a name, becomes a space.
func (l Letter) To(a Address) (Message, error) {
	l, words := l.in(texts.Match(l.Lang))
	words.Greeting = i18n.Fill(words.Greeting, "name", cut(oneLine(a.Name), maxName))
	a.Name, l.Subject = cut(oneLine(a.Name), maxName), cut(oneLine(l.Subject), maxSubject)
	data := struct {
		Letter
		Words letterWords
		Name  string
	}{l, words, a.Name}
	var text, html bytes.Buffer
	if err := textLetter.Execute(&text, data); err != nil {
		return Message{}, err
	}
	if err := htmlLetter.Execute(&html, data); err != nil {
		return Message{}, err
	}
	return Message{To: a, Subject: l.Subject, Text: text.String(), HTML: html.String()}, nil
}

// letterWords are what a letter says by itself.
type letterWords struct{ Lang, Greeting, Todo string }

// in gives the letter in the language.
func (l Letter) in(lang string) (Letter, letterWords) {
	say := func(english string) string { return texts.In(lang, i18n.T(english, l.Args...)) }
	out := l
	out.Subject, out.Closing = say(l.Subject), say(l.Closing)
	out.Paragraphs, out.Steps, out.Facts = nil, nil, nil
	for _, p := range l.Paragraphs {
		out.Paragraphs = append(out.Paragraphs, say(p))
	}
	for _, s := range l.Steps {
		out.Steps = append(out.Steps, say(s))
	}
	for _, f := range l.Facts {
		f.Label = say(f.Label)
		if !f.At.IsZero() {
			f.Value = i18n.Date(lang, f.At.In(i18n.Zone(l.Zone)))
		}
		out.Facts = append(out.Facts, f)
	}
	return out, letterWords{lang, texts.Text(lang, "Hello {name},"), texts.Text(lang, "What to do:")}
}

func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "\ufffd"), func(r rune) bool { return !line(string(r), 1) || r == ' ' }), " ")
}

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
