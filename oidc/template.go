package oidc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/rbac/entitlement"
)

// Template says what access tokens of some people carry beside the claims of every
// token, how long they live and by which algorithm they are signed (product 2.2).
// Of an environment's templates the first that fits, by priority, is applied.
type Template struct {
	ID          string // jwt_…
	Environment string
	Name        string
	Priority    int // 0 to 1000; the lowest is asked first, of equal ones the oldest
	TemplateSettings
	Version   int64
	CreatedAt time.Time
	UpdatedAt time.Time
}

// TemplateSettings are what a template says, and of whom.
type TemplateSettings struct {
	// Applications, by client id, and Tenants, by id or key, that the template is for;
	// empty: all of them.
	Applications []string `json:"applications,omitempty"`
	Tenants      []string `json:"tenants,omitempty"`
	// If must hold; nil: it does.
	If *entitlement.Condition `json:"if,omitempty"`
	// Claims are added. A text may hold placeholders: see [PlaceholderNames].
	Claims map[string]any `json:"claims,omitempty"`
	// AccessTokenSeconds is the lifetime; 0: that of the application.
	AccessTokenSeconds int64 `json:"access_token_seconds,omitempty"`
	// Algorithm signs; empty: that of the application.
	Algorithm string `json:"algorithm,omitempty"`
}

// Limits of templates.
const (
	MaxTemplates        = 50 // of an environment
	MaxTemplatePriority = 1000

	maxTemplateName  = 200
	maxTemplateIDs   = 500
	maxClaims        = 50
	maxClaimsText    = 8 << 10 // bytes of JSON
	maxClaimDepth    = 5
	largeClaims      = 2 << 10 // from how many bytes on they are worth a warning
	minTemplateLife  = 60
	maxTemplateLife  = 86400
	maxClaimName     = 100
	metadataValue    = "member.metadata."
	maxTemplateValue = 63 // bytes of an id or key
)

// reserved are the claims of the provider itself: what a template said in their
// place would be believed of somebody else, elsewhere or for longer.
var reserved = []string{
	"iss", "sub", "aud", "exp", "iat", "nbf", "jti", "client_id", "scope", "sid", "type", "tenantId", "tenantIds", "userId",
	"roles", "permissions", "email", "email_verified", "name", "metadata", "amr", "acr", "auth_time", "act", "may_act", "cnf",
	"azp", "nonce", "at_hash", "c_hash", "session_expiry", "active", "token_type", "username",
	"authorization_details", "entitlements", "groups", "events", "sub_id", "toe", "txn",
}

// isReserved disregards case, as readers of JSON do.
func isReserved(name string) bool {
	return slices.ContainsFunc(reserved, func(r string) bool { return strings.EqualFold(r, name) })
}

// ReservedClaims lists the claims that no template may give.
func ReservedClaims() []string { return slices.Clone(reserved) }

// PlaceholderNames lists what {{…}} in a claim, and a condition, may name.
// member.metadata. goes on with a key, and with the keys below it after dots.
var PlaceholderNames = []string{
	"application.id", "application.name", "tenant.id", "tenant.key",
	"user.userId", "user.email", "user.emailVerified", "user.tenantId",
	"member.name", "member.firstName", "member.lastName", "member.locale", "member.picture", metadataValue,
}

