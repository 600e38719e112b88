package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-id/gatehouse/api"
	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/internal/jobs"
	"github.com/gatehouse-id/gatehouse/internal/limit"
	"github.com/gatehouse-id/gatehouse/internal/mail"
	"github.com/gatehouse-id/gatehouse/internal/safehttp"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/migrations"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/oidc/client"
	"github.com/gatehouse-id/gatehouse/oidc/provider"
	"github.com/gatehouse-id/gatehouse/onboarding"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/portal/backoffice"
	"github.com/gatehouse-id/gatehouse/portal/login"
	"github.com/gatehouse-id/gatehouse/portal/ui"
	"github.com/gatehouse-id/gatehouse/rbac"
	"github.com/gatehouse-id/gatehouse/rbac/apitoken"
	"github.com/gatehouse-id/gatehouse/rbac/entitlement"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/saml"
	"github.com/gatehouse-id/gatehouse/scim"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/signin/factor"
	"github.com/gatehouse-id/gatehouse/signin/staffauth"
	"github.com/gatehouse-id/gatehouse/tenants"
	"github.com/gatehouse-id/gatehouse/webhooks"
)

// Domain is everything below the surfaces, built in the order of the layers.
type Domain struct {
	DB           db.DB
	Clock        clock.Clock
	Vault        *keys.Vault
	Audit        *audit.Log
	Ring         *keys.Ring
	Sessions     *sessions.Service
	Tenants      *tenants.Service
	Environments *tenants.Environments
	Directory    *directory.Service
	Policy       *policy.Service
	RBAC         *rbac.Service
	Staff        *staff.Service
	APITokens    *apitoken.Service
	Entitlements *entitlement.Service
	Signin       *signin.Service
	Onboarding   *onboarding.Service
	StaffAuth    *staffauth.Service
	Main         tenants.Environment // the default environment
}

// NewDomain opens the services on a migrated store, and makes the default
// environment with its keys and roles where there is none. It refuses a master
// key that the store was not made with.
func NewDomain(ctx context.Context, d db.DB, v *keys.Vault, c clock.Clock, baseURL string, allowHTTP bool) (*Domain, error) {
	m := &Domain{DB: d, Clock: c, Vault: v}
	if err := keys.CheckMaster(ctx, d, v, c.Now()); err != nil {
		return nil, err
	}
	m.Audit = audit.NewLog(d, c)
	m.Ring = keys.NewRing(d, v, c)
	m.Sessions = sessions.New(v, c)
	m.Tenants = tenants.New(v, m.Sessions, c, tenants.Options{AllowHTTP: allowHTTP, BaseURL: baseURL})
	m.Environments = tenants.NewEnvironments(d, c, baseURL)
	m.Directory = directory.New(c, m.Sessions)
	m.Policy = policy.New(c)
	m.RBAC = rbac.New(c)
	m.Staff = staff.New(c)
	m.APITokens = apitoken.New(m.RBAC, c)
	m.Entitlements = entitlement.New(m.Tenants, m.Directory, m.RBAC, c)
	m.Signin = signin.New(signin.Deps{
		DB: d, Vault: v, Tenants: m.Tenants, Directory: m.Directory, Policy: m.Policy, RBAC: m.RBAC, Sessions: m.Sessions, Clock: c,
	})
	m.Onboarding = onboarding.New(onboarding.Deps{
		DB: d, Tenants: m.Tenants, Directory: m.Directory, Policy: m.Policy, RBAC: m.RBAC, Tokens: m.APITokens, Sessions: m.Sessions, Signin: m.Signin, Clock: c,
	})
	err := d.Tx(ctx, func(q db.Queryer) error {
		var err error
		if m.Main, err = m.Tenants.EnsureDefault(ctx, q, baseURL); err != nil {
			return err
		}
		return m.RBAC.EnsurePresets(ctx, q, m.Main.ID)
	})
	if err != nil {
		return nil, err
	}
	m.StaffAuth = staffauth.New(d, v, c, m.Staff, m.Signin.Factors(), m.Main)
	return m, m.Ring.Ensure(ctx, m.Main.ID)
}

