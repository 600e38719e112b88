package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// maxKeys is how many keys of a provider are taken.
const maxKeys = 100

// KeySet is somebody's published keys. A key that appears is found at the
// first token it signs; tokens with made-up key ids cost its server one
// request per minute at most.
type KeySet struct {
	url   string
	http  *http.Client
	doc   Cached[*Published]
	fixed *Published // not nil: nobody is asked
}

// NewKeySet makes the key set that is published at an address, which c, a
// guarded client, asks.
func NewKeySet(url string, c *http.Client) *KeySet { return &KeySet{url: url, http: c} }

// FixedKeys makes a key set of these keys, which never changes.
func FixedKeys(keys ...jose.JSONWebKey) *KeySet { return &KeySet{fixed: &Published{Keys: keys}} }

// URL is where the keys are published; empty for fixed ones.
func (k *KeySet) URL() string { return k.url }

// Published are the keys of one answer.
type Published struct {
	Keys []jose.JSONWebKey
	// issuers are whom keys sign for, by key id, where a provider of many says it.
	issuers map[string]string
}

// Issuer is whom the key signs for, where the set says so: Microsoft's member
// issuer, an address or its template with {tenantid}. Empty: nothing is said.
func (p *Published) Issuer(kid string) string { return p.issuers[kid] }

// Find gives the keys that may have signed a token: those of its kid, or all
// signing keys when it names none. The caller decides what several mean. refused
// is an answer whose keys did not verify the token: a provider may have put
// another key in the place of one. It gives the answer that it found them in.
func (k *KeySet) Find(ctx context.Context, kid string, now time.Time, refused *Published) ([]jose.JSONWebKey, *Published, error) {
	if k.fixed != nil {
		return k.fixed.match(kid), k.fixed, nil
	}
	doc, err := k.doc.Get(ctx, now, func(p *Published) bool { return p != refused && len(p.match(kid)) > 0 }, k.fetch)
	if err != nil {
		return nil, nil, err
	}
	return doc.match(kid), doc, nil
}

func (p *Published) match(kid string) []jose.JSONWebKey {
	var found []jose.JSONWebKey
	for _, key := range p.Keys {
		if kid == "" || key.KeyID == kid {
			found = append(found, key)
		}
	}
	return found
}

func (k *KeySet) fetch(ctx context.Context, _ *Published) (*Published, time.Duration, error) {
	body, header, err := Fetch(ctx, k.http, k.url)
	if err != nil {
		return nil, 0, err
	}
	p, err := ReadKeys(body)
	return p, TTL(header), err
}

// ReadKeys reads a JSON Web Key Set (RFC 7517 §5): its public signing keys, at
// most a hundred. What cannot be read among them is left out.
func ReadKeys(body []byte) (*Published, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	if len(set.Keys) > maxKeys {
		set.Keys = set.Keys[:maxKeys]
	}
	p := &Published{}
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		// A key that this build cannot read is somebody else's business: RFC 7517 §5.
		if key.UnmarshalJSON(raw) != nil || !key.IsPublic() || !key.Valid() || (key.Use != "" && key.Use != "sig") {
			continue
		}
		p.Keys = append(p.Keys, key)
		var of struct {
			Issuer string `json:"issuer"`
		}
		if json.Unmarshal(raw, &of) == nil && of.Issuer != "" && key.KeyID != "" {
			if p.issuers == nil {
				p.issuers = map[string]string{}
			}
			p.issuers[key.KeyID] = of.Issuer
		}
	}
	return p, nil
}

// Algorithms are the signatures that are accepted: asymmetric ones only. A MAC
// under a client secret proves nothing that the secret's other holders could
// not have made, and one under a public key proves nothing at all.
var Algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

const minRSABits = 2048

// KeyFits keeps a key to the algorithms of its type, and to its own alg if it
// names one (RFC 7517 §4.4).
func KeyFits(k jose.JSONWebKey, alg jose.SignatureAlgorithm) bool {
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
