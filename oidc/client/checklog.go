package client

import (
	"strings"
	"unicode"

	"github.com/gatehouse-id/gatehouse/signin"
)

// checkLog collects checks for the login log. Secrets stay out of it.
type checkLog struct{ list []signin.Check }

func (l *checkLog) pass(name, expected, actual string) {
	l.list = append(l.list, signin.Check{Name: name, OK: true, Expected: clip(expected), Actual: clip(actual)})
}

func (l *checkLog) fail(name, expected, actual string, err error) error {
	l.list = append(l.list, signin.Check{Name: name, Expected: clip(expected), Actual: clip(actual)})
	return err
}

func present(s string) string {
	if s == "" {
		return "absent"
	}
	return "another"
}

func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
	if len(s) > 200 {
		return strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}
