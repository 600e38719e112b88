package idp

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	codeTime  = time.Minute
	tokenTime = 10 * time.Minute
)

// authorizeRequest is a checked authorization request.
type authorizeRequest struct {
	clientID, redirectURI, state, nonce, scope string
	challenge, responseMode, loginHint, acr    string
}

// grant is what a code and an access token stand for.
type grant struct {
	request authorizeRequest
	person  Person
	at      time.Time
}

func (i *IdP) discovery(w http.ResponseWriter, _ *http.Request) {
	_, k := i.knobs()
	doc := map[string]any{
		"issuer":                                         override(k.DiscoveryIssuer, i.base),
		"authorization_endpoint":                         i.base + "/oidc/authorize",
		"token_endpoint":                                 i.base + "/oidc/token",
		"userinfo_endpoint":                              i.base + "/oidc/userinfo",
		"jwks_uri":                                       i.base + "/oidc/jwks",
		"response_types_supported":                       []string{"code"},
		"response_modes_supported":                       []string{"query", "form_post"},
		"grant_types_supported":                          []string{"authorization_code"},
		"subject_types_supported":                        []string{"public"},
		"id_token_signing_alg_values_supported":          []string{string(i.oidcAlg)},
		"scopes_supported":                               []string{"openid", "profile", "email", "groups"},
		"claims_supported":                               []string{"sub", "email", "email_verified", "given_name", "family_name", "name", "groups", "auth_time", "amr"},
		"code_challenge_methods_supported":               []string{"S256"},
		"token_endpoint_auth_methods_supported":          []string{"client_secret_basic", "client_secret_post", "private_key_jwt", "none"},
		"authorization_response_iss_parameter_supported": true,
	}
	if k.MutateDiscovery != nil {
		k.MutateDiscovery(doc)
	}
	i.publish(w, doc)
}

func (i *IdP) jwks(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	set := jose.JSONWebKeySet{}
	for _, k := range i.oidcKeys {
		set.Keys = append(set.Keys, k.public(i.oidcAlg))
	}
	withoutKID := i.oidcKnobs.KID == Omit
	i.mu.Unlock()
	for n := range set.Keys {
		if withoutKID {
			set.Keys[n].KeyID = ""
		}
	}
	i.publish(w, set)
}

// publish answers with a document that may be kept.
func (i *IdP) publish(w http.ResponseWriter, v any) {
	_, k := i.knobs()
	w.Header().Set("Cache-Control", override(k.CacheControl, "public, max-age=3600"))
	writeJSON(w, http.StatusOK, v)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // a mutation put something into it that JSON cannot hold
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if w.Header().Get("Cache-Control") == "" {
		w.Header().Set("Cache-Control", "no-store")
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may have gone away
}

func (i *IdP) client(id string) (Client, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	c, ok := i.clients[id]
	return c, ok
}

// authorize checks the request (OpenID Connect Core §3.1.2.2) and shows the
// login page, or answers at once.
func (i *IdP) authorize(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		i.refuse(w, r, "The sign-in request cannot be answered", err)
		return
	}
	f := r.Form
	req := authorizeRequest{
		clientID: f.Get("client_id"), redirectURI: f.Get("redirect_uri"), state: f.Get("state"), nonce: f.Get("nonce"), scope: f.Get("scope"),
		challenge: f.Get("code_challenge"), responseMode: f.Get("response_mode"), loginHint: f.Get("login_hint"),
	}
	req.acr, _, _ = strings.Cut(f.Get("acr_values"), " ")
	client, ok := i.client(req.clientID)
	switch {
	case !ok:
		i.pages.Error(w, r, http.StatusBadRequest, "The application is not known", "No client is registered with this client_id.", "", "")
		return
	case len(client.RedirectURIs) > 0 && !slices.Contains(client.RedirectURIs, req.redirectURI):
		i.pages.Error(w, r, http.StatusBadRequest, "The application gave a wrong address", "The redirect_uri is not registered.", "", "")
		return
	case checkWebURL(req.redirectURI) != nil:
		i.refuse(w, r, "The application gave a wrong address", checkWebURL(req.redirectURI))
		return
	}
	_, k := i.knobs()
	person, automatic := i.automatic(req.loginHint)
	switch {
	case k.Error != "":
		i.authorizeError(w, r, req, k.Error, k.ErrorDescription)
	case f.Get("response_type") != "code":
		i.authorizeError(w, r, req, "unsupported_response_type", "")
	case !slices.Contains(strings.Fields(req.scope), "openid"):
		i.authorizeError(w, r, req, "invalid_scope", "openid is missing")
	case req.challenge != "" && f.Get("code_challenge_method") != "S256":
		i.authorizeError(w, r, req, "invalid_request", "code_challenge_method is not S256")
	case req.challenge == "" && client.Secret == "" && client.Keys == nil:
		i.authorizeError(w, r, req, "invalid_request", "a public client needs PKCE")
	case automatic:
		i.grant(w, r, req, person)
	case f.Get("prompt") == "none":
		i.authorizeError(w, r, req, "login_required", "")
	default:
		i.ask(w, r, pendingLogin{oidc: &req})
	}
}

// grant answers the authorization request with a code.
func (i *IdP) grant(w http.ResponseWriter, r *http.Request, req authorizeRequest, p Person) {
	code := i.codes.put(grant{req, p, i.clock.Now()}, codeTime)
	i.authorizeResponse(w, r, req, [2]string{"code", code})
}

