package mail

import (
	"bytes"
	"embed"
	"html/template"
	"strings"
	texttemplate "text/template"
)

// Letter is what a mail says. All of it is text: nothing is taken for HTML.
type Letter struct {
	Subject    string
	Paragraphs []string
	Facts      []Fact
	Steps      []string // what to do, in order
	Closing    string   // why the reader gets this
}

// Fact is a line that the reader may have to copy.
type Fact struct{ Label, Value string }

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
	a.Name, l.Subject = cut(oneLine(a.Name), maxName), cut(oneLine(l.Subject), maxSubject)
	data := struct {
		Letter
		Name string
	}{l, a.Name}
	var text, html bytes.Buffer
	if err := textLetter.Execute(&text, data); err != nil {
		return Message{}, err
	}
	if err := htmlLetter.Execute(&html, data); err != nil {
		return Message{}, err
	}
	return Message{To: a, Subject: l.Subject, Text: text.String(), HTML: html.String()}, nil
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
