package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
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
	"github.com/gatehouse-id/gatehouse/internal/safehttp"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/migrations"
	"github.com/gatehouse-id/gatehouse/oidc/client"
	"github.com/gatehouse-id/gatehouse/oidc/provider"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/portal/login"
	"github.com/gatehouse-id/gatehouse/portal/ui"
	"github.com/gatehouse-id/gatehouse/rbac"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/saml"
	"github.com/gatehouse-id/gatehouse/scim"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// open opens the store that the configuration names.
func (c *storeConfig) open(ctx context.Context) (db.DB, error) {
	if c.DatabaseURL != "" {
		return db.Open(ctx, db.Config{DatabaseURL: c.DatabaseURL})
	}
	return db.Open(ctx, db.Config{Path: filepath.Join(c.DataDir, "gatehouse.db")})
}

// domain is everything below the surfaces, built in the order of the layers.
type domain struct {
	db           db.DB
	clock        clock.Clock
	vault        *keys.Vault
	audit        *audit.Log
	ring         *keys.Ring
	sessions     *sessions.Service
	tenants      *tenants.Service
	environments *tenants.Environments
	directory    *directory.Service
	policy       *policy.Service
	rbac         *rbac.Service
	staff        *staff.Service
	signin       *signin.Service
	main         tenants.Environment // the default environment
}

// newDomain opens the services on a migrated store, and makes the default
// environment with its keys and roles where there is none.
func newDomain(ctx context.Context, d db.DB, v *keys.Vault, baseURL string, allowHTTP bool) (*domain, error) {
	c := clock.System{}
	m := &domain{db: d, clock: c, vault: v}
	if err := keys.CheckMaster(ctx, d, v, c.Now()); err != nil {
		return nil, err
	}
	m.audit = audit.NewLog(d, c)
	m.ring = keys.NewRing(d, v, c)
	m.sessions = sessions.New(v, c)
	m.tenants = tenants.New(v, m.sessions, c, tenants.Options{AllowHTTP: allowHTTP})
	m.environments = tenants.NewEnvironments(d, c, baseURL)
	m.directory = directory.New(c, m.sessions)
	m.policy = policy.New(c)
	m.rbac = rbac.New(c)
	m.staff = staff.New(c)
	m.signin = signin.New(signin.Deps{
		DB: d, Vault: v, Tenants: m.tenants, Directory: m.directory, Policy: m.policy, RBAC: m.rbac, Sessions: m.sessions, Clock: c,
	})
	err := d.Tx(ctx, func(q db.Queryer) error {
		var err error
		if m.main, err = m.tenants.EnsureDefault(ctx, q, baseURL); err != nil {
			return err
		}
		return m.rbac.EnsurePresets(ctx, q, m.main.ID)
	})
	if err != nil {
		return nil, err
	}
	return m, m.ring.Ensure(ctx, m.main.ID)
}

// app is a running gateway.
type app struct {
	*domain
	handler  http.Handler
	jobs     *jobs.Runner
	scim     *scim.Handler
	log      *slog.Logger
	migrated atomic.Bool
}

