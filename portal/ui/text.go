package ui

import (
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/i18n"
)

// Text is what {{t}} takes: an English text, or an i18n.Text where values stand in
// it. nil and "" are none.
type Text = any

func localeTexts() (*i18n.Catalogue, error) {
	files, err := fs.Sub(localeFiles, "locale")
	if err != nil {
		return nil, err
	}
	return i18n.Load(files)
}

// textFuncs are the functions of templates that depend on the language.
func (u *UI) textFuncs(lang string) template.FuncMap {
	return template.FuncMap{
		"lang": func() string { return lang },
		"t":    func(message any, args ...any) (any, error) { return u.translate(lang, message, args) },
		"bdi": func(s any) template.HTML {
			return template.HTML("<bdi>" + template.HTMLEscapeString(fmt.Sprint(s)) + "</bdi>")
		},
		"strong": func(s string) template.HTML {
			return template.HTML("<strong><bdi>" + template.HTMLEscapeString(s) + "</bdi></strong>")
		},
		"when": func(at time.Time, zone string) template.HTML { return when(lang, at, zone) },
	}
}

// translate is {{t "Signed in as {email}." "email" .Email}}: the message in the
// page's language with its placeholders filled. A value of type template.HTML,
// such as (bdi .Name), stands as markup within the escaped text.
func (u *UI) translate(lang string, message any, args []any) (any, error) {
	var english string
	switch m := message.(type) {
	case string:
		english = m
	case i18n.Text:
		english = m.English
		for _, arg := range m.Args {
			args = append(args, arg)
		}
	default:
		return nil, fmt.Errorf("t: %T is no text", message)
	}
	if len(args)%2 != 0 {
		return nil, errors.New("t: a name without a value")
	}
	markup := false
	values := map[string]any{}
	for i := 0; i < len(args); i += 2 {
		name, ok := args[i].(string)
		if !ok {
			return nil, fmt.Errorf("t: %T is no name", args[i])
		}
		switch v := args[i+1].(type) {
		case template.HTML:
			markup = true
			values[name] = v
		case string:
			values[name] = v
		case int:
			values[name] = strconv.Itoa(v)
		default:
			return nil, fmt.Errorf("t: %s: %T cannot stand in a text", name, v)
		}
	}
	var b strings.Builder
	for _, part := range i18n.Split(u.texts.Text(lang, english)) {
		var text string
		switch v := values[part.Name].(type) {
		case template.HTML:
			b.WriteString(string(v))
			continue
		case string:
			text = v
		default:
			text = part.Text
			if part.Name != "" {
				text = "{" + part.Name + "}"
			}
		}
		if markup {
			text = template.HTMLEscapeString(text)
		}
		b.WriteString(text)
	}
	if markup {
		return template.HTML(b.String()), nil
	}
	return b.String(), nil
}

// when shows a time in the zone of that name, and in UTC where one asks for it
// (product 7.7).
func when(lang string, at time.Time, zone string) template.HTML {
	utc := at.UTC()
	return template.HTML(`<time datetime="` + utc.Format(time.RFC3339) + `" title="` + template.HTMLEscapeString(i18n.Date(lang, utc)) + `">` +
		template.HTMLEscapeString(i18n.Date(lang, at.In(i18n.Zone(zone)))) + `</time>`)
}
