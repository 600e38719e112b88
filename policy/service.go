package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/jobs"
)

// JobChanged is the kind of the job that judges open sessions by a policy that
// changed: of the job's tenant, or of all tenants of its environment. Its handler
// belongs to signing in.
const JobChanged = "policy.changed"

// ChangedStmt asks for that job, once for any number of changes that wait.
func ChangedStmt(environment, tenant string, now time.Time) db.Stmt {
	return jobs.Stmt(jobs.Job{Environment: environment, Tenant: tenant, Kind: JobChanged, Key: "sessions", RunAt: now})
}

// bindsSessions reports whether a kind of policy says who may be signed in, and for
// how long; the others are asked about new people and passwords only.
func bindsSessions(kind string) bool {
	return kind != Domains && kind != Lockout && kind != Password
}

// Service holds the operations of the package. It is safe for concurrent use.
type Service struct{ clock clock.Clock }

// New makes the service.
func New(c clock.Clock) *Service { return &Service{clock: c} }

var errUnknownKind = fault.New(fault.NotFound, "policy_not_found", "There is no such policy.")

// Load reads every policy of the environment and of the tenant, in one statement.
// With an empty tenant the second value chooses nothing.
func (s *Service) Load(ctx context.Context, q db.Queryer, environment, tenant string) (env, own Settings, err error) {
	rows, err := q.Query(ctx, sqlLoad, environment, tenant)
	if err != nil {
		return Settings{}, Settings{}, err
	}
	defer rows.Close()
	for rows.Next() {
		var owner, kind, body string
		if err := rows.Scan(&owner, &kind, &body); err != nil {
			return Settings{}, Settings{}, err
		}
		to := &env
		if owner != "" {
			to = &own
		}
		if err := to.Set(kind, body); err != nil {
			return Settings{}, Settings{}, err
		}
	}
	return env, own, rows.Err()
}

// Version counts the changes of a policy; 0: nobody has set it. Read it before the
// policy itself where a change is to be refused that was made in between, and
// after Put where the version before is asked for.
func (s *Service) Version(ctx context.Context, q db.Queryer, environment, tenant, kind string) (int64, error) {
	var v int64
	err := q.QueryRow(ctx, sqlVersion, environment, tenant, kind).Scan(&v)
	if errors.Is(err, db.ErrNotFound) {
		return 0, nil
	}
	return v, err
}

// Put validates and stores a policy of a tenant, or of the environment when
// tenant is empty, and gives it as stored. Unknown fields are refused.
func (s *Service) Put(ctx context.Context, a actor.Actor, q db.Queryer, environment, tenant, kind string, body []byte) (Settings, error) {
	env, own, err := s.Load(ctx, q, environment, tenant)
	if err != nil {
		return Settings{}, err
	}
	before := own
	if tenant == "" {
		before = env
	}
	after := before
	field := after.reset(kind)
	if field == nil || kind == SSO && tenant == "" {
		return Settings{}, errUnknownKind
	}
	if err := decode(body, field); err != nil {
		return Settings{}, err
	}
	if err := after.check(a, kind, before, env, tenant != ""); err != nil {
		return Settings{}, err
	}
	text, err := json.Marshal(field)
	if err != nil {
		return Settings{}, err
	}
	old, err := json.Marshal(before.field(kind))
	if err != nil {
		return Settings{}, err
	}
	action := "policy.updated"
	if kind == SSO {
		action = "sso_policy.updated"
	}
	event, err := audit.Stmts(audit.Event{
		Environment: environment, Tenant: tenant, Action: action, Actor: a, At: s.clock.Now(),
		Targets: []audit.Target{{Type: "policy", ID: kind}},
		Changes: map[string]audit.Change{kind: {From: string(old), To: string(text)}},
	})
	if err != nil {
		return Settings{}, err
	}
	stmts := []db.Stmt{{SQL: sqlPut, Args: []any{environment, tenant, kind, string(text), db.At(s.clock.Now())}}}
	if bindsSessions(kind) {
		stmts = append(stmts, ChangedStmt(environment, tenant, s.clock.Now()))
	}
	return after, q.Batch(ctx, append(stmts, event...))
}

// DeleteTenantStmts removes the policies of a tenant that is about to be deleted.
func (s *Service) DeleteTenantStmts(environment, tenant string) []db.Stmt {
	return []db.Stmt{{SQL: sqlDeleteTenant, Args: []any{environment, tenant}}}
}

// Set reads a policy as it is stored. A kind that is not known changes nothing.
func (s *Settings) Set(kind, body string) error {
	field := s.field(kind)
	if field == nil {
		return nil
	}
	return json.Unmarshal([]byte(body), field)
}

// field gives the settings of a kind; nil when there is no such kind.
func (s *Settings) field(kind string) any {
	switch kind {
	case MFA:
		return &s.MFA
	case IP:
		return &s.IP
	case Domains:
		return &s.Domains
	case Sessions:
		return &s.Sessions
	case Lockout:
		return &s.Lockout
	case Password:
		return &s.Password
	case SSO:
		return &s.SSO
	case Social:
		return &s.Social
	}
	return nil
}

// reset empties the settings of a kind, so that what a new body leaves out is gone.
func (s *Settings) reset(kind string) any {
	switch kind {
	case MFA:
		s.MFA = MFARules{}
	case IP:
		s.IP = IPRules{}
	case Domains:
		s.Domains = DomainRules{}
	case Sessions:
		s.Sessions = SessionRules{}
	case Lockout:
		s.Lockout = LockoutRules{}
	case Password:
		s.Password = PasswordRules{}
	case SSO:
		s.SSO = SSORules{}
	case Social:
		s.Social = SocialRules{}
	}
	return s.field(kind)
}

func decode(body []byte, into any) error {
	bad := fault.New(fault.Invalid, "invalid_body", "The body is not a policy of this kind.")
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return bad.Because(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return bad
	}
	return nil
}
