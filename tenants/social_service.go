package tenants

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/sessions"
)

// CreateSocial adds a provider to the actor's environment, as a draft unless it is
// to be active at once.
//
// Faults: invalid_kind, invalid_issuer, invalid_name, invalid_client_id,
// invalid_scope, invalid_auth_method, invalid_status, too_long, too_many.
func (s *Service) CreateSocial(ctx context.Context, a actor.Actor, q db.Queryer, in NewSocial) (SocialConnection, error) {
	now := s.clock.Now()
	c := SocialConnection{
		Environment: a.Environment, ID: id.New(id.Social), Kind: in.Kind, Name: in.Name, Status: in.Status, Issuer: in.Issuer,
		SocialSettings: in.SocialSettings, Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	switch c.Status {
	case "":
		c.Status = SocialDraft
	case SocialDraft, SocialActive:
	default:
		return SocialConnection{}, invalid("invalid_status", "A new connection is draft or active.", "status")
	}
	if err := c.check(s); err != nil {
		return SocialConnection{}, err
	}
	if err := s.sealSocial(&c, in.ClientSecret); err != nil {
		return SocialConnection{}, err
	}
	settings, err := json.Marshal(c.SocialSettings)
	if err != nil {
		return SocialConnection{}, err
	}
	if err := lockEnvironment(ctx, q, c.Environment, q.Dialect().ForNoKeyUpdate); err != nil {
		return SocialConnection{}, err
	}
	n, err := count(ctx, q, sqlCountSocial, c.Environment)
	if err != nil {
		return SocialConnection{}, err
	}
	if n >= maxSocial {
		return SocialConnection{}, tooMany("20 social connections")
	}
	if _, err := q.Exec(ctx, sqlInsertSocial, c.Environment, c.ID, c.Kind, c.Name, c.Status, c.Issuer, string(settings), c.Secret, db.At(now)); err != nil {
		return SocialConnection{}, err
	}
	return c, s.record(ctx, a, q, "", "social_connection.created", socialTarget(c), nil)
}

// SocialConnection finds a provider of the environment.
//
// Fault: connection_not_found.
func (s *Service) SocialConnection(ctx context.Context, q db.Queryer, environment, connection string) (SocialConnection, error) {
	return findSocial(ctx, q, environment, connection, sqlSocial)
}

// HeldSocial is SocialConnection for a transaction that goes on to make a session:
// who switches the connection off waits, and then ends it.
//
// Fault: connection_not_found.
func (s *Service) HeldSocial(ctx context.Context, q db.Queryer, environment, connection string) (SocialConnection, error) {
	return findSocial(ctx, q, environment, connection, sqlSocial+q.Dialect().ForKeyShare)
}

// SocialConnections lists the environment's providers in the order of their
// creation, which is that of their buttons.
func (s *Service) SocialConnections(ctx context.Context, q db.Queryer, environment string) ([]SocialConnection, error) {
	rows, err := q.Query(ctx, sqlSocials, environment)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []SocialConnection
	for rows.Next() {
		c, err := readSocial(environment, rows)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, rows.Err()
}

// HoldSocial finds a provider that nobody else changes, and through which nobody
// signs in, until the end of the transaction.
//
// Fault: connection_not_found.
func (s *Service) HoldSocial(ctx context.Context, q db.Queryer, environment, connection string) (SocialConnection, error) {
	return findSocial(ctx, q, environment, connection, sqlSocial+q.Dialect().ForUpdate)
}

// UpdateSocial changes what the patch names. Disabling ends the sessions that came
// through the connection (identity rule 9); its people keep their identities.
//
// Faults: connection_not_found, and those of CreateSocial.
func (s *Service) UpdateSocial(ctx context.Context, a actor.Actor, q db.Queryer, connection string, p SocialPatch) (SocialConnection, error) {
	before, err := s.HoldSocial(ctx, q, a.Environment, connection)
	if err != nil {
		return SocialConnection{}, err
	}
	c, now := before, s.clock.Now()
	set(&c.Name, p.Name)
	set(&c.ClientID, p.ClientID)
	set(&c.Scopes, p.Scopes)
	set(&c.AuthMethod, p.AuthMethod)
	if p.Status != nil {
		switch *p.Status {
		case c.Status, SocialActive, SocialDisabled:
			c.Status = *p.Status
		default:
			return SocialConnection{}, invalid("invalid_status", "Choose active or disabled.", "status")
		}
	}
	if err := c.check(s); err != nil {
		return SocialConnection{}, err
	}
	if p.ClientSecret != nil {
		if err := s.sealSocial(&c, *p.ClientSecret); err != nil {
			return SocialConnection{}, err
		}
	}
	settings, err := json.Marshal(c.SocialSettings)
	if err != nil {
		return SocialConnection{}, err
	}
	if _, err := q.Exec(ctx, sqlUpdateSocial, c.Environment, c.ID, c.Name, c.Status, string(settings), c.Secret, db.At(now)); err != nil {
		return SocialConnection{}, err
	}
	if before.Status == SocialActive && c.Status != SocialActive {
		if _, err := s.sessions.End(ctx, a, q, sessions.Selector{Environment: c.Environment, Social: c.ID}, "connection_disabled"); err != nil {
			return SocialConnection{}, err
		}
	}
	c.Version, c.UpdatedAt = c.Version+1, now
	return c, s.record(ctx, a, q, "", "social_connection.updated", socialTarget(c), socialChanges(before, c))
}

// DeleteSocial removes a provider with the identities of its people, and ends the
// sessions that came through it. The people stay.
//
// Fault: connection_not_found.
func (s *Service) DeleteSocial(ctx context.Context, a actor.Actor, q db.Queryer, connection string) error {
	c, err := s.HoldSocial(ctx, q, a.Environment, connection)
	if err != nil {
		return err
	}
	if _, err := s.sessions.End(ctx, a, q, sessions.Selector{Environment: c.Environment, Social: c.ID}, "connection_deleted"); err != nil {
		return err
	}
	if _, err := q.Exec(ctx, sqlDeleteSocial, c.Environment, c.ID); err != nil {
		return err
	}
	return s.record(ctx, a, q, "", "social_connection.deleted", socialTarget(c), nil)
}

func (s *Service) sealSocial(c *SocialConnection, plain string) error {
	c.Secret = ""
	if plain == "" {
		return nil
	}
	if len(plain) > maxSetting {
		return invalid("too_long", "The secret is longer than 2000 bytes.", "client_secret")
	}
	var err error
	c.Secret, err = s.vault.Seal("social_connections", "secret", c.ID, []byte(plain))
	return err
}

func findSocial(ctx context.Context, q db.Queryer, environment, connection, text string) (SocialConnection, error) {
	if !id.Valid(id.Social, connection) {
		return SocialConnection{}, ErrSocialNotFound
	}
	c, err := readSocial(environment, q.QueryRow(ctx, text, environment, connection))
	if errors.Is(err, db.ErrNotFound) {
		err = ErrSocialNotFound
	}
	return c, err
}

func readSocial(environment string, r db.Row) (SocialConnection, error) {
	c := SocialConnection{Environment: environment}
	var settings string
	var created, updated db.Time
	if err := r.Scan(&c.ID, &c.Kind, &c.Name, &c.Status, &c.Issuer, &settings, &c.Secret, &c.Version, &created, &updated); err != nil {
		return c, err
	}
	c.CreatedAt, c.UpdatedAt = created.Time, updated.Time
	return c, json.Unmarshal([]byte(settings), &c.SocialSettings)
}

func socialTarget(c SocialConnection) audit.Target {
	return audit.Target{Type: "social_connection", ID: c.ID, Name: c.Name}
}

func socialChanges(before, after SocialConnection) map[string]audit.Change {
	m := map[string]audit.Change{}
	changed(m, "name", before.Name, after.Name)
	changed(m, "status", before.Status, after.Status)
	changed(m, "client_id", before.ClientID, after.ClientID)
	changed(m, "scopes", strings.Join(before.Scopes, " "), strings.Join(after.Scopes, " "))
	changed(m, "token_endpoint_auth_method", before.AuthMethod, after.AuthMethod)
	if before.Secret != after.Secret { // which one it is, is nobody's to read
		m["client_secret"] = audit.Change{From: before.Secret != "", To: after.Secret != ""}
	}
	return m
}
