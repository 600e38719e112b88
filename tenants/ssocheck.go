package tenants

import (
	"net/url"
	"slices"
	"strings"
	"time"
)

// Bounds on the settings of a connection.
const (
	maxIdPKeys       = 16 // as many as the verifier tries; enough for any rollover
	maxAuthnContexts = 20
	maxHostedDomains = 100
	maxEntityID      = 1024
	maxSHA1Exception = 366 * 24 * time.Hour
	// MinSAMLResponse is the least SAMLSettings.MaxResponseBytes, but for 0.
	MinSAMLResponse = 64 << 10
)

// checkSSO holds a connection to what can work and fills the defaults.
func (s *Service) checkSSO(c *SSOConnection) error {
	for _, n := range []string{c.Mapping.Email, c.Mapping.FirstName, c.Mapping.LastName, c.Mapping.DisplayName, c.Mapping.Groups} {
		if len(n) > maxName*2 || hasControl(n) {
			return invalid("invalid_mapping", "An attribute name is at most 400 bytes without control characters.", "attribute_mapping")
		}
	}
	switch {
	case c.Type == SAML && c.SAML != nil && c.OIDC == nil:
		return s.checkSAML(c.SAML, c.Status == SSODraft && c.SAML.blank())
	case c.Type == OIDC && c.OIDC != nil && c.SAML == nil:
		return s.checkOIDC(c.OIDC, c.Status == SSODraft && c.OIDC.blank())
	case c.Type == SAML || c.Type == OIDC:
		return invalid("invalid_settings", "Give the settings of the connection's type.", "type")
	}
	return invalid("invalid_type", "Choose saml or oidc.", "type")
}

// blank: nothing is known of the identity provider yet. Many consoles ask for our
// addresses before they show theirs, so a draft may begin without.
func (s *SAMLSettings) blank() bool {
	return s.IdPEntityID == "" && s.SSOURL == "" && len(s.Keys) == 0
}

func (s *OIDCSettings) blank() bool { return s.Issuer == "" && s.ClientID == "" }

// Complete reports whether the connection can ask its identity provider at all.
func (c SSOConnection) Complete() bool {
	return c.SAML != nil && !c.SAML.blank() || c.OIDC != nil && !c.OIDC.blank()
}

func (s *Service) checkSAML(in *SAMLSettings, blank bool) error {
	switch {
	case blank:
	case in.IdPEntityID == "" || len(in.IdPEntityID) > maxEntityID || hasControl(in.IdPEntityID):
		return invalid("invalid_entity_id", "Give the identity provider's entity ID, up to 1024 bytes (SAML metadata §2.2.1).", "idp.entity_id")
	case !s.fetchable(in.SSOURL):
		return invalid("invalid_url", "Give the https address of the identity provider's single sign-on service.", "idp.sso_url")
	case len(in.Keys) == 0 || len(in.Keys) > maxIdPKeys:
		return invalid("invalid_certificate", "Give 1 to 16 signing certificates of the identity provider.", "idp.certificates")
	}
	var ok bool
	if in.SSOBinding, ok = bindingOf(in.SSOBinding); !ok {
		return invalid("invalid_binding", "The single sign-on service needs the HTTP-Redirect or the HTTP-POST binding.", "idp.sso_binding")
	}
	if in.ClockSkew < 0 || in.ClockSkew > MaxClockSkew {
		return invalid("invalid_clock_skew", "Choose 0 to 300 seconds.", "clock_skew_seconds")
	}
	if len(in.NameIDFormat) > maxSetting || hasControl(in.NameIDFormat) {
		return invalid("invalid_name_id_format", "The format is longer than 2000 bytes.", "name_id_format")
	}
	if in.AllowSHA1Until.After(s.clock.Now().Add(maxSHA1Exception)) {
		return invalid("invalid_date", "An exception for SHA-1 ends within a year.", "allow_sha1_until")
	}
	if !wordList(in.AuthnContexts, maxAuthnContexts, maxEntityID) {
		return invalid("invalid_authn_contexts", "Give at most 20 different authentication contexts (SAML core §3.3.2.2.1).", "authn_contexts")
	}
	if in.MaxResponseBytes != 0 && (in.MaxResponseBytes < MinSAMLResponse || in.MaxResponseBytes > MaxSAMLResponse) {
		return invalid("out_of_range", "Choose 65536 to 2097152 bytes, or 0 for the default.", "max_response_bytes")
	}
	if err := s.checkSLO(in); err != nil {
		return err
	}
	if in.GraphTenant != "" || in.GraphClient != "" {
		if !isGUID(in.GraphTenant) {
			return invalid("invalid_graph_tenant", "Give the GUID of the Entra ID directory.", "graph_tenant_id")
		}
		if !isGUID(in.GraphClient) {
			return invalid("invalid_graph_client", "Give the application (client) ID of the app registration.", "graph_client_id")
		}
	}
	if err := s.checkRevocationIssuer(in.RevocationIssuer); err != nil {
		return err
	}
	seen := map[string]bool{}
	in.Keys = slices.DeleteFunc(slices.Clone(in.Keys), func(k IdPKey) bool {
		twice := seen[k.SPKI]
		seen[k.SPKI] = true
		return twice
	})
	return nil
}

