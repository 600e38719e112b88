package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// How long discovery is believed, and how many providers are remembered.
const (
	discoveryTTL = time.Hour
	maxProviders = 10_000
)

// provider is what discovery said of an issuer.
type provider struct {
	*gooidc.Provider
	keys *keySet
	// issParameter: the provider promises iss in its answers (RFC 9207 §3).
	issParameter bool
	authMethods  []string
	fetched      time.Time
}

// providers remembers discovery by issuer.
type providers struct {
	http *http.Client
	mu   sync.Mutex
	m    map[string]*provider
}

var errDiscovery = fault.New(fault.Unavailable, "OIDC_DISCOVERY", "The identity provider's configuration could not be read. Try again in a moment.")

// get gives an issuer's provider. A provider that cannot be read again stays
// in use: an outage of discovery must not become one of sign-in.
func (p *providers) get(ctx context.Context, issuer string, now time.Time) (*provider, error) {
	p.mu.Lock()
	known := p.m[issuer]
	p.mu.Unlock()
	if known != nil && now.Before(known.fetched.Add(discoveryTTL)) {
		return known, nil
	}
	found, err := gooidc.NewProvider(p.context(ctx), issuer)
	if err != nil {
		var mismatch *gooidc.IssuerMismatchError
		if errors.As(err, &mismatch) {
			return nil, fault.New(fault.Invalid, "OIDC_DISCOVERY_ISSUER", "The identity provider names itself differently than the connection does.").Because(err)
		}
		if known != nil {
			return known, nil
		}
		return nil, errDiscovery.Because(err)
	}
	var doc struct {
		JWKSURI      string   `json:"jwks_uri"`
		IssParameter bool     `json:"authorization_response_iss_parameter_supported"`
		AuthMethods  []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := found.Claims(&doc); err != nil {
		return nil, errDiscovery.Because(err)
	}
	// The browser is sent there; the other addresses pass the guarded client.
	if u, err := url.Parse(found.Endpoint().AuthURL); err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !strings.HasPrefix(issuer, "http://")) {
		return nil, fault.New(fault.Invalid, "OIDC_DISCOVERY_ENDPOINT", "The identity provider's configuration names an authorization endpoint that cannot be used.")
	}
	fresh := &provider{Provider: found, keys: &keySet{url: doc.JWKSURI, http: p.http}, issParameter: doc.IssParameter, authMethods: doc.AuthMethods, fetched: now}
	p.mu.Lock()
	defer p.mu.Unlock()
	if known != nil && known.keys.url == doc.JWKSURI {
		fresh.keys = known.keys
	}
	if len(p.m) >= maxProviders {
		clear(p.m)
	}
	p.m[issuer] = fresh
	return fresh, nil
}

// context makes the libraries fetch through the guarded client.
func (p *providers) context(ctx context.Context) context.Context {
	return context.WithValue(gooidc.ClientContext(ctx, p.http), oauth2.HTTPClient, p.http)
}
