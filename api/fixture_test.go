package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/onboarding"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/rbac"
	"github.com/gatehouse-id/gatehouse/rbac/apitoken"
	"github.com/gatehouse-id/gatehouse/rbac/entitlement"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/scim"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/signin/staffauth"
	"github.com/gatehouse-id/gatehouse/tenants"
	"github.com/gatehouse-id/gatehouse/webhooks"
)

const (
	hostA = "localhost:8080"
	hostB = "b.localhost:8080"
)

// fixture is the API of two environments with a management key each.
type fixture struct {
	*testing.T
	d      db.DB
	h      *Handler
	server http.Handler
	clock  *clock.Fake
	envs   map[string]string // host → environment
	keys   map[string]string // host → key
	txt    map[string][]string

	conformance *conformance // what server is

	directories *scim.Handler
	fetched     []string // addresses of metadata that were asked, and refreshes
}

// idpSettings is what the identity provider's metadata says.
func (f *fixture) idpSettings() (tenants.SAMLSettings, error) {
	k, err := tenants.ParseIdPKey(certificate)
	return tenants.SAMLSettings{
		IdPEntityID: "https://idp.example/metadata", SSOURL: "https://idp.example/sso", SSOBinding: tenants.BindingPOST, SLOURL: "https://idp.example/slo", Keys: []tenants.IdPKey{k},
	}, err
}

