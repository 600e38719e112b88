package directory

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/sessions"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// fixture is an environment "env" with tenants "a" and "b"; each has an SSO
// connection sso_<tenant> and a SCIM connection dir_<tenant>.
type fixture struct {
	t     testing.TB
	d     db.DB
	s     *Service
	clock *clock.Fake
}

func newFixture(t testing.TB, d db.DB) *fixture {
	t.Helper()
	c := clock.NewFake(start)
	f := &fixture{t: t, d: d, clock: c, s: New(c, sessions.New(nil, c))}
	f.exec(`INSERT INTO environments (id, name, base_url, is_default, created_at, updated_at) VALUES ('env', 'Env', '', TRUE, 1, 1)`)
	for _, tenant := range []string{"a", "b"} {
		f.exec(`INSERT INTO tenants (environment_id, id, key, name, status, created_at, updated_at) VALUES ('env', $1, $1, $1, 'active', 1, 1)`, tenant)
		f.exec(`INSERT INTO tenant_closure (environment_id, ancestor_id, descendant_id, depth) VALUES ('env', $1, $1, 0)`, tenant)
		f.sso(tenant, "sso_"+tenant, "auto")
		f.scim(tenant, "dir_"+tenant)
	}
	return f
}

func (f *fixture) exec(sql string, args ...any) {
	f.t.Helper()
	if _, err := f.d.Exec(f.t.Context(), sql, args...); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) sso(tenant, connection, pairing string) {
	f.exec(`INSERT INTO sso_connections (tenant_id, id, environment_id, type, name, status, settings, jit, allow_unverified_domains, trust_idp_mfa, pairing, created_at, updated_at)
VALUES ($1, $2, 'env', 'saml', $2, 'active', '{}', TRUE, FALSE, FALSE, $3, 1, 1)`, tenant, connection, pairing)
}

func (f *fixture) scim(tenant, connection string) {
	f.exec(`INSERT INTO scim_connections (tenant_id, id, environment_id, name, profile, status, delete_mode, created_at, updated_at)
VALUES ($1, $2, 'env', $2, 'okta', 'linked', 'soft', 1, 1)`, tenant, connection)
}

func (f *fixture) domain(tenant, domain string) {
	f.exec(`INSERT INTO domains (tenant_id, id, environment_id, domain, txt_value, verified_at, verified_by, created_at) VALUES ($1, $2, 'env', $2, '', 1, 'dns', 1)`, tenant, domain)
}

func (f *fixture) tx(do func(db.Queryer) error) {
	f.t.Helper()
	if err := f.d.Tx(f.t.Context(), do); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) scimActor(r Resource) actor.Actor {
	return actor.Actor{Environment: r.Environment, Tenant: r.Tenant, Kind: actor.SCIM, Connection: r.Connection}
}

func admin(tenant string) actor.Actor {
	return actor.Actor{Environment: "env", Tenant: tenant, Kind: actor.User, Subject: "usr_admin"}
}

func resource(tenant, id string) Resource {
	return Resource{Environment: "env", Tenant: tenant, Connection: "dir_" + tenant, ID: id}
}

// provision is a SCIM create.
func (f *fixture) provision(r Resource, p Profile) (out Provisioned) {
	f.t.Helper()
	f.tx(func(q db.Queryer) (err error) {
		out, err = f.createIn(f.t.Context(), q, r, p)
		return err
	})
	return out
}

func (f *fixture) createIn(ctx context.Context, q db.Queryer, r Resource, p Profile) (Provisioned, error) {
	search, found := f.s.ProvisionSearch(q.Dialect(), r, p)
	if err := q.Batch(ctx, search); err != nil {
		return Provisioned{}, err
	}
	out, stmts, err := f.s.ProvisionStmts(f.scimActor(r), r, p, found)
	if err != nil {
		return out, err
	}
	return out, q.Batch(ctx, stmts)
}

func (f *fixture) state(tenant, membership string) SourceState {
	f.t.Helper()
	p, err := f.s.PersonByMembership(f.t.Context(), f.d, tenant, membership)
	if err != nil {
		f.t.Fatal(err)
	}
	m := p.Membership
	return SourceState{Membership: m.ID, UserID: m.UserID, SCIMResources: m.SCIMResources, SCIMActive: m.SCIMActive}
}

func (f *fixture) remove(r Resource, membership string, p Profile, hard bool) {
	f.t.Helper()
	stmts, err := f.s.RemoveStmts(f.scimActor(r), r, f.state(r.Tenant, membership), p, hard)
	if err != nil {
		f.t.Fatal(err)
	}
	f.tx(func(q db.Queryer) error { return q.Batch(f.t.Context(), stmts) })
}

func (f *fixture) change(r Resource, membership string, before, after Profile) bool {
	f.t.Helper()
	stmts, ended, err := f.s.ChangeStmts(f.scimActor(r), r, f.state(r.Tenant, membership), before, after, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	f.tx(func(q db.Queryer) error { return q.Batch(f.t.Context(), stmts) })
	return ended
}

func (f *fixture) link(l LinkQuery) LinkResult {
	f.t.Helper()
	l.Environment = "env"
	if l.Connection == "" {
		l.Connection = "sso_" + l.Tenant
	}
	if l.SubjectKey == "" {
		l.SubjectKey = "key-" + l.Subject
	}
	r, err := f.s.FindLink(f.t.Context(), f.d, l)
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

// login links or creates as a sign-in does, and returns the user.
func (f *fixture) login(l LinkQuery) (userID, membership string) {
	f.t.Helper()
	r := f.link(l)
	connection := l.Connection
	if connection == "" {
		connection = "sso_" + l.Tenant
	}
	a := actor.Actor{Environment: "env", Tenant: l.Tenant, Kind: actor.Anonymous, Connection: connection}
	f.tx(func(q db.Queryer) error {
		m := r.Membership
		switch r.Outcome {
		case LinkKnown:
			userID, membership = r.UserID, m.ID
			return nil
		case LinkRefused:
			f.t.Fatalf("login refused: %v", r.Err)
		case LinkNone, LinkUser:
			p, err := f.s.CreateUser(f.t.Context(), a, q, NewUser{
				Environment: "env", Tenant: l.Tenant, UserID: r.UserID, Email: l.Email, UserName: l.UserName, ManagedBy: SSO, Connection: connection,
			})
			if err != nil {
				return err
			}
			m = p.Membership
		}
		userID, membership = m.UserID, m.ID
		_, err := f.s.LinkIdentity(f.t.Context(), a, q, "env", m.UserID, Identity{
			Tenant: l.Tenant, Connection: connection, SubjectKey: "key-" + l.Subject, Subject: l.Subject, ObjectID: l.ObjectID, Membership: m.ID, Email: l.Email,
		}, r.Step)
		return err
	})
	return userID, membership
}

func (f *fixture) addUser(tenant, email string) Person {
	f.t.Helper()
	var p Person
	f.tx(func(q db.Queryer) error {
		var err error
		p, err = f.s.CreateUser(f.t.Context(), admin(tenant), q, NewUser{Environment: "env", Tenant: tenant, Email: email})
		return err
	})
	return p
}

func (f *fixture) count(sql string, args ...any) int64 {
	f.t.Helper()
	var n int64
	if err := f.d.QueryRow(f.t.Context(), sql, args...).Scan(&n); err != nil {
		f.t.Fatal(err)
	}
	return n
}

func profile(name string) Profile {
	p := Profile{ExternalID: "ext-" + name, UserName: name + "@login.example", Email: name + "@mail.example", FirstName: strings.ToUpper(name), Active: true}
	return p
}
