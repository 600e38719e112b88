package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// maxKeys is how many keys of a provider are taken.
const maxKeys = 100

// keySet is a provider's published keys. A key that appears is found at the
// first token it signs; tokens with made-up key ids cost the provider one
// request per minute at most.
type keySet struct {
	url  string
	http *http.Client
	doc  cached[*published]
}

// published are the keys of one answer.
type published struct{ keys []jose.JSONWebKey }

// find gives the keys that may have signed a token: those of its kid, or all
// signing keys when it names none. The caller decides what several mean. refused
// is an answer whose keys did not verify the token: a provider may have put
// another key in the place of one. It gives the answer that it found them in.
func (k *keySet) find(ctx context.Context, kid string, now time.Time, refused *published) ([]jose.JSONWebKey, *published, error) {
	doc, err := k.doc.get(ctx, now, func(p *published) bool { return p != refused && len(p.match(kid)) > 0 }, k.fetch)
	if err != nil {
		return nil, nil, err
	}
	return doc.match(kid), doc, nil
}

func (p *published) match(kid string) []jose.JSONWebKey {
	var found []jose.JSONWebKey
	for _, key := range p.keys {
		if kid == "" || key.KeyID == kid {
			found = append(found, key)
		}
	}
	return found
}

func (k *keySet) fetch(ctx context.Context, _ *published) (*published, time.Duration, error) {
	body, header, err := fetch(ctx, k.http, k.url)
	if err != nil {
		return nil, 0, err
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, 0, fmt.Errorf("keys of the provider: %w", err)
	}
	if len(set.Keys) > maxKeys {
		set.Keys = set.Keys[:maxKeys]
	}
	p := &published{}
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		// A key that this build cannot read is somebody else's business: RFC 7517 §5.
		if key.UnmarshalJSON(raw) != nil || !key.IsPublic() || !key.Valid() || (key.Use != "" && key.Use != "sig") {
			continue
		}
		p.keys = append(p.keys, key)
	}
	return p, ttl(header), nil
}