// newApp wires the surfaces and the jobs: a straight list.
func newApp(ctx context.Context, c *serveConfig, d db.DB, v *keys.Vault, log *slog.Logger) (*app, error) {
	m, err := newDomain(ctx, d, v, c.BaseURL, c.AllowPrivateNetworks)
	if err != nil {
		return nil, err
	}
	pages, err := ui.NewWith(ui.Config{Templates: login.Templates(), HTTPS: strings.HasPrefix(c.BaseURL, "https://")})
	if err != nil {
		return nil, err
	}
	fetch := safehttp.New(safehttp.Options{AllowPrivate: c.AllowPrivateNetworks})

	a := &app{domain: m, jobs: jobs.NewRunner(d, m.clock, log), log: log}
	a.scim = scim.New(scim.Deps{
		DB: d, Environments: m.environments, Tenants: m.tenants, Directory: m.directory, RBAC: m.rbac, Sessions: m.sessions,
		Clock: m.clock, Log: log, RateLimit: c.ScimRateLimit,
	})
	op := provider.New(provider.Deps{
		DB: d, Environments: m.environments, Tenants: m.tenants, Sessions: m.sessions, Ring: m.ring, RBAC: m.rbac, Signin: m.signin,
		Pages: pages, Fetch: fetch.HTTP(), Clock: m.clock, Log: log,
	})
	management, err := api.New(api.Deps{
		DB: d, Environments: m.environments, Tenants: m.tenants, Directory: m.directory, Policy: m.policy, RBAC: m.rbac, Staff: m.staff,
		Sessions: m.sessions, Signin: m.signin, Audit: m.audit, SCIMLog: a.scim.RequestLog(), ParseIdPMetadata: saml.ParseIdPMetadata,
		ParseIdPCertificates: saml.ParseIdPCertificates, Resolver: net.DefaultResolver, Clock: m.clock, Log: log,
	})
	if err != nil {
		return nil, err
	}

	r := chi.NewRouter()
	r.Use(httpx.Identify(c.TrustedProxies), httpx.AccessLog(log, time.Now))
	r.Use(httpx.Recover(log, func(w http.ResponseWriter, r *http.Request) {
		pages.Fault(w, r, log, errors.New("a handler panicked"), "")
	}))
	r.NotFound(func(w http.ResponseWriter, r *http.Request) {
		pages.Error(w, r, http.StatusNotFound, "There is nothing here", "Check the address.", "NOT_FOUND", "")
	})
	r.Get("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	r.Get("/readyz", a.ready)
	r.Handle("/assets/*", pages.Assets())
	login.New(d, m.environments, m.signin, m.sessions, pages, log).Mount(r)
	sp := saml.New(d, m.environments, m.signin, pages, m.clock, log)
	sp.Mount(r)
	client.New(d, m.environments, m.tenants, m.signin, fetch.HTTP(), pages, m.clock, log).Mount(r)
	op.Mount(r)
	a.scim.Mount(r)
	management.Mount(r)
	a.handler = r

	a.jobs.Register("audit.seal", func(ctx context.Context, _ jobs.Job) error { return m.audit.Seal(ctx) })
	a.jobs.Every("audit.seal", 5*time.Second)
	a.jobs.Register("keys.rotate", func(ctx context.Context, _ jobs.Job) error { return m.ring.RotateDue(ctx) })
	a.jobs.Every("keys.rotate", time.Hour)
	a.jobs.Register("domains.recheck", func(ctx context.Context, _ jobs.Job) error {
		return m.tenants.RecheckDomains(ctx, d, net.DefaultResolver)
	})
	a.jobs.Every("domains.recheck", 24*time.Hour)
	a.jobs.Register("sessions.purge", func(ctx context.Context, _ jobs.Job) error { return m.sessions.Purge(ctx, d) })
	a.jobs.Every("sessions.purge", time.Hour)
	a.jobs.Register("signin.purge", func(ctx context.Context, _ jobs.Job) error {
		return errors.Join(m.signin.Purge(ctx, d), sp.Purge(ctx))
	})
	a.jobs.Every("signin.purge", time.Hour)
	op.RegisterJobs(a.jobs)
	return a, nil
}

// ready answers readiness: the store answers and has the schema that this binary
// needs. The schema is looked at until it is there.
func (a *app) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
	defer cancel()
	err := a.db.Ping(ctx)
	if err == nil && !a.migrated.Load() {
		err = pendingMigrations(ctx, a.db)
		a.migrated.Store(err == nil)
	}
	if err != nil {
		a.log.WarnContext(r.Context(), "not ready", "error", err)
		http.Error(w, "not ready", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// pendingMigrations fails when the store lacks a migration of this binary.
func pendingMigrations(ctx context.Context, d db.DB) error {
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
