package signin

import (
	"strconv"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/rbac"
)

// Bounds on what the login log keeps of one answer.
const (
	maxResponse    = 64 << 10 // bytes
	maxShownClaims = 100
	maxShownValues = 200 // of one claim of a test
	maxShownText   = 500 // bytes of one value of a test
	maxShownGroups = 200
)

// Detail is what an answer said and what was made of it, as the login log keeps
// it. Values of claims are redacted, but for a test, whose admin has to see them
// (sso 2.2).
type Detail struct {
	Claims        map[string][]string `json:"claims,omitempty"`
	Profile       *Profile            `json:"profile,omitempty"`
	Groups        []string            `json:"groups,omitempty"`
	GroupsKnown   bool                `json:"groups_known,omitempty"`
	GroupsOmitted bool                `json:"groups_omitted,omitempty"`
	// GroupCount is the number of groups, of which Groups are the first.
	GroupCount int         `json:"group_count,omitempty"`
	Roles      []GrantedAs `json:"roles,omitempty"`
	Would      *Would      `json:"would,omitempty"` // of a test
	// Response travels in Login.Response.
	Response string `json:"response,omitempty"`
}

// Profile is a person as the attribute mapping reads him out of an answer.
type Profile struct {
	Subject       string `json:"subject"`
	UserName      string `json:"user_name"`
	Email         string `json:"email"`
	EmailVerified *bool  `json:"email_verified,omitempty"`
	FirstName     string `json:"first_name,omitempty"`
	LastName      string `json:"last_name,omitempty"`
	DisplayName   string `json:"display_name,omitempty"`
	ObjectID      string `json:"object_id,omitempty"`
	AuthnContext  string `json:"authn_context,omitempty"`
}

// GrantedAs is a role and where it comes from.
type GrantedAs struct {
	Key     string   `json:"key"`
	Sources []string `json:"sources"`
}

// Would is what a real login of a test's person would have done.
type Would struct {
	// Outcome is sign_in, new_account (also for an existing user who joins the
	// tenant) or refused.
	Outcome string `json:"outcome"`
	// Step is how the person was found; see directory.LinkResult.
	Step string `json:"step,omitempty"`
	Code string `json:"code,omitempty"` // of the refusal
	// SecondFactor: the person would have been asked for one here first.
	SecondFactor bool `json:"second_factor,omitempty"`
}

// Outcomes of Would.
const (
	WouldSignIn  = "sign_in"
	WouldCreate  = "new_account"
	WouldRefused = "refused"
)

func detailOf(i Identity, test bool) Detail {
	d := Detail{GroupsKnown: i.GroupsKnown, GroupsOmitted: i.GroupsOmitted, GroupCount: len(i.Groups), Claims: map[string][]string{}}
	for name, values := range i.Attributes {
		if len(d.Claims) == maxShownClaims {
			break
		}
		d.Claims[clipText(name, maxShownText)] = shownValues(values, test)
	}
	if test {
		d.Groups = i.Groups[:min(len(i.Groups), maxShownGroups)]
		d.Profile = &Profile{
			Subject: i.Subject, UserName: i.UserName, Email: i.Email, EmailVerified: i.EmailVerified, FirstName: i.FirstName, LastName: i.LastName,
			DisplayName: i.DisplayName, ObjectID: i.ObjectID, AuthnContext: i.AuthnContext,
		}
	}
	return d
}

// Redacted is the entry for somebody who may read the log and not set connections
// up: of a test it keeps what the entry of a login has. Reading is in the roles
// that everybody gets, and what a test shows is a colleague's.
func (l Login) Redacted() Login {
	if l.Purpose != PurposeTest {
		return l
	}
	claims := make(map[string][]string, len(l.Detail.Claims))
	for name, values := range l.Detail.Claims {
		claims[name] = shownValues(values, false)
	}
	l.Response, l.Detail.Claims, l.Detail.Profile, l.Detail.Groups = "", claims, nil, nil
	return l
}

// shownValues gives the values of a claim, or how long each of them is.
func shownValues(values []string, test bool) []string {
	limit := 5
	if test {
		limit = maxShownValues
	}
	out := make([]string, 0, min(len(values), limit))
	for i, v := range values {
		if i == limit {
			out = append(out, "and "+strconv.Itoa(len(values)-limit)+" more")
			break
		}
		if test {
			out = append(out, clipText(v, maxShownText))
		} else {
			out = append(out, "("+strconv.Itoa(utf8.RuneCountInString(v))+" characters)")
		}
	}
	return out
}

// clipText cuts a text that is only shown, between characters. PostgreSQL stores
// no NUL.
func clipText(s string, limit int) string {
	cut := false
	if len(s) > limit {
		s, cut = s[:limit], true
		for len(s) > 0 && !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
		if r, n := utf8.DecodeLastRuneInString(s); r == utf8.RuneError && n == 1 {
			s = s[:len(s)-1]
		}
	}
	b := make([]rune, 0, len(s))
	for _, r := range s {
		if r != 0 {
			b = append(b, r)
		}
	}
	if cut {
		b = append(b, '…')
	}
	return string(b)
}

func grantedAs(grants []rbac.Grant) []GrantedAs {
	list := make([]GrantedAs, 0, len(grants))
	for _, g := range grants {
		list = append(list, GrantedAs{Key: g.Key, Sources: g.Sources})
	}
	return list
}
