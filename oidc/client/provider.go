package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/gatehouse-id/gatehouse/internal/entra"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/oidc"
)

const (
	maxProviders = 10_000 // remembered
)

// provider is what discovery said of an issuer (OpenID Connect Discovery §3).
type provider struct {
	issuer   string
	auth     string
	token    string
	userinfo string
	keys     *oidc.KeySet
	// issParameter: the provider promises iss in its answers (RFC 9207 §3).
	issParameter bool
	authMethods  []string
	// template is the issuer of tokens where the provider stands for many directories,
	// with {tenantid} in the place of one; empty: the issuer is one.
	template string
}

// providers remembers discovery by issuer.
type providers struct {
	http *http.Client
	mu   sync.Mutex
	m    map[string]*oidc.Cached[*provider]
}

var (
	errDiscovery       = fault.New(fault.Unavailable, "OIDC_DISCOVERY", "The identity provider's configuration could not be read. Try again in a moment.")
	errDiscoveryIssuer = refuse("OIDC_DISCOVERY_ISSUER", "The identity provider names itself differently than the connection does.")
	errEndpoint        = refuse("OIDC_DISCOVERY_ENDPOINT", "The identity provider's configuration names an address that cannot be used.")
	errEntraIssuer     = refuse("OIDC_ENTRA_ISSUER", "The connection's issuer stands for any Entra ID directory. It must name one, by its tenant ID.")
)

// CheckIssuer refuses an issuer of Entra ID that is not pinned to one directory:
// common, organizations, consumers and the template {tenantid} vouch for anybody
// who made a directory of his own (sso 5.2).
//
// Fault: OIDC_ENTRA_ISSUER.
func CheckIssuer(issuer string) error {
	if _, ok := entra.CloudOf(issuer); ok && entra.TenantOf(issuer) == "" {
		return errEntraIssuer
	}
	return nil
}

// get gives an issuer's provider. One that cannot be read again stays in use
// for a while. anyDirectory: people of every Entra ID directory may come, who are
// then told apart by it; a tenant's connection never says so.
func (p *providers) get(ctx context.Context, issuer string, now time.Time, anyDirectory bool) (*provider, error) {
	if err := CheckIssuer(issuer); err != nil && !anyDirectory {
		return nil, err
	}
	p.mu.Lock()
	doc := p.m[issuer]
	if doc == nil {
		if len(p.m) >= maxProviders {
			clear(p.m)
		}
		doc = &oidc.Cached[*provider]{}
		p.m[issuer] = doc
	}
	p.mu.Unlock()
	found, err := doc.Get(ctx, now, func(*provider) bool { return true }, func(ctx context.Context, old *provider) (*provider, time.Duration, error) {
		return p.discover(ctx, issuer, old)
	})
	if err != nil && fault.KindOf(err) == 0 {
		err = errDiscovery.Because(err)
	}
	return found, err
}

func (p *providers) discover(ctx context.Context, issuer string, old *provider) (*provider, time.Duration, error) {
	body, header, err := oidc.Fetch(ctx, p.http, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return nil, 0, errDiscovery.Because(err)
	}
	var doc struct {
		Issuer       string   `json:"issuer"`
		Auth         string   `json:"authorization_endpoint"`
		Token        string   `json:"token_endpoint"`
		Userinfo     string   `json:"userinfo_endpoint"`
		JWKS         string   `json:"jwks_uri"`
		IssParameter bool     `json:"authorization_response_iss_parameter_supported"`
		AuthMethods  []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, 0, errDiscovery.Because(err)
	}
	named, template := entra.Named(issuer)
	if doc.Issuer != named {
		return nil, 0, errDiscoveryIssuer.Because(fmt.Errorf("it says %.200q", doc.Issuer))
	}
	for name, address := range map[string]string{
		"authorization_endpoint": doc.Auth, "token_endpoint": doc.Token, "userinfo_endpoint": doc.Userinfo, "jwks_uri": doc.JWKS,
	} {
		if address != "" && !reachable(address, issuer) || address == "" && name == "jwks_uri" {
			return nil, 0, errEndpoint.Because(fmt.Errorf("%s %.200q", name, address))
		}
	}
	fresh := &provider{
		issuer: issuer, auth: doc.Auth, token: doc.Token, userinfo: doc.Userinfo, issParameter: doc.IssParameter, authMethods: doc.AuthMethods,
		keys: oidc.NewKeySet(doc.JWKS, p.http), template: template,
	}
	if old != nil && old.keys.URL() == doc.JWKS {
		fresh.keys = old.keys
	}
	return fresh, oidc.TTL(header), nil
}

// reachable holds an address to https; to http only where the issuer itself is,
// which the guarded client lets pass in development alone. Other hosts are usual.
func reachable(address, issuer string) bool {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil {
		return false
	}
	return u.Scheme == "https" || u.Scheme == "http" && strings.HasPrefix(issuer, "http://")
}

// logIn gives the provider for a login, which needs more addresses than a
// provider that only signs something.
func (p *providers) logIn(ctx context.Context, issuer string, now time.Time, anyDirectory bool) (*provider, error) {
	found, err := p.get(ctx, issuer, now, anyDirectory)
	if err == nil && slices.Contains([]string{found.auth, found.token}, "") {
		return nil, errEndpoint
	}
	return found, err
}

// context makes the OAuth library fetch through the guarded client.
func (p *providers) context(ctx context.Context) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, p.http)
}