// Config is what the gateway is told from outside.
type Config struct {
	BaseURL string // of the default environment; its issuer
	// AllowPrivateNetworks lets fetches, and plain http, reach loopback and
	// private addresses.
	AllowPrivateNetworks bool
	TrustedProxies       []netip.Prefix
	SCIMRateLimit        float64     // requests per second, per connection and replica; 0: no limit
	Mail                 mail.Sender // nil: mail is logged
	Version              string      // of the program
}

// Requests of one credential to the management API, per second and at once
// (product 7.3: 600 a minute), and of all credentials of one tenant together: five
// times as many, so that tokens are no way to have more, and one that runs wild
// leaves the others theirs.
const (
	apiRate     = 10
	apiBurst    = 600
	tenantRate  = 5 * apiRate
	tenantBurst = 5 * apiBurst
)

// Gateway is the whole server but for its listeners.
type Gateway struct {
	*Domain
	Handler  http.Handler
	Jobs     *jobs.Runner
	Webhooks *webhooks.Service
	scimLog  *scim.Log
	log      *slog.Logger
	migrated atomic.Bool
}

// New wires the surfaces and the jobs: a straight list.
func New(ctx context.Context, c Config, d db.DB, v *keys.Vault, clk clock.Clock, log *slog.Logger) (*Gateway, error) {
	m, err := NewDomain(ctx, d, v, clk, c.BaseURL, c.AllowPrivateNetworks)
	if err != nil {
		return nil, err
	}
	branding := login.NewBranding(d, m.Environments, m.Tenants, m.Signin, m.Clock, log)
	pages, err := ui.NewWith(ui.Config{Templates: []fs.FS{login.Templates(), backoffice.Templates()}, Look: branding.Look, HTTPS: strings.HasPrefix(c.BaseURL, "https://")})
	if err != nil {
		return nil, err
	}
	fetch := safehttp.New(safehttp.Options{AllowPrivate: c.AllowPrivateNetworks})

	a := &Gateway{Domain: m, Jobs: jobs.NewRunner(d, m.Clock, log), log: log}
	a.Webhooks = webhooks.New(webhooks.Deps{
		DB: d, Clock: m.Clock, Vault: v, Fetch: webhooks.NewFetch(c.AllowPrivateNetworks), Admins: m.webhookAdmins, Log: log,
	})
	scimLog := scim.NewLog(d, m.Clock, log)
	a.scimLog = scimLog
	directories := scim.New(scim.Deps{
		DB: d, Clock: m.Clock, Environments: m.Environments, Tenants: m.Tenants, Directory: m.Directory, Roles: m.RBAC, Vault: v,
		Limiter: limit.New(c.SCIMRateLimit, int(c.SCIMRateLimit)), Log: scimLog, Logger: log,
	})
	sp := saml.New(saml.Deps{
		DB: d, Environments: m.Environments, Tenants: m.Tenants, Signin: m.Signin, Sessions: m.Sessions, Pages: pages, Fetch: fetch, Clock: m.Clock, Log: log,
	})
	templates := oidc.NewTemplates(d, m.Clock)
	op := provider.New(provider.Deps{
		DB: d, Environments: m.Environments, Tenants: m.Tenants, Sessions: m.Sessions, Ring: m.Ring, RBAC: m.RBAC, Signin: m.Signin, APITokens: m.APITokens, Staff: m.Staff,
		Audit: m.Audit, Vault: v, Templates: templates, Pages: pages, Fetch: fetch.HTTP(), Clock: m.Clock, Log: log, Upstream: sp,
	})
	directories.UserToken = op.UserToken
	management, err := api.New(api.Deps{
		DB: d, Clock: m.Clock, Logger: log, Vault: v, Ring: m.Ring, Audit: m.Audit, Environments: m.Environments, Tenants: m.Tenants, Directory: m.Directory,
		Policy: m.Policy, RBAC: m.RBAC, Staff: m.Staff, StaffAuth: m.StaffAuth, APITokens: m.APITokens, Entitlements: m.Entitlements, Onboarding: m.Onboarding, Sessions: m.Sessions, Signin: m.Signin, SCIMLog: scimLog, SCIM: directories, Webhooks: a.Webhooks,
		ParseIdPMetadata: func(doc []byte) (tenants.SAMLSettings, error) { return saml.ParseIdPMetadata(doc, clk.Now()) },
		FetchIdPMetadata: sp.FetchMetadata, RefreshIdPMetadata: sp.RefreshMetadata,
		Resolver: net.DefaultResolver, UserActor: op.UserActor, Impersonate: op.Impersonate, JWTTemplates: templates, Limit: limit.New(apiRate, apiBurst), TenantLimit: limit.New(tenantRate, tenantBurst), Version: c.Version,
		Stylesheet: pages.AssetURL("app.css"),
	})
	if err != nil {
		return nil, err
	}

	r := chi.NewRouter()
	r.Use(httpx.Identify(c.TrustedProxies), httpx.AccessLog(log, time.Now))
	r.Use(httpx.Recover(log, func(w http.ResponseWriter, r *http.Request) {
		pages.Fault(w, r, log, errors.New("a handler panicked"), "")
	}))
	r.Use(deadline)
	r.NotFound(func(w http.ResponseWriter, r *http.Request) {
		pages.Error(w, r, http.StatusNotFound, "There is nothing here", "Check the address.", "NOT_FOUND", "")
	})
	healthy := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }
	for path, probe := range map[string]http.HandlerFunc{"/healthz": healthy, "/readyz": a.ready} {
		r.Get(path, probe)
		r.Head(path, probe) // as load balancers ask
	}
	r.Handle("/assets/*", pages.Assets())
	branding.Mount(r)
	login.New(d, m.Environments, m.Signin, m.Sessions, m.Onboarding, sp, pages, log).Mount(r)
	sp.Mount(r)
	rp := client.New(d, m.Environments, m.Tenants, m.Signin, m.Sessions, fetch.HTTP(), pages, m.Clock, log)
	rp.Mount(r)
	backoffice.New(m.StaffAuth, m.Environments, rp, pages, log).Mount(r)
	op.Mount(r)
	directories.Mount(r)
	management.Mount(r)
	a.Handler = r

	for _, j := range []struct {
		kind  string
		every time.Duration
		run   func(context.Context) error
	}{
		{audit.JobSeal, 5 * time.Second, m.Audit.Seal},
		{audit.JobPurge, time.Hour, func(ctx context.Context) error {
			days, err := m.Tenants.AuditDays(ctx, d)
			if err != nil {
				return err
			}
			return m.Audit.Purge(ctx, days)
		}},
		{keys.JobRotate, time.Hour, m.Ring.RotateDue},
		{"domains.recheck", 5 * time.Minute, func(ctx context.Context) error { return m.Tenants.RecheckDomains(ctx, d, net.DefaultResolver) }},
		{tenants.JobRemove, 10 * time.Second, func(ctx context.Context) error {
			return m.Tenants.Remove(ctx, d, append(m.removals(), a.Webhooks.DropTenant, scimLog.DropTenant)...)
		}},
		{saml.JobRefresh, 5 * time.Minute, sp.RefreshDue},
		{signin.JobExpiry, time.Hour, m.Signin.WarnExpiring},
		{sessions.JobPurge, time.Hour, func(ctx context.Context) error { return m.Sessions.Purge(ctx, d) }},
		{"signin.purge", time.Hour, func(ctx context.Context) error {
			return errors.Join(m.Signin.Purge(ctx, d), sp.Purge(ctx), rp.Purge(ctx))
		}},
		{factor.JobPurge, time.Hour, m.Signin.PurgeFactors},
		{staffauth.JobPurge, time.Hour, m.StaffAuth.Purge},
		{provider.JobPurge, time.Hour, op.Purge},
		{"scim.purge", time.Hour, scimLog.Purge},
		{webhooks.JobPurge, time.Hour, a.Webhooks.Purge},
		{api.PurgeJob, time.Hour, management.Purge},
		{apitoken.PurgeKind, 24 * time.Hour, func(ctx context.Context) error { return m.APITokens.Purge(ctx, d) }},
		{directory.JobExpired, time.Minute, func(ctx context.Context) error { return m.Directory.EndExpired(ctx, d) }},
		{directory.PurgeKind, 24 * time.Hour, func(ctx context.Context) error { _, err := m.Directory.Purge(ctx, d); return err }},
	} {
		a.Jobs.Register(j.kind, func(ctx context.Context, _ jobs.Job) error { return j.run(ctx) })
		a.Jobs.Every(j.kind, j.every)
	}
	a.Jobs.Register(policy.JobChanged, m.Signin.PolicyChanged)
	op.RegisterJobs(a.Jobs)
	if c.Mail == nil {
		if c.Mail, err = mail.Open("", log); err != nil {
			return nil, err
		}
	}
	a.Jobs.Register(mail.JobSend, func(ctx context.Context, j jobs.Job) error { return mail.Deliver(ctx, c.Mail, j.Payload, log) })
	return a, nil
}

