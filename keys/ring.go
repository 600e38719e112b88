package keys

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

const (
	// fresh is how long a process keeps an environment's keys: a rotation on
	// another replica is seen after that long. The key that was active until
	// then is still published.
	fresh = time.Minute
	// reload is how soon an unknown key id may cause another look.
	reload = 5 * time.Second
	// publishRetired is how long a retired key stays in the set: far longer than
	// any token that it signed.
	publishRetired = 24 * time.Hour
	// MaxToken bounds a token that Verify reads, in bytes.
	MaxToken = 16 * 1024
)

// ErrInvalidToken is the answer of Verify to every token that is not ours, for
// whichever reason: the reason is in its cause, for the log.
var ErrInvalidToken = fault.New(fault.Unauthenticated, "invalid_token", "The token is not valid.")

// ErrNoKey: the environment has no active key of the algorithm; Ensure was not
// called.
var ErrNoKey = errors.New("keys: no active signing key")

// Ring signs with the keys of each environment. It is safe for concurrent use
// and keeps the decrypted keys in memory for a minute.
type Ring struct {
	db    db.DB
	vault *Vault
	clock clock.Clock

	mu   sync.Mutex
	sets map[string]*keySet

	verified verified
}

// keySet is what a process knows of an environment's keys; it does not change.
type keySet struct {
	loaded time.Time
	active map[string]*signer         // by algorithm
	public map[string]jose.JSONWebKey // by kid
	body   []byte
	etag   string
}

// signer signs with one key; the part of the header that is the same for every
// token of a type is made once.
type signer struct {
	kid, alg string
	key      jose.SigningKey

	mu     sync.Mutex
	byType map[string]jose.Signer
}

// NewRing makes a ring on the store.
func NewRing(d db.DB, v *Vault, c clock.Clock) *Ring {
	return &Ring{db: d, vault: v, clock: c, sets: map[string]*keySet{}}
}

// Ensure gives the environment an active key of each algorithm. It changes
// nothing where there is one, and may run on several replicas at once.
func (r *Ring) Ensure(ctx context.Context, environment string) error {
	set, err := r.load(ctx, environment)
	if err != nil {
		return err
	}
	stmts, err := r.missing(environment, set.active)
	if err != nil || len(stmts) == 0 {
		return err
	}
	if err := r.db.Batch(ctx, stmts); err != nil {
		return err
	}
	_, err = r.load(ctx, environment)
	return err
}

// NewStmts gives a new environment its active keys, in the transaction that makes
// it. Making an RSA key takes a tenth of a second.
func (r *Ring) NewStmts(environment string) ([]db.Stmt, error) { return r.missing(environment, nil) }

func (r *Ring) missing(environment string, there map[string]*signer) ([]db.Stmt, error) {
	var stmts []db.Stmt
	for _, alg := range Algorithms {
		if there[alg] != nil {
			continue
		}
		k, err := generate(r.vault, environment, alg, active, r.clock.Now())
		if err != nil {
			return nil, err
		}
		stmts = append(stmts, k.insert(environment))
	}
	return stmts, nil
}

// Sign makes a compact JWS (RFC 7515 §3.1) of the claims, which are marshalled
// as JSON, with the environment's active key. typ is the header's typ, such as
// at+jwt. It asks the store at most once a minute.
func (r *Ring) Sign(ctx context.Context, environment, alg, typ string, claims any) (string, error) {
	set, err := r.set(ctx, environment)
	if err != nil {
		return "", err
	}
	s := set.active[alg]
	if s == nil {
		return "", fmt.Errorf("%w: %s in %s", ErrNoKey, alg, environment)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("keys: claims: %w", err)
	}
	js, err := s.of(typ)
	if err != nil {
		return "", err
	}
	jws, err := js.Sign(payload)
	if err != nil {
		return "", fmt.Errorf("keys: sign: %w", err)
	}
	return jws.CompactSerialize()
}

