package staff

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Key is a management key of an environment.
type Key struct {
	ID            string
	Environment   string
	Name          string
	Roles         []string // back-office roles, the strongest first
	Last4         string
	CreatedBy     string // id of the actor who made it
	CreatedByName string
	ExpiresAt     time.Time // zero: never
	LastUsedAt    time.Time // coarse: 5 minutes
	LastUsedIP    string    // at that time
	CreatedAt     time.Time
}

// NewKey is what CreateKey takes.
type NewKey struct {
	Environment string
	Name        string
	Roles       []string // none: admin
	ExpiresAt   time.Time
}

const (
	maxName       = 200
	maxKeys       = 200 // per environment
	lastUsedEvery = 5 * time.Minute
)

var (
	errBadKey      = fault.New(fault.Unauthenticated, "invalid_credentials", "The credential is missing or not valid here.")
	errKeyNotFound = fault.New(fault.NotFound, "key_not_found", "There is no such key.")
	errTooManyKeys = fault.New(fault.Conflict, "too_many_keys", "The environment has 200 management keys. Delete one first.")
)

// Service holds the operations of the package. It is safe for concurrent use.
type Service struct{ clock clock.Clock }

// New makes the service.
func New(c clock.Clock) *Service { return &Service{clock: c} }

// CreateKey mints a management key and gives it once. It may not do more than the
// actor. Faults: invalid_name, invalid_role, invalid_role_combination,
// role_exceeds_own, invalid_expiry, too_many_keys.
func (s *Service) CreateKey(ctx context.Context, a actor.Actor, q db.Queryer, in NewKey) (Key, string, error) {
	now := s.clock.Now()
	k := Key{
		ID: id.New(id.Key), Environment: in.Environment, Name: strings.TrimSpace(in.Name), CreatedBy: a.Subject, CreatedByName: nameOf(a),
		ExpiresAt: in.ExpiresAt, CreatedAt: now,
	}
	if err := checkName(k.Name, true); err != nil {
		return Key{}, "", err
	}
	if in.Roles == nil {
		in.Roles = []string{Admin}
	}
	var err error
	if k.Roles, err = checkRoles(in.Roles); err != nil {
		return Key{}, "", err
	}
	if err := checkWithin(a, k.Roles); err != nil {
		return Key{}, "", err
	}
	if !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt) {
		return Key{}, "", fault.New(fault.Invalid, "invalid_expiry", "The key would have expired already.").In("expires_at")
	}
	var n int64
	if err := q.QueryRow(ctx, sqlCountKeys, k.Environment).Scan(&n); err != nil {
		return Key{}, "", err
	}
	if n >= maxKeys {
		return Key{}, "", errTooManyKeys
	}
	plain := secret.New(secret.ManagementKey, k.ID)
	k.Last4 = plain[len(plain)-4:]
	_, err = q.Exec(ctx, sqlInsertKey, k.Environment, k.ID, k.Name, strings.Join(k.Roles, " "), secret.Hash(plain), k.Last4,
		k.CreatedBy, k.CreatedByName, db.At(k.ExpiresAt), db.At(now))
	if err != nil {
		return Key{}, "", err
	}
	return k, plain, audit.Record(ctx, q, audit.Event{
		Environment: k.Environment, Action: "management_key.created", Actor: a, At: now, Targets: []audit.Target{keyTarget(k)},
		Metadata: map[string]any{"roles": k.Roles},
	})
}

// Keys lists the management keys of an environment, the oldest first.
func (s *Service) Keys(ctx context.Context, q db.Queryer, environment string) ([]Key, error) {
	rows, err := q.Query(ctx, sqlKeys, environment)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Key
	for rows.Next() {
		k, _, err := scanKey(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, k)
	}
	return list, rows.Err()
}

// Key gives a management key of an environment.
func (s *Service) Key(ctx context.Context, q db.Queryer, environment, keyID string) (Key, error) {
	k, _, err := scanKey(q.QueryRow(ctx, sqlKey, environment, keyID))
	if errors.Is(err, db.ErrNotFound) {
		return Key{}, errKeyNotFound
	}
	return k, err
}

// DeleteKey revokes a management key of the actor's environment at once.
func (s *Service) DeleteKey(ctx context.Context, a actor.Actor, q db.Queryer, keyID string) error {
	k, err := s.Key(ctx, q, a.Environment, keyID)
	if err != nil {
		return err
	}
	n, err := q.Exec(ctx, sqlDeleteKey, a.Environment, keyID)
	if err != nil {
		return err
	}
	if n == 0 {
		return errKeyNotFound
	}
	return audit.Record(ctx, q, audit.Event{
		Environment: a.Environment, Action: "management_key.deleted", Actor: a, At: s.clock.Now(), Targets: []audit.Target{keyTarget(k)},
	})
}

// Authenticate turns a management key into the actor that it stands for; ip is the
// caller's address. A wrong, expired or revoked key and one of another environment
// look alike. The caller adds the circumstances of the request to the actor.
func (s *Service) Authenticate(ctx context.Context, q db.Queryer, environment, bearer string, ip netip.Addr) (actor.Actor, error) {
	raw, ok := secret.Parse(secret.ManagementKey, bearer)
	if !ok {
		return actor.Actor{}, errBadKey
	}
	k, hash, err := scanKey(q.QueryRow(ctx, sqlKey, environment, id.Key+"_"+raw))
	if errors.Is(err, db.ErrNotFound) {
		return actor.Actor{}, errBadKey
	}
	if err != nil {
		return actor.Actor{}, err
	}
	now := s.clock.Now()
	roles, err := checkRoles(k.Roles)
	if !secret.Equal(hash, bearer) || err != nil || !k.ExpiresAt.IsZero() && !now.Before(k.ExpiresAt) {
		return actor.Actor{}, errBadKey
	}
	if k.LastUsedAt.IsZero() || now.Sub(k.LastUsedAt) >= lastUsedEvery {
		address := ""
		if ip.IsValid() {
			address = ip.String()
		}
		if _, err := q.Exec(ctx, sqlUsedKey, k.Environment, k.ID, db.At(now), address, db.At(now.Add(-lastUsedEvery))); err != nil {
			return actor.Actor{}, err
		}
	}
	return actor.Actor{
		Environment: k.Environment, Kind: actor.Management, Subject: k.ID, Name: k.Name, Permissions: permissionsOf(roles),
	}, nil
}

func keyTarget(k Key) audit.Target {
	return audit.Target{Type: "management_key", ID: k.ID, Name: k.Name}
}

// nameOf is what lists show of who made something.
func nameOf(a actor.Actor) string {
	if a.Name != "" {
		return a.Name
	}
	return a.Email
}

func checkName(s string, required bool) error {
	if required && s == "" || len(s) > maxName || strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return fault.New(fault.Invalid, "invalid_name", "Give a name of 1 to 200 bytes without control characters.").In("name")
	}
	return nil
}
