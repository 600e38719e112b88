package tenants

import (
	"context"
	"errors"
	"hash/fnv"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// How often metadata is read.
const (
	refreshEvery   = 24 * time.Hour // ±10 %, so that connections of one provider do not ask it together
	refreshSoonest = time.Hour
	refreshLease   = 10 * time.Minute // for a replica that died over it
	unknownKeyRest = 10 * time.Minute
	// failingFor is how long a refresh fails before somebody is told.
	failingFor = 7 * 24 * time.Hour
)

// Codes that a refresh leaves in Metadata.Error beside those of what it read.
const (
	CodeEntityChanged  = "METADATA_ENTITY_CHANGED"
	CodeAddressChanged = "METADATA_ADDRESS_CHANGED"
)

// ErrEntityChanged says that the metadata describes another identity provider.
// Trusting that one is for somebody to decide, never for a refresh.
var ErrEntityChanged = fault.New(fault.Conflict, CodeEntityChanged, "The metadata describes another identity provider than before. If that is meant, load it as new settings.").In("idp_metadata_url")

var errTooManyKeys = fault.New(fault.Invalid, "METADATA_TOO_MANY_KEYS", "With those given by hand the metadata holds more than 16 signing keys.").In("idp_metadata_url")

// Endpoint is an address that metadata names.
type Endpoint struct {
	Binding     string // BindingRedirect or BindingPOST
	Location    string
	ResponseURL string // where answers go, if elsewhere; single logout only
}

// MetadataDocument is what an address answered, read but not believed.
type MetadataDocument struct {
	URL         string // that was asked
	NotModified bool   // it is still what ETag says; nothing below is set
	ETag        string
	// SignedBy is the fingerprint of the connection's key that signed the
	// document; empty: none did.
	SignedBy string
	// Settings has the entity ID, the keys and the addresses that would be chosen.
	Settings SAMLSettings
	// SSO and SLO are all usable addresses. Without SSO the addresses are left to
	// the next refresh, which is then due at once.
	SSO, SLO []Endpoint
	// ReadAgain is when the document wants to be read again at the latest (SAML
	// metadata §2.3.2, cacheDuration and validUntil); zero: it does not say.
	ReadAgain time.Time
}

// MetadataChange is what a document changed at a connection.
type MetadataChange struct {
	Trusted, Pending, Removed []StoredIdPKey
	// Held says that, for the first time, addresses changed that the document is
	// not trusted to change.
	Held bool
	// Settings says that addresses of the connection changed.
	Settings bool
}

// Keys reports whether other keys are trusted now.
func (c MetadataChange) Keys() bool { return len(c.Trusted)+len(c.Removed) > 0 }

// DueMetadata is metadata to be read again.
type DueMetadata struct {
	Environment, Tenant, Connection string
	Metadata
}

// DueMetadata lists what is due after the cursor, the longest due first, at most
// limit. It goes over all tenants.
func (s *Service) DueMetadata(ctx context.Context, q db.Queryer, after DueMetadata, limit int) ([]DueMetadata, error) {
	rows, err := q.Query(ctx, sqlMetadataDue, db.At(s.clock.Now()), after.NextAt.UnixMicro(), after.Connection, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []DueMetadata
	for rows.Next() {
		var d DueMetadata
		if d.Metadata, err = scanMetadata(rows, &d.Environment, &d.Tenant, &d.Connection); err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, rows.Err()
}

// ClaimMetadata takes a refresh for this replica, for 10 minutes; false: somebody
// else has it, or the address changed.
func (s *Service) ClaimMetadata(ctx context.Context, q db.Queryer, d DueMetadata) (bool, error) {
	n, err := q.Exec(ctx, sqlClaimMetadata, d.Tenant, d.Connection, db.At(s.clock.Now().Add(refreshLease)), db.At(d.NextAt), d.URL)
	return n == 1, err
}

// AskMetadata takes the refresh that an unknown key asks for: one in 10 minutes
// and connection over all replicas, whoever sends how many keys (sso 2.1).
func (s *Service) AskMetadata(ctx context.Context, q db.Queryer, tenant, connection string) (bool, error) {
	now := s.clock.Now()
	n, err := q.Exec(ctx, sqlAskMetadata, tenant, connection, db.At(now), db.At(now.Add(-unknownKeyRest)))
	return n == 1, err
}

// ApplyMetadata takes over what a connection's address answered (sso 2.1). From
// the trusted host, or signed by a trusted key, new keys are trusted at once, keys
// that came by metadata and left it are forgotten, and addresses follow; otherwise
// new keys wait for approval, and nothing else happens. A signature makes the
// document trusted, not its host: a signed document can be kept and served by
// anybody, who would then serve another. Keys given by hand stay; a
// key that the first document after SetMetadataURL has is the metadata's from then on.
//
// Faults: ErrEntityChanged, METADATA_TOO_MANY_KEYS, invalid_url, connection_not_found.
func (s *Service) ApplyMetadata(ctx context.Context, a actor.Actor, q db.Queryer, tenant, connection string, d MetadataDocument) (MetadataChange, error) {
	var out MetadataChange
	c, m, err := s.lockedMetadata(ctx, q, tenant, connection)
	if err != nil || c.SAML == nil || m.URL != d.URL { // the address changed meanwhile
		return out, err
	}
	now := s.clock.Now()
	if d.NotModified {
		return out, s.metadataRead(ctx, q, c, m, d, "", now)
	}
	if d.Settings.IdPEntityID != c.SAML.IdPEntityID {
		return out, ErrEntityChanged
	}
	trusted := m.trusted(s.options.AllowHTTP) || slices.ContainsFunc(c.SAML.Keys, func(k IdPKey) bool { return k.SPKI == d.SignedBy })
	if err := s.applyKeys(ctx, q, c, m, d, trusted, &out); err != nil {
		return MetadataChange{}, err
	}
	code, err := s.applyAddresses(ctx, a, q, c, d, trusted, &out)
	if err != nil {
		return MetadataChange{}, err
	}
	if code != "" {
		d.ETag = "" // it has to be read in full until somebody decides
		out.Held = m.Error != code
	}
	if err := s.metadataRead(ctx, q, c, m, d, code, now); err != nil {
		return MetadataChange{}, err
	}
	return out, s.recordMetadata(ctx, a, q, c, m, out)
}

func (s *Service) metadataRead(ctx context.Context, q db.Queryer, c SSOConnection, m Metadata, d MetadataDocument, code string, now time.Time) error {
	next := now.Add(jittered(c.ID, refreshEvery))
	if !d.ReadAgain.IsZero() && d.ReadAgain.Before(next) {
		next = d.ReadAgain
		if soonest := now.Add(refreshSoonest); next.Before(soonest) {
			next = soonest
		}
	}
	if !d.NotModified && len(d.SSO) == 0 { // only part of the document was given: the next refresh reads the whole
		d.ETag, next = "", now
	}
	_, err := q.Exec(ctx, sqlMetadataRead, c.Tenant, c.ID, d.ETag, db.At(now), db.At(next), code)
	return err
}

func (s *Service) applyKeys(ctx context.Context, q db.Queryer, c SSOConnection, m Metadata, d MetadataDocument, trusted bool, out *MetadataChange) error {
	stored, err := s.IdPKeys(ctx, q, c.Tenant, c.ID)
	if err != nil {
		return err
	}
	var stmts []db.Stmt
	left := len(d.Settings.Keys)
	for _, k := range stored {
		i := slices.IndexFunc(d.Settings.Keys, func(n IdPKey) bool { return n.SPKI == k.SPKI })
		gone := i < 0 && k.Source == SourceMetadata && (trusted || k.Status == KeyPending)
		switch {
		case gone:
			stmts = append(stmts, db.Stmt{SQL: sqlDeleteIdPKey, Args: []any{c.Tenant, c.ID, k.SPKI}})
			if k.Status == KeyTrusted {
				out.Removed = append(out.Removed, k)
			}
		case i < 0:
			left++
		case trusted:
			was := k
			if m.FetchedAt.IsZero() {
				k.Source = SourceMetadata
			}
			k.Status = KeyTrusted
			if n := d.Settings.Keys[i]; !n.NotAfter.Equal(k.NotAfter) { // the same key in a new certificate
				k.IdPKey = n
			}
			if k != was {
				stmts = append(stmts, k.set(c.Tenant, c.ID))
			}
			if was.Status == KeyPending {
				out.Trusted = append(out.Trusted, k)
			}
		}
	}
	if left > maxIdPKeys {
		return errTooManyKeys
	}
	for _, n := range d.Settings.Keys {
		if slices.ContainsFunc(stored, func(k StoredIdPKey) bool { return k.SPKI == n.SPKI }) {
			continue
		}
		k := StoredIdPKey{IdPKey: n, Status: KeyPending, Source: SourceMetadata, CreatedAt: s.clock.Now()}
		if trusted {
			k.Status = KeyTrusted
			out.Trusted = append(out.Trusted, k)
		} else {
			out.Pending = append(out.Pending, k)
		}
		stmts = append(stmts, db.Stmt{SQL: sqlAddIdPKey, Args: []any{c.Tenant, c.ID, k.SPKI, k.CertificatePEM, db.At(k.NotAfter), k.Status, db.At(k.CreatedAt)}})
	}
	return q.Batch(ctx, stmts)
}

// applyAddresses follows the metadata where it no longer has the connection's
// addresses; the code says why it did not.
func (s *Service) applyAddresses(ctx context.Context, a actor.Actor, q db.Queryer, c SSOConnection, d MetadataDocument, trusted bool, out *MetadataChange) (code string, err error) {
	before, settings := c, *c.SAML
	if e, ok := moved(d.SSO, Endpoint{Binding: settings.SSOBinding, Location: settings.SSOURL}); ok {
		settings.SSOBinding, settings.SSOURL = e.Binding, e.Location
	}
	slo := slices.DeleteFunc(slices.Clone(d.SLO), func(e Endpoint) bool {
		return !s.fetchable(e.Location) || e.ResponseURL != "" && !s.fetchable(e.ResponseURL)
	})
	if e, ok := moved(slo, Endpoint{settings.SLOBinding, settings.SLOURL, settings.SLOResponseURL}); ok && settings.SLOURL != "" {
		settings.SLOBinding, settings.SLOURL, settings.SLOResponseURL = e.Binding, e.Location, e.ResponseURL
	}
	if settings.SSOURL == before.SAML.SSOURL && settings.SSOBinding == before.SAML.SSOBinding && settings.SLOURL == before.SAML.SLOURL &&
		settings.SLOBinding == before.SAML.SLOBinding && settings.SLOResponseURL == before.SAML.SLOResponseURL {
		return "", nil
	}
	if !trusted {
		return CodeAddressChanged, nil
	}
	c.SAML = &settings
	if err := s.checkSSO(&c); err != nil {
		return "", err
	}
	text, err := c.settings()
	if err != nil {
		return "", err
	}
	if _, err := q.Exec(ctx, sqlUpdateSSOSettings, c.Tenant, c.ID, text, db.At(s.clock.Now())); err != nil {
		return "", err
	}
	out.Settings = true
	changes := ssoChanges(before, c)
	changed(changes, "saml.sso_binding", before.SAML.SSOBinding, settings.SSOBinding)
	changed(changes, "saml.slo_url", before.SAML.SLOURL, settings.SLOURL)
	changed(changes, "saml.slo_response_url", before.SAML.SLOResponseURL, settings.SLOResponseURL)
	return "", s.record(ctx, a, q, c.Tenant, "sso_connection.updated", ssoTarget(c), changes)
}

// moved gives the address to use instead of the one in use, when metadata no
// longer has that: one of the same binding before another.
func moved(offered []Endpoint, used Endpoint) (Endpoint, bool) {
	if used.Binding == "" {
		used.Binding = BindingRedirect
	}
	if len(offered) == 0 || slices.Contains(offered, used) {
		return used, false
	}
	if i := slices.IndexFunc(offered, func(e Endpoint) bool { return e.Binding == used.Binding }); i >= 0 {
		return offered[i], true
	}
	return offered[0], true
}

func (s *Service) recordMetadata(ctx context.Context, a actor.Actor, q db.Queryer, c SSOConnection, m Metadata, out MetadataChange) error {
	for _, part := range []struct {
		action string
		keys   []StoredIdPKey
	}{{"sso_idp_key.trusted", out.Trusted}, {"sso_idp_key.pending", out.Pending}, {"sso_idp_key.removed", out.Removed}} {
		for _, k := range part.keys {
			if err := s.recordKey(ctx, a, q, c, part.action, k, m); err != nil {
				return err
			}
		}
	}
	if !out.Held {
		return nil
	}
	return s.recordFailing(ctx, a, q, c, m, CodeAddressChanged)
}

// FailMetadata notes that a refresh failed and when to try again: after an hour,
// doubling to a day. What is trusted stays as it is. It reports true once, when
// the address has not answered well for 7 days. d is as it was before the try.
func (s *Service) FailMetadata(ctx context.Context, a actor.Actor, q db.Queryer, d DueMetadata, code string) (alarm bool, err error) {
	now := s.clock.Now()
	wait := refreshEvery
	if d.Failures < 5 {
		wait = min(refreshEvery, refreshSoonest<<d.Failures)
	}
	n, err := q.Exec(ctx, sqlMetadataFailed, d.Tenant, d.Connection, db.At(now), db.At(now.Add(jittered(d.Connection, wait))), code, d.URL)
	if err != nil || n == 0 || d.FetchedAt.IsZero() {
		return false, err
	}
	since := d.FetchedAt.Add(failingFor)
	if now.Before(since) || !d.TriedAt.Before(since) {
		return false, nil
	}
	c, err := s.SSOConnection(ctx, q, d.Tenant, d.Connection)
	if errors.Is(err, ErrConnectionNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, s.recordFailing(ctx, a, q, c, d.Metadata, code)
}

func (s *Service) recordFailing(ctx context.Context, a actor.Actor, q db.Queryer, c SSOConnection, m Metadata, code string) error {
	return audit.Record(ctx, q, audit.Event{
		Environment: c.Environment, Tenant: c.Tenant, Action: "sso_metadata.failing", Actor: a, Connection: c.ID, At: s.clock.Now(),
		Targets:  []audit.Target{ssoTarget(c)},
		Metadata: map[string]any{"code": code, "metadata_url": m.URL, "fetched_at": m.FetchedAt.UTC().Format(time.RFC3339)},
	})
}

// jittered spreads a wait by ±10 %, always the same way for one connection.
func jittered(connection string, wait time.Duration) time.Duration {
	h := fnv.New32a()
	h.Write([]byte(connection)) // never fails
	return wait + time.Duration((float64(h.Sum32())/(1<<32)-0.5)*0.2*float64(wait))
}
