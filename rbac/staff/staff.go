package staff

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/internal/permission"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Admin may read and write everything of an environment (product 14).
const Admin = "admin"

// Permissions of the vendor's own routes. Routes inside a tenant ask for the
// permission that its own people need.
const (
	ReadTenants       = "bo.read.tenants"
	WriteTenants      = "bo.write.tenants"
	DeleteTenants     = "bo.delete.tenants"
	ReadRoles         = "bo.read.roles"
	WriteRoles        = "bo.write.roles"
	DeleteRoles       = "bo.delete.roles"
	ReadApplications  = "bo.read.applications"
	WriteApplications = "bo.write.applications"
	ReadEnvironment   = "bo.read.environment"
	WriteEnvironment  = "bo.write.environment"
)

// grants are the permissions of each back-office role.
var grants = map[string]permission.Set{
	Admin: permission.NewSet("bo.*", "fe.*"),
}

// Key is a management key of an environment.
type Key struct {
	ID          string
	Environment string
	Name        string
	Role        string
	Last4       string
	ExpiresAt   time.Time // zero: never
	LastUsedAt  time.Time // coarse: 5 minutes
	CreatedAt   time.Time
}

// NewKey is what CreateKey takes.
type NewKey struct {
	Environment string
	Name        string
	Role        string // empty: admin
	ExpiresAt   time.Time
}

const (
	maxName       = 200
	lastUsedEvery = 5 * time.Minute
)

var (
	errBadKey      = fault.New(fault.Unauthenticated, "invalid_credentials", "The credential is missing or not valid here.")
	errKeyNotFound = fault.New(fault.NotFound, "key_not_found", "There is no such key.")
)

// Service holds the operations of the package. It is safe for concurrent use.
type Service struct{ clock clock.Clock }

// New makes the service.
func New(c clock.Clock) *Service { return &Service{clock: c} }

// CreateKey mints a management key and gives it once.
func (s *Service) CreateKey(ctx context.Context, a actor.Actor, q db.Queryer, in NewKey) (Key, string, error) {
	now := s.clock.Now()
	k := Key{ID: id.New(id.Key), Environment: in.Environment, Name: strings.TrimSpace(in.Name), Role: in.Role, ExpiresAt: in.ExpiresAt, CreatedAt: now}
	if k.Name == "" || len(k.Name) > maxName {
		return Key{}, "", fault.New(fault.Invalid, "invalid_name", "Give a name of 1 to 200 bytes.").In("name")
	}
	if k.Role == "" {
		k.Role = Admin
	}
	if _, ok := grants[k.Role]; !ok {
		return Key{}, "", fault.New(fault.Invalid, "invalid_role", "There is no such back-office role.").In("role")
	}
	if !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt) {
		return Key{}, "", fault.New(fault.Invalid, "invalid_expiry", "The key would have expired already.").In("expires_at")
	}
	plain := secret.New(secret.ManagementKey, k.ID)
	k.Last4 = plain[len(plain)-4:]
	_, err := q.Exec(ctx, sqlInsert, k.Environment, k.ID, k.Name, k.Role, secret.Hash(plain), k.Last4, db.At(k.ExpiresAt), db.At(now))
	if err != nil {
		return Key{}, "", err
	}
	return k, plain, audit.Record(ctx, q, audit.Event{
		Environment: k.Environment, Action: "management_key.created", Actor: a, At: now, Targets: []audit.Target{{Type: "management_key", ID: k.ID, Name: k.Name}},
	})
}

// Keys lists the management keys of an environment.
func (s *Service) Keys(ctx context.Context, q db.Queryer, environment string) ([]Key, error) {
	rows, err := q.Query(ctx, sqlList, environment)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Key
	for rows.Next() {
		k, _, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, k)
	}
	return list, rows.Err()
}

// DeleteKey revokes a management key at once.
func (s *Service) DeleteKey(ctx context.Context, a actor.Actor, q db.Queryer, keyID string) error {
	n, err := q.Exec(ctx, sqlDelete, a.Environment, keyID)
	if err != nil {
		return err
	}
	if n == 0 {
		return errKeyNotFound
	}
	return audit.Record(ctx, q, audit.Event{
		Environment: a.Environment, Action: "management_key.deleted", Actor: a, At: s.clock.Now(), Targets: []audit.Target{{Type: "management_key", ID: keyID}},
	})
}

// Authenticate turns a management key into the actor that it stands for. A wrong,
// expired or revoked key and one of another environment look alike. The caller
// adds the circumstances of the request to the actor.
func (s *Service) Authenticate(ctx context.Context, q db.Queryer, environment, bearer string) (actor.Actor, error) {
	raw, ok := secret.Parse(secret.ManagementKey, bearer)
	if !ok {
		return actor.Actor{}, errBadKey
	}
	k, hash, err := scan(q.QueryRow(ctx, sqlFind, environment, id.Key+"_"+raw))
	if errors.Is(err, db.ErrNotFound) {
		return actor.Actor{}, errBadKey
	}
	if err != nil {
		return actor.Actor{}, err
	}
	now := s.clock.Now()
	permissions, known := grants[k.Role]
	if !secret.Equal(hash, bearer) || !known || !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt) {
		return actor.Actor{}, errBadKey
	}
	if k.LastUsedAt.IsZero() || now.Sub(k.LastUsedAt) >= lastUsedEvery {
		if _, err := q.Exec(ctx, sqlUsed, k.Environment, k.ID, db.At(now)); err != nil {
			return actor.Actor{}, err
		}
	}
	return actor.Actor{
		Environment: k.Environment, Kind: actor.Management, Subject: k.ID, Name: k.Name, Permissions: permissions,
	}, nil
}
