package i18n

import (
	"slices"
	"strings"
)

// Text is a message with what fills its placeholders: names and values in turn.
type Text struct {
	English string
	Args    []string
}

// T is a text to translate.
func T(english string, args ...string) Text { return Text{English: english, Args: args} }

// String is the text in English.
func (t Text) String() string { return Fill(t.English, t.Args...) }

// Fill puts values in the place of {name}. What a value holds is not looked at
// again, and a placeholder without a value stays as it is.
func Fill(message string, args ...string) string {
	var b strings.Builder
	for _, p := range Split(message) {
		if p.Name == "" {
			b.WriteString(p.Text)
			continue
		}
		value := "{" + p.Name + "}"
		for i := 0; i+1 < len(args); i += 2 {
			if args[i] == p.Name {
				value = args[i+1]
			}
		}
		b.WriteString(value)
	}
	return b.String()
}

// Part of a message: a text, or the name of a placeholder.
type Part struct{ Text, Name string }

// Split takes a message apart.
func Split(message string) []Part {
	var parts []Part
	for {
		start := strings.IndexByte(message, '{')
		end := -1
		if start >= 0 {
			end = strings.IndexByte(message[start:], '}')
		}
		if end < 0 {
			return append(parts, Part{Text: message})
		}
		name := message[start+1 : start+end]
		if !isName(name) {
			parts, message = append(parts, Part{Text: message[:start+1]}), message[start+1:]
			continue
		}
		if start > 0 {
			parts = append(parts, Part{Text: message[:start]})
		}
		parts = append(parts, Part{Name: name})
		message = message[start+end+1:]
	}
}

func isName(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") == ""
}

// Placeholders are the names in a message, sorted, each once.
func Placeholders(message string) []string {
	var names []string
	for _, p := range Split(message) {
		if p.Name != "" {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
