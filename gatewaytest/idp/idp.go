package idp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"embed"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/portal/ui"
)

//go:embed templates
var templateFiles embed.FS

// Config describes an identity provider. Only BaseURL is required.
type Config struct {
	// BaseURL is the absolute http(s) address of the IdP without a trailing
	// slash; it is the OIDC issuer. Its path, if any, is where the handler is
	// mounted.
	BaseURL string
	// EntityID of the SAML IdP; BaseURL + "/saml/metadata" when empty.
	EntityID string
	// Title is shown on the pages; "Test identity provider" when empty.
	Title string
	// Clock is the machine's when nil.
	Clock clock.Clock
	// SAMLKey signs responses: *rsa.PrivateKey (RSA-SHA256) or
	// *ecdsa.PrivateKey (ECDSA-SHA256). A new RSA-2048 key when nil.
	SAMLKey crypto.Signer
	// CertificateNotAfter ends the signing certificate; in 10 years when zero.
	CertificateNotAfter time.Time
	// OIDCAlg signs ID tokens: "RS256" (default), "ES256" or "EdDSA".
	OIDCAlg string
	// People can be chosen on the login page, in this order.
	People []Person
	// AutoLogin answers without a login page, for the person whom the request
	// hints at or else the first one.
	AutoLogin bool
	// Clients of the OpenID provider.
	Clients []Client
	// ServiceProviders that are served. While there is none, any is, at the
	// address that it names.
	ServiceProviders []ServiceProvider
}

// Client is a registered relying party.
type Client struct {
	ID string
	// Secret is compared when set; a client without secret and keys is public.
	Secret string
	// RedirectURIs are compared as strings; none registered: any http(s) address.
	RedirectURIs []string
	// Keys verify client assertions (private_key_jwt, RFC 7523 §3).
	Keys *jose.JSONWebKeySet
}

// ServiceProvider is a registered SAML SP.
type ServiceProvider struct {
	EntityID string
	ACSURL   string
	SLOURL   string
	// SigningCertificate, when set, must have signed every AuthnRequest.
	SigningCertificate *x509.Certificate
	// EncryptionCertificate, when set, is what assertions are encrypted to.
	EncryptionCertificate *x509.Certificate
}

// samlKey is a signing key with the certificate that metadata publishes.
type samlKey struct {
	signer crypto.Signer
	cert   *x509.Certificate
}

// IdP is an http.Handler. It is safe for concurrent use; what it knows is in
// memory and gone with it.
type IdP struct {
	base     string
	path     string
	entityID string
	title    string
	clock    clock.Clock
	auto     bool
	notAfter time.Time
	oidcAlg  jose.SignatureAlgorithm
	pages    *ui.UI
	mux      *http.ServeMux

	mu           sync.Mutex
	people       []Person
	clients      map[string]Client
	providers    []ServiceProvider
	samlKeys     []samlKey // the first one signs
	oidcKeys     []oidcKey // the first one signs
	samlKnobs    SAMLKnobs
	oidcKnobs    OIDCKnobs
	lastResponse []byte
	pending      *store[pendingLogin]
	codes        *store[grant]
	tokens       *store[grant]
}

