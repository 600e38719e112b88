package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Bounds of what is asked of the issuer, and believed of its keys.
const (
	// keysFresh is how long a key set is used before it is read again. A key stands
	// in the set long before it signs, so rotation needs no shorter time.
	keysFresh = 15 * time.Minute
	// keysStale is how long it serves while the issuer does not answer.
	keysStale = 24 * time.Hour
	// keysPause is the least time between two questions, whatever kids tokens name:
	// a flood of invented ones asks nothing.
	keysPause = 30 * time.Second
	// keysRetry is that time after a question that failed.
	keysRetry = 5 * time.Second
	maxKeySet = 256 << 10 // bytes
	maxKeys   = 100
)

// errNoKeys says that the issuer could not be asked: the token may be good.
var errNoKeys = errors.New("client: the issuer's keys cannot be read")

// keySet is the issuer's published keys as read last (RFC 7517 §5).
type keySet struct {
	issuer string
	http   *http.Client
	now    func() time.Time

	asking  sync.Mutex // one asks, the others wait
	jwksURI string     // whoever asks has it

	mu    sync.RWMutex
	keys  map[string]jose.JSONWebKey
	read  time.Time // when the issuer last answered well
	tried time.Time
}

// find gives the key with the id; nil: the issuer has none.
func (s *keySet) find(ctx context.Context, kid string) (*jose.JSONWebKey, error) {
	if k, fresh, _ := s.look(kid); k != nil && fresh {
		return k, nil
	}
	err := s.ask(ctx, kid)
	if k, _, usable := s.look(kid); usable {
		return k, nil
	}
	if err == nil {
		err = errNoKeys
	}
	return nil, err
}

func (s *keySet) look(kid string) (k *jose.JSONWebKey, fresh, usable bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	age := s.now().Sub(s.read)
	usable = s.keys != nil && age < keysStale
	if found, ok := s.keys[kid]; ok && usable {
		k = &found
	}
	return k, age < keysFresh, usable
}

// ask reads the keys unless somebody has just done so.
func (s *keySet) ask(ctx context.Context, kid string) error {
	s.asking.Lock()
	defer s.asking.Unlock()
	if k, fresh, _ := s.look(kid); k != nil && fresh {
		return nil
	}
	now := s.now()
	s.mu.Lock()
	early := !s.tried.IsZero() && now.Sub(s.tried) < keysPause
	if !early {
		s.tried = now
	}
	s.mu.Unlock()
	if early {
		return nil
	}
	// Whoever asks, asks for all: his caller may go away meanwhile.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	keys, err := s.fetch(ctx)
	if err != nil {
		s.jwksURI = "" // it may have moved
		s.mu.Lock()
		s.tried = now.Add(keysRetry - keysPause)
		s.mu.Unlock()
		return fmt.Errorf("%w: %w", errNoKeys, err)
	}
	s.mu.Lock()
	s.keys, s.read = keys, now
	s.mu.Unlock()
	return nil
}

func (s *keySet) fetch(ctx context.Context) (map[string]jose.JSONWebKey, error) {
	if s.jwksURI == "" {
		var meta struct {
			Issuer  string `json:"issuer"`
			JWKSURI string `json:"jwks_uri"`
		}
		if err := s.get(ctx, s.issuer+"/.well-known/openid-configuration", &meta); err != nil {
			return nil, err
		}
		if meta.Issuer != s.issuer { // OpenID Connect Discovery §4.3
			return nil, fmt.Errorf("client: the discovery document is that of %q", meta.Issuer)
		}
		if _, err := checkBase(meta.JWKSURI); err != nil {
			return nil, errors.New("client: the discovery document has no usable jwks_uri")
		}
		s.jwksURI = meta.JWKSURI
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := s.get(ctx, s.jwksURI, &set); err != nil {
		return nil, err
	}
	keys := map[string]jose.JSONWebKey{}
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		// Keys of kinds that this program does not know are not for it (RFC 7517 §5).
		if json.Unmarshal(raw, &k) != nil || k.KeyID == "" || !k.IsPublic() || !k.Valid() || k.Use != "" && k.Use != "sig" {
			continue
		}
		if keys[k.KeyID] = k; len(keys) == maxKeys {
			break
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("client: the key set has no usable key")
	}
	return keys, nil
}

func (s *keySet) get(ctx context.Context, address string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json, application/jwk-set+json")
	res, err := s.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("client: %s answered %d", address, res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxKeySet+1))
	if err != nil {
		return err
	}
	if len(body) > maxKeySet {
		return fmt.Errorf("client: %s answered too much", address)
	}
	return json.Unmarshal(body, into)
}
