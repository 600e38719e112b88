package tenants

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

func (f *fixture) environment(name, baseURL string) (e Environment, code string) {
	f.Helper()
	code = f.try(func(q db.Queryer) (err error) {
		e, err = f.s.CreateEnvironment(f.Context(), f.admin, q, NewEnvironment{Name: name, BaseURL: baseURL})
		return err
	})
	return e, code
}

// Product 1, 3, 13, 21, 100 and 116: several environments with a host and
// settings of their own, which the default one manages.
func TestEnvironments(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.s.options.BaseURL = "https://id.example.com"
		ctx := t.Context()
		cache := NewEnvironments(d, f.clock, "https://id.example.com")
		if _, err := cache.ByHost(ctx, "staging.example.com"); err != ErrUnknownHost {
			t.Fatal(err)
		}
		staging, code := f.environment("Staging", "HTTPS://Staging.example.com/")
		if code != "" || staging.BaseURL != "https://staging.example.com" || staging.IsDefault {
			t.Fatalf("%+v %q", staging, code)
		}
		for base, want := range map[string]string{
			"https://staging.example.com":      "host_taken",
			"https://staging.example.com:8443": "host_taken", // the port does not tell them apart
			"https://ID.example.com":           "host_taken", // the default's, from the configuration
			"http://other.example.com":         "invalid_base_url",
			"https://other.example.com/path":   "invalid_base_url",
			"https://u:p@other.example.com":    "invalid_base_url",
			"https://other.example.com?x":      "invalid_base_url",
			"https://other.example.com#x":      "invalid_base_url",
			"https://öther.example.com":        "invalid_base_url",
			"https://other.example.com.":       "invalid_base_url",
			"https://*.example.com":            "invalid_base_url",
			"https://":                         "invalid_base_url",
			"ftp://other.example.com":          "invalid_base_url",
			"":                                 "invalid_base_url",
			"https://other.example.com:":       "invalid_base_url",
			"https://other.example.com:0":      "invalid_base_url",
			"https://other.example.com:70000":  "invalid_base_url",
			"https://[fe80::1%25eth0]":         "invalid_base_url",
			"https://[0:0:0:0:0:0:0:1]":        "invalid_base_url", // not as ::1 is written
			"https://[::FFFF:192.0.2.1]":       "",                 // written small
			"https:other.example.com":          "invalid_base_url",
			"http://dev.localhost:8080":        "",
			"http://[::1]:8080":                "",
		} {
			if _, code := f.environment("x", base); code != want {
				t.Errorf("%q: %q, want %q", base, code, want)
			}
		}
		f.clock.Advance(environmentsRetry)
		if e, err := cache.ByHost(ctx, "staging.example.com"); err != nil || e.ID != staging.ID {
			t.Errorf("a new environment on another replica: %v, %v", e.ID, err)
		}

		// Its own people change its settings, within bounds.
		own := actor.Actor{Environment: staging.ID, Kind: actor.Management}
		patch := func(a actor.Actor, id string, p EnvironmentPatch) (e Environment, code string) {
			code = f.try(func(q db.Queryer) (err error) {
				e, err = f.s.UpdateEnvironment(ctx, a, q, id, p)
				return err
			})
			return e, code
		}
		seconds, days, columns := int64(120), 90, []string{"occurred_at", "actor_email", "metadata.order"}
		e, code := patch(own, staging.ID, EnvironmentPatch{
			Modules: map[Module]bool{ModuleSSO: false}, Features: map[Feature]bool{FeatureInvitations: false, FeatureRoles: false},
			AccessTokenSeconds: &seconds, AuditDays: &days, AuditColumns: &columns,
		})
		if code != "" || e.Version != 2 || e.Settings.ModuleOn(ModuleSSO) || !e.Settings.ModuleOn(ModuleUsers) || e.Settings.FeatureOn(FeatureRoles) || e.Settings.AccessTokenLifetime() != 2*time.Minute {
			t.Errorf("%+v %q", e, code)
		}
		if e, code = patch(own, staging.ID, EnvironmentPatch{Modules: map[Module]bool{ModuleRoles: false}}); code != "" || e.Settings.ModuleOn(ModuleSSO) {
			t.Errorf("a module that is not named changed: %+v %q", e.Settings, code)
		}
		if e, code = patch(own, staging.ID, EnvironmentPatch{}); code != "" || e.Version != 3 {
			t.Errorf("a change of nothing: version %d %q", e.Version, code)
		}
		short, long, none := int64(59), int64(MaxAccessToken+1), 0
		for name, p := range map[string]EnvironmentPatch{
			"module": {Modules: map[Module]bool{"x": true}}, "feature": {Features: map[Feature]bool{"x": true}},
			"short": {AccessTokenSeconds: &short}, "long": {AccessTokenSeconds: &long}, "days": {AuditDays: &none},
		} {
			if _, code := patch(own, staging.ID, p); code != "invalid_value" {
				t.Errorf("%s: %q", name, code)
			}
		}
		// A column that the log does not have would fail every page of it.
		for _, columns := range [][]string{{"time", "actor.email"}, {"time", "time"}, {"A;"}, {""}} {
			err := d.Tx(ctx, func(q db.Queryer) error {
				_, err := f.s.UpdateEnvironment(ctx, own, q, staging.ID, EnvironmentPatch{AuditColumns: &columns})
				return err
			})
			if f, ok := fault.From(err); !ok || f.Code != "invalid_column" || !strings.HasPrefix(f.Field, "audit_columns[") {
				t.Errorf("%q: %v", columns, err)
			}
		}
		name, base := "QA", "https://qa.example.com"
		for _, x := range []struct {
			who  string
			a    actor.Actor
			id   string
			p    EnvironmentPatch
			want string
		}{
			{"another environment", own, f.env.ID, EnvironmentPatch{Name: &name}, "environment_not_found"},
			{"a host, which concerns all of them", own, staging.ID, EnvironmentPatch{BaseURL: &base}, "default_environment_only"},
			{"the default's host, by the default", f.admin, f.env.ID, EnvironmentPatch{BaseURL: &base}, "base_url_configured"},
			{"a tenant's person", f.user("ten_x"), f.env.ID, EnvironmentPatch{Name: &name}, "environment_only"},
			{"the name of another one by the default", f.admin, staging.ID, EnvironmentPatch{Name: &name, BaseURL: &base}, ""},
		} {
			if _, code := patch(x.a, x.id, x.p); code != x.want {
				t.Errorf("%s: %q, want %q", x.who, code, x.want)
			}
		}
		f.clock.Advance(environmentsFor)
		if e, err := cache.ByHost(ctx, "qa.example.com"); err != nil || e.Name != "QA" || e.Settings.ModuleOn(ModuleSSO) {
			t.Errorf("the other replica: %+v, %v", e, err)
		}
		if _, err := cache.ByHost(ctx, "staging.example.com"); err != ErrUnknownHost {
			t.Errorf("the old host: %v", err)
		}
		if n := f.count(`SELECT COUNT(*) FROM audit_events WHERE environment_id = $1 AND action = 'environment.updated'`, staging.ID); n != 3 {
			t.Errorf("%d changes in its own log", n)
		}

		// Delete: empty ones, never the default.
		remove := func(a actor.Actor, id string) string {
			return f.try(func(q db.Queryer) error { return f.s.DeleteEnvironment(ctx, a, q, id) })
		}
		f.tx(func(q db.Queryer) error {
			_, err := f.s.CreateTenant(ctx, own, q, NewTenant{Name: "T", Key: "t"})
			return err
		})
		for _, x := range []struct {
			a        actor.Actor
			id, want string
		}{
			{own, staging.ID, "default_environment_only"},
			{f.admin, f.env.ID, "default_environment"},
			{f.admin, "env_none", "environment_not_found"},
			{f.admin, staging.ID, "environment_not_empty"},
		} {
			if got := remove(x.a, x.id); got != x.want {
				t.Errorf("delete %s: %q, want %q", x.id, got, x.want)
			}
		}
		f.tx(func(q db.Queryer) error { return f.s.DeleteTenant(ctx, own, q, "t") })
		keep := 3000
		f.tx(func(q db.Queryer) error {
			_, err := f.s.UpdateEnvironment(ctx, own, q, staging.ID, EnvironmentPatch{AuditDays: &keep})
			return err
		})
		if got := remove(f.admin, staging.ID); got != "" {
			t.Fatal(got)
		}
		// Its log is kept as long as it chose, and its tenant's rows still go.
		if days, err := f.s.AuditDays(ctx, d); err != nil || len(days) < 2 || days[staging.ID] != keep || days[f.env.ID] != 0 {
			t.Errorf("days %v, %v", days, err)
		}
		f.removal()
		if n := f.count(`SELECT COUNT(*) FROM tenants WHERE environment_id = $1`, staging.ID); n != 0 {
			t.Errorf("%d tenants of it stand", n)
		}
		f.clock.Advance(environmentsFor)
		if _, err := cache.ByHost(ctx, "qa.example.com"); err != ErrUnknownHost {
			t.Errorf("a deleted environment answers: %v", err)
		}
		if _, code := f.environment("Again", "https://qa.example.com"); code != "" {
			t.Errorf("its host is not free: %q", code)
		}
		if got := remove(f.admin, staging.ID); got != "environment_not_found" {
			t.Errorf("deleted twice: %q", got)
		}
	})
}

