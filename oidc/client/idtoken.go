package client

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"hash"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/signin"
)

// algorithms are the signatures that are accepted: asymmetric ones only. A MAC
// under a client secret proves nothing that the secret's other holders could
// not have made, and one under a public key proves nothing at all.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

const (
	maxToken   = 64 << 10 // bytes; a token with 200 groups has about 10,000
	maxSub     = 255      // characters, OpenID Connect Core §2
	leeway     = 2 * time.Minute
	maxIssued  = 10 * time.Minute // ago: the token comes straight from the token endpoint
	minRSABits = 2048
)

// refusals, each with its own code.
func refuse(code, message string) *fault.Error { return fault.New(fault.Invalid, code, message) }

var (
	errTokenForm  = refuse("OIDC_TOKEN_FORM", "The identity provider's ID token cannot be read.")
	errAlg        = refuse("OIDC_ALG", "The identity provider's ID token is signed in a way that is not accepted.")
	errKey        = refuse("OIDC_KEY_UNKNOWN", "The identity provider's ID token is signed with a key that it does not publish.")
	errKeyUnclear = refuse("OIDC_KEY_AMBIGUOUS", "The identity provider's ID token does not say which of several keys signed it.")
	errSig        = refuse("OIDC_SIG", "The signature of the identity provider's ID token does not hold.")
	errIssuer     = refuse("OIDC_ISSUER", "The ID token was issued by somebody else than the connection's identity provider.")
	errAudience   = refuse("OIDC_AUDIENCE", "The ID token was issued for another application.")
	errAZP        = refuse("OIDC_AZP", "The ID token was issued to another application.")
	errExpired    = refuse("OIDC_EXPIRED", "The ID token has expired. Check the clocks of both sides.")
	errNotYet     = refuse("OIDC_NOT_YET", "The ID token is not valid yet. Check the clocks of both sides.")
	errIssuedAt   = refuse("OIDC_IAT", "The ID token was issued too long ago, or in the future. Check the clocks of both sides.")
	errNonce      = refuse("OIDC_NONCE", "The ID token does not belong to this sign-in.")
	errSubject    = refuse("OIDC_SUB", "The ID token names no subject, or one that is too long.")
	errAtHash     = refuse("OIDC_AT_HASH", "The access token does not belong to the ID token.")
)

// expectation is what an ID token must say.
type expectation struct {
	issuer, clientID, nonce, accessToken string
	now                                  time.Time
}

// verifyIDToken judges an ID token (OpenID Connect Core §3.1.3.7). It returns
// the checks that were made, in order, whatever the outcome.
func verifyIDToken(ctx context.Context, raw string, keys *keySet, want expectation) (claims, map[string]any, []signin.Check, error) {
	var c claims
	log := &checkLog{}
	payload, alg, err := signature(ctx, raw, keys, want.now, log)
	if err != nil {
		return c, nil, log.list, err
	}
	all, err := readObject(payload)
	if err == nil {
		c, err = readClaims(all)
	}
	if err != nil {
		return c, nil, log.list, log.fail("token", "a JSON object with claims of the right types", err.Error(), errTokenForm.Because(err))
	}
	if err := c.judge(want, alg, log); err != nil {
		return c, nil, log.list, err
	}
	return c, all, log.list, nil
}

func signature(ctx context.Context, raw string, keys *keySet, now time.Time, log *checkLog) ([]byte, jose.SignatureAlgorithm, error) {
	if len(raw) > maxToken || strings.Count(raw, ".") != 2 {
		return nil, "", log.fail("token", "a signed JWT in compact form", "", errTokenForm)
	}
	// ParseSigned refuses an alg outside the list, none and MACs included, a
	// header that is not protected, and an unknown crit (RFC 7515 §4.1.11).
	jws, err := jose.ParseSignedCompact(raw, algorithms)
	if err != nil {
		var unexpected *jose.ErrUnexpectedSignatureAlgorithm
		if errors.As(err, &unexpected) {
			return nil, "", log.fail("algorithm", "RS, PS, ES or EdDSA", string(unexpected.Got), errAlg.Because(err))
		}
		return nil, "", log.fail("token", "a signed JWT in compact form", "", errTokenForm.Because(err))
	}
	header := jws.Signatures[0].Protected
	alg := jose.SignatureAlgorithm(header.Algorithm)
	log.pass("algorithm", "RS, PS, ES or EdDSA", header.Algorithm)
	candidates, err := keys.find(ctx, header.KeyID, now)
	if err != nil {
		return nil, "", log.fail("key", "the provider's published keys", "not reachable", errDiscovery.Because(err))
	}
	usable := candidates[:0:0]
	for _, k := range candidates {
		if keyFits(k, alg) {
			usable = append(usable, k)
		}
	}
	switch {
	case len(candidates) == 0:
		return nil, "", log.fail("key", "one of the provider's published keys", header.KeyID, errKey)
	case len(usable) == 0:
		return nil, "", log.fail("key", "a key for "+header.Algorithm, header.KeyID, errAlg)
	case len(usable) > 1:
		return nil, "", log.fail("key", "a kid, because the provider publishes several keys", header.KeyID, errKeyUnclear)
	}
	log.pass("key", "one of the provider's published keys", usable[0].KeyID)
	payload, err := jws.Verify(usable[0].Key)
	if err != nil {
		return nil, "", log.fail("signature", "valid", "invalid", errSig.Because(err))
	}
	log.pass("signature", "valid", "valid")
	return payload, alg, nil
}

