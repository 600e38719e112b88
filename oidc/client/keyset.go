package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// How long keys are believed, how often an unknown kid may ask again, and how
// many keys a provider may publish.
const (
	keysTTL      = time.Hour
	keysInterval = time.Minute
	maxKeys      = 100
	maxKeysBody  = 1 << 20
)

// keySet is a provider's published keys. A key that appears is found at the
// first token it signs; tokens with made-up key ids cost the provider one
// request per minute at most.
type keySet struct {
	url  string
	http *http.Client

	mu      sync.Mutex
	keys    []jose.JSONWebKey
	fetched time.Time // last success
	tried   time.Time // last attempt
}

// find gives the keys that may have signed a token: those of its kid, or all
// signing keys when it names none. The caller decides what several mean.
func (k *keySet) find(ctx context.Context, kid string, now time.Time) ([]jose.JSONWebKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	found := k.match(kid)
	stale := now.After(k.fetched.Add(keysTTL))
	if (len(found) == 0 || stale) && (k.fetched.IsZero() || !now.Before(k.tried.Add(keysInterval))) {
		k.tried = now
		keys, err := k.fetch(ctx)
		if err != nil && len(found) == 0 {
			return nil, err
		}
		if err == nil {
			k.keys, k.fetched = keys, now
			found = k.match(kid)
		}
	}
	return found, nil
}

func (k *keySet) match(kid string) []jose.JSONWebKey {
	var found []jose.JSONWebKey
	for _, key := range k.keys {
		if kid == "" || key.KeyID == kid {
			found = append(found, key)
		}
	}
	return found
}

func (k *keySet) fetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return nil, err
	}
	res, err := k.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("keys of the provider: status %d", res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxKeysBody))
	if err != nil {
		return nil, err
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, fmt.Errorf("keys of the provider: %w", err)
	}
	if len(set.Keys) > maxKeys {
		set.Keys = set.Keys[:maxKeys]
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		// A key that this build cannot read is somebody else's business: RFC 7517 §5.
		if key.UnmarshalJSON(raw) != nil || !key.IsPublic() || !key.Valid() || (key.Use != "" && key.Use != "sig") {
			continue
		}
		keys = append(keys, key)
	}
	return keys, nil
}
