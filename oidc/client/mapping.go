package client

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/entra"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

var (
	errNoObjectID = refuse("OIDC_ENTRA_OID", "The ID token has no oid and tid claim, by which Entra ID knows the person. Add the profile scope.")
	errNoEmail    = refuse("OIDC_NO_EMAIL", "The identity provider sent no e-mail address. Add the email scope or claim.")
)

// identityOf reads the person from the claims of a judged ID token and of
// userinfo. Nothing but iss and sub (at Entra ID also tid and oid) says who he
// is; an e-mail is at most an address that may match (identity rules 2 and 4).
func identityOf(conn tenants.SSOConnection, v verified, all map[string]any) (signin.Identity, error) {
	m := conn.Mapping
	pick := func(mapped string, usual ...string) string {
		if mapped != "" {
			return trimmed(all[mapped])
		}
		for _, n := range usual {
			if s := trimmed(all[n]); s != "" {
				return s
			}
		}
		return ""
	}
	id := signin.Identity{
		Protocol: signin.OIDC, Tenant: conn.Tenant, Connection: conn.ID,
		SubjectParts: []string{v.Issuer, v.Subject}, Subject: v.Subject,
		Email:     pick(m.Email, "email"),
		FirstName: pick(m.FirstName, "given_name"), LastName: pick(m.LastName, "family_name"), DisplayName: pick(m.DisplayName, "name"),
		AuthnContext: v.ACR, ACR: v.ACR, AMR: v.AMR, Upstream: v.SID, Attributes: map[string][]string{},
	}
	if t, ok := numericDate(v.AuthTime); ok {
		id.At = t
	} else if t, ok := numericDate(v.IssuedAt); ok {
		id.At = t
	}
	if t, ok := numericDate(v.SessionExpiry); ok {
		id.SessionEnd = t.Truncate(time.Second)
	}
	id.UserName = pick("", "preferred_username", "upn")
	lastResort := []string{"upn"}
	if _, ok := entra.CloudOf(v.Issuer); ok {
		lastResort = append(lastResort, "preferred_username")
		// sub is of this application alone; the directory knows the person by tid and oid.
		id.SubjectParts = append(id.SubjectParts, v.TenantID, v.ObjectID)
		id.ObjectID = v.ObjectID
		if v.ObjectID == "" || v.TenantID == "" {
			// A later token with it would be another subject.
			return id, errNoObjectID
		}
	}
	id.EmailVerified = emailVerified(conn, v.Issuer, all)
	if id.Email == "" && m.Email == "" {
		// A login name in the form of an address (product 6.2: AD FS sends upn alone)
		// is where he may be written to, not an e-mail that anybody vouches for.
		doubted := false
		id.Email, id.EmailVerified = pick("", lastResort...), &doubted
	}
	if !signin.ValidEmail(id.Email) {
		return id, errNoEmail
	}
	if id.UserName == "" && (id.EmailVerified == nil || *id.EmailVerified) {
		id.UserName = id.Email // never by the back door an address that may not match
	}
	readGroups(&id, all, groupsClaim(conn))
	for k, v := range all {
		if s := stringsOf(v); len(s) > 0 && !strings.HasPrefix(k, "_") {
			id.Attributes[k] = s
		}
	}
	return id, nil
}

func emailClaim(conn tenants.SSOConnection) string {
	if conn.Mapping.Email != "" {
		return conn.Mapping.Email
	}
	return "email"
}

// emailVerified is what the provider says of the e-mail; nil: nothing. At Entra
// ID an administrator of any directory, and in part the person, sets the address
// as he likes: it is unverified unless xms_edov says that its domain was
// verified, which is said of the claim email alone (nOAuth; Microsoft, "Migrate
// away from using email claims for user identification").
func emailVerified(conn tenants.SSOConnection, issuer string, all map[string]any) *bool {
	if _, ok := entra.CloudOf(issuer); ok {
		verified := isTrue(all["xms_edov"]) && emailClaim(conn) == "email"
		return &verified
	}
	switch v := all["email_verified"].(type) {
	case bool, string: // some providers write it as a string
		yes := isTrue(v)
		return &yes
	}
	return nil
}

func isTrue(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case string:
		return strings.EqualFold(v, "true") || v == "1"
	case json.Number:
		return v == "1"
	}
	return false
}

// stringsOf reads a claim that is a string or a list of strings.
func stringsOf(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		list := make([]string, 0, len(v))
		for _, e := range v {
			if s, ok := e.(string); ok {
				list = append(list, s)
			}
		}
		return list
	}
	return nil
}
