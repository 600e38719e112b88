package tenants

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/keys"
)

// SCIMClient is an OAuth 2 client of a SCIM connection, which gets short-lived
// bearer tokens for its secret (RFC 6749 §4.4). Several live at once, so that
// they rotate without a gap.
type SCIMClient struct {
	ID         string // the client_id
	Connection string
	Name       string
	Last4      string
	LastUsedAt time.Time // coarse: 5 minutes
	CreatedAt  time.Time
}

// Limits of clients.
const (
	MaxSCIMClients    = 10        // of a connection
	SCIMTokenLifetime = time.Hour // of an access token
)

var errBadClient = fault.New(fault.Unauthenticated, "invalid_client", "The client is unknown or did not authenticate.")

// AddSCIMClient makes another client of a connection and gives its secret, which
// is shown once.
func (s *Service) AddSCIMClient(ctx context.Context, a actor.Actor, q db.Queryer, tenant, connectionID, name string) (SCIMClient, string, error) {
	if name == "" {
		name = "client"
	}
	name, err := checkName(name, "name")
	if err != nil {
		return SCIMClient{}, "", err
	}
	if _, err := s.SCIMConnection(ctx, q, tenant, connectionID); err != nil {
		return SCIMClient{}, "", err
	}
	n, err := count(ctx, q, sqlCountSCIMClients, tenant, connectionID)
	if err != nil {
		return SCIMClient{}, "", err
	}
	if n >= MaxSCIMClients {
		return SCIMClient{}, "", tooMany("10 clients of a connection")
	}
	c := SCIMClient{ID: id.New(id.Client), Connection: connectionID, Name: name, CreatedAt: s.clock.Now()}
	plain := secret.New(secret.SCIMClient, c.ID)
	c.Last4 = plain[len(plain)-4:]
	if _, err := q.Exec(ctx, sqlInsertSCIMClient, tenant, c.ID, connectionID, c.Name, secret.Hash(plain), c.Last4, db.At(c.CreatedAt)); err != nil {
		return SCIMClient{}, "", err
	}
	return c, plain, s.record(ctx, a, q, tenant, "scim_client.created", audit.Target{Type: "scim_client", ID: c.ID, Name: c.Name}, nil)
}

// SCIMClients lists the clients of a connection.
func (s *Service) SCIMClients(ctx context.Context, q db.Queryer, tenant, connectionID string) ([]SCIMClient, error) {
	rows, err := q.Query(ctx, sqlSCIMClients, tenant, connectionID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []SCIMClient
	for rows.Next() {
		var c SCIMClient
		var used, created db.Time
		if err := rows.Scan(&c.ID, &c.Connection, &c.Name, &c.Last4, &used, &created); err != nil {
			return nil, err
		}
		c.LastUsedAt, c.CreatedAt = used.Time, created.Time
		list = append(list, c)
	}
	return list, rows.Err()
}

// DeleteSCIMClient removes a client; its access tokens end at once.
func (s *Service) DeleteSCIMClient(ctx context.Context, a actor.Actor, q db.Queryer, tenant, connectionID, clientID string) error {
	n, err := q.Exec(ctx, sqlDeleteSCIMClient, tenant, connectionID, clientID)
	if err != nil {
		return err
	}
	if n == 0 {
		return ErrClientNotFound
	}
	return s.record(ctx, a, q, tenant, "scim_client.deleted", audit.Target{Type: "scim_client", ID: clientID}, nil)
}

// GrantSCIMToken gives a client of the connection an access token for
// SCIMTokenLifetime (RFC 6749 §4.4). A client that is unknown, of another
// connection, or without its secret is a fault of kind Unauthenticated; a paused
// connection or suspended tenant is Forbidden.
func (s *Service) GrantSCIMToken(ctx context.Context, q db.Queryer, connectionID, clientID, clientSecret string) (string, error) {
	raw, ok := secret.Parse(secret.SCIMClient, clientSecret)
	if !ok || clientID != id.Client+"_"+raw || !id.Valid(id.Directory, connectionID) {
		return "", errBadClient
	}
	_, _, err := s.admit(ctx, q, sqlAuthenticateSCIMClient, connectionID, clientID, func(hash string) bool { return secret.Equal(hash, clientSecret) })
	if fault.KindOf(err) == fault.Unauthenticated {
		return "", errBadClient
	}
	if err != nil {
		return "", err
	}
	expires := strconv.FormatInt(s.clock.Now().Add(SCIMTokenLifetime).Unix(), 10)
	return accessToken + raw + "_" + expires + "_" + s.vault.MAC("scim access token", connectionID, raw, expires), nil
}

// accessToken begins an access token: <prefix><client>_<unix seconds>_<MAC>. It
// is not stored, and holds as long as its client is there.
const accessToken = "gwa_"

// openAccessToken checks an access token of a connection and gives the client.
func (s *Service) openAccessToken(connectionID, bearer string) (clientID string, err error) {
	rest, ok := strings.CutPrefix(bearer, accessToken)
	parts := strings.SplitN(rest, "_", 3)
	if !ok || len(bearer) > 200 || len(parts) != 3 || !id.ValidRaw(parts[0]) {
		return "", errNotSCIMToken
	}
	if !keys.Equal(parts[2], s.vault.MAC("scim access token", connectionID, parts[0], parts[1])) {
		return "", errNoSCIMToken
	}
	at, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || s.clock.Now().Unix() >= at {
		return "", errOldSCIMToken
	}
	return id.Client + "_" + parts[0], nil
}