// removals drop what the packages of the domain keep of a deleted tenant.
func (m *Domain) removals() []tenants.Removal {
	return []tenants.Removal{
		m.Sessions.DropTenant, m.Directory.DropTenant, m.Signin.DropTenant,
		func(ctx context.Context, q db.Queryer, environment, tenant string, _ int) (int64, error) {
			return 0, q.Batch(ctx, append(m.Policy.DeleteTenantStmts(environment, tenant), m.RBAC.DeleteTenantStmts(environment, tenant)...))
		},
	}
}

// webhookAdmins gives the people of a tenant who may change its webhooks.
func (m *Domain) webhookAdmins(ctx context.Context, q db.Queryer, environment, tenant string) ([]mail.Address, error) {
	people, err := m.Signin.Recipients(ctx, q, environment, tenant, webhooks.PermissionWrite)
	list := make([]mail.Address, len(people))
	for i, p := range people {
		list[i] = mail.Address{Email: p.Email, Name: p.Name}
	}
	return list, err
}

// Run works off jobs and what the surfaces do beside requests, until ctx ends;
// it then hands leased jobs back and returns.
func (a *Gateway) Run(ctx context.Context) {
	var work sync.WaitGroup
	work.Go(func() { a.Jobs.Run(ctx) })
	work.Go(func() { a.scimLog.Run(ctx) })
	work.Go(func() { a.Webhooks.Run(ctx) })
	work.Wait()
}

// requestTime bounds one request's work. It ends before WriteTimeout cuts the
// answer, and within the minute that Entra ID waits: a slow search then gives
// its database connection back instead of keeping others waiting.
const requestTime = 55 * time.Second

func deadline(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), requestTime)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(httpx.WithConnection(ctx, r.Context())))
	})
}

// ready answers readiness: the store answers and has the schema that this binary
// needs. The schema is looked at until it is there.
func (a *Gateway) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
	defer cancel()
	err := a.DB.Ping(ctx)
	if err == nil && !a.migrated.Load() {
		err = PendingMigrations(ctx, a.DB)
		a.migrated.Store(err == nil)
	}
	if err != nil {
		a.log.WarnContext(r.Context(), "not ready", "error", err)
		http.Error(w, "not ready", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// PendingMigrations fails when the store lacks a migration of this binary.
func PendingMigrations(ctx context.Context, d db.DB) error {
	status, err := db.MigrationStatus(ctx, d, migrations.FS)
	if err != nil {
		return err
	}
	for _, m := range status {
		if m.At.IsZero() {
			return fmt.Errorf("migration %s is pending; run: gatehouse migrate up", m.Name)
		}
	}
	return nil
}
