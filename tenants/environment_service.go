package tenants

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

// Bounds of an environment's settings.
const (
	MinAccessToken  = 60        // seconds
	MaxAccessToken  = 24 * 3600 // seconds
	MinAuditDays    = 1
	MaxAuditDays    = 3650
	maxAuditColumns = 30
	maxEnvironments = 100
)

var (
	errDefaultOnly   = fault.New(fault.Forbidden, "default_environment_only", "Only the default environment manages environments.")
	errHostTaken     = fault.New(fault.Conflict, "host_taken", "Another environment answers this host.").In("base_url")
	errDefaultStays  = fault.New(fault.Conflict, "default_environment", "The default environment cannot be deleted.")
	errNotEmpty      = fault.New(fault.Conflict, "environment_not_empty", "Delete the environment's tenants first.")
	errConfiguredURL = fault.New(fault.Conflict, "base_url_configured", "The base URL of the default environment is that of the configuration.").In("base_url")
)

// NewEnvironment is what CreateEnvironment takes.
type NewEnvironment struct {
	Name    string
	BaseURL string // the issuer; its host is nobody else's
}

// EnvironmentPatch changes what is not nil. Modules and features that it does not
// name stay as they are.
type EnvironmentPatch struct {
	Name                                                           *string
	BaseURL                                                        *string // of the default environment: configuration alone
	Modules                                                        map[Module]bool
	Features                                                       map[Feature]bool
	AuditColumns                                                   *[]string
	AuditDays                                                      *int
	AccessTokenSeconds, RefreshIdleSeconds, RefreshAbsoluteSeconds *int64
	OmitRoles, OmitPermissions, RequireDPoPNonce                   *bool
}

// CreateEnvironment makes an environment; an actor of the default one alone does
// (product 1, 13). The caller makes its permissions and roles with
// rbac.EnsurePresets, its signing keys with keys.Ring.NewStmts, and a management key,
// in the same transaction. Other replicas answer its host within a second of the
// first request for it.
//
// Faults: default_environment_only, invalid_name, invalid_base_url, host_taken,
// too_many.
func (s *Service) CreateEnvironment(ctx context.Context, a actor.Actor, q db.Queryer, in NewEnvironment) (Environment, error) {
	all, err := s.Environments(ctx, a, q)
	if err != nil {
		return Environment{}, err
	}
	if len(all) >= maxEnvironments {
		return Environment{}, tooMany("100 environments")
	}
	now := s.clock.Now()
	e := Environment{ID: id.New(id.Environment), Version: 1, CreatedAt: now, UpdatedAt: now}
	if e.Name, err = checkName(in.Name, "name"); err != nil {
		return Environment{}, err
	}
	if e.BaseURL, err = s.checkBaseURL(in.BaseURL, e.ID, all); err != nil {
		return Environment{}, err
	}
	if _, err := q.Exec(ctx, sqlInsertEnvironment, e.ID, e.Name, e.BaseURL, urlHost(e.BaseURL), "{}", db.At(now)); err != nil {
		return Environment{}, conflict(err, "environments_host_key", errHostTaken)
	}
	return e, s.record(ctx, a, q, "", "environment.created", environmentTarget(e), map[string]audit.Change{"base_url": {To: e.BaseURL}})
}

// Environments lists all environments for an actor of the default one, the oldest
// first.
//
// Fault: default_environment_only.
func (s *Service) Environments(ctx context.Context, a actor.Actor, q db.Queryer) ([]Environment, error) {
	all, err := readEnvironments(ctx, q, s.options.BaseURL)
	if err != nil {
		return nil, err
	}
	if a.Tenant != "" || !slices.ContainsFunc(all, func(e Environment) bool { return e.IsDefault && e.ID == a.Environment }) {
		return nil, errDefaultOnly
	}
	return all, nil
}

// Environment reads an environment from the store: the actor's own, or, for an
// actor of the default one, any.
//
// Fault: environment_not_found.
func (s *Service) Environment(ctx context.Context, a actor.Actor, q db.Queryer, environmentID string) (Environment, error) {
	return s.environment(ctx, a, q, environmentID, "")
}

// HoldEnvironment is Environment for a transaction in which nobody else changes it.
func (s *Service) HoldEnvironment(ctx context.Context, a actor.Actor, q db.Queryer, environmentID string) (Environment, error) {
	return s.environment(ctx, a, q, environmentID, q.Dialect().ForNoKeyUpdate)
}

