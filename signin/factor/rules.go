package factor

import (
	_ "embed"
	"encoding/json"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// The floor of a password's length in characters (NIST SP 800-63B §3.1.1.1).
const (
	MinAlone  = 15 // where it is the only factor
	MinBeside = 8  // beside a second one
)

// common is the list of the @zxcvbn-ts/language-common package, as JSON. It is
// searched where it stands: a map of it would keep some megabytes busy for a
// question that is asked when somebody chooses a password.
//
//go:embed passwords/passwords.json
var common string

// Rules say what a new password must be like. There are none of composition
// (product 7.6).
type Rules struct {
	MinLength int // characters; never less than the floor
	// Context are words that an attacker tries first: the parts of the e-mail
	// address, the organization's and the product's name.
	Context []string
}

// Check refuses a password, with the reason that the person can act on.
//
// Faults, all in the field password: password_too_short, password_too_long,
// password_characters, password_common, password_context.
func (r Rules) Check(password string) error {
	refuse := func(code, message string) error { return fault.New(fault.Invalid, code, message).In("password") }
	n := Normal(password)
	switch {
	case !utf8.ValidString(password) || strings.ContainsFunc(n, unicode.IsControl):
		return refuse("password_characters", "Use characters that can be typed.")
	case utf8.RuneCountInString(n) < r.MinLength:
		return fault.Filled(fault.Invalid, "password_too_short", "Use at least {n} characters. Several words are easy to remember.", "n", strconv.Itoa(r.MinLength)).In("password")
	case len(n) > MaxPassword:
		return refuse("password_too_long", "Use fewer characters.")
	}
	folded := strings.ToLower(n)
	if isCommon(folded) {
		return refuse("password_common", "This password is among those that attackers try first. Choose another one.")
	}
	if rest := r.without(folded); rest < MinBeside && rest < utf8.RuneCountInString(folded) {
		return refuse("password_context", "This password is too close to your name, address or organization. Choose another one.")
	}
	return nil
}

// isCommon reports whether the password, or what is left of it without digits and
// signs at its end, is on the list, or is one short piece over and over.
func isCommon(folded string) bool {
	core := strings.TrimRightFunc(folded, func(r rune) bool { return !unicode.IsLetter(r) })
	return listed(folded) || utf8.RuneCountInString(core) >= 6 && utf8.RuneCountInString(folded)-utf8.RuneCountInString(core) <= 4 && listed(core) || repeated(folded)
}

func listed(word string) bool {
	quoted, err := json.Marshal(word)
	return err == nil && strings.Contains(common, string(quoted))
}

// repeated reports whether the word is a piece of at most a third of it, repeated.
func repeated(word string) bool {
	for size := 1; size <= len(word)/3; size++ {
		if strings.Repeat(word[:size], len(word)/size+1)[:len(word)] == word {
			return true
		}
	}
	return false
}

// without counts the characters that are left when the words of the context are
// taken out.
func (r Rules) without(folded string) int {
	for _, word := range r.Context {
		if word = strings.ToLower(Normal(word)); utf8.RuneCountInString(word) >= 4 {
			folded = strings.ReplaceAll(folded, word, "")
		}
	}
	return utf8.RuneCountInString(folded)
}