var (
	claimName   = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.:/-]*$`)
	metadataKey = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)
	placeholder = regexp.MustCompile(`\{\{([^{}]*)\}\}`)
)

func errTemplate(code, message, field string) error {
	return fault.New(fault.Invalid, code, message).In(field)
}

// check holds a template to its bounds and makes it ready.
func (t *Template) check() error {
	t.Name = strings.TrimSpace(t.Name)
	switch {
	case t.Name == "" || len(t.Name) > maxTemplateName || !utf8.ValidString(t.Name) || strings.ContainsFunc(t.Name, func(r rune) bool { return r < ' ' }):
		return errTemplate("invalid_name", "Give a name of up to 200 bytes.", "name")
	case t.Priority < 0 || t.Priority > MaxTemplatePriority:
		return errTemplate("invalid_value", "A priority is 0 to 1000.", "priority")
	case t.AccessTokenSeconds != 0 && (t.AccessTokenSeconds < minTemplateLife || t.AccessTokenSeconds > maxTemplateLife):
		return errTemplate("invalid_value", "An access token lives 60 to 86400 seconds.", "access_token_seconds")
	case t.Algorithm != "" && !slices.Contains(keys.Algorithms, t.Algorithm):
		return errTemplate("invalid_algorithm", "Choose ES256, RS256 or EdDSA.", "algorithm")
	}
	for _, l := range []struct {
		field string
		ids   []string
	}{{"applications", t.Applications}, {"tenants", t.Tenants}} {
		if len(l.ids) > maxTemplateIDs {
			return fault.New(fault.TooLarge, "too_many", "Give at most 500.").In(l.field)
		}
		for _, v := range l.ids {
			if v == "" || len(v) > maxTemplateValue {
				return errTemplate("invalid_value", "This is no id.", l.field)
			}
		}
	}
	if err := t.ready(); err != nil {
		return err
	}
	if t.If != nil {
		if err := checkNames(*t.If); err != nil {
			return err
		}
	}
	return t.checkClaims()
}

// ready compiles the condition.
func (t *Template) ready() error {
	if t.If == nil {
		return nil
	}
	return t.If.Compile("if")
}

// checkNames holds a condition to attributes that there are.
func checkNames(c entitlement.Condition) error {
	if c.Attribute != "" && !knownPlaceholder(c.Attribute) {
		return errTemplate("invalid_rule", "There is no attribute of this name: "+c.Attribute[:min(len(c.Attribute), maxClaimName)], "if")
	}
	for _, below := range [][]entitlement.Condition{c.And, c.Or} {
		for _, b := range below {
			if err := checkNames(b); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *Template) checkClaims() error {
	text, err := json.Marshal(t.Claims)
	if err != nil || len(text) > maxClaimsText || len(t.Claims) > maxClaims {
		return fault.New(fault.TooLarge, "too_many", "Give at most 50 claims of 8 KiB together.").In("claims")
	}
	for name, v := range t.Claims {
		path := "claims." + name
		switch {
		case isReserved(name):
			return errTemplate("reserved_claim", "This claim is the provider's own.", path)
		case len(name) > maxClaimName || !claimName.MatchString(name):
			return errTemplate("invalid_claim", "A claim's name is up to 100 letters, digits and _.:/-", "claims")
		}
		if err := checkValue(path, v, maxClaimDepth); err != nil {
			return err
		}
	}
	return nil
}

// checkValue holds a value to JSON of a bounded depth whose placeholders are known.
func checkValue(path string, v any, depth int) error {
	if depth == 0 {
		return errTemplate("invalid_claim", "Values are nested at most 5 deep.", path)
	}
	switch v := v.(type) {
	case string:
		if strings.ContainsRune(v, 0) || !utf8.ValidString(v) {
			return errTemplate("invalid_claim", "The text cannot be stored.", path)
		}
		for _, m := range placeholder.FindAllStringSubmatch(v, -1) {
			if !knownPlaceholder(strings.TrimSpace(m[1])) {
				return errTemplate("unknown_placeholder", "There is no such placeholder.", path)
			}
		}
	case []any:
		for i, e := range v {
			if err := checkValue(path+"["+strconv.Itoa(i)+"]", e, depth-1); err != nil {
				return err
			}
		}
	case map[string]any:
		for k, e := range v {
			if err := checkValue(path+"."+k, e, depth-1); err != nil {
				return err
			}
		}
	}
	return nil
}

func knownPlaceholder(name string) bool {
	if key, ok := strings.CutPrefix(name, metadataValue); ok {
		return metadataKey.MatchString(key)
	}
	return slices.Contains(PlaceholderNames, name)
}

// Warning says what is worth saying of the template; empty: nothing.
func (t Template) Warning() string {
	if text, err := json.Marshal(t.Claims); err == nil && len(text) > largeClaims {
		return "The claims alone are over 2 KiB. Proxies and frameworks refuse headers of some 8 KiB, and permissions need room too."
	}
	return ""
}

// Subject is of whom, and for which application, a token is made.
type Subject struct {
	ApplicationID, ApplicationName string
	TenantID, TenantKey            string
	UserID, Email                  string
	EmailVerified                  bool
	Name, FirstName, LastName      string
	Locale, Picture                string
	Metadata                       string // a JSON object; empty: none
}

// attributes are what conditions look at, and placeholders stand for.
func (s Subject) attributes() entitlement.Attributes {
	a := entitlement.Attributes{
		User: entitlement.UserAttributes{UserID: s.UserID, Email: s.Email, EmailVerified: s.EmailVerified, TenantID: s.TenantID},
		Custom: map[string]any{
			"application.id": s.ApplicationID, "application.name": s.ApplicationName, "tenant.id": s.TenantID, "tenant.key": s.TenantKey,
			"member.name": s.Name, "member.firstName": s.FirstName, "member.lastName": s.LastName, "member.locale": s.Locale, "member.picture": s.Picture,
		},
	}
	for name, v := range a.Custom {
		if v == "" { // what is not known is missing
			delete(a.Custom, name)
		}
	}
	if s.Metadata != "" {
		var metadata map[string]any
		if json.Unmarshal([]byte(s.Metadata), &metadata) == nil {
			flatten(a.Custom, metadataValue, metadata)
		}
	}
	return a
}

// flatten enters an object and all below it under their paths.
func flatten(into map[string]any, prefix string, object map[string]any) {
	for k, v := range object {
		into[prefix+k] = v
		if below, ok := v.(map[string]any); ok {
			flatten(into, prefix+k+".", below)
		}
	}
}

// fits reports whether the template is for the subject.
func (t *Template) fits(s Subject, a entitlement.Attributes) bool {
	return (len(t.Applications) == 0 || slices.Contains(t.Applications, s.ApplicationID)) &&
		(len(t.Tenants) == 0 || slices.Contains(t.Tenants, s.TenantID) || slices.Contains(t.Tenants, s.TenantKey)) &&
		(t.If == nil || t.If.Holds(a))
}

// Choose gives the first of the templates that fits the subject, and its claims as
// an object's members in JSON, without braces; empty: none. A claim whose placeholder
// stands for nothing is left out.
func Choose(list []Template, s Subject) (chosen *Template, claims []byte, err error) {
	if len(list) == 0 {
		return nil, nil, nil
	}
	a := s.attributes()
	for i := range list {
		if t := &list[i]; t.fits(s, a) {
			rendered := map[string]any{}
			for name, v := range t.Claims {
				if v, there := render(v, a); there && !isReserved(name) {
					rendered[name] = v
				}
			}
			if len(rendered) == 0 {
				return t, nil, nil
			}
			text, err := json.Marshal(rendered)
			return t, bytes.TrimSuffix(bytes.TrimPrefix(text, []byte("{")), []byte("}")), err
		}
	}
	return nil, nil, nil
}

// render puts values in the place of placeholders. A text that is one placeholder
// becomes the value as it is, of whatever type; within a text it is written out. What
// comes of a placeholder is not looked at again.
func render(v any, a entitlement.Attributes) (any, bool) {
	switch v := v.(type) {
	case string:
		if m := placeholder.FindStringSubmatchIndex(v); m != nil && m[0] == 0 && m[1] == len(v) {
			value := a.Lookup(strings.TrimSpace(v[m[2]:m[3]]))
			return value, value != nil
		}
		return placeholder.ReplaceAllStringFunc(v, func(s string) string {
			switch value := a.Lookup(strings.TrimSpace(s[2 : len(s)-2])).(type) {
			case string:
				return value
			case bool, float64:
				return fmt.Sprint(value)
			}
			return ""
		}), true
	case []any:
		list := make([]any, 0, len(v))
		for _, e := range v {
			if e, there := render(e, a); there {
				list = append(list, e)
			}
		}
		return list, true
	case map[string]any:
		object := make(map[string]any, len(v))
		for k, e := range v {
			if e, there := render(e, a); there {
				object[k] = e
			}
		}
		return object, true
	}
	return v, true
}