// Of two environments that claim one host at once, one gets it.
func TestHostRace(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		codes := make([]string, 2)
		var work sync.WaitGroup
		for i := range codes {
			work.Go(func() { _, codes[i] = f.environment("x", "https://one.example.com") })
		}
		work.Wait()
		if codes[0]+codes[1] != "host_taken" {
			t.Errorf("%q", codes)
		}
	})
}

// On a loopback address new environments are found by their host too.
func TestNewEnvironmentOnLoopback(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		cache := NewEnvironments(d, f.clock, "http://localhost:8080")
		if e, err := cache.ByHost(t.Context(), "staging.localhost:8080"); err != nil || e.ID != f.env.ID {
			t.Fatalf("%v, %v", e.ID, err)
		}
		staging, code := f.environment("Staging", "http://staging.localhost:8080")
		if code != "" {
			t.Fatal(code)
		}
		f.clock.Advance(environmentsRetry)
		if e, err := cache.ByHost(t.Context(), "staging.localhost:8080"); err != nil || e.ID != staging.ID {
			t.Errorf("%v, %v", e.ID, err)
		}
	})
}

// The default environment answers the host that the configuration names, whoever
// took it before.
func TestConfiguredHostWins(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		if _, code := f.environment("Staging", "https://staging.example.com"); code != "" {
			t.Fatal(code)
		}
		cache := NewEnvironments(d, f.clock, "https://staging.example.com")
		if e, err := cache.ByHost(t.Context(), "Staging.example.com.:443"); err != nil || e.ID != f.env.ID {
			t.Errorf("%v, %v", e.ID, err)
		}
	})
}

// A replica that still knows a deleted environment makes nothing in it.
func TestDeletedEnvironmentTakesNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		staging, code := f.environment("Staging", "https://staging.example.com")
		if code != "" {
			t.Fatal(code)
		}
		f.tx(func(q db.Queryer) error { return f.s.DeleteEnvironment(t.Context(), f.admin, q, staging.ID) })
		old := actor.Actor{Environment: staging.ID, Kind: actor.Management}
		f.want("environment_not_found", func(q db.Queryer) error {
			_, err := f.s.CreateTenant(t.Context(), old, q, NewTenant{Name: "Late"})
			return err
		})
		f.want("environment_not_found", func(q db.Queryer) error {
			_, _, err := f.s.CreateApplication(t.Context(), old, q, NewApplication{
				Name: "Late", Type: Web, ApplicationSettings: ApplicationSettings{RedirectURIs: []string{"https://late.example"}},
			})
			return err
		})
	})
}