func (s *signer) of(typ string) (jose.Signer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if js := s.byType[typ]; js != nil {
		return js, nil
	}
	js, err := jose.NewSigner(s.key, (&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
	if err != nil {
		return nil, fmt.Errorf("keys: signer: %w", err)
	}
	s.byType[typ] = js
	return js, nil
}

// JWKS gives the environment's key set (RFC 7517 §5) and a strong validator for
// it. The bytes are shared: do not change them.
func (r *Ring) JWKS(ctx context.Context, environment string) (body []byte, etag string, err error) {
	set, err := r.set(ctx, environment)
	if err != nil {
		return nil, "", err
	}
	return set.body, set.etag, nil
}

// Verify checks that the token was signed by this environment with a key that
// is still published, under the key's own algorithm and with the wanted typ, and
// fills claims. Issuer, audience and times are the caller's to check. It fails
// with ErrInvalidToken.
func (r *Ring) Verify(ctx context.Context, environment, token, typ string, claims any) error {
	payload, err := r.Payload(ctx, environment, token, typ)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(payload, claims); err != nil {
		return ErrInvalidToken.Because(err)
	}
	return nil
}

// Payload is Verify for whoever reads the claims himself. The bytes are shared: do
// not change them.
func (r *Ring) Payload(ctx context.Context, environment, token, typ string) ([]byte, error) {
	if len(token) > MaxToken || strings.Count(token, ".") != 2 {
		return nil, ErrInvalidToken
	}
	known := tokenKey(environment, typ, token)
	if t, ok := r.verified.find(known); ok {
		_, err := r.find(ctx, environment, t.kid)
		return t.payload, err
	}
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.EdDSA})
	if err != nil {
		return nil, ErrInvalidToken.Because(err)
	}
	header := jws.Signatures[0].Protected
	// The type keeps one kind of token from standing for another (RFC 8725 §3.11).
	if got, _ := header.ExtraHeaders[jose.HeaderType].(string); got != typ {
		return nil, ErrInvalidToken.Because(fmt.Errorf("typ %q instead of %q", got, typ))
	}
	key, err := r.find(ctx, environment, header.KeyID)
	if err != nil {
		return nil, err
	}
	// The key decides the algorithm, not the header (RFC 8725 §3.1).
	if key.Algorithm != header.Algorithm {
		return nil, ErrInvalidToken.Because(fmt.Errorf("alg %s with a key for %s", header.Algorithm, key.Algorithm))
	}
	payload, err := jws.Verify(key)
	if err != nil {
		return nil, ErrInvalidToken.Because(err)
	}
	r.verified.add(known, verifiedToken{header.KeyID, payload})
	return payload, nil
}

func (r *Ring) find(ctx context.Context, environment, kid string) (jose.JSONWebKey, error) {
	set, err := r.set(ctx, environment)
	if err != nil {
		return jose.JSONWebKey{}, err
	}
	key, ok := set.public[kid]
	if !ok && r.clock.Now().Sub(set.loaded) >= reload {
		if set, err = r.load(ctx, environment); err != nil {
			return jose.JSONWebKey{}, err
		}
		key, ok = set.public[kid]
	}
	if !ok {
		return jose.JSONWebKey{}, ErrInvalidToken.Because(errors.New("unknown kid"))
	}
	return key, nil
}

func (r *Ring) set(ctx context.Context, environment string) (*keySet, error) {
	r.mu.Lock()
	set := r.sets[environment]
	r.mu.Unlock()
	if set != nil && r.clock.Now().Sub(set.loaded) < fresh {
		return set, nil
	}
	return r.load(ctx, environment)
}

// load reads the environment's keys and keeps them, keeping the decrypted keys
// that it has.
func (r *Ring) load(ctx context.Context, environment string) (*keySet, error) {
	now := r.clock.Now()
	rows, err := r.db.Query(ctx, sqlKeys, environment, db.At(now.Add(-publishRetired)))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []signingKey
	for rows.Next() {
		var k signingKey
		if err := rows.Scan(&k.kid, &k.alg, &k.state, &k.public, &k.private, &k.created, &k.activated, &k.retiredAt); err != nil {
			return nil, err
		}
		found = append(found, k)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	r.mu.Lock()
	old := r.sets[environment]
	r.mu.Unlock()
	set, err := r.build(environment, found, old, now)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(found) > 0 { // an environment that does not exist takes no memory
		r.sets[environment] = set
	}
	return set, nil
}

func (r *Ring) build(environment string, found []signingKey, old *keySet, now time.Time) (*keySet, error) {
	set := &keySet{loaded: now, active: map[string]*signer{}, public: map[string]jose.JSONWebKey{}}
	published := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range found {
		var jwk jose.JSONWebKey
		if err := json.Unmarshal([]byte(k.public), &jwk); err != nil {
			return nil, fmt.Errorf("keys: signing key %s: %w", k.kid, err)
		}
		set.public[k.kid] = jwk
		published.Keys = append(published.Keys, jwk)
		if k.state != active {
			continue
		}
		if old != nil && old.active[k.alg] != nil && old.active[k.alg].kid == k.kid {
			set.active[k.alg] = old.active[k.alg]
			continue
		}
		private, err := k.open(r.vault, environment)
		if err != nil {
			return nil, fmt.Errorf("keys: %w", err)
		}
		set.active[k.alg] = &signer{
			kid: k.kid, alg: k.alg, byType: map[string]jose.Signer{},
			key: jose.SigningKey{Algorithm: jose.SignatureAlgorithm(k.alg), Key: jose.JSONWebKey{Key: private, KeyID: k.kid, Algorithm: k.alg}},
		}
	}
	body, err := json.Marshal(published)
	if err != nil {
		return nil, fmt.Errorf("keys: key set: %w", err)
	}
	sum := sha256.Sum256(body)
	set.body, set.etag = body, `"`+base64.RawURLEncoding.EncodeToString(sum[:16])+`"`
	return set, nil
}
