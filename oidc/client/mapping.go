package client

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

var (
	errUserinfo    = refuse("OIDC_USERINFO", "The identity provider did not give the person's profile. Try again in a moment.")
	errUserinfoSub = refuse("OIDC_USERINFO_SUB", "The identity provider gave the profile of another person.")
	errUserinfoFor = refuse("OIDC_USERINFO_ISSUER", "The profile was issued by somebody else, or for another application.")
	errNoObjectID  = refuse("OIDC_ENTRA_OID", "The ID token has no oid and tid claim, by which Entra ID knows the person. Add the profile scope.")
	errNoEmail     = refuse("OIDC_NO_EMAIL", "The identity provider sent no e-mail address. Add the email scope or claim.")
)

// userinfo adds the claims of the userinfo endpoint when the ID token lacks the
// e-mail or the groups. Its subject must be the ID token's (OpenID Connect Core
// §5.3.2); what the ID token says wins. An endpoint that fails refuses the login
// only when the e-mail is missing: groups that are not known stay as they are.
func (h *Handler) userinfo(ctx context.Context, p *provider, token *oauth2.Token, subject string, all map[string]any, conn tenants.SSOConnection, log *checkLog) (map[string]any, error) {
	_, hasGroups := all[groupsClaim(conn)]
	if p.UserInfoEndpoint() == "" || token.AccessToken == "" || (all["email"] != nil && (hasGroups || overage(all, groupsClaim(conn)))) {
		return all, nil
	}
	info, err := p.UserInfo(h.providers.context(ctx), oauth2.StaticTokenSource(token))
	if err != nil {
		if err := log.fail("userinfo", "an answer", "none", errUserinfo.Because(err)); all["email"] == nil {
			return nil, err
		}
		return all, nil
	}
	if info.Subject != subject {
		return nil, log.fail("userinfo sub", subject, info.Subject, errUserinfoSub)
	}
	log.pass("userinfo sub", subject, info.Subject)
	more := map[string]any{}
	if err := info.Claims(&more); err != nil {
		return nil, log.fail("userinfo", "a JSON object", "", errUserinfo.Because(err))
	}
	// A signed answer says who it is by and for (OpenID Connect Core §5.3.2).
	if iss, ok := more["iss"]; ok && iss != conn.OIDC.Issuer {
		return nil, log.fail("userinfo iss", conn.OIDC.Issuer, trimmed(iss), errUserinfoFor)
	}
	if aud, ok := more["aud"]; ok && !slices.Contains(stringsOf(aud), conn.OIDC.ClientID) {
		return nil, log.fail("userinfo aud", conn.OIDC.ClientID, strings.Join(stringsOf(aud), " "), errUserinfoFor)
	}
	for k, v := range all {
		more[k] = v
	}
	return more, nil
}

func groupsClaim(conn tenants.SSOConnection) string {
	if conn.Mapping.Groups != "" {
		return conn.Mapping.Groups
	}
	if conn.OIDC.GroupsClaim != "" {
		return conn.OIDC.GroupsClaim
	}
	return "groups"
}

// overage reports whether the provider says that there are more groups than it
// sends (Entra's distributed claims). They are never fetched from the address
// that the token names.
func overage(all map[string]any, claim string) bool {
	names, _ := all["_claim_names"].(map[string]any)
	return names[claim] != nil
}

func identityOf(conn tenants.SSOConnection, c claims, all map[string]any) (signin.Identity, error) {
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
		SubjectParts: []string{c.Issuer, c.Subject}, Subject: c.Subject,
		Email:     pick(m.Email, "email"),
		FirstName: pick(m.FirstName, "given_name"), LastName: pick(m.LastName, "family_name"), DisplayName: pick(m.DisplayName, "name"),
		AuthnContext: c.ACR, ACR: c.ACR, AMR: c.AMR, Upstream: c.SID, Attributes: map[string][]string{},
	}
	id.UserName = pick("", "preferred_username", "upn")
	if isEntra(c.Issuer) {
		// sub is of this application alone; the directory knows the person by tid and oid.
		id.SubjectParts = append(id.SubjectParts, c.TenantID, c.ObjectID)
		id.ObjectID = c.ObjectID
		if c.ObjectID == "" || c.TenantID == "" {
			// A later token with it would be another subject.
			return id, errNoObjectID
		}
	}
	if id.UserName == "" {
		id.UserName = id.Email
	}
	if !signin.ValidEmail(id.Email) {
		return id, errNoEmail
	}
	// Some providers write the claim as a string.
	switch v := all["email_verified"].(type) {
	case bool:
		id.EmailVerified = &v
	case string:
		yes := strings.EqualFold(v, "true")
		id.EmailVerified = &yes
	}
	claim := groupsClaim(conn)
	if v, ok := all[claim]; ok && !overage(all, claim) {
		id.Groups, id.GroupsKnown = stringsOf(v), true
	}
	for k, v := range all {
		if s := stringsOf(v); len(s) > 0 && !strings.HasPrefix(k, "_") {
			id.Attributes[k] = s
		}
	}
	if t, ok := numericDate(c.AuthTime); ok {
		id.At = t
	} else if t, ok := numericDate(c.IssuedAt); ok {
		id.At = t
	}
	if t, ok := numericDate(c.SessionExpiry); ok {
		id.SessionEnd = t.Truncate(time.Second)
	}
	return id, nil
}

func isEntra(issuer string) bool {
	u, err := url.Parse(issuer)
	return err == nil && (u.Host == "login.microsoftonline.com" || u.Host == "sts.windows.net" || u.Host == "login.microsoftonline.us")
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