func (s *Service) environment(ctx context.Context, a actor.Actor, q db.Queryer, environmentID, lock string) (Environment, error) {
	if a.Tenant != "" {
		return Environment{}, errEnvironmentOnly
	}
	if environmentID != a.Environment {
		if _, err := s.Environments(ctx, a, q); errors.Is(err, errDefaultOnly) {
			return Environment{}, ErrEnvironmentNotFound // another one is absent, not forbidden
		} else if err != nil {
			return Environment{}, err
		}
	}
	e, err := scanEnvironment(q.QueryRow(ctx, sqlEnvironment+lock, environmentID), s.options.BaseURL)
	if errors.Is(err, db.ErrNotFound) {
		return Environment{}, ErrEnvironmentNotFound
	}
	return e, err
}

// UpdateEnvironment changes what the patch names, in the actor's own environment
// or, from the default one, in any. Every replica acts on it within ten seconds.
//
// Faults: those of CreateEnvironment, invalid_value with the field.
func (s *Service) UpdateEnvironment(ctx context.Context, a actor.Actor, q db.Queryer, environmentID string, p EnvironmentPatch) (Environment, error) {
	before, err := s.HoldEnvironment(ctx, a, q, environmentID)
	if err != nil {
		return Environment{}, err
	}
	e := before
	if p.Name != nil {
		if e.Name, err = checkName(*p.Name, "name"); err != nil {
			return Environment{}, err
		}
	}
	if p.BaseURL != nil && *p.BaseURL != before.BaseURL {
		if e.IsDefault {
			return Environment{}, errConfiguredURL
		}
		all, err := s.Environments(ctx, a, q) // the host is an affair of all of them
		if err != nil {
			return Environment{}, err
		}
		if e.BaseURL, err = s.checkBaseURL(*p.BaseURL, e.ID, all); err != nil {
			return Environment{}, err
		}
	}
	if e.Settings, err = before.Settings.patched(p); err != nil {
		return Environment{}, err
	}
	was, err := json.Marshal(before.Settings)
	if err != nil {
		return Environment{}, err
	}
	settings, err := json.Marshal(e.Settings)
	if err != nil {
		return Environment{}, err
	}
	changes := map[string]audit.Change{}
	changed(changes, "name", before.Name, e.Name)
	changed(changes, "base_url", before.BaseURL, e.BaseURL)
	if string(was) != string(settings) {
		changes["settings"] = audit.Change{From: before.Settings, To: e.Settings}
	}
	if len(changes) == 0 {
		return e, nil
	}
	stored := e.BaseURL
	if e.IsDefault {
		stored = "" // the configuration says
	}
	now := s.clock.Now()
	if _, err := q.Exec(ctx, sqlUpdateEnvironment, e.ID, e.Name, stored, urlHost(stored), string(settings), db.At(now)); err != nil {
		return Environment{}, conflict(err, "environments_host_key", errHostTaken)
	}
	e.Version, e.UpdatedAt = e.Version+1, now
	a.Environment = e.ID // in whose log it belongs
	return e, s.record(ctx, a, q, "", "environment.updated", environmentTarget(e), changes)
}

// DeleteEnvironment ends an environment that has no tenants; the default one
// stays. Its host answers no more, within ten seconds on every replica; its
// audit log stays.
//
// Faults: default_environment_only, environment_not_found, default_environment,
// environment_not_empty.
func (s *Service) DeleteEnvironment(ctx context.Context, a actor.Actor, q db.Queryer, environmentID string) error {
	if _, err := s.Environments(ctx, a, q); err != nil {
		return err
	}
	e, err := s.environment(ctx, a, q, environmentID, q.Dialect().ForUpdate) // a tenant that is made now waits
	if err != nil {
		return err
	}
	if e.IsDefault {
		return errDefaultStays
	}
	n, err := count(ctx, q, sqlHasTenants, e.ID)
	if err != nil {
		return err
	}
	if n > 0 {
		return errNotEmpty
	}
	if _, err := q.Exec(ctx, sqlDeleteEnvironment, e.ID, db.At(s.clock.Now())); err != nil {
		return err
	}
	return s.record(ctx, a, q, "", "environment.deleted", environmentTarget(e), nil)
}

// AuditDays gives how long each environment keeps audit events, in days; 0: it does
// not choose. Deleted ones keep what they chose.
func (s *Service) AuditDays(ctx context.Context, q db.Queryer) (map[string]int, error) {
	rows, err := q.Query(ctx, sqlAuditDays)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	days := map[string]int{}
	for rows.Next() {
		var environment, text string
		var settings EnvironmentSettings
		if err := rows.Scan(&environment, &text); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(text), &settings); err != nil {
			return nil, err
		}
		days[environment] = settings.AuditDays
	}
	return days, rows.Err()
}