// keyFits keeps a key to the algorithms of its type, and to its own alg if it
// names one (RFC 7517 §4.4).
func keyFits(k jose.JSONWebKey, alg jose.SignatureAlgorithm) bool {
	if k.Algorithm != "" && k.Algorithm != string(alg) {
		return false
	}
	switch key := k.Key.(type) {
	case *rsa.PublicKey:
		return key.N.BitLen() >= minRSABits && (strings.HasPrefix(string(alg), "RS") || strings.HasPrefix(string(alg), "PS"))
	case *ecdsa.PublicKey:
		switch alg {
		case jose.ES256:
			return key.Curve.Params().BitSize == 256
		case jose.ES384:
			return key.Curve.Params().BitSize == 384
		case jose.ES512:
			return key.Curve.Params().BitSize == 521
		}
	case ed25519.PublicKey:
		return alg == jose.EdDSA
	}
	return false
}

func (c claims) judge(want expectation, alg jose.SignatureAlgorithm, log *checkLog) error {
	if c.Issuer != want.issuer {
		return log.fail("issuer", want.issuer, c.Issuer, errIssuer)
	}
	log.pass("issuer", want.issuer, c.Issuer)
	if !slices.Contains(c.Audience, want.clientID) {
		return log.fail("audience", want.clientID, strings.Join(c.Audience, " "), errAudience)
	}
	log.pass("audience", want.clientID, strings.Join(c.Audience, " "))
	// With further audiences azp must be there; when there, it must be us.
	if (c.AZP != "" || len(c.Audience) > 1) && c.AZP != want.clientID {
		return log.fail("azp", want.clientID, c.AZP, errAZP)
	}
	log.pass("azp", want.clientID, c.AZP)
	if err := c.judgeTimes(want.now, log); err != nil {
		return err
	}
	if want.nonce == "" || subtle.ConstantTimeCompare([]byte(c.Nonce), []byte(want.nonce)) != 1 {
		return log.fail("nonce", "the nonce of this sign-in", present(c.Nonce), errNonce)
	}
	log.pass("nonce", "the nonce of this sign-in", "the same")
	if c.Subject == "" || len(c.Subject) > maxSub || strings.ContainsFunc(c.Subject, unicode.IsControl) {
		return log.fail("sub", "1 to 255 characters", present(c.Subject), errSubject)
	}
	log.pass("sub", "1 to 255 characters", c.Subject)
	if c.AtHash != "" {
		if subtle.ConstantTimeCompare([]byte(c.AtHash), []byte(atHash(alg, want.accessToken))) != 1 {
			return log.fail("at_hash", "the hash of the access token", "another", errAtHash)
		}
		log.pass("at_hash", "the hash of the access token", "the same")
	}
	return nil
}

func (c claims) judgeTimes(now time.Time, log *checkLog) error {
	exp, ok := numericDate(c.Expiry)
	if !ok || !now.Before(exp.Add(leeway)) {
		return log.fail("exp", "after "+now.Format(time.RFC3339), showDate(c.Expiry), errExpired)
	}
	log.pass("exp", "after "+now.Format(time.RFC3339), showDate(c.Expiry))
	if c.NotBefore != "" {
		nbf, ok := numericDate(c.NotBefore)
		if !ok || now.Add(leeway).Before(nbf) {
			return log.fail("nbf", "before "+now.Format(time.RFC3339), showDate(c.NotBefore), errNotYet)
		}
	}
	iat, ok := numericDate(c.IssuedAt)
	if !ok || now.Add(leeway).Before(iat) || now.After(iat.Add(maxIssued)) {
		return log.fail("iat", "within ten minutes of "+now.Format(time.RFC3339), showDate(c.IssuedAt), errIssuedAt)
	}
	log.pass("iat", "within ten minutes of "+now.Format(time.RFC3339), showDate(c.IssuedAt))
	return nil
}

// numericDate reads seconds since the epoch, with or without a fraction, within
// the years 2000 to 2200: what lies outside is a unit mistake or an attack.
func numericDate(n json.Number) (time.Time, bool) {
	f, err := n.Float64()
	if err != nil || f < 946684800 || f > 7258118400 {
		return time.Time{}, false
	}
	return time.UnixMicro(int64(f * 1e6)).UTC(), true
}

func showDate(n json.Number) string {
	if t, ok := numericDate(n); ok {
		return t.Format(time.RFC3339)
	}
	return clip(string(n))
}

func atHash(alg jose.SignatureAlgorithm, accessToken string) string {
	var h hash.Hash
	switch {
	case strings.HasSuffix(string(alg), "384"):
		h = sha512.New384()
	case strings.HasSuffix(string(alg), "512"), alg == jose.EdDSA:
		h = sha512.New()
	default:
		h = sha256.New()
	}
	h.Write([]byte(accessToken))
	sum := h.Sum(nil)
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}

// checkLog collects checks for the login log. Secrets stay out of it.
type checkLog struct{ list []signin.Check }

func (l *checkLog) pass(name, expected, actual string) {
	l.list = append(l.list, signin.Check{Name: name, OK: true, Expected: clip(expected), Actual: clip(actual)})
}

func (l *checkLog) fail(name, expected, actual string, err error) error {
	l.list = append(l.list, signin.Check{Name: name, Expected: clip(expected), Actual: clip(actual)})
	return err
}

func present(s string) string {
	if s == "" {
		return "absent"
	}
	return "another"
}

func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
	if len(s) > 200 {
		return strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}