func (s *Service) checkSLO(in *SAMLSettings) error {
	if in.SLOURL == "" {
		if in.SLOResponseURL != "" {
			return invalid("invalid_url", "Give the address of the single logout service as well.", "slo_url")
		}
		in.SLOBinding = ""
		return nil
	}
	if !s.fetchable(in.SLOURL) {
		return invalid("invalid_url", "Give the https address of the identity provider's single logout service.", "slo_url")
	}
	if in.SLOResponseURL != "" && !s.fetchable(in.SLOResponseURL) {
		return invalid("invalid_url", "Give the https address that takes logout responses.", "slo_response_url")
	}
	var ok bool
	if in.SLOBinding, ok = bindingOf(in.SLOBinding); !ok {
		return invalid("invalid_binding", "Single logout needs the HTTP-Redirect or the HTTP-POST binding.", "slo_binding")
	}
	return nil
}

func bindingOf(b string) (string, bool) {
	switch b {
	case "":
		return BindingRedirect, true
	case BindingRedirect, BindingPOST:
		return b, true
	}
	return b, false
}

// CheckOIDC holds the settings of an OpenID provider to what can work and fills the
// defaults.
func (s *Service) CheckOIDC(in *OIDCSettings) error { return s.checkOIDC(in, false) }

func (s *Service) checkOIDC(in *OIDCSettings, blank bool) error {
	switch {
	case blank:
	case !s.fetchable(in.Issuer) || strings.ContainsAny(in.Issuer, "?#"):
		return invalid("invalid_issuer", "Give the https issuer of the OpenID provider, without query and fragment (OpenID Connect Discovery §3).", "issuer")
	case sharedIssuer(in.Issuer):
		return invalid("shared_issuer", "Give the issuer of your own Entra ID directory, with its GUID: anybody's directory answers under common, organizations and consumers.", "issuer")
	case in.ClientID == "" || len(in.ClientID) > maxSetting || hasControl(in.ClientID):
		return invalid("invalid_client_id", "Give the client ID that the OpenID provider issued.", "client_id")
	}
	if err := in.checkScopes(); err != nil {
		return err
	}
	if in.GroupsClaim == "" {
		in.GroupsClaim = "groups"
	}
	if len(in.GroupsClaim) > maxName || hasControl(in.GroupsClaim) {
		return invalid("invalid_claim", "The name of the claim is longer than 200 bytes.", "groups_claim")
	}
	if !wordList(in.ACRValues, maxAuthnContexts, maxEntityID) {
		return invalid("invalid_acr_values", "Give at most 20 different values, without spaces (OpenID Connect Core §3.1.2.1).", "acr_values")
	}
	if len(in.HostedDomains) > maxHostedDomains {
		return tooMany("100 hosted domains")
	}
	domains := make([]string, 0, len(in.HostedDomains))
	for _, d := range in.HostedDomains {
		n, err := NormaliseDomain(d)
		if err != nil {
			return invalid("invalid_domain", "Give domain names such as acme.com.", "hosted_domains")
		}
		if !slices.Contains(domains, n) {
			domains = append(domains, n)
		}
	}
	in.HostedDomains = domains
	if err := s.checkRevocationIssuer(in.RevocationIssuer); err != nil {
		return err
	}
	switch in.AuthMethod {
	case "", AuthBasic, AuthPost, AuthNone, AuthPrivateKeyJWT:
		return nil
	}
	return invalid("invalid_auth_method", "Choose client_secret_basic, client_secret_post, private_key_jwt or none.", "token_endpoint_auth_method")
}

