package tenants

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Statuses of an identity provider's key.
const (
	KeyTrusted = "trusted"
	// KeyPending is a key that metadata brought and somebody has to approve.
	KeyPending = "pending"
)

// Sources of an identity provider's key.
const (
	SourceManual = "manual"
	// SourceMetadata is a key that leaves when the metadata no longer has it.
	SourceMetadata = "metadata"
)

// ErrKeyNotFound says that the connection has no such key.
var ErrKeyNotFound = fault.New(fault.NotFound, "key_not_found", "There is no such key.")

var errLastKey = fault.New(fault.Conflict, "last_key", "This is the last trusted key of the connection. Add the next one before removing it.")

// Metadata is what is known of an identity provider's metadata at its address.
// The zero value is that of a connection without one.
type Metadata struct {
	URL string
	// TrustedHost is the host, with its port where the address names one, whose
	// metadata brings keys and addresses into use without anybody's approval.
	TrustedHost string
	ETag        string
	Error       string    // code of the last failure, METADATA_…; empty: the last refresh went well
	FetchedAt   time.Time // when it last answered well
	TriedAt     time.Time
	NextAt      time.Time
	// AskedAt is when an unknown key last had it read.
	AskedAt  time.Time
	Failures int64 // since it last answered well
}

// trusted reports whether the address is the one that was agreed on: https, and
// on the trusted host (sso 2.1). With allowHTTP plain http is enough.
func (m Metadata) trusted(allowHTTP bool) bool {
	return m.TrustedHost != "" && hostOfURL(m.URL) == m.TrustedHost && (allowHTTP || strings.HasPrefix(m.URL, "https://"))
}

func hostOfURL(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Host)
}

// StoredIdPKey is a key of an identity provider with what is known about it.
type StoredIdPKey struct {
	IdPKey
	Status    string // KeyTrusted or KeyPending
	Source    string // SourceManual or SourceMetadata
	CreatedAt time.Time
}

// Metadata tells what is known of the metadata of a connection; the zero value
// when it has no address.
func (s *Service) Metadata(ctx context.Context, q db.Queryer, tenant, connection string) (Metadata, error) {
	m, err := scanMetadata(q.QueryRow(ctx, sqlMetadata, tenant, connection))
	if errors.Is(err, db.ErrNotFound) {
		return Metadata{}, nil
	}
	return m, err
}

// SetMetadataURL has a SAML connection follow the metadata at the address; the
// empty address ends that. The next refresh is due at once, so the caller that
// has read the document already hands it to ApplyMetadata.
//
// The host of the first address is trusted. While the connection is in use,
// another host is trusted only when an actor above tenants names it, or somebody
// approves a key of it; until then only those of its documents are taken over that
// a trusted key signed.
//
// Faults: invalid_url, invalid_type, connection_not_found.
func (s *Service) SetMetadataURL(ctx context.Context, a actor.Actor, q db.Queryer, tenant, connection, address string) error {
	c, before, err := s.lockedMetadata(ctx, q, tenant, connection)
	if err != nil {
		return err
	}
	if c.Type != SAML {
		return invalid("invalid_type", "Only SAML connections have metadata.", "idp_metadata_url")
	}
	now := s.clock.Now()
	if address == "" {
		if before.URL == "" {
			return nil
		}
		_, err = q.Exec(ctx, sqlDeleteMetadata, tenant, connection)
	} else {
		if !s.fetchable(address) {
			return invalid("invalid_url", "Give the https address of the identity provider's metadata.", "idp_metadata_url")
		}
		host := before.TrustedHost
		if host == "" || a.Tenant == "" || c.Status != SSOActive {
			host = hostOfURL(address)
		}
		_, err = q.Exec(ctx, sqlPutMetadata, tenant, connection, address, host, db.At(now))
	}
	if err != nil || before.URL == address {
		return err
	}
	return s.record(ctx, a, q, tenant, "sso_connection.updated", ssoTarget(c), map[string]audit.Change{"saml.metadata_url": {From: before.URL, To: address}})
}

// IdPKeys lists the keys of a connection's identity provider, trusted and
// pending, in the order in which they came.
func (s *Service) IdPKeys(ctx context.Context, q db.Queryer, tenant, connection string) ([]StoredIdPKey, error) {
	rows, err := q.Query(ctx, sqlIdPKeys, tenant, connection)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []StoredIdPKey
	for rows.Next() {
		var k StoredIdPKey
		var notAfter, created db.Time
		if err := rows.Scan(&k.SPKI, &k.CertificatePEM, &notAfter, &k.Status, &k.Source, &created); err != nil {
			return nil, err
		}
		k.NotAfter, k.CreatedAt = notAfter.Time, created.Time
		list = append(list, k)
	}
	return list, rows.Err()
}