// patched gives the settings with the changes.
func (s EnvironmentSettings) patched(p EnvironmentPatch) (EnvironmentSettings, error) {
	out := s
	out.Modules, out.Features = maps.Clone(s.Modules), maps.Clone(s.Features)
	for m, on := range p.Modules {
		if !slices.Contains(Modules, m) {
			return s, invalid("invalid_value", "There is no such module.", "modules")
		}
		if out.Modules == nil {
			out.Modules = map[Module]bool{}
		}
		out.Modules[m] = on
	}
	for f, on := range p.Features {
		if _, known := featureDefaults[f]; !known {
			return s, invalid("invalid_value", "There is no such feature.", "features")
		}
		if out.Features == nil {
			out.Features = map[Feature]bool{}
		}
		out.Features[f] = on
	}
	if p.AuditColumns != nil {
		if len(*p.AuditColumns) > maxAuditColumns {
			return s, invalid("invalid_value", "Choose at most 30 columns.", "audit_columns")
		}
		if err := audit.CheckColumns(*p.AuditColumns); err != nil {
			var f *fault.Error
			if errors.As(err, &f) {
				err = f.In("audit_" + f.Field)
			}
			return s, err
		}
		out.AuditColumns = slices.Clone(*p.AuditColumns)
	}
	if p.AuditDays != nil {
		if *p.AuditDays < MinAuditDays || *p.AuditDays > MaxAuditDays {
			return s, invalid("invalid_value", "Keep audit events 1 to 3650 days.", "audit_days")
		}
		out.AuditDays = *p.AuditDays
	}
	if p.AccessTokenSeconds != nil {
		if *p.AccessTokenSeconds == 0 { // 0 chooses nothing where it is stored
			return s, invalid("invalid_value", "An access token lives 60 to 86400 seconds.", "access_token_seconds")
		}
		out.AccessTokenSeconds = *p.AccessTokenSeconds
	}
	set(&out.RefreshIdleSeconds, p.RefreshIdleSeconds)
	set(&out.RefreshAbsoluteSeconds, p.RefreshAbsoluteSeconds)
	set(&out.OmitRoles, p.OmitRoles)
	set(&out.OmitPermissions, p.OmitPermissions)
	set(&out.RequireDPoPNonce, p.RequireDPoPNonce)
	return out, out.check()
}

// checkBaseURL holds a base URL to an origin, https but on this machine or in
// development, whose host no other environment has, and gives it normalised.
func (s *Service) checkBaseURL(raw, environmentID string, all []Environment) (string, error) {
	fail := func(message string) (string, error) { return "", invalid("invalid_base_url", message, "base_url") }
	if raw == "" || len(raw) > maxName {
		return fail("Give an address of up to 200 bytes.")
	}
	u, err := url.Parse(strings.TrimSuffix(raw, "/"))
	if err != nil || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.ForceQuery || strings.Contains(raw, "#") {
		return fail("Give scheme and host alone, such as https://id.example.com.")
	}
	host := strings.ToLower(u.Hostname())
	if address, err := netip.ParseAddr(host); err == nil && address.String() != host || address.Zone() != "" ||
		err != nil && strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" || host == "" || strings.HasSuffix(host, ".") {
		return fail("Give a host name in ASCII, or an address in its shortest form.")
	}
	if port, err := strconv.ParseUint(u.Port(), 10, 16); u.Port() == "" && strings.HasSuffix(u.Host, ":") || u.Port() != "" && (err != nil || port == 0) {
		return fail("Give a port from 1 to 65535, or none.")
	}
	base := u.Scheme + "://" + strings.ToLower(u.Host)
	if u.Scheme != "https" && !(u.Scheme == "http" && (s.options.AllowHTTP || loopbackHTTP(base))) {
		return fail("Give an https address.")
	}
	for _, e := range all {
		if e.ID != environmentID && urlHost(e.BaseURL) == host {
			return "", errHostTaken
		}
	}
	return base, nil
}

// urlHost gives the name part of a base URL; empty where there is none.
func urlHost(base string) string {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		return ""
	}
	return hostOf(u.Host)
}

func environmentTarget(e Environment) audit.Target {
	return audit.Target{Type: "environment", ID: e.ID, Name: e.Name}
}