func (in *OIDCSettings) checkScopes() error {
	if len(in.Scopes) == 0 {
		in.Scopes = []string{"openid", "profile", "email"}
	}
	if len(in.Scopes) > 50 {
		return tooMany("50 scopes")
	}
	for _, scope := range in.Scopes {
		if scope == "" || len(scope) > 200 || strings.ContainsFunc(scope, func(r rune) bool { return r <= 0x20 || r >= 0x7f || r == '"' || r == '\\' }) {
			return invalid("invalid_scope", "A scope is printable ASCII without spaces, quotes and backslashes (RFC 6749 §3.3).", "scopes")
		}
	}
	if !slices.Contains(in.Scopes, "openid") {
		in.Scopes = append([]string{"openid"}, in.Scopes...)
	}
	return nil
}

// checkRevocationIssuer: who signs Global Token Revocation requests is found by
// discovery, as any issuer.
func (s *Service) checkRevocationIssuer(issuer string) error {
	if issuer != "" && (len(issuer) > maxEntityID || !s.fetchable(issuer) || strings.ContainsAny(issuer, "?#")) {
		return invalid("invalid_issuer", "Give the https issuer that signs revocation requests, without query and fragment.", "revocation_issuer")
	}
	return nil
}

// sharedIssuer reports an issuer of Entra ID that stands for every directory: who
// signs in there is anybody (sso 5.2).
func sharedIssuer(issuer string) bool {
	u, err := url.Parse(issuer)
	if err != nil || kindOf(issuer) != KindEntra {
		return false
	}
	directory, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	return !isGUID(directory)
}

// NeedsKey reports whether the connection signs something or has something
// encrypted to it. It then has a key of ours; see ReadySPKey.
func (c SSOConnection) NeedsKey() bool {
	if c.SAML != nil {
		return c.SAML.SignRequests || c.SAML.WantEncrypted || c.SAML.SLOURL != ""
	}
	return c.OIDC != nil && c.OIDC.AuthMethod == AuthPrivateKeyJWT
}

// keepsSecret reports whether the connection has somewhere to use a client secret.
func (c SSOConnection) keepsSecret() bool {
	return c.Type == OIDC || c.SAML != nil && c.SAML.GraphClient != ""
}

// fetchable reports whether an address of an identity provider may be used.
func (s *Service) fetchable(address string) bool {
	return len(address) <= maxSetting && httpURL(address) && (s.options.AllowHTTP || strings.HasPrefix(address, "https://"))
}

// wordList holds a list to different values that are not empty and have no white
// space or control characters.
func wordList(list []string, most, length int) bool {
	if len(list) > most {
		return false
	}
	for i, v := range list {
		if v == "" || len(v) > length || strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r == 0x7f }) || slices.Contains(list[:i], v) {
			return false
		}
	}
	return true
}

// isGUID reports whether a text is a GUID as Entra ID writes them.
func isGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, r := range s {
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if r != '-' {
				return false
			}
		case !strings.ContainsRune("0123456789abcdefABCDEF", r):
			return false
		}
	}
	return true
}
