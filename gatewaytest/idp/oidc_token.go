package idp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// oidcKey signs ID tokens.
type oidcKey struct {
	signer crypto.Signer
	kid    string
}

func newOIDCKey(signer crypto.Signer) oidcKey {
	return oidcKey{signer, newID()[1:17]}
}

func (k oidcKey) public(alg jose.SignatureAlgorithm) jose.JSONWebKey {
	return jose.JSONWebKey{Key: k.signer.Public(), KeyID: k.kid, Algorithm: string(alg), Use: "sig"}
}

func (i *IdP) signingKey() oidcKey {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.oidcKeys[0]
}

// IDToken makes an ID token without a login: for tests that answer the token
// request themselves.
func (i *IdP) IDToken(clientID string, p Person, nonce string, k OIDCKnobs) (string, error) {
	return i.idToken(grant{authorizeRequest{clientID: clientID, nonce: nonce, scope: "openid email profile groups"}, p, i.clock.Now()}, "", k)
}

// SignJWT signs any claims with the key and algorithm of ID tokens: logout
// tokens, security event tokens. typ goes into the header when not empty.
func (i *IdP) SignJWT(typ string, claims map[string]any) (string, error) {
	header := map[string]any{}
	if typ != "" {
		header["typ"] = typ
	}
	key := i.signingKey()
	header["alg"], header["kid"] = string(i.oidcAlg), key.kid
	return sign(key, header, claims, nil)
}

func (i *IdP) idToken(g grant, access string, k OIDCKnobs) (string, error) {
	lifetime := k.Lifetime
	if lifetime == 0 {
		lifetime = 5 * time.Minute
	}
	now := i.clock.Now().Add(k.TimeShift)
	claims := personClaims(g.person, g.request.scope)
	claims["iss"], claims["sub"], claims["aud"] = i.base, g.person.ID, g.request.clientID
	claims["iat"], claims["exp"] = now.Unix(), now.Add(lifetime).Unix()
	claims["auth_time"], claims["amr"] = g.at.Add(k.TimeShift).Unix(), []string{"pwd"}
	if g.request.acr != "" {
		claims["acr"] = g.request.acr
	}
	if access != "" {
		claims["at_hash"] = i.leftHalf(access)
	}
	if g.request.nonce != "" {
		claims["nonce"] = g.request.nonce
	}
	setClaim(claims, "iss", k.Issuer)
	setClaim(claims, "sub", k.Subject)
	setClaim(claims, "azp", k.AZP)
	setClaim(claims, "nonce", k.Nonce)
	switch {
	case k.Audience == Omit:
		delete(claims, "aud")
	case k.Audience != nil:
		claims["aud"] = k.Audience
	}
	if k.MutateClaims != nil {
		k.MutateClaims(claims)
	}

	key := i.signingKey()
	header := map[string]any{"alg": override(k.Alg, string(i.oidcAlg)), "kid": key.kid, "typ": "JWT"}
	setClaim(header, "kid", k.KID)
	if k.MutateHeader != nil {
		k.MutateHeader(header)
	}
	hmacKey := k.HMACKey
	if hmacKey == nil {
		var err error
		if hmacKey, err = publicPEM(key.signer); err != nil {
			return "", err
		}
	}
	return sign(key, header, claims, hmacKey)
}

// setClaim applies a knob.
func setClaim(claims map[string]any, name, knob string) {
	switch knob {
	case "":
	case Omit:
		delete(claims, name)
	default:
		claims[name] = knob
	}
}

// leftHalf is at_hash (OpenID Connect Core §3.1.3.6). For EdDSA, which names no
// hash, SHA-512 as for Ed25519 is what implementations use.
func (i *IdP) leftHalf(token string) string {
	if i.oidcAlg == jose.EdDSA {
		sum := sha512.Sum512([]byte(token))
		return base64.RawURLEncoding.EncodeToString(sum[:32])
	}
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// personClaims are the claims of the scopes (OpenID Connect Core §5.4).
func personClaims(p Person, scope string) map[string]any {
	scopes := strings.Fields(scope)
	claims := map[string]any{}
	for name, values := range p.Attributes {
		if len(values) == 1 {
			claims[name] = values[0]
		} else {
			claims[name] = values
		}
	}
	if slices.Contains(scopes, "email") && p.Email != "" {
		claims["email"], claims["email_verified"] = p.Email, !p.EmailUnverified
	}
	if slices.Contains(scopes, "profile") {
		claims["name"] = p.Name()
		if p.FirstName != "" {
			claims["given_name"] = p.FirstName
		}
		if p.LastName != "" {
			claims["family_name"] = p.LastName
		}
	}
	// Many providers send groups whatever the scopes are, once configured.
	if len(p.Groups) > 0 {
		claims["groups"] = p.Groups
	}
	return claims
}

// sign makes a JWS in compact form of exactly this header, whatever it says.
// "none" and "HS256" (with hmacKey) do what they say; with every other name the
// key signs as it can.
func sign(key oidcKey, header, claims map[string]any, hmacKey []byte) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	head, err := json.Marshal(header)
	if err != nil {
		return "", err
	}
	input := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(payload)
	name, _ := header["alg"].(string)
	if strings.EqualFold(name, "none") {
		return input + ".", nil
	}
	var sig []byte
	if name == string(jose.HS256) {
		mac := hmac.New(sha256.New, hmacKey)
		mac.Write([]byte(input))
		sig = mac.Sum(nil)
	} else if sig, err = signInput(key.signer, input); err != nil {
		return "", err
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(sig), nil
}

// signInput is RS256, ES256 or EdDSA, as the key is (RFC 7518 §3, RFC 8037 §3.1).
func signInput(signer crypto.Signer, input string) ([]byte, error) {
	sum := sha256.Sum256([]byte(input))
	switch key := signer.(type) {
	case ed25519.PrivateKey:
		return ed25519.Sign(key, []byte(input)), nil
	case *ecdsa.PrivateKey:
		der, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
		if err != nil {
			return nil, err
		}
		return rawECDSA(der, key)
	}
	return signer.Sign(rand.Reader, sum[:], crypto.SHA256)
}

func publicPEM(signer crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(signer.Public())
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}
