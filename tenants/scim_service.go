package tenants

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Refusals of a SCIM credential. All of the first sort look alike.
var (
	errBadToken      = fault.New(fault.Unauthenticated, "invalid_token", "The bearer token is not valid for this connection.")
	errPaused        = fault.New(fault.Forbidden, "connection_paused", "The connection is paused.")
	errSuspended     = fault.New(fault.Forbidden, "tenant_suspended", "The tenant is suspended.")
	maxTokenLifetime = 10 * 365 * 24 * time.Hour
)

// CreateSCIMConnection adds a connection to a tenant with a first token, whose
// secret is given once. The token does not expire by itself (product 7.4).
func (s *Service) CreateSCIMConnection(ctx context.Context, a actor.Actor, q db.Queryer, tenant string, in NewSCIMConnection) (SCIMConnection, string, error) {
	now := s.clock.Now()
	c := SCIMConnection{
		ID: id.New(id.Directory), Tenant: tenant, Environment: a.Environment, Profile: in.Profile, Status: SCIMPending,
		DeleteMode: in.DeleteMode, MatchingAttribute: in.MatchingAttribute, Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	var err error
	if c.Name, err = checkName(in.Name, "name"); err != nil {
		return SCIMConnection{}, "", err
	}
	if c.Profile == "" {
		c.Profile = "generic"
	}
	if c.DeleteMode == "" {
		c.DeleteMode = DeleteSoft
	}
	if err := c.check(); err != nil {
		return SCIMConnection{}, "", err
	}
	n, err := count(ctx, q, sqlCountSCIMConnections, tenant)
	if err != nil {
		return SCIMConnection{}, "", err
	}
	if n >= maxConnections {
		return SCIMConnection{}, "", tooMany("100 SCIM connections")
	}
	err = q.Batch(ctx, []db.Stmt{
		{SQL: sqlInsertSCIMConnection, Args: []any{tenant, c.ID, c.Environment, c.Name, c.Profile, c.DeleteMode, c.MatchingAttribute, db.At(now)}},
		{SQL: sqlInsertLocator, Args: []any{tenant, "connection", c.ID, c.Environment, c.ID}},
	})
	if err != nil {
		return SCIMConnection{}, "", err
	}
	if err := s.record(ctx, a, q, tenant, "scim_connection.created", scimTarget(c), nil); err != nil {
		return SCIMConnection{}, "", err
	}
	_, plain, err := s.AddSCIMToken(ctx, a, q, tenant, c.ID, "first", 0)
	return c, plain, err
}

// SCIMConnection finds a connection of a tenant.
func (s *Service) SCIMConnection(ctx context.Context, q db.Queryer, tenant, connectionID string) (SCIMConnection, error) {
	return scanSCIM(q.QueryRow(ctx, sqlSCIMConnection, tenant, connectionID))
}

// SCIMConnections lists a tenant's connections in the order of their creation.
func (s *Service) SCIMConnections(ctx context.Context, q db.Queryer, tenant string) ([]SCIMConnection, error) {
	rows, err := q.Query(ctx, sqlSCIMConnections, tenant)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []SCIMConnection
	for rows.Next() {
		c, err := scanSCIM(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, rows.Err()
}

// HoldSCIMConnection gives a connection that nobody else changes until the end of
// the transaction.
//
// Fault: connection_not_found.
func (s *Service) HoldSCIMConnection(ctx context.Context, q db.Queryer, tenant, connectionID string) (SCIMConnection, error) {
	return scanSCIM(q.QueryRow(ctx, sqlSCIMConnection+q.Dialect().ForUpdate, tenant, connectionID))
}

// UpdateSCIMConnection changes what the patch names.
func (s *Service) UpdateSCIMConnection(ctx context.Context, a actor.Actor, q db.Queryer, tenant, connectionID string, p SCIMPatch) (SCIMConnection, error) {
	before, err := s.HoldSCIMConnection(ctx, q, tenant, connectionID)
	if err != nil {
		return SCIMConnection{}, err
	}
	c, now := before, s.clock.Now()
	if p.Name != nil {
		if c.Name, err = checkName(*p.Name, "name"); err != nil {
			return SCIMConnection{}, err
		}
	}
	set(&c.Profile, p.Profile)
	set(&c.DeleteMode, p.DeleteMode)
	set(&c.MatchingAttribute, p.MatchingAttribute)
	if err := c.check(); err != nil {
		return SCIMConnection{}, err
	}
	if p.Status != nil {
		switch {
		case *p.Status == SCIMPaused:
			c.Status = SCIMPaused
		case *p.Status == SCIMLinked && before.Status == SCIMPaused && before.LastRequestAt.IsZero():
			c.Status = SCIMPending
		case *p.Status == SCIMLinked && before.Status == SCIMPaused:
			c.Status = SCIMLinked
		case *p.Status != before.Status:
			return SCIMConnection{}, invalid("invalid_status", "Choose paused, or linked to resume a paused connection.", "status")
		}
	}
	if _, err := q.Exec(ctx, sqlUpdateSCIMConnection, tenant, c.ID, c.Name, c.Profile, c.Status, c.DeleteMode, c.MatchingAttribute, db.At(now)); err != nil {
		return SCIMConnection{}, err
	}
	changes := map[string]audit.Change{}
	changed(changes, "name", before.Name, c.Name)
	changed(changes, "profile", before.Profile, c.Profile)
	changed(changes, "status", before.Status, c.Status)
	changed(changes, "delete_mode", before.DeleteMode, c.DeleteMode)
	changed(changes, "matching_attribute", before.MatchingAttribute, c.MatchingAttribute)
	c.Version, c.UpdatedAt = c.Version+1, now
	return c, s.record(ctx, a, q, tenant, "scim_connection.updated", scimTarget(c), changes)
}

// DeleteSCIMConnection removes a connection, its tokens and what it stored. The
// caller has decided before what becomes of the people and groups that it
// provisioned (product 2.6).
func (s *Service) DeleteSCIMConnection(ctx context.Context, a actor.Actor, q db.Queryer, tenant, connectionID string) error {
	c, err := s.SCIMConnection(ctx, q, tenant, connectionID)
	if err != nil {
		return err
	}
	err = q.Batch(ctx, []db.Stmt{
		{SQL: sqlDeleteLocator, Args: []any{tenant, "connection", c.ID, c.ID}},
		{SQL: sqlDeleteSCIMConnection, Args: []any{tenant, c.ID}},
	})
	if err != nil {
		return err
	}
	s.forget(c.ID)
	return s.record(ctx, a, q, tenant, "scim_connection.deleted", scimTarget(c), nil)
}

// AddSCIMToken makes another token of a connection and gives its secret, which
// is shown once. lifetime 0: it does not expire.
func (s *Service) AddSCIMToken(ctx context.Context, a actor.Actor, q db.Queryer, tenant, connectionID, name string, lifetime time.Duration) (SCIMToken, string, error) {
	if name == "" {
		name = "token"
	}
	name, err := checkName(name, "name")
	if err != nil {
		return SCIMToken{}, "", err
	}
	if lifetime < 0 || lifetime > maxTokenLifetime {
		return SCIMToken{}, "", invalid("invalid_expiry", "Choose 1 to 3650 days, or none.", "expires_in_days")
	}
	if _, err := s.SCIMConnection(ctx, q, tenant, connectionID); err != nil {
		return SCIMToken{}, "", err
	}
	n, err := count(ctx, q, sqlCountSCIMTokens, tenant, connectionID)
	if err != nil {
		return SCIMToken{}, "", err
	}
	if n >= MaxSCIMTokens {
		return SCIMToken{}, "", tooMany("10 tokens of a connection")
	}
	now := s.clock.Now()
	t := SCIMToken{ID: id.New(id.Token), Connection: connectionID, Name: name, CreatedAt: now}
	if lifetime > 0 {
		t.ExpiresAt = now.Add(lifetime)
	}
	plain := secret.New(secret.SCIMToken, t.ID)
	t.Last4 = plain[len(plain)-4:]
	if _, err := q.Exec(ctx, sqlInsertSCIMToken, tenant, t.ID, connectionID, t.Name, secret.Hash(plain), t.Last4, db.At(t.ExpiresAt), db.At(now)); err != nil {
		return SCIMToken{}, "", err
	}
	return t, plain, s.record(ctx, a, q, tenant, "scim_token.created", audit.Target{Type: "scim_token", ID: t.ID, Name: t.Name}, nil)
}

// SCIMTokens lists the tokens of a connection.
func (s *Service) SCIMTokens(ctx context.Context, q db.Queryer, tenant, connectionID string) ([]SCIMToken, error) {
	rows, err := q.Query(ctx, sqlSCIMTokens, tenant, connectionID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []SCIMToken
	for rows.Next() {
		var t SCIMToken
		var expires, used, created db.Time
		if err := rows.Scan(&t.ID, &t.Connection, &t.Name, &t.Last4, &expires, &used, &created); err != nil {
			return nil, err
		}
		t.ExpiresAt, t.LastUsedAt, t.CreatedAt = expires.Time, used.Time, created.Time
		list = append(list, t)
	}
	return list, rows.Err()
}

// DeleteSCIMToken revokes a token at once.
func (s *Service) DeleteSCIMToken(ctx context.Context, a actor.Actor, q db.Queryer, tenant, connectionID, tokenID string) error {
	n, err := q.Exec(ctx, sqlDeleteSCIMToken, tenant, connectionID, tokenID)
	if err != nil {
		return err
	}
	if n == 0 {
		return ErrTokenNotFound
	}
	return s.record(ctx, a, q, tenant, "scim_token.deleted", audit.Target{Type: "scim_token", ID: tokenID}, nil)
}

// Why a credential is refused: for the log of the connection's own tenant, never
// for who shows it.
var (
	errNotSCIMToken = errors.New("the credential is not a token of a SCIM connection, or was not copied whole")
	errNoSCIMToken  = errors.New("the token is of another connection, or was revoked")
	errOldSCIMToken = errors.New("the token has expired")
)

// Authenticate checks a bearer token against the connection that the request
// names, in one statement: a token of the connection, or an access token of one
// of its clients. It gives the id of the token or client. Last use is written at
// most once in five minutes. Every wrong, expired, revoked or foreign token is
// the same fault of kind Unauthenticated, whose cause says which; a paused
// connection or suspended tenant is Forbidden, told only to who shows a good token.
func (s *Service) Authenticate(ctx context.Context, q db.Queryer, connectionID, bearer string) (c SCIMConnection, credential string, err error) {
	statement, used := sqlAuthenticateSCIM, sqlUsedSCIMToken
	raw, ok := secret.Parse(secret.SCIMToken, bearer)
	credential = id.Token + "_" + raw
	holds := func(hash string) bool { return secret.Equal(hash, bearer) }
	if !ok {
		statement, used = sqlAuthenticateSCIMClient, sqlUsedSCIMClient
		if credential, err = s.openAccessToken(connectionID, bearer); err != nil {
			return SCIMConnection{}, "", errBadToken.Because(err)
		}
		holds = func(hash string) bool { return hash != "" } // the client is still there
	}
	if !id.Valid(id.Directory, connectionID) {
		return SCIMConnection{}, "", errBadToken
	}
	c, at, err := s.admit(ctx, q, statement, connectionID, credential, holds)
	if err != nil {
		return SCIMConnection{}, "", err
	}
	if now := s.clock.Now(); at.IsZero() || now.Sub(at) >= lastUsedEvery {
		err = q.Batch(ctx, []db.Stmt{
			{SQL: used, Args: []any{c.Tenant, credential, db.At(now)}},
			{SQL: sqlUsedSCIMConnection, Args: []any{c.Tenant, c.ID, db.At(now)}},
		})
		if err != nil {
			return SCIMConnection{}, "", err
		}
	}
	return c, credential, nil
}

// admit finds a connection by one of its credentials, of which holds checks the
// hash: empty when there is no such credential. It gives the time of last use.
func (s *Service) admit(ctx context.Context, q db.Queryer, statement, connectionID, credential string, holds func(hash string) bool) (SCIMConnection, time.Time, error) {
	var status, hash string
	var expires, used db.Time
	c, err := scanSCIM(q.QueryRow(ctx, statement, connectionID, credential), &status, &hash, &expires, &used)
	switch {
	case errors.Is(err, ErrConnectionNotFound):
		return SCIMConnection{}, time.Time{}, errBadToken
	case err != nil:
		return SCIMConnection{}, time.Time{}, err
	case !holds(hash):
		return SCIMConnection{}, time.Time{}, errBadToken.Because(errNoSCIMToken)
	case !expires.IsZero() && !s.clock.Now().Before(expires.Time):
		return SCIMConnection{}, time.Time{}, errBadToken.Because(errOldSCIMToken)
	case status != StatusActive:
		return SCIMConnection{}, time.Time{}, errSuspended
	case c.Status == SCIMPaused:
		return SCIMConnection{}, time.Time{}, errPaused
	}
	return c, used.Time, nil
}

func (c SCIMConnection) check() error {
	if err := checkProfile(c.Profile); err != nil {
		return err
	}
	if err := checkDeleteMode(c.DeleteMode); err != nil {
		return err
	}
	if len(c.MatchingAttribute) > maxName || hasControl(c.MatchingAttribute) {
		return invalid("invalid_attribute", "The attribute path is longer than 200 bytes.", "matching_attribute")
	}
	return nil
}

func scimTarget(c SCIMConnection) audit.Target {
	return audit.Target{Type: "scim_connection", ID: c.ID, Name: c.Name}
}

func scanSCIM(r db.Row, more ...any) (SCIMConnection, error) {
	var c SCIMConnection
	var request, created, updated db.Time
	err := r.Scan(append([]any{
		&c.ID, &c.Tenant, &c.Environment, &c.Name, &c.Profile, &c.Status, &c.DeleteMode, &c.MatchingAttribute, &c.SchemaVersion,
		&request, &c.Version, &created, &updated,
	}, more...)...)
	if errors.Is(err, db.ErrNotFound) {
		return SCIMConnection{}, ErrConnectionNotFound
	}
	c.LastRequestAt, c.CreatedAt, c.UpdatedAt = request.Time, created.Time, updated.Time
	return c, err
}