func (i *IdP) authorizeError(w http.ResponseWriter, r *http.Request, req authorizeRequest, code, description string) {
	fields := [][2]string{{"error", code}}
	if description != "" {
		fields = append(fields, [2]string{"error_description", description})
	}
	i.authorizeResponse(w, r, req, fields...)
}

func (i *IdP) authorizeResponse(w http.ResponseWriter, r *http.Request, req authorizeRequest, fields ...[2]string) {
	_, k := i.knobs()
	if state := override(k.State, req.state); state != "" {
		fields = append(fields, [2]string{"state", state})
	}
	if iss := override(k.ResponseIssuer, i.base); iss != "" {
		fields = append(fields, [2]string{"iss", iss}) // RFC 9207 §2
	}
	if req.responseMode == "form_post" {
		i.pages.AutoPost(w, r, req.redirectURI, fields)
		return
	}
	u, err := url.Parse(req.redirectURI)
	if err != nil {
		i.refuse(w, r, "The application gave a wrong address", err)
		return
	}
	query := u.Query()
	for _, f := range fields {
		query.Set(f[0], f[1])
	}
	u.RawQuery = query.Encode()
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, u.String(), http.StatusSeeOther)
}

// token redeems a code once (RFC 6749 §4.1.3, RFC 7636 §4.6).
func (i *IdP) token(w http.ResponseWriter, r *http.Request) {
	_, k := i.knobs()
	client, ok := i.authenticate(r)
	if k.TokenRequest != nil {
		k.TokenRequest(r.PostForm)
	}
	switch {
	case k.TokenError != "":
		tokenError(w, http.StatusBadRequest, k.TokenError)
		return
	case !ok:
		w.Header().Set("WWW-Authenticate", `Basic realm="token"`)
		tokenError(w, http.StatusUnauthorized, "invalid_client")
		return
	case r.PostFormValue("grant_type") != "authorization_code":
		tokenError(w, http.StatusBadRequest, "unsupported_grant_type")
		return
	}
	g, ok := i.codes.take(r.PostFormValue("code"))
	if !ok || g.request.clientID != client.ID || g.request.redirectURI != r.PostFormValue("redirect_uri") ||
		!verifierMatches(g.request.challenge, r.PostFormValue("code_verifier")) {
		tokenError(w, http.StatusBadRequest, "invalid_grant")
		return
	}
	access := i.tokens.put(g, tokenTime)
	id, err := i.idToken(g, access, k)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"access_token": access, "token_type": "Bearer", "expires_in": int(tokenTime.Seconds()), "id_token": id, "scope": g.request.scope,
	})
}

func tokenError(w http.ResponseWriter, status int, code string) {
	writeJSON(w, status, map[string]any{"error": code})
}

func verifierMatches(challenge, verifier string) bool {
	if challenge == "" {
		return verifier == ""
	}
	sum := sha256.Sum256([]byte(verifier))
	return subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) == 1
}

// authenticate finds the client by HTTP Basic, by form, by assertion or, for a
// public one, by its id (RFC 6749 §2.3.1, RFC 7523 §2.2).
func (i *IdP) authenticate(r *http.Request) (Client, bool) {
	id, secret := r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	if user, password, ok := r.BasicAuth(); ok {
		var err1, err2 error
		id, err1 = url.QueryUnescape(user)
		secret, err2 = url.QueryUnescape(password)
		if err1 != nil || err2 != nil {
			return Client{}, false
		}
	}
	assertion := r.PostFormValue("client_assertion")
	if assertion != "" && id == "" {
		id = unverifiedSubject(assertion)
	}
	c, ok := i.client(id)
	switch {
	case !ok:
		return Client{}, false
	case c.Keys != nil:
		return c, r.PostFormValue("client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" && i.assertionHolds(c, assertion)
	}
	return c, subtle.ConstantTimeCompare([]byte(c.Secret), []byte(secret)) == 1
}

var assertionAlgorithms = []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.EdDSA}

func unverifiedSubject(assertion string) string {
	t, err := jwt.ParseSigned(assertion, assertionAlgorithms)
	if err != nil {
		return ""
	}
	var c jwt.Claims
	if err := t.UnsafeClaimsWithoutVerification(&c); err != nil {
		return ""
	}
	return c.Subject
}

func (i *IdP) assertionHolds(client Client, assertion string) bool {
	t, err := jwt.ParseSigned(assertion, assertionAlgorithms)
	if err != nil {
		return false
	}
	var c jwt.Claims
	if err := t.Claims(client.Keys, &c); err != nil || c.Expiry == nil || c.ID == "" {
		return false
	}
	err = c.Validate(jwt.Expected{Issuer: client.ID, Subject: client.ID, AnyAudience: jwt.Audience{i.base, i.base + "/oidc/token"}, Time: i.clock.Now()})
	return err == nil
}

func (i *IdP) userinfo(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	g, ok := i.tokens.get(token)
	if !ok {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		tokenError(w, http.StatusUnauthorized, "invalid_token")
		return
	}
	_, k := i.knobs()
	claims := personClaims(g.person, g.request.scope)
	claims["sub"] = g.person.ID
	setClaim(claims, "sub", k.UserinfoSubject)
	if k.MutateUserinfo != nil {
		k.MutateUserinfo(claims)
	}
	if k.SignUserinfo {
		signed, err := i.SignJWT("", claims)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/jwt")
		_, _ = w.Write([]byte(signed)) // the client may have gone away
		return
	}
	writeJSON(w, http.StatusOK, claims)
}
