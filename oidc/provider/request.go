package provider

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Limits of single parameters, in bytes.
const (
	maxState = 8 << 10
	maxNonce = 1 << 10
	maxHint  = 320
	maxScope = 1 << 10
)

// authRequest is a checked authorization request. It is what a sign-in flow
// keeps, so that it can go on where it was.
type authRequest struct {
	ClientID     string `json:"client_id"`
	RedirectURI  string `json:"redirect_uri"`
	ResponseMode string `json:"response_mode,omitempty"`
	Scope        string `json:"scope"`
	State        string `json:"state,omitempty"`
	Nonce        string `json:"nonce,omitempty"`
	Challenge    string `json:"code_challenge,omitempty"`
	// JKT is the thumbprint of the key that the code is bound to (RFC 9449 §10).
	JKT string `json:"dpop_jkt,omitempty"`
	// Login: the person must prove himself anew.
	Login bool `json:"login,omitempty"`
	// MaxAge in seconds; nil: any.
	MaxAge *int64 `json:"max_age,omitempty"`
	// ACRs are the authentication context classes that are asked for, the preferred
	// first; with Essential, one of them must be reached.
	ACRs      []string `json:"acr_values,omitempty"`
	Essential bool     `json:"acr_essential,omitempty"`
	// Subject of the id_token_hint; empty: anybody.
	Subject string `json:"subject,omitempty"`
	// Connection that the application named; the sign-in must end through it.
	// Empty: any.
	Connection string `json:"connection,omitempty"`
	// Device is a code that a device shows, and all that the request is about.
	Device string `json:"device,omitempty"`
	// At is when the request arrived, in unix seconds.
	At int64 `json:"at"`

	none         bool   // prompt=none
	choose       bool   // prompt=select_account
	hintTenant   string // of the id_token_hint: an answer without a sign-in stays there
	organization string
	loginHint    string
	domainHint   string
	locales      string // ui_locales
}

// codeRequest is what a code carries to the token endpoint.
type codeRequest struct {
	RedirectURI string `json:"redirect_uri"`
	Scope       string `json:"scope"`
	Nonce       string `json:"nonce,omitempty"`
	Challenge   string `json:"code_challenge,omitempty"`
	JKT         string `json:"dpop_jkt,omitempty"`
	// ACR is the asked class that the person met; empty: the one that he reached.
	ACR string `json:"acr,omitempty"`
}

// target checks what must hold before anything may be sent to the client: who
// it is and that the address is its own (RFC 6749 §3.1.2.4, RFC 9700 §4.1).
// Its errors are for an error page.
func (h *Handler) target(ctx context.Context, env tenants.Environment, p params, repeated []string) (tenants.Application, error) {
	for _, name := range []string{"client_id", "redirect_uri"} {
		if slices.Contains(repeated, name) {
			return tenants.Application{}, refuse(oidc.InvalidRequest, "The application sent "+name+" more than once.")
		}
	}
	app, err := h.tenants.Application(ctx, h.db, env.ID, p["client_id"])
	if errors.Is(err, tenants.ErrApplicationNotFound) || err == nil && app.Type == tenants.Machine {
		return app, refuse(oidc.InvalidClient, "The application is not known here. Its client_id may be wrong.")
	}
	if err != nil {
		return app, err
	}
	if p["redirect_uri"] == "" || !app.HasRedirectURI(p["redirect_uri"]) {
		return app, refuse(oidc.InvalidRequest, "The application asked to continue at an address that it has not registered (redirect_uri).")
	}
	return app, nil
}

// request checks the rest. Its errors go to the client.
func (h *Handler) request(ctx context.Context, env tenants.Environment, app tenants.Application, p params, repeated []string) (authRequest, error) {
	req := authRequest{
		ClientID: app.ID, RedirectURI: p["redirect_uri"], State: p["state"], Nonce: p["nonce"], Challenge: p["code_challenge"], JKT: p["dpop_jkt"],
		At: h.clock.Now().Unix(), organization: p["organization"], Connection: p["connection"], loginHint: p["login_hint"], domainHint: p["domain_hint"], locales: p["ui_locales"],
	}
	if p["response_mode"] == "form_post" {
		req.ResponseMode = "form_post" // also for the errors that follow
	}
	if len(req.State) > maxState {
		req.State = ""
		return req, refuse(oidc.InvalidRequest, "state is too long.")
	}
	switch {
	case len(repeated) > 0:
		return req, refuse(oidc.InvalidRequest, "A parameter came more than once.")
	case p["request"] != "": // OpenID Connect Core §6: signed and unsigned alike
		return req, refuse(oidc.RequestNotSupported, "Request objects are not supported.")
	case p["request_uri"] != "": // ours have been replaced by what they stand for
		return req, refuse(oidc.RequestURINotSupported, "request_uri must be one that this server gave out.")
	case p["registration"] != "":
		return req, refuse(oidc.RegistrationUnsupported, "registration is not supported.")
	case p["response_type"] == "":
		return req, refuse(oidc.InvalidRequest, "response_type is missing.")
	case p["response_type"] != "code":
		return req, refuse(oidc.UnsupportedResponseType, "Only response_type=code is supported.")
	case p["response_mode"] != "" && p["response_mode"] != "query" && p["response_mode"] != "form_post":
		return req, refuse(oidc.InvalidRequest, "response_mode must be query or form_post.")
	case len(req.Nonce) > maxNonce || len(req.loginHint) > maxHint || len(req.domainHint) > maxHint || len(req.organization) > maxHint || len(req.Connection) > maxHint:
		return req, refuse(oidc.InvalidRequest, "A parameter is too long.")
	}
	if req.JKT != "" && !oidc.ValidChallenge(req.JKT) { // both are the base64url of a SHA-256
		return req, refuse(oidc.InvalidRequest, "dpop_jkt is not the thumbprint of a key.")
	}
	if err := req.pkce(app, p["code_challenge_method"]); err != nil {
		return req, err
	}
	var err error
	if req.Scope, err = grantedScope(p["scope"]); err != nil {
		return req, err
	}
	if err := req.prompt(p["prompt"]); err != nil {
		return req, err
	}
	if v := p["max_age"]; v != "" {
		n, err := strconv.ParseInt(v, 10, 32)
		if err != nil || n < 0 || v[0] == '+' {
			return req, refuse(oidc.InvalidRequest, "max_age is not a number of seconds.")
		}
		req.MaxAge = &n
	}
	if err := req.classes(p["acr_values"], p["claims"]); err != nil {
		return req, err
	}
	if hint := p["id_token_hint"]; hint != "" {
		claims, err := h.idTokenHint(ctx, env, hint)
		if err != nil {
			return req, err
		}
		req.Subject, req.hintTenant = claims.Subject, claims.TenantID
	}
	return req, nil
}

