package apitoken

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/internal/permission"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Authenticate turns a token of the kind access token into the actor that it
// stands for now, by two statements; ip is the caller's address. A token that is
// wrong, expired or revoked, of another environment or of the other kind, and one
// of a person or tenant that may not log in look alike: ErrCredentials. The caller
// adds the circumstances of the request to the actor.
func (s *Service) Authenticate(ctx context.Context, q db.Queryer, environment, plain string, ip netip.Addr) (actor.Actor, error) {
	c, err := s.Resolve(ctx, q, environment, plain, ip)
	if err != nil {
		return actor.Actor{}, err
	}
	return c.Actor(), nil
}

// Actor is who acts by the token.
func (c Claims) Actor() actor.Actor {
	return actor.Actor{
		Environment: c.Environment, Tenant: c.Tenant, Kind: actor.APIToken, Subject: c.Subject, Owner: c.UserID,
		Name: c.Name, Email: c.Email, Permissions: permission.NewSet(c.Permissions...), Level: actor.LevelOf(c.Level),
	}
}

// Issued gives what a token of the kind client credentials stands for now, to who
// verified an access token that it was exchanged for: that holds no longer, and means
// no more, than the token itself. Refusals are those of Authenticate.
func (s *Service) Issued(ctx context.Context, q db.Queryer, environment, tokenID string) (Claims, error) {
	f, err := find(ctx, q, environment, tokenID)
	if err != nil {
		return Claims{}, err
	}
	if f.Kind != ClientCredentials || !f.alive(s.clock.Now()) {
		return Claims{}, ErrCredentials
	}
	return s.stands(ctx, q, f)
}

// Resolve is Authenticate for whoever needs the claims instead of the actor.
func (s *Service) Resolve(ctx context.Context, q db.Queryer, environment, plain string, ip netip.Addr) (Claims, error) {
	raw, ok := secret.Parse(secret.TenantToken, plain)
	if !ok {
		raw, ok = secret.Parse(secret.PersonalToken, plain)
	}
	if !ok {
		return Claims{}, ErrCredentials
	}
	return s.claims(ctx, q, environment, id.Token+"_"+raw, plain, AccessToken, ip)
}

// Exchange checks the credentials of a token of the kind client credentials and
// gives what the access token for them shall say (product 2.2, 2.3). Refusals are
// those of Authenticate.
func (s *Service) Exchange(ctx context.Context, q db.Queryer, environment, clientID, clientSecret string, ip netip.Addr) (Claims, error) {
	if !id.Valid(id.Token, clientID) {
		return Claims{}, ErrCredentials
	}
	return s.claims(ctx, q, environment, clientID, clientSecret, ClientCredentials, ip)
}

func (s *Service) claims(ctx context.Context, q db.Queryer, environment, tokenID, plain string, kind Kind, ip netip.Addr) (Claims, error) {
	f, err := find(ctx, q, environment, tokenID)
	if err != nil {
		return Claims{}, err
	}
	now := s.clock.Now()
	if !secret.Equal(f.hash, plain) || f.Kind != kind || !f.alive(now) {
		return Claims{}, ErrCredentials
	}
	c, err := s.stands(ctx, q, f)
	if err != nil {
		return Claims{}, err
	}
	return c, s.used(ctx, q, f.Token, now, ip)
}

// stands gives what a token that lives stands for.
func (s *Service) stands(ctx context.Context, q db.Queryer, f found) (Claims, error) {
	c := Claims{
		Subject: f.ID, Environment: f.Environment, Tenant: f.Tenant, UserID: f.userID, Name: f.Description, Metadata: f.Metadata, ExpiresAt: f.ExpiresAt,
	}
	switch {
	case f.Personal():
		c.Type, c.Email, c.Name = TypeUserCredentials, f.membership.Email, f.membership.Name()
		if f.Kind == AccessToken {
			c.Type = TypeUserAccess
		}
		e, err := s.roles.Effective(ctx, q, f.Tenant, f.Membership)
		if err != nil {
			return Claims{}, err
		}
		c.Roles, c.Permissions, c.Level = e.Keys(), e.Permissions, e.Level
	default:
		c.Type = TypeTenantCredentials
		if f.Kind == AccessToken {
			c.Type = TypeTenantAccess
		}
		if err := powers(ctx, q, f.Token, &c); err != nil {
			return Claims{}, err
		}
		if len(c.Roles)+len(c.Permissions) == 0 {
			return Claims{}, ErrCredentials // it died with the last of its roles (product 7.4)
		}
	}
	return c, nil
}

// used writes down the use, rarely.
func (s *Service) used(ctx context.Context, q db.Queryer, t Token, now time.Time, ip netip.Addr) error {
	if !t.LastUsedAt.IsZero() && now.Sub(t.LastUsedAt) < lastUsedEvery {
		return nil
	}
	address := ""
	if ip.IsValid() {
		address = ip.String()
	}
	_, err := q.Exec(ctx, sqlUsed, t.Tenant, t.ID, db.At(now), address, db.At(now.Add(-lastUsedEvery)))
	return err
}

// found is a token with what decides whether it lives.
type found struct {
	Token
	hash         string
	tenantStatus string
	membership   directory.Membership
	userID       string
	lockedAt     time.Time
}

func find(ctx context.Context, q db.Queryer, environment, tokenID string) (found, error) {
	var f found
	var disabled, hidden, expires, locked db.Time
	m := &f.membership
	err := scanToken(q.QueryRow(ctx, sqlFind, tokenID, environment), &f.Token, &f.hash, &f.tenantStatus, (*string)(&m.Status), &disabled, &hidden, &expires,
		&m.SCIMResources, &m.SCIMActive, &m.Email, &m.FirstName, &m.LastName, &m.DisplayName, &f.userID, &locked)
	if errors.Is(err, db.ErrNotFound) {
		return found{}, ErrCredentials
	}
	m.DisabledAt, m.HiddenAt, m.ExpiresAt, f.lockedAt = disabled.Time, hidden.Time, expires.Time, locked.Time
	return f, err
}

// alive reports whether the token serves: neither it nor its tenant has ended, and
// its person, if it has one, could log in (product 129; identity rule 9).
func (f found) alive(now time.Time) bool {
	if !f.ExpiresAt.IsZero() && !now.Before(f.ExpiresAt) || f.tenantStatus != tenants.StatusActive {
		return false
	}
	return !f.Personal() || f.userID != "" && f.lockedAt.IsZero() && f.membership.Usable(now) == nil
}

// powers reads the roles and permissions of a tenant token.
func powers(ctx context.Context, q db.Queryer, t Token, c *Claims) error {
	c.Level, c.Roles, c.Permissions = actor.NoLevel, []string{}, []string{}
	rows, err := q.Query(ctx, sqlPowers, t.Tenant, t.ID)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var kind, key string
		var level int
		if err := rows.Scan(&kind, &key, &level); err != nil {
			return err
		}
		if kind == "permission" {
			c.Permissions = append(c.Permissions, key)
			continue
		}
		c.Roles, c.Level = append(c.Roles, key), min(c.Level, level)
	}
	slices.Sort(c.Roles)
	slices.Sort(c.Permissions)
	c.Permissions = slices.Compact(c.Permissions)
	return rows.Err()
}
