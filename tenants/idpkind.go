package tenants

import (
	"net/url"
	"strings"
)

// Kinds of identity provider that set-up guides and explanations know by name.
const (
	KindOkta         = "okta"
	KindEntra        = "entra"
	KindGoogle       = "google"
	KindOneLogin     = "onelogin"
	KindJumpCloud    = "jumpcloud"
	KindPing         = "ping"
	KindPingFederate = "pingfederate"
	KindADFS         = "adfs"
	KindKeycloak     = "keycloak"
	KindAuth0        = "auth0"
)

// kindHosts are the domains of services that belong to one kind.
var kindHosts = []struct{ host, kind string }{
	{"okta.com", KindOkta},
	{"oktapreview.com", KindOkta},
	{"okta-emea.com", KindOkta},
	{"okta-gov.com", KindOkta},
	{"okta.mil", KindOkta},
	{"login.microsoftonline.com", KindEntra},
	{"login.microsoftonline.us", KindEntra},
	{"login.partner.microsoftonline.cn", KindEntra},
	{"sts.windows.net", KindEntra},
	{"login.windows.net", KindEntra},
	{"accounts.google.com", KindGoogle},
	{"onelogin.com", KindOneLogin},
	{"jumpcloud.com", KindJumpCloud},
	{"pingone.com", KindPing},
	{"pingone.eu", KindPing},
	{"pingone.asia", KindPing},
	{"pingone.ca", KindPing},
	{"pingone.com.au", KindPing},
	{"pingidentity.com", KindPing},
	{"auth0.com", KindAuth0},
}

// kindPaths are parts of paths that software which anybody may host always has.
var kindPaths = []struct{ part, kind string }{
	{"/adfs/", KindADFS},
	{"/idp/sso.saml2", KindPingFederate},
	{"/as/authorization.oauth2", KindPingFederate},
	{"/protocol/saml", KindKeycloak},
	{"/protocol/openid-connect", KindKeycloak},
	{"/realms/", KindKeycloak},
}

// IdPKind tells what identity provider a connection leads to, from its issuer or
// entity ID and its address; empty: one that nothing is known of. It decides
// which words help an admin, never whom to trust.
func IdPKind(c SSOConnection) string {
	var names []string
	if c.SAML != nil {
		names = append(names, c.SAML.IdPEntityID, c.SAML.SSOURL)
	}
	if c.OIDC != nil {
		names = append(names, c.OIDC.Issuer)
	}
	for _, n := range names {
		if kind := kindOf(n); kind != "" {
			return kind
		}
	}
	return ""
}

func kindOf(name string) string {
	if strings.EqualFold(name, "jumpcloud") { // the entity ID that its guide proposes
		return KindJumpCloud
	}
	u, err := url.Parse(name)
	if err != nil {
		return ""
	}
	host := strings.ToLower(u.Hostname())
	for _, k := range kindHosts {
		if host == k.host || strings.HasSuffix(host, "."+k.host) {
			return k.kind
		}
	}
	path := strings.ToLower(u.Path)
	for _, k := range kindPaths {
		if strings.Contains(path+"/", k.part) || strings.HasSuffix(path, strings.TrimSuffix(k.part, "/")) {
			return k.kind
		}
	}
	return ""
}