// New makes the keys and the pages of an identity provider.
func New(c Config) (*IdP, error) {
	u, err := url.Parse(c.BaseURL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.RawQuery != "" || strings.HasSuffix(c.BaseURL, "/") {
		return nil, fmt.Errorf("idp: base URL %q is not an absolute http(s) address without trailing slash", c.BaseURL)
	}
	i := &IdP{
		base: c.BaseURL, path: u.Path, entityID: c.EntityID, title: c.Title, clock: c.Clock, auto: c.AutoLogin,
		notAfter: c.CertificateNotAfter, oidcAlg: jose.SignatureAlgorithm(c.OIDCAlg),
		clients: map[string]Client{}, providers: slices.Clone(c.ServiceProviders),
	}
	if i.entityID == "" {
		i.entityID = i.base + "/saml/metadata"
	}
	if i.title == "" {
		i.title = "Test identity provider"
	}
	if i.clock == nil {
		i.clock = clock.System{}
	}
	if i.oidcAlg == "" {
		i.oidcAlg = jose.RS256
	}
	i.pending, i.codes, i.tokens = newStore[pendingLogin](i.clock), newStore[grant](i.clock), newStore[grant](i.clock)
	for _, p := range c.People {
		i.AddPerson(p)
	}
	for _, cl := range c.Clients {
		i.AddClient(cl)
	}
	if err := i.makeKeys(c.SAMLKey); err != nil {
		return nil, err
	}
	templates, err := fs.Sub(templateFiles, "templates")
	if err != nil {
		return nil, err
	}
	i.pages, err = ui.NewWith(ui.Config{AssetPath: i.path + "/assets", Product: i.title, Templates: []fs.FS{templates}})
	if err != nil {
		return nil, err
	}
	i.routes()
	return i, nil
}

func (i *IdP) routes() {
	i.mux = http.NewServeMux()
	i.mux.HandleFunc("GET /{$}", i.home)
	i.mux.Handle("GET /assets/", i.pages.Assets())
	i.mux.HandleFunc("GET /saml/metadata", i.metadata)
	i.mux.HandleFunc("/saml/sso", i.sso)
	i.mux.HandleFunc("/saml/slo", i.slo)
	i.mux.HandleFunc("GET /saml/initiate", i.initiate)
	i.mux.HandleFunc("POST /login", i.login)
	i.mux.HandleFunc("GET /.well-known/openid-configuration", i.faulty("discovery", i.discovery))
	i.mux.HandleFunc("GET /oidc/jwks", i.faulty("jwks", i.jwks))
	i.mux.HandleFunc("/oidc/authorize", i.faulty("authorize", i.authorize))
	i.mux.HandleFunc("POST /oidc/token", i.faulty("token", i.token))
	i.mux.HandleFunc("/oidc/userinfo", i.faulty("userinfo", i.userinfo))
}

// maxBody bounds every request body; an AuthnRequest is a few kilobytes.
const maxBody = 1 << 20

// ServeHTTP implements http.Handler, mounted at the path of the base URL (with
// or without that prefix stripped).
func (i *IdP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if i.path != "" && (r.URL.Path == i.path || strings.HasPrefix(r.URL.Path, i.path+"/")) {
		http.StripPrefix(i.path, rooted(i.mux)).ServeHTTP(w, r)
		return
	}
	i.mux.ServeHTTP(w, r)
}

// rooted turns the empty path, which a stripped prefix leaves, into "/".
func rooted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "" {
			r.URL.Path = "/"
		}
		next.ServeHTTP(w, r)
	})
}

// AddClient registers a client or replaces the one of the same id.
func (i *IdP) AddClient(c Client) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.clients[c.ID] = c
}

// AddServiceProvider registers an SP or replaces the one of the same entity id.
func (i *IdP) AddServiceProvider(sp ServiceProvider) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.providers = slices.DeleteFunc(i.providers, func(o ServiceProvider) bool { return o.EntityID == sp.EntityID })
	i.providers = append(i.providers, sp)
}

func (i *IdP) provider(entityID string) (sp ServiceProvider, known, any bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, sp := range i.providers {
		if sp.EntityID == entityID {
			return sp, true, false
		}
	}
	return ServiceProvider{}, false, len(i.providers) == 0
}

// SetSAMLKnobs changes how the next responses are made.
func (i *IdP) SetSAMLKnobs(k SAMLKnobs) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.samlKnobs = k
}

// SetOIDCKnobs changes how the next answers are made.
func (i *IdP) SetOIDCKnobs(k OIDCKnobs) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.oidcKnobs = k
}

func (i *IdP) knobs() (SAMLKnobs, OIDCKnobs) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.samlKnobs, i.oidcKnobs
}

