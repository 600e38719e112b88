package provider

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// proofLife is how old a DPoP proof may be (RFC 9449 §11.1). Its identifier is
// remembered for longer than that.
const proofLife = time.Minute

// signatureAlgorithms are those of proofs and client assertions, as the discovery
// document names them.
func signatureAlgorithms() []string {
	var names []string
	for _, a := range oidc.Algorithms {
		names = append(names, string(a))
	}
	return names
}

// proven checks the request's DPoP proof and gives the thumbprint of the key that
// made it (RFC 9449 §4.3); empty without a proof. token is the access token that
// the request shows; empty at the token endpoint.
func (h *Handler) proven(r *http.Request, env tenants.Environment, token string) (jkt string, err error) {
	headers := r.Header.Values("DPoP")
	if len(headers) == 0 {
		return "", nil
	}
	deny := func(why string, cause error) (string, error) {
		return "", &wireError{code: oidc.InvalidDPoPProof, description: "DPoP: " + why, cause: cause}
	}
	if len(headers) > 1 {
		return deny("send one proof.", nil)
	}
	jws, head, err := header(headers[0], []string{"dpop+jwt"})
	if err != nil {
		return deny("the header is not a proof signed by an accepted algorithm.", err)
	}
	key := head.JSONWebKey
	if key == nil || !key.IsPublic() || !key.Valid() || !oidc.KeyFits(*key, jose.SignatureAlgorithm(head.Algorithm)) {
		return deny("jwk must be the public key that signed.", nil)
	}
	payload, err := jws.Verify(key.Key)
	if err != nil {
		return deny("the signature does not hold.", err)
	}
	var c struct {
		ID       string  `json:"jti"`
		Method   string  `json:"htm"`
		Address  string  `json:"htu"`
		IssuedAt float64 `json:"iat"`
		Token    string  `json:"ath"`

		Expires   *float64 `json:"exp"`
		NotBefore *float64 `json:"nbf"`
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		return deny("the claims cannot be read.", err)
	}
	now := h.clock.Now()
	sum := sha256.Sum256([]byte(token))
	switch {
	case c.Method != r.Method || !sameEndpoint(c.Address, env.URL(r.URL.Path)):
		return deny("htm and htu must name this request.", nil)
	case c.IssuedAt < float64(now.Add(-proofLife).Unix()) || c.IssuedAt > float64(now.Add(clockSlack).Unix()):
		return deny("iat is not recent.", nil)
	case c.Expires != nil && *c.Expires <= float64(now.Unix()) || c.NotBefore != nil && *c.NotBefore > float64(now.Add(clockSlack).Unix()):
		return deny("exp or nbf, which a proof need not have, excludes the present.", nil) // RFC 7519 §4.1.4, §4.1.5
	case c.ID == "" || len(c.ID) > maxJTI:
		return deny("jti is missing or too long.", nil)
	case token != "" && !keys.Equal(c.Token, base64.RawURLEncoding.EncodeToString(sum[:])):
		return deny("ath is not the hash of the access token.", nil)
	}
	print, err := key.Thumbprint(crypto.SHA256)
	if err != nil {
		return deny("the key has no thumbprint.", err)
	}
	jkt = base64.RawURLEncoding.EncodeToString(print)
	first, err := h.firstUse(r.Context(), env.ID, "dpop", jkt, c.ID, now.Add(2*proofLife))
	if err != nil {
		return "", err
	}
	if !first {
		return deny("the proof was used before.", nil)
	}
	return jkt, nil
}

// sameEndpoint compares htu with our address, without query and fragment
// (RFC 9449 §4.3).
func sameEndpoint(htu, ours string) bool {
	if len(htu) > 2000 {
		return false
	}
	a, err := url.Parse(htu)
	if err != nil {
		return false
	}
	b, err := url.Parse(ours)
	return err == nil && strings.EqualFold(a.Scheme, b.Scheme) && strings.EqualFold(hostPort(a), hostPort(b)) && a.EscapedPath() == b.EscapedPath() && a.User == nil
}

// hostPort leaves out the port that the scheme implies.
func hostPort(u *url.URL) string {
	if u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80" {
		return u.Hostname()
	}
	return u.Host
}
