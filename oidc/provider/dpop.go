package provider

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
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

// proof is a DPoP proof whose signature and claims hold; the zero value: none came.
type proof struct {
	jkt   string // thumbprint of the key that made it
	id    string // jti
	nonce string
}

// readProof checks the request's DPoP proof (RFC 9449 §4.3) but for what may be
// asked only once: see [Handler.accept]. token is the access token that the request
// shows; empty at the token endpoint.
func (h *Handler) readProof(r *http.Request, env tenants.Environment, token string) (proof, error) {
	headers := r.Header.Values("DPoP")
	if len(headers) == 0 {
		return proof{}, nil
	}
	deny := func(why string, cause error) (proof, error) {
		return proof{}, &wireError{code: oidc.InvalidDPoPProof, description: "DPoP: " + why, cause: cause}
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
		Nonce    string  `json:"nonce"`

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
	return proof{base64.RawURLEncoding.EncodeToString(print), c.ID, c.Nonce}, nil
}

// accept uses a proof up and gives its key's thumbprint; empty without a proof. The
// settings say whether it must carry a nonce of ours. One that it carries must be
// good either way: a client that sends one has been given it.
func (h *Handler) accept(w http.ResponseWriter, r *http.Request, env tenants.Environment, set tenants.TokenSettings, p proof) (jkt string, err error) {
	if p.jkt == "" {
		return "", nil
	}
	if set.RequireDPoPNonce || p.nonce != "" {
		now := h.nonce(env)
		if p.nonce != now {
			w.Header().Set("DPoP-Nonce", now) // also beside a good answer: the next is due (RFC 9449 §8.2)
		}
		if !h.ownNonce(env, p.nonce) {
			return "", refuse(oidc.UseDPoPNonce, "DPoP: use the nonce of the header DPoP-Nonce.")
		}
	}
	first, err := h.firstUse(r.Context(), env.ID, "dpop", p.jkt, p.id, h.clock.Now().Add(2*proofLife))
	if err == nil && !first {
		err = refuse(oidc.InvalidDPoPProof, "DPoP: the proof was used before.")
	}
	return p.jkt, err
}

// A nonce is another one every minute and holds for five. It is the minute with a
// MAC, so that every replica makes and knows the same without asking the store.
const (
	nonceEvery = time.Minute
	nonceHolds = 5
)

// nonce gives the environment's nonce of the moment.
func (h *Handler) nonce(env tenants.Environment) string {
	return h.nonceOf(env, h.clock.Now().Unix()/int64(nonceEvery.Seconds()))
}

func (h *Handler) nonceOf(env tenants.Environment, minute int64) string {
	text := strconv.FormatInt(minute, 36)
	return text + "." + h.vault.MAC("dpop nonce", env.ID, text)
}

// ownNonce reports whether the environment gave out the nonce lately. The clock of
// the replica that did may be a minute ahead.
func (h *Handler) ownNonce(env tenants.Environment, nonce string) bool {
	text, _, _ := strings.Cut(nonce, ".")
	minute, err := strconv.ParseInt(text, 36, 64)
	now := h.clock.Now().Unix() / int64(nonceEvery.Seconds())
	return err == nil && minute > now-nonceHolds && minute <= now+1 && keys.Equal(nonce, h.nonceOf(env, minute))
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