// Issuer is the OIDC issuer.
func (i *IdP) Issuer() string { return i.base }

// EntityID is the SAML entity id.
func (i *IdP) EntityID() string { return i.entityID }

// MetadataURL is where the SAML metadata is served.
func (i *IdP) MetadataURL() string { return i.base + "/saml/metadata" }

// SSOURL takes AuthnRequests by Redirect and POST binding.
func (i *IdP) SSOURL() string { return i.base + "/saml/sso" }

// SLOURL takes logout messages by Redirect binding.
func (i *IdP) SLOURL() string { return i.base + "/saml/slo" }

// Certificates are the published signing certificates; the first one is in use.
func (i *IdP) Certificates() []*x509.Certificate {
	i.mu.Lock()
	defer i.mu.Unlock()
	certs := make([]*x509.Certificate, len(i.samlKeys))
	for n, k := range i.samlKeys {
		certs[n] = k.cert
	}
	return certs
}

// CertificatePEM is the signing certificate in use.
func (i *IdP) CertificatePEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Certificates()[0].Raw}))
}

// makeKeys makes the first keys. One RSA key serves both protocols: making one
// takes most of the time of New.
func (i *IdP) makeKeys(signer crypto.Signer) error {
	if signer == nil {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return err
		}
		signer = key
	}
	sk, err := i.newSAMLKey(signer)
	if err != nil {
		return err
	}
	i.samlKeys = []samlKey{sk}
	if _, isRSA := signer.(*rsa.PrivateKey); !isRSA || i.oidcAlg != jose.RS256 {
		if signer, err = newSigner(i.oidcAlg); err != nil {
			return err
		}
	}
	i.oidcKeys = []oidcKey{newOIDCKey(signer)}
	return nil
}

func newSigner(alg jose.SignatureAlgorithm) (crypto.Signer, error) {
	switch alg {
	case jose.RS256:
		return rsa.GenerateKey(rand.Reader, 2048)
	case jose.ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.EdDSA:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("idp: algorithm %q is not RS256, ES256 or EdDSA", alg)
}

func (i *IdP) newSAMLKey(signer crypto.Signer) (samlKey, error) {
	switch signer.(type) {
	case *rsa.PrivateKey, *ecdsa.PrivateKey:
	default:
		return samlKey{}, errors.New("idp: a SAML key is RSA or ECDSA")
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return samlKey{}, err
	}
	notBefore, notAfter := i.clock.Now().AddDate(-1, 0, 0), i.notAfter
	if notAfter.IsZero() {
		notAfter = notBefore.AddDate(11, 0, 0)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: i.title},
		NotBefore: notBefore, NotAfter: notAfter,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		return samlKey{}, err
	}
	cert, err := x509.ParseCertificate(der)
	return samlKey{signer, cert}, err
}

// RotateSAMLKey makes a new signing key of the kind in use. With keepOld the
// metadata goes on publishing the old certificates after the new one.
func (i *IdP) RotateSAMLKey(keepOld bool) error {
	alg := jose.RS256
	if i.Certificates()[0].PublicKeyAlgorithm == x509.ECDSA {
		alg = jose.ES256
	}
	signer, err := newSigner(alg)
	if err != nil {
		return err
	}
	k, err := i.newSAMLKey(signer)
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if keepOld {
		i.samlKeys = append([]samlKey{k}, i.samlKeys...)
	} else {
		i.samlKeys = []samlKey{k}
	}
	return nil
}

// RotateOIDCKey makes a new signing key for ID tokens. With keepOld the JWKS
// goes on publishing the old ones.
func (i *IdP) RotateOIDCKey(keepOld bool) error {
	signer, err := newSigner(i.oidcAlg)
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if keepOld {
		i.oidcKeys = append([]oidcKey{newOIDCKey(signer)}, i.oidcKeys...)
	} else {
		i.oidcKeys = []oidcKey{newOIDCKey(signer)}
	}
	return nil
}