// ApproveIdPKey trusts a pending key, and the host that its metadata came from.
// Approving a trusted key changes nothing.
//
// Faults: connection_not_found, ErrKeyNotFound, too_many (16 trusted keys).
func (s *Service) ApproveIdPKey(ctx context.Context, a actor.Actor, q db.Queryer, tenant, connection, spki string) error {
	c, m, err := s.lockedMetadata(ctx, q, tenant, connection)
	if err != nil {
		return err
	}
	k, err := s.idpKey(ctx, q, tenant, connection, spki)
	if err != nil || k.Status == KeyTrusted {
		return err
	}
	if c.SAML != nil && len(c.SAML.Keys) >= maxIdPKeys {
		return tooMany("16 trusted keys")
	}
	k.Status = KeyTrusted
	stmts := []db.Stmt{k.set(tenant, connection)}
	if m.URL != "" { // what was held back comes with the next refresh
		stmts = append(stmts, db.Stmt{SQL: sqlTrustMetadata, Args: []any{tenant, connection, hostOfURL(m.URL), db.At(s.clock.Now())}})
	}
	if err := q.Batch(ctx, stmts); err != nil {
		return err
	}
	return s.recordKey(ctx, a, q, c, "sso_idp_key.trusted", k, m)
}

// RemoveIdPKey forgets a key. A key that the metadata still has comes back with
// the next refresh that reads it.
//
// Faults: connection_not_found, ErrKeyNotFound, last_key.
func (s *Service) RemoveIdPKey(ctx context.Context, a actor.Actor, q db.Queryer, tenant, connection, spki string) error {
	c, m, err := s.lockedMetadata(ctx, q, tenant, connection)
	if err != nil {
		return err
	}
	k, err := s.idpKey(ctx, q, tenant, connection, spki)
	if err != nil {
		return err
	}
	if k.Status == KeyTrusted && c.SAML != nil && len(c.SAML.Keys) == 1 {
		return errLastKey
	}
	if _, err := q.Exec(ctx, sqlDeleteIdPKey, tenant, connection, spki); err != nil {
		return err
	}
	return s.recordKey(ctx, a, q, c, "sso_idp_key.removed", k, m)
}

func (s *Service) idpKey(ctx context.Context, q db.Queryer, tenant, connection, spki string) (StoredIdPKey, error) {
	list, err := s.IdPKeys(ctx, q, tenant, connection)
	if err != nil {
		return StoredIdPKey{}, err
	}
	for _, k := range list {
		if k.SPKI == spki {
			return k, nil
		}
	}
	return StoredIdPKey{}, ErrKeyNotFound
}

// lockedMetadata reads a connection and its metadata, and makes other changes of
// them wait.
func (s *Service) lockedMetadata(ctx context.Context, q db.Queryer, tenant, connection string) (SSOConnection, Metadata, error) {
	if err := s.lockSSO(ctx, q, tenant, connection); err != nil {
		return SSOConnection{}, Metadata{}, err
	}
	c, err := s.SSOConnection(ctx, q, tenant, connection)
	if err != nil {
		return c, Metadata{}, err
	}
	m, err := s.Metadata(ctx, q, tenant, connection)
	return c, m, err
}

func (k StoredIdPKey) set(tenant, connection string) db.Stmt {
	return db.Stmt{SQL: sqlSetIdPKey, Args: []any{tenant, connection, k.SPKI, k.CertificatePEM, db.At(k.NotAfter), k.Status, k.Source}}
}

func (s *Service) recordKey(ctx context.Context, a actor.Actor, q db.Queryer, c SSOConnection, action string, k StoredIdPKey, m Metadata) error {
	return audit.Record(ctx, q, audit.Event{
		Environment: c.Environment, Tenant: c.Tenant, Action: action, Actor: a, Connection: c.ID, At: s.clock.Now(),
		Targets:  []audit.Target{ssoTarget(c)},
		Metadata: map[string]any{"spki": k.SPKI, "source": k.Source, "not_after": k.NotAfter.UTC().Format(time.RFC3339), "metadata_url": m.URL},
	})
}

func scanMetadata(r db.Row, more ...any) (Metadata, error) {
	var m Metadata
	var fetched, tried, next, asked db.Time
	err := r.Scan(append(more, &m.URL, &m.TrustedHost, &m.ETag, &fetched, &tried, &next, &asked, &m.Failures, &m.Error)...)
	m.FetchedAt, m.TriedAt, m.NextAt, m.AskedAt = fetched.Time, tried.Time, next.Time, asked.Time
	return m, err
}
