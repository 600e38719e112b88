package signin

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/net/idna"

	"github.com/gatehouse-id/gatehouse/directory"
)

// Protocols through which an identity arrives.
const (
	SAML = "saml"
	OIDC = "oidc"
)

// Limits on what an identity provider may say about a person. An assertion with
// 1,500 groups is real.
const (
	MaxGroups     = 2000
	MaxGroupName  = 512 // bytes
	MaxEmail      = 320 // bytes
	MaxName       = 256 // runes
	maxAttributes = 500
)

// Identity is what a protocol verified about a person. Both protocols produce
// the same shape.
type Identity struct {
	Protocol   string `json:"protocol"`
	Tenant     string `json:"tenant"`
	Connection string `json:"connection"`
	// SubjectParts are the parts of the link key (design, identity rule 2).
	// SAML: format, NameQualifier, SPNameQualifier, value. OIDC: iss, sub; for
	// Entra also tid, oid.
	SubjectParts []string `json:"subject_parts"`
	// Subject is the NameID or sub, and ObjectID the directory's own id of the
	// person where the provider sends it: a SCIM externalId may repeat either.
	Subject  string `json:"subject"`
	ObjectID string `json:"object_id,omitempty"`
	// UserName is what a SCIM userName is compared with.
	UserName string `json:"user_name"`
	Email    string `json:"email"`
	// EmailVerified is nil when the provider says nothing; false forbids a match
	// by e-mail (identity rule 4).
	EmailVerified *bool               `json:"email_verified,omitempty"`
	FirstName     string              `json:"first_name,omitempty"`
	LastName      string              `json:"last_name,omitempty"`
	DisplayName   string              `json:"display_name,omitempty"`
	Attributes    map[string][]string `json:"attributes,omitempty"`
	Groups        []string            `json:"groups,omitempty"`
	// GroupsKnown is false when the response carried no group information,
	// which is not the same as no groups (identity rule 8).
	GroupsKnown bool `json:"groups_known"`
	// AuthnContext is the provider's own word for how the person proved himself.
	AuthnContext string    `json:"authn_context,omitempty"`
	AMR          []string  `json:"amr,omitempty"`
	ACR          string    `json:"acr,omitempty"`
	At           time.Time `json:"at"` // of authentication at the provider
	// SessionEnd caps our session; zero when the provider sets no end.
	SessionEnd time.Time `json:"session_end,omitzero"`
	Upstream   string    `json:"upstream,omitempty"` // SessionIndex or sid
	Checks     []Check   `json:"checks,omitempty"`
	// UpstreamSubject is whom the provider knows its session of, in the words of
	// the protocol; see sessions.Proof.
	UpstreamSubject string `json:"upstream_subject,omitempty"`
	// Response is the provider's answer as the login log keeps it: the protocol
	// redacted its values, but for a test.
	Response string `json:"response,omitempty"`
	// GroupsOmitted: the provider has more groups of the person than it sends.
	GroupsOmitted bool `json:"groups_omitted,omitempty"`
}

// Check is one comparison that a login passed or failed, in the form in which
// the login log shows it.
type Check struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Expected string `json:"expected,omitempty"`
	Actual   string `json:"actual,omitempty"`
}

// SubjectKey is the stored form of the link key: the hex SHA-256 over the parts,
// each with its length, so that no two lists of parts coincide.
func (id Identity) SubjectKey() string {
	h := sha256.New()
	for _, p := range id.SubjectParts {
		h.Write([]byte(strconv.Itoa(len(p))))
		h.Write([]byte{':'})
		h.Write([]byte(p))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// ValidEmail reports whether an address can be somebody's here: something before
// the last @, a domain name after it, no white space or control characters, at
// most MaxEmail bytes. Protocols refuse a login with another one.
func ValidEmail(email string) bool {
	at := strings.LastIndexByte(email, '@')
	if at < 1 || len(email) > MaxEmail || strings.ContainsFunc(email, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) || r == unicode.ReplacementChar }) {
		return false
	}
	domain := directory.EmailDomain(email)
	_, err := idna.Lookup.ToASCII(domain)
	return err == nil && domain != ""
}

// bounded cuts what is shown and refuses nothing: limits on keys are the
// protocol's to enforce, limits on words about a person must not lock him out.
// Control characters go: PostgreSQL stores no NUL.
func (id Identity) bounded() Identity {
	id.FirstName, id.LastName, id.DisplayName = cut(id.FirstName), cut(id.LastName), cut(id.DisplayName)
	id.UserName, id.ObjectID, id.Upstream = clean(id.UserName), clean(id.ObjectID), clean(id.Upstream)
	id.ACR, id.AuthnContext = clean(id.ACR), clean(id.AuthnContext)
	if len(id.Groups) > MaxGroups {
		id.Groups = id.Groups[:MaxGroups]
	}
	groups := make([]string, 0, len(id.Groups))
	seen := make(map[string]struct{}, len(id.Groups))
	for _, g := range id.Groups {
		if _, dup := seen[g]; dup || g == "" || len(g) > MaxGroupName || g != clean(g) {
			continue
		}
		seen[g] = struct{}{}
		groups = append(groups, g)
	}
	id.Groups = groups
	if len(id.Attributes) > maxAttributes {
		id.Attributes = nil
	}
	return id
}

// maxKey bounds what a person may be searched by, in bytes.
const maxKey = 1024

// clean drops a value that cannot be one: a key must not become another by
// being cut.
func clean(s string) string {
	if len(s) > maxKey || strings.ContainsFunc(s, unicode.IsControl) {
		return ""
	}
	return s
}

func cut(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
	n := 0
	for i := range s {
		if n == MaxName {
			return s[:i]
		}
		n++
	}
	return s
}