// pkce checks the code challenge (RFC 7636 §4.3, §4.4.1).
func (req *authRequest) pkce(app tenants.Application, method string) error {
	switch {
	case req.Challenge == "" && method != "":
		return refuse(oidc.InvalidRequest, "code_challenge is missing.")
	case req.Challenge == "" && app.RequirePKCE:
		return refuse(oidc.InvalidRequest, "This application must use PKCE: code_challenge is missing.")
	case req.Challenge == "":
		return nil
	case method != oidc.MethodS256:
		return refuse(oidc.InvalidRequest, "code_challenge_method must be S256.")
	case !oidc.ValidChallenge(req.Challenge):
		return refuse(oidc.InvalidRequest, "code_challenge is not the base64url of a SHA-256.")
	}
	return nil
}

// knownScopes are granted when asked for; others are ignored (OpenID Connect
// Core §3.1.2.1).
var knownScopes = []string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail, oidc.ScopeAddress, oidc.ScopePhone, oidc.ScopeOffline}

func grantedScope(scope string) (string, error) {
	if len(scope) > maxScope {
		return "", refuse(oidc.InvalidScope, "scope is too long.")
	}
	asked := strings.Fields(scope)
	var granted []string
	for _, s := range knownScopes {
		if slices.Contains(asked, s) {
			granted = append(granted, s)
		}
	}
	if !slices.Contains(granted, oidc.ScopeOpenID) {
		return "", refuse(oidc.InvalidScope, "scope must contain openid.")
	}
	return strings.Join(granted, " "), nil
}

func (req *authRequest) prompt(prompt string) error {
	values := strings.Fields(prompt)
	for _, v := range values {
		switch v {
		case oidc.PromptNone:
			// none stands alone (OpenID Connect Core §3.1.2.1).
			if len(values) > 1 {
				return refuse(oidc.InvalidRequest, "prompt=none cannot be combined.")
			}
			req.none = true
		case oidc.PromptLogin:
			req.Login = true
		case oidc.PromptSelectAccount:
			req.choose = true
		case oidc.PromptConsent: // applications are the vendor's own; there is nothing to consent to
		default:
			return refuse(oidc.InvalidRequest, "prompt has an unknown value.")
		}
	}
	return nil
}

// Limits of what an application may ask for of authentication contexts.
const (
	maxClasses = 10
	maxClass   = 255     // bytes
	maxClaims  = 4 << 10 // bytes
)

// classes reads which authentication context is asked for: acr_values, which is a
// wish, or acr among the claims of the ID token, which may be essential (OpenID
// Connect Core §3.1.2.1, §5.5.1.1). The other claims that can be asked for one by one
// are those that tokens carry anyway.
func (req *authRequest) classes(values, claims string) error {
	req.ACRs = strings.Fields(values)
	if claims != "" {
		var asked struct {
			IDToken struct {
				ACR *struct {
					Essential bool     `json:"essential"`
					Value     string   `json:"value"`
					Values    []string `json:"values"`
				} `json:"acr"`
			} `json:"id_token"`
		}
		if len(claims) > maxClaims || json.Unmarshal([]byte(claims), &asked) != nil {
			return refuse(oidc.InvalidRequest, "claims is not the JSON object of claims that it must be.")
		}
		if acr := asked.IDToken.ACR; acr != nil {
			if acr.Value != "" {
				acr.Values = append(acr.Values, acr.Value)
			}
			if len(acr.Values) > 0 {
				req.ACRs, req.Essential = acr.Values, acr.Essential
			}
		}
	}
	if len(req.ACRs) > maxClasses || slices.ContainsFunc(req.ACRs, func(c string) bool { return c == "" || len(c) > maxClass }) {
		return refuse(oidc.InvalidRequest, "acr_values asks for too much.")
	}
	return nil
}

// idTokenHint reads one of our ID tokens, which may have expired (OpenID Connect
// Core §3.1.2.1).
func (h *Handler) idTokenHint(ctx context.Context, env tenants.Environment, hint string) (idClaims, error) {
	var c idClaims
	err := h.ring.Verify(ctx, env.ID, hint, oidc.TypeIDToken, &c)
	if fault.KindOf(err) == fault.Unauthenticated || err == nil && (c.Issuer != env.BaseURL || c.Subject == "") {
		return c, &wireError{code: oidc.InvalidRequest, description: "id_token_hint is not one of our ID tokens.", cause: err}
	}
	return c, err
}
