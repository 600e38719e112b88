package sessions

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/keys"
)

var start = time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)

const env = "env_a"

// world is a store with environment env_a, tenants ten_a and ten_b, and users
// usr_1 and usr_2.
type world struct {
	*testing.T
	db    db.DB
	s     *Service
	clock *clock.Fake
	ctx   context.Context
	actor actor.Actor
}

func each(t *testing.T, f func(w *world)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, d db.DB) { f(newWorld(t, d)) })
}

func newWorld(t testing.TB, d db.DB) *world {
	t.Helper()
	v, err := keys.NewVault([]byte(strings.Repeat("k", keys.MasterSize)))
	if err != nil {
		t.Fatal(err)
	}
	c := clock.NewFake(start)
	w := &world{db: d, clock: c, s: New(v, c), ctx: context.WithoutCancel(t.Context()), actor: actor.Actor{Kind: actor.User, Environment: env}}
	w.T, _ = t.(*testing.T)
	for _, text := range []string{
		`INSERT INTO environments (id, name, base_url, is_default, created_at, updated_at) VALUES ('env_a', 'a', '', TRUE, 1, 1), ('env_b', 'b', 'https://b', FALSE, 1, 1)`,
		`INSERT INTO tenants (environment_id, id, key, name, status, created_at, updated_at) VALUES ('env_a', 'ten_a', 'a', 'A', 'active', 1, 1), ('env_a', 'ten_b', 'b', 'B', 'active', 1, 1)`,
		`INSERT INTO users (environment_id, id, email, email_key, email_verified, created_at, updated_at) VALUES ('env_a', 'usr_1', 'a@x', 'a@x', TRUE, 1, 1), ('env_a', 'usr_2', 'b@x', 'b@x', TRUE, 1, 1)`,
	} {
		if _, err := d.Exec(w.ctx, text); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *world) tx(f func(q db.Queryer) error) {
	w.Helper()
	if err := w.db.Tx(w.ctx, f); err != nil {
		w.Fatal(err)
	}
}

func login(user, tenant string) Login {
	return Login{
		Environment: env, UserID: user, IP: "192.0.2.1", UserAgent: "browser",
		Proof: Proof{Tenant: tenant, Membership: "mem_" + user + tenant, Connection: "sso_" + tenant, Method: "saml", AMR: []string{"pwd"}, ACR: "1", AuthTime: start},
	}
}

func (w *world) create(n Login) (ses Session, cookie string) {
	w.Helper()
	w.tx(func(q db.Queryer) (err error) {
		ses, cookie, err = w.s.Create(w.ctx, w.actor, q, n)
		return err
	})
	return ses, cookie
}

func (w *world) family(ses Session, tenant, client string) (token string) {
	w.Helper()
	w.tx(func(q db.Queryer) (err error) {
		code, err := w.s.IssueCode(w.ctx, q, w.code(ses, tenant, client))
		if err != nil {
			return err
		}
		r, err := w.s.ConsumeCode(w.ctx, w.actor, q, env, client, code)
		if err != nil {
			return err
		}
		if r.Refused != nil {
			w.Fatal(r.Refused)
		}
		token, err = w.s.StartFamily(w.ctx, q, Family{ID: r.Code.Family, Environment: env, Tenant: tenant, Session: ses.ID, UserID: ses.UserID, ClientID: client, Scope: "openid"})
		return err
	})
	return token
}

func (w *world) code(ses Session, tenant, client string) Code {
	return Code{Environment: env, ClientID: client, Session: ses.ID, Tenant: tenant, UserID: ses.UserID, Request: json.RawMessage(`{"n":1}`)}
}

func (w *world) rotate(client, token string) (r Rotation) {
	w.Helper()
	w.tx(func(q db.Queryer) (err error) {
		r, err = w.s.Rotate(w.ctx, w.actor, q, env, client, token, 0)
		return err
	})
	return r
}

func (w *world) end(sel Selector) (n int) {
	w.Helper()
	w.tx(func(q db.Queryer) (err error) {
		n, err = w.s.End(w.ctx, w.actor, q, sel, "test")
		return err
	})
	return n
}

func (w *world) count(text string, args ...any) int {
	w.Helper()
	var n int
	if err := w.db.QueryRow(w.ctx, text, args...).Scan(&n); err != nil {
		w.Fatal(err)
	}
	return n
}

func (w *world) events(action string) int {
	w.Helper()
	return w.count(`SELECT COUNT(*) FROM audit_events WHERE action = $1`, action)
}
