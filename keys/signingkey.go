package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-id/gatehouse/internal/db"
)

// Algorithms lists what an environment can sign with (RFC 7518 §3.1, RFC 8037
// §3.1). There is no HS256: a shared key cannot prove who signed.
var Algorithms = []string{ES256, RS256, EdDSA}

// The algorithms.
const (
	ES256 = "ES256"
	RS256 = "RS256"
	EdDSA = "EdDSA"
)

const rsaBits = 2048

// States of a signing key.
const (
	next    = "next"
	active  = "active"
	retired = "retired"
)

// signingKey is one row of signing_keys.
type signingKey struct {
	kid, alg, state               string
	public, private               string // JWK; PKCS #8, sealed
	created, activated, retiredAt db.Time
}

// generate makes a key pair. Its id is the thumbprint of the public key
// (RFC 7638), so the same key never has two ids.
func generate(v *Vault, environment, alg, state string, now time.Time) (signingKey, error) {
	var private crypto.Signer
	var err error
	switch alg {
	case ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RS256:
		private, err = rsa.GenerateKey(rand.Reader, rsaBits)
	case EdDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		err = fmt.Errorf("unknown algorithm %q", alg)
	}
	if err != nil {
		return signingKey{}, fmt.Errorf("keys: generate: %w", err)
	}
	jwk := jose.JSONWebKey{Key: private.Public(), Algorithm: alg, Use: "sig"}
	thumbprint, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return signingKey{}, fmt.Errorf("keys: thumbprint: %w", err)
	}
	jwk.KeyID = base64.RawURLEncoding.EncodeToString(thumbprint)
	public, err := json.Marshal(jwk)
	if err != nil {
		return signingKey{}, fmt.Errorf("keys: JWK: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return signingKey{}, fmt.Errorf("keys: PKCS #8: %w", err)
	}
	sealed, err := v.Seal("signing_keys", "private_key", environment+"/"+jwk.KeyID, der)
	if err != nil {
		return signingKey{}, err
	}
	k := signingKey{kid: jwk.KeyID, alg: alg, state: state, public: string(public), private: sealed, created: db.At(now)}
	if state == active {
		k.activated = k.created
	}
	return k, nil
}

func (k signingKey) insert(environment string) db.Stmt {
	return db.Stmt{SQL: sqlInsertKey, Args: []any{
		environment, k.kid, k.alg, k.state, k.public, k.private, k.created, k.activated,
	}}
}

// open decrypts the private key.
func (k signingKey) open(v *Vault, environment string) (crypto.Signer, error) {
	der, err := v.Open("signing_keys", "private_key", environment+"/"+k.kid, k.private)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", k.kid, err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", k.kid, err)
	}
	private, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("signing key %s: %T cannot sign", k.kid, parsed)
	}
	return private, nil
}

// LeftHash is the half of a hash by which an ID token names another value
// (at_hash, OpenID Connect Core §3.1.3.6). The hash goes with the ID token's
// algorithm: SHA-256 for ES256 and RS256; for EdDSA with Ed25519, which has no
// hash of its own to name, SHA-512.
func LeftHash(alg, value string) string {
	if alg == EdDSA {
		sum := sha512.Sum512([]byte(value))
		return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
	}
	sum := sha256.Sum256([]byte(value))
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}
