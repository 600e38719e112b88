package audit

import (
	"maps"
	"slices"
	"strings"
)

// ActionInfo describes an action of the catalogue to people.
type ActionInfo struct {
	Name        string
	Severity    Severity // of a successful one
	Description string   // English
}

// Catalogue describes every built-in action, in alphabetical order.
func Catalogue() []ActionInfo {
	list := make([]ActionInfo, 0, len(catalogue))
	for _, name := range slices.Sorted(maps.Keys(catalogue)) {
		list = append(list, ActionInfo{Name: name, Severity: catalogue[name], Description: describe(name)})
	}
	return list
}

// spelled are words of names that are not written as they stand.
var spelled = map[string]string{
	"sso": "SSO", "scim": "SCIM", "mfa": "MFA", "idp": "identity provider", "sp": "service provider", "api": "API", "email": "e-mail", "subaccount": "sub-account",
}

// describe writes a name out: its words are chosen so that they make a phrase.
func describe(name string) string {
	words := strings.FieldsFunc(name, func(r rune) bool { return r == '.' || r == '_' })
	for i, w := range words {
		if s, ok := spelled[w]; ok {
			words[i] = s
		}
	}
	phrase := strings.Join(words, " ")
	return strings.ToUpper(phrase[:1]) + phrase[1:]
}