func newFixture(t *testing.T, d db.DB) *fixture {
	t.Helper()
	ctx := t.Context()
	c := clock.NewFake(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	v, err := keys.NewVault(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{T: t, d: d, clock: c, envs: map[string]string{}, keys: map[string]string{}, txt: map[string][]string{}}
	ses := sessions.New(v, c)
	ten, dir, pol, roles, people := tenants.New(v, ses, c, tenants.Options{BaseURL: "http://" + hostA}), directory.New(c, ses), policy.New(c), rbac.New(c), staff.New(c)
	log := audit.NewLog(d, c)
	err = d.Tx(ctx, func(q db.Queryer) error {
		env, err := ten.EnsureDefault(ctx, q, "http://"+hostA)
		if err != nil {
			return err
		}
		f.envs[hostA], f.envs[hostB] = env.ID, "env_b"
		if _, err := q.Exec(ctx, `INSERT INTO environments (id, name, base_url, is_default, created_at, updated_at) VALUES ('env_b', 'B', $1, FALSE, 1, 1)`, "http://"+hostB); err != nil {
			return err
		}
		for host, env := range f.envs {
			if err := roles.EnsurePresets(ctx, q, env); err != nil {
				return err
			}
			if _, f.keys[host], err = people.CreateKey(ctx, actor.Actor{Environment: env, Kind: actor.System}, q, staff.NewKey{Environment: env, Name: "test"}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	envs, scimLog := tenants.NewEnvironments(d, c, "http://"+hostA), scim.NewLog(d, c, nil)
	f.directories = scim.New(scim.Deps{DB: d, Clock: c, Environments: envs, Tenants: ten, Directory: dir, Roles: roles, Vault: v, Log: scimLog})
	sign := signin.New(signin.Deps{DB: d, Clock: c, Tenants: ten, Directory: dir, Policy: pol, RBAC: roles, Sessions: ses, Vault: v})
	tokens := apitoken.New(roles, c)
	main, err := envs.ByID(ctx, f.envs[hostA])
	if err != nil {
		t.Fatal(err)
	}
	f.h, err = New(Deps{
		DB: d, Clock: c, Vault: v, Ring: keys.NewRing(d, v, c), Audit: log, Environments: envs, Tenants: ten, Directory: dir,
		Policy: pol, RBAC: roles, Staff: people, StaffAuth: staffauth.New(d, v, c, people, sign.Factors(), main), APITokens: tokens, Entitlements: entitlement.New(ten, dir, roles, c), JWTTemplates: oidc.NewTemplates(d, c), Sessions: ses, Resolver: f, SCIMLog: scimLog, SCIM: f.directories, Webhooks: webhooks.New(webhooks.Deps{DB: d, Clock: c, Vault: v, Fetch: webhooks.NewFetch(true)}), Version: "test",
		Signin: sign, Onboarding: onboarding.New(onboarding.Deps{DB: d, Tenants: ten, Directory: dir, Policy: pol, RBAC: roles, Tokens: tokens, Sessions: ses, Signin: sign, Clock: c}),
		Impersonate: func(_ context.Context, _ actor.Actor, _ tenants.Environment, in staff.Impersonation) (staff.ImpersonationToken, error) {
			in, err := in.Checked()
			return staff.ImpersonationToken{AccessToken: "a.b.c", Session: "ses_x", Life: in.Life}, err
		},
		ParseIdPMetadata: func(b []byte) (tenants.SAMLSettings, error) {
			if !bytes.HasPrefix(b, []byte("<")) {
				return tenants.SAMLSettings{}, fault.New(fault.Invalid, "invalid_metadata", "This is not SAML metadata.").In("idp_metadata_xml")
			}
			return f.idpSettings()
		},
		FetchIdPMetadata: func(_ context.Context, address string) (tenants.SAMLSettings, string, error) {
			f.fetched = append(f.fetched, address)
			if strings.Contains(address, "down") {
				return tenants.SAMLSettings{}, "", fault.New(fault.Unavailable, "fetch_failed", "The address does not answer.").In("idp_metadata_url")
			}
			s, err := f.idpSettings()
			return s, `"v1"`, err
		},
		RefreshIdPMetadata: func(ctx context.Context, _ actor.Actor, tenant, connection string) (tenants.Metadata, error) {
			if _, err := ten.SSOConnection(ctx, d, tenant, connection); err != nil {
				return tenants.Metadata{}, err
			}
			f.fetched = append(f.fetched, "refresh "+connection)
			return ten.Metadata(ctx, d, tenant, connection)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := chi.NewRouter()
	r.Use(httpx.Identify(nil))
	f.h.Mount(r)
	f.directories.Mount(r)
	f.conformance = newConformance(t, f.h, r)
	f.server = f.conformance
	return f
}

// LookupTXT implements tenants.Resolver.
func (f *fixture) LookupTXT(_ context.Context, name string) ([]string, error) {
	if v, ok := f.txt[name]; ok {
		return v, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

type object = map[string]any

func openSQLite(t *testing.T) db.DB { return dbtest.Open(t, db.SQLite) }

// send makes a request to environment A with its key; a body that is not text is
// sent as JSON.
func (f *fixture) send(method, path string, body any) *http.Response {
	f.Helper()
	return f.sendAs(hostA, f.keys[hostA], method, path, body)
}

func (f *fixture) sendAs(host, key, method, path string, body any) *http.Response {
	f.Helper()
	header := http.Header{}
	if key != "" {
		header.Set("Authorization", "Bearer "+key)
	}
	return f.exchange(host, header, method, path, body)
}

// sendWith is send with further headers.
func (f *fixture) sendWith(header http.Header, method, path string, body any) *http.Response {
	f.Helper()
	header = header.Clone()
	header.Set("Authorization", "Bearer "+f.keys[hostA])
	return f.exchange(hostA, header, method, path, body)
}

func (f *fixture) exchange(host string, header http.Header, method, path string, body any) *http.Response {
	f.Helper()
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			f.Fatal(err)
		}
		in = bytes.NewReader(text)
	}
	r := httptest.NewRequest(method, "http://"+host+path, in)
	r.Header = header.Clone()
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	f.server.ServeHTTP(w, r)
	return w.Result()
}

// do wants the status and gives the body.
func (f *fixture) do(status int, method, path string, body any) object {
	f.Helper()
	res := f.send(method, "/api/v1"+path, body)
	text, err := io.ReadAll(res.Body)
	if err != nil {
		f.Fatal(err)
	}
	if res.StatusCode != status {
		f.Fatalf("%s %s: %d, want %d: %s", method, path, res.StatusCode, status, text)
	}
	if len(text) == 0 {
		return nil
	}
	var out object
	if err := json.Unmarshal(text, &out); err != nil {
		f.Fatalf("%s %s: %v: %s", method, path, err, text)
	}
	return out
}

// refused wants a problem with the code, in the shape of RFC 9457.
func (f *fixture) refused(status int, code, method, path string, body any) {
	f.Helper()
	res := f.send(method, "/api/v1"+path, body)
	text, _ := io.ReadAll(res.Body)
	var p problem
	err := json.Unmarshal(text, &p)
	if res.StatusCode != status || p.Code != code || p.Status != status || err != nil || p.Instance == "" || p.Instance != res.Header.Get("X-Request-Id") || res.Header.Get("Content-Type") != problemType {
		f.Errorf("%s %s: %d %s, want %d %s", method, path, res.StatusCode, text, status, code)
	}
}

func text(o object, field string) string {
	s, _ := o[field].(string)
	return s
}

func data(o object) []object {
	list, _ := o["data"].([]any)
	out := make([]object, 0, len(list))
	for _, v := range list {
		m, _ := v.(object)
		out = append(out, m)
	}
	return out
}

// certificate is a self-signed one of a test identity provider, ECDSA P-256.
const certificate = `-----BEGIN CERTIFICATE-----
MIIBEjCBuaADAgECAgEBMAoGCCqGSM49BAMCMBMxETAPBgNVBAMTCFRlc3QgSWRQ
MB4XDTI2MDEwMTAwMDAwMFoXDTM2MDEwMTAwMDAwMFowEzERMA8GA1UEAxMIVGVz
dCBJZFAwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQxLW/cR9x+VhWCeSBZN7gT
EsIUV0pYBCJ5lZKJX6SQbydvqe8NMZ/9zKYnYf6h1frBSkn/HkVVPejsgGMQG7rU
MAoGCCqGSM49BAMCA0gAMEUCIQDKrbT/BaPPZteJv4KQxH9jiuEw97dcaR3OXo1G
N+NG/QIgZLspd1n2Uq4NpmBQoeUmwTC2JqeGa/Yo+zgh7N/2mvk=
-----END CERTIFICATE-----
`
