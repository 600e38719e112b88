package provider

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// metadata is what OpenID Connect Discovery §3 and RFC 8414 §2 ask for; one
// document answers both.
type metadata struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	UserinfoEndpoint      string   `json:"userinfo_endpoint"`
	JWKSURI               string   `json:"jwks_uri"`
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	IntrospectionEndpoint string   `json:"introspection_endpoint"`
	EndSessionEndpoint    string   `json:"end_session_endpoint"`
	PushEndpoint          string   `json:"pushed_authorization_request_endpoint"`
	DeviceEndpoint        string   `json:"device_authorization_endpoint"` // RFC 8628 §4
	Scopes                []string `json:"scopes_supported"`
	ResponseTypes         []string `json:"response_types_supported"`
	ResponseModes         []string `json:"response_modes_supported"`
	GrantTypes            []string `json:"grant_types_supported"`
	SubjectTypes          []string `json:"subject_types_supported"`
	IDTokenAlgs           []string `json:"id_token_signing_alg_values_supported"`
	TokenAuthMethods      []string `json:"token_endpoint_auth_methods_supported"`
	RevocationAuthMethods []string `json:"revocation_endpoint_auth_methods_supported"`
	IntrospectAuthMethods []string `json:"introspection_endpoint_auth_methods_supported"`
	ChallengeMethods      []string `json:"code_challenge_methods_supported"`
	Prompts               []string `json:"prompt_values_supported"`
	Claims                []string `json:"claims_supported"`
	ACRs                  []string `json:"acr_values_supported"`
	ClaimsParameter       bool     `json:"claims_parameter_supported"`
	RequestParameter      bool     `json:"request_parameter_supported"`
	RequestURIParameter   bool     `json:"request_uri_parameter_supported"`
	TokenAuthAlgs         []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	DPoPAlgs              []string `json:"dpop_signing_alg_values_supported"`
	IssParameter          bool     `json:"authorization_response_iss_parameter_supported"`
	BackchannelLogout     bool     `json:"backchannel_logout_supported"`
	BackchannelSession    bool     `json:"backchannel_logout_session_supported"`
}

func describe(env tenants.Environment) metadata {
	confidential := []string{tenants.AuthBasic, tenants.AuthPost, tenants.AuthPrivateKeyJWT}
	return metadata{
		Issuer:                env.BaseURL,
		AuthorizationEndpoint: env.URL("/oauth2/authorize"), TokenEndpoint: env.URL("/oauth2/token"), UserinfoEndpoint: env.URL("/oauth2/userinfo"),
		JWKSURI: env.URL("/oauth2/jwks"), RevocationEndpoint: env.URL("/oauth2/revoke"), IntrospectionEndpoint: env.URL("/oauth2/introspect"),
		EndSessionEndpoint: env.URL("/oauth2/logout"), PushEndpoint: env.URL("/oauth2/par"), DeviceEndpoint: env.URL("/oauth2/device_authorization"),
		TokenAuthAlgs: signatureAlgorithms(), DPoPAlgs: signatureAlgorithms(),
		Scopes: knownScopes, ResponseTypes: []string{"code"}, ResponseModes: []string{"query", "form_post"},
		GrantTypes: []string{oidc.GrantCode, oidc.GrantRefresh, oidc.GrantClient, oidc.GrantDevice, oidc.GrantExchange}, SubjectTypes: []string{"public"}, IDTokenAlgs: keys.Algorithms,
		TokenAuthMethods: append(confidential, tenants.AuthNone), RevocationAuthMethods: append(confidential, tenants.AuthNone),
		IntrospectAuthMethods: confidential, ChallengeMethods: []string{oidc.MethodS256},
		Prompts: []string{oidc.PromptNone, oidc.PromptLogin, oidc.PromptConsent, oidc.PromptSelectAccount},
		Claims: []string{
			"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "at_hash", "acr", "amr", "sid", "session_expiry",
			"tenantId", "tenantIds", "email", "email_verified", "name", "given_name", "family_name", "locale", "picture",
		},
		ACRs: signin.ACRs(), IssParameter: true, BackchannelLogout: true, BackchannelSession: true,
	}
}

// document is bytes that are made once.
type document struct {
	body []byte
	etag string
}

func (h *Handler) configuration(w http.ResponseWriter, r *http.Request, env tenants.Environment, _ actor.Actor) error {
	made, ok := h.discovery.Load(env.BaseURL)
	if !ok {
		body, err := json.Marshal(describe(env))
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		made, _ = h.discovery.LoadOrStore(env.BaseURL, document{body, `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`})
	}
	d := made.(document)
	send(w, r, "application/json", d.body, d.etag)
	return nil
}

func (h *Handler) jwks(w http.ResponseWriter, r *http.Request, env tenants.Environment, _ actor.Actor) error {
	body, etag, err := h.ring.JWKS(r.Context(), env.ID)
	if err != nil {
		return err
	}
	send(w, r, "application/jwk-set+json", body, etag)
	return nil
}

// send answers with bytes that everybody may keep for five minutes.
func send(w http.ResponseWriter, r *http.Request, contentType string, body []byte, etag string) {
	head := w.Header()
	head.Set("Cache-Control", "public, max-age=300")
	head.Set("ETag", etag)
	if strings.Contains(r.Header.Get("If-None-Match"), etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	head.Set("Content-Type", contentType)
	head.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(body) // the client has gone away; nobody is left to tell
}
