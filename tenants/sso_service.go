package tenants

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/sessions"
)

const maxConnections = 100

var errNotTested = fault.New(fault.Conflict, "connection_not_tested", "Make a test login before switching the connection on.").In("status")

// ErrIncomplete refuses to use a draft of which nothing is known but its name.
var ErrIncomplete = fault.New(fault.Conflict, "idp_required", "Give the values of the identity provider first.").In("idp")

var errSecretOfIssuer = invalid("client_secret_required", "The issuer changed. Give the client secret that the new provider issued.", "client_secret")

// ssoSettings is the settings column.
type ssoSettings struct {
	SAML    *SAMLSettings    `json:"saml,omitempty"`
	OIDC    *OIDCSettings    `json:"oidc,omitempty"`
	Mapping AttributeMapping `json:"mapping"`
}

// CreateSSOConnection adds a connection to a tenant. It begins as a draft; only
// an actor above tenants may switch it on at once.
func (s *Service) CreateSSOConnection(ctx context.Context, a actor.Actor, q db.Queryer, tenant string, in NewSSOConnection) (SSOConnection, error) {
	now := s.clock.Now()
	c := SSOConnection{
		ID: id.New(id.SSO), Tenant: tenant, Environment: a.Environment, Type: in.Type, Status: in.Status,
		SAML: in.SAML, OIDC: in.OIDC, Mapping: in.Mapping, JIT: in.JIT,
		AllowUnverifiedDomains: in.AllowUnverifiedDomains, TrustIdPMFA: in.TrustIdPMFA,
		Pairing: PairingAuto, Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	var err error
	if c.Name, err = checkName(in.Name, "name"); err != nil {
		return SSOConnection{}, err
	}
	switch c.Status {
	case "":
		c.Status = SSODraft
	case SSODraft:
	case SSOActive:
		if a.Tenant != "" {
			return SSOConnection{}, errNotTested
		}
	default:
		return SSOConnection{}, invalid("invalid_status", "A new connection is draft, or active when a management key makes it.", "status")
	}
	if err := s.checkSSO(&c); err != nil {
		return SSOConnection{}, err
	}
	n, err := count(ctx, q, sqlCountSSOConnections, tenant)
	if err != nil {
		return SSOConnection{}, err
	}
	if n >= maxConnections {
		return SSOConnection{}, tooMany("100 SSO connections")
	}
	if err := s.sealSecret(&c, in.ClientSecret); err != nil {
		return SSOConnection{}, err
	}
	if in.SCIMConnectionIDs != nil {
		c.Pairing, c.SCIMConnectionIDs = PairingChosen, in.SCIMConnectionIDs
	}
	settings, err := c.settings()
	if err != nil {
		return SSOConnection{}, err
	}
	stmts := []db.Stmt{
		{SQL: sqlInsertSSOConnection, Args: []any{tenant, c.ID, c.Environment, c.Type, c.Name, c.Status, settings, c.Secret, c.JIT, c.AllowUnverifiedDomains, c.TrustIdPMFA, c.Pairing, db.At(now)}},
		{SQL: sqlInsertLocator, Args: []any{tenant, "connection", c.ID, c.Environment, c.ID}},
	}
	stmts = append(stmts, c.keyStmts(now)...)
	if err := q.Batch(ctx, stmts); err != nil {
		return SSOConnection{}, err
	}
	if err := s.putPairs(ctx, q, c); err != nil {
		return SSOConnection{}, err
	}
	if c.NeedsKey() {
		if _, err := s.EnsureSPKey(ctx, a, q, tenant, c.ID); err != nil {
			return SSOConnection{}, err
		}
	}
	return c, s.record(ctx, a, q, tenant, "sso_connection.created", ssoTarget(c), nil)
}

// SSOConnection finds a connection of a tenant.
func (s *Service) SSOConnection(ctx context.Context, q db.Queryer, tenant, connectionID string) (SSOConnection, error) {
	list, err := s.readSSO(q.Query(ctx, sqlSSOConnection, tenant, connectionID))
	if err != nil {
		return SSOConnection{}, err
	}
	if len(list) == 0 {
		return SSOConnection{}, ErrConnectionNotFound
	}
	return list[0], s.fillPairs(ctx, q, tenant, list)
}

// SSOConnections lists a tenant's connections in the order of their creation.
func (s *Service) SSOConnections(ctx context.Context, q db.Queryer, tenant string) ([]SSOConnection, error) {
	list, err := s.readSSO(q.Query(ctx, sqlSSOConnections, tenant))
	if err != nil {
		return nil, err
	}
	return list, s.fillPairs(ctx, q, tenant, list)
}

// UpdateSSOConnection changes what the patch names. Disabling ends the sessions
// that came through the connection (identity rule 9). Another issuer, entity ID
// or set of keys is another provider: it has to be tested anew, and is not sent
// the secret of the one before. An active connection that an actor of the tenant
// leads to a stranger, who shares no key with the one before, is a draft again.
func (s *Service) UpdateSSOConnection(ctx context.Context, a actor.Actor, q db.Queryer, tenant, connectionID string, p SSOPatch) (SSOConnection, error) {
	if err := s.lockSSO(ctx, q, tenant, connectionID); err != nil {
		return SSOConnection{}, err
	}
	before, err := s.SSOConnection(ctx, q, tenant, connectionID)
	if err != nil {
		return SSOConnection{}, err
	}
	c, now := before, s.clock.Now()
	if p.Name != nil {
		if c.Name, err = checkName(*p.Name, "name"); err != nil {
			return SSOConnection{}, err
		}
	}
	if p.SAML != nil {
		c.SAML = p.SAML
	}
	if p.OIDC != nil {
		c.OIDC = p.OIDC
	}
	set(&c.Mapping, p.Mapping)
	set(&c.JIT, p.JIT)
	set(&c.AllowUnverifiedDomains, p.AllowUnverifiedDomains)
	set(&c.TrustIdPMFA, p.TrustIdPMFA)
	if p.AutoPairing {
		c.Pairing, c.SCIMConnectionIDs = PairingAuto, nil
	}
	if p.SCIMConnectionIDs != nil {
		c.Pairing, c.SCIMConnectionIDs = PairingChosen, *p.SCIMConnectionIDs
	}
	if err := s.checkSSO(&c); err != nil {
		return SSOConnection{}, err
	}
	other := otherProvider(before, c)
	if other { // what was tested, and who came, was another provider's
		c.LastTestOKAt, c.LastLoginAt = time.Time{}, time.Time{}
		if c.Status == SSOTested || c.Status == SSOActive && a.Tenant != "" && stranger(before, c) {
			c.Status = SSODraft
		}
	}
	if p.Status != nil {
		if c.Status, err = nextStatus(a, c, *p.Status); err != nil {
			return SSOConnection{}, err
		}
	}
	if c.Type == OIDC && c.OIDC.Issuer != before.OIDC.Issuer && c.Secret != "" && p.ClientSecret == nil {
		return SSOConnection{}, errSecretOfIssuer
	}
	if !c.keepsSecret() {
		c.Secret = ""
	}
	if p.ClientSecret != nil {
		if err := s.sealSecret(&c, *p.ClientSecret); err != nil {
			return SSOConnection{}, err
		}
	}
	settings, err := c.settings()
	if err != nil {
		return SSOConnection{}, err
	}
	stmts := []db.Stmt{{SQL: sqlUpdateSSOConnection, Args: []any{
		tenant, c.ID, c.Name, c.Status, settings, c.Secret, c.JIT, c.AllowUnverifiedDomains, c.TrustIdPMFA, c.Pairing, db.At(now), other,
	}}}
	if p.SAML != nil {
		if c.SAML.IdPEntityID != before.SAML.IdPEntityID { // what follows the provider before is not this one's
			stmts = append(stmts, db.Stmt{SQL: sqlDeleteMetadata, Args: []any{tenant, c.ID}}, db.Stmt{SQL: sqlDropPendingKeys, Args: []any{tenant, c.ID}})
		} else { // a refresh may have brought a key since the caller read those that it gives
			stmts = append(stmts, db.Stmt{SQL: sqlReadAgain, Args: []any{tenant, c.ID, db.At(now)}})
		}
		stmts = append(stmts, db.Stmt{SQL: sqlDeleteIdPKeys, Args: []any{tenant, c.ID, db.Set(c.SAML.fingerprints())}})
		stmts = append(stmts, c.keyStmts(now)...)
	}
	if err := q.Batch(ctx, stmts); err != nil {
		return SSOConnection{}, err
	}
	if p.SCIMConnectionIDs != nil || p.AutoPairing {
		if err := s.putPairs(ctx, q, c); err != nil {
			return SSOConnection{}, err
		}
	}
	if c.NeedsKey() && (p.SAML != nil || p.OIDC != nil) {
		if _, err := s.EnsureSPKey(ctx, a, q, tenant, c.ID); err != nil {
			return SSOConnection{}, err
		}
	}
	if before.Status == SSOActive && c.Status != SSOActive {
		if _, err := s.sessions.End(ctx, a, q, sessions.Selector{Environment: c.Environment, Tenant: tenant, Connection: c.ID}, "connection_disabled"); err != nil {
			return SSOConnection{}, err
		}
	}
	c.Version, c.UpdatedAt = c.Version+1, now
	return c, s.record(ctx, a, q, tenant, "sso_connection.updated", ssoTarget(c), ssoChanges(before, c))
}

// HoldSSOConnection makes other changes of a connection wait until the end of the
// transaction, for a caller that reads its settings to change some of them.
//
// Fault: connection_not_found.
func (s *Service) HoldSSOConnection(ctx context.Context, q db.Queryer, tenant, connectionID string) error {
	return s.lockSSO(ctx, q, tenant, connectionID)
}

// lockSSO waits for the logins under way through the connection, and makes
// further ones wait.
func (s *Service) lockSSO(ctx context.Context, q db.Queryer, tenant, connectionID string) error {
	var locked string
	err := q.QueryRow(ctx, sqlLockSSOConnection+q.Dialect().ForUpdate, tenant, connectionID).Scan(&locked)
	if errors.Is(err, db.ErrNotFound) {
		return ErrConnectionNotFound
	}
	return err
}

// DeleteSSOConnection removes a connection with its identities and their groups,
// and ends the sessions that came through it.
func (s *Service) DeleteSSOConnection(ctx context.Context, a actor.Actor, q db.Queryer, tenant, connectionID string) error {
	if err := s.lockSSO(ctx, q, tenant, connectionID); err != nil {
		return err
	}
	c, err := s.SSOConnection(ctx, q, tenant, connectionID)
	if err != nil {
		return err
	}
	if _, err := s.sessions.End(ctx, a, q, sessions.Selector{Environment: c.Environment, Tenant: tenant, Connection: c.ID}, "connection_deleted"); err != nil {
		return err
	}
	err = q.Batch(ctx, []db.Stmt{
		{SQL: sqlDeleteLocator, Args: []any{tenant, "connection", c.ID, c.ID}},
		{SQL: sqlDeleteSSOConnection, Args: []any{tenant, c.ID}},
	})
	if err != nil {
		return err
	}
	s.forget(c.ID)
	return s.record(ctx, a, q, tenant, "sso_connection.deleted", ssoTarget(c), nil)
}

// ClientSecret opens the OIDC client secret of a connection; empty when it has none.
func (s *Service) ClientSecret(c SSOConnection) (string, error) {
	if c.Secret == "" {
		return "", nil
	}
	plain, err := s.vault.Open("sso_connections", "secret", c.ID, c.Secret)
	return string(plain), err
}

// LoginStmt notes a login through the connection, at most once in five minutes.
func (s *Service) LoginStmt(tenant, connectionID string, at time.Time) db.Stmt {
	return db.Stmt{SQL: sqlLoginSSOConnection, Args: []any{tenant, connectionID, db.At(at), db.At(at.Add(-lastUsedEvery))}}
}

// TestedStmts note that a test login went well: a draft is then tested.
func (s *Service) TestedStmts(a actor.Actor, c SSOConnection, at time.Time, flowID string) ([]db.Stmt, error) {
	stmts, err := audit.Stmts(audit.Event{
		Environment: c.Environment, Tenant: c.Tenant, Action: "sso_connection.tested", Actor: a, Connection: c.ID, At: at,
		Targets: []audit.Target{ssoTarget(c)}, Metadata: map[string]any{"flow_id": flowID},
	})
	return append(stmts, db.Stmt{SQL: sqlTestedSSOConnection, Args: []any{c.Tenant, c.ID, db.At(at)}}), err
}

// otherProvider reports whether the connection trusts somebody else than before.
func otherProvider(before, after SSOConnection) bool {
	if after.Type == OIDC {
		return before.OIDC.Issuer != after.OIDC.Issuer
	}
	return before.SAML.IdPEntityID != after.SAML.IdPEntityID || !slices.Equal(before.SAML.fingerprints(), after.SAML.fingerprints())
}

// stranger reports whether nobody whom the connection trusted before is trusted
// by it now. A certificate that was added for a rollover makes no stranger.
func stranger(before, after SSOConnection) bool {
	if after.Type == OIDC {
		return before.OIDC.Issuer != after.OIDC.Issuer
	}
	return before.SAML.IdPEntityID != after.SAML.IdPEntityID ||
		!slices.ContainsFunc(after.SAML.fingerprints(), func(k string) bool { return slices.Contains(before.SAML.fingerprints(), k) })
}

// nextStatus decides on a change of status that somebody asks for. Draft and
// tested are reached by what happens, not by asking.
func nextStatus(a actor.Actor, c SSOConnection, to string) (string, error) {
	switch {
	case to == c.Status:
		return to, nil
	case to == SSODisabled:
		return to, nil
	case to == SSOActive && !c.Complete():
		return "", ErrIncomplete
	case to == SSOActive && (a.Tenant == "" || !c.LastTestOKAt.IsZero()):
		return to, nil
	case to == SSOActive:
		return "", errNotTested
	}
	return "", invalid("invalid_status", "Choose active or disabled.", "status")
}

func (s *Service) sealSecret(c *SSOConnection, plain string) error {
	c.Secret = ""
	if plain == "" {
		return nil
	}
	field := "client_secret"
	if c.Type == SAML {
		field = "graph_client_secret"
	}
	if len(plain) > maxSetting {
		return invalid("too_long", "The secret is longer than 2000 bytes.", field)
	}
	if !c.keepsSecret() {
		return invalid("invalid_field", "The connection has no client that a secret belongs to.", field)
	}
	var err error
	c.Secret, err = s.vault.Seal("sso_connections", "secret", c.ID, []byte(plain))
	return err
}

func (s *Service) putPairs(ctx context.Context, q db.Queryer, c SSOConnection) error {
	if _, err := q.Exec(ctx, sqlDeletePairs, c.Tenant, c.ID); err != nil {
		return err
	}
	if len(c.SCIMConnectionIDs) == 0 {
		return nil
	}
	ids := slices.Compact(slices.Sorted(slices.Values(c.SCIMConnectionIDs)))
	n, err := q.Exec(ctx, sqlInsertPairs, c.Tenant, c.ID, db.Set(ids))
	if err != nil {
		return err
	}
	if int(n) != len(ids) {
		return invalid("unknown_connection", "A SCIM connection is not one of this tenant.", "scim_connection_ids")
	}
	return nil
}

func (s *Service) fillPairs(ctx context.Context, q db.Queryer, tenant string, list []SSOConnection) error {
	if !slices.ContainsFunc(list, func(c SSOConnection) bool { return c.Pairing == PairingChosen }) {
		return nil
	}
	rows, err := q.Query(ctx, sqlPairs, tenant)
	if err != nil {
		return err
	}
	defer rows.Close()
	pairs := map[string][]string{}
	for rows.Next() {
		var sso, scim string
		if err := rows.Scan(&sso, &scim); err != nil {
			return err
		}
		pairs[sso] = append(pairs[sso], scim)
	}
	for i := range list {
		if list[i].Pairing == PairingChosen {
			list[i].SCIMConnectionIDs = pairs[list[i].ID]
		}
	}
	return rows.Err()
}

func (c SSOConnection) settings() (string, error) {
	text, err := json.Marshal(ssoSettings{SAML: c.SAML, OIDC: c.OIDC, Mapping: c.Mapping})
	return string(text), err
}

func (c SSOConnection) keyStmts(now time.Time) []db.Stmt {
	if c.SAML == nil {
		return nil
	}
	stmts := make([]db.Stmt, 0, len(c.SAML.Keys))
	for _, k := range c.SAML.Keys {
		stmts = append(stmts, db.Stmt{SQL: sqlInsertIdPKey, Args: []any{c.Tenant, c.ID, k.SPKI, k.CertificatePEM, db.At(k.NotAfter), db.At(now)}})
	}
	return stmts
}

// readSSO gathers connections from rows that repeat them for each of their keys.
func (s *Service) readSSO(rows db.Rows, err error) ([]SSOConnection, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []SSOConnection
	for rows.Next() {
		var c SSOConnection
		var settings string
		var k IdPKey
		var tested, login, created, updated, notAfter db.Time
		err := rows.Scan(&c.ID, &c.Tenant, &c.Environment, &c.Type, &c.Name, &c.Status, &settings, &c.Secret, &c.JIT, &c.AllowUnverifiedDomains,
			&c.TrustIdPMFA, &c.Pairing, &tested, &login, &c.Version, &created, &updated, &k.SPKI, &k.CertificatePEM, &notAfter)
		if err != nil {
			return nil, err
		}
		if n := len(list); n == 0 || list[n-1].ID != c.ID {
			var in ssoSettings
			if err := json.Unmarshal([]byte(settings), &in); err != nil {
				return nil, err
			}
			c.SAML, c.OIDC, c.Mapping = in.SAML, in.OIDC, in.Mapping
			c.LastTestOKAt, c.LastLoginAt, c.CreatedAt, c.UpdatedAt = tested.Time, login.Time, created.Time, updated.Time
			list = append(list, c)
		}
		if last := &list[len(list)-1]; k.SPKI != "" && last.SAML != nil {
			k.NotAfter = notAfter.Time
			last.SAML.Keys = append(last.SAML.Keys, k)
		}
	}
	return list, rows.Err()
}

func ssoTarget(c SSOConnection) audit.Target {
	return audit.Target{Type: "sso_connection", ID: c.ID, Name: c.Name}
}

func ssoChanges(before, after SSOConnection) map[string]audit.Change {
	m := map[string]audit.Change{}
	changed(m, "name", before.Name, after.Name)
	changed(m, "status", before.Status, after.Status)
	changed(m, "jit", before.JIT, after.JIT)
	changed(m, "allow_unverified_domains", before.AllowUnverifiedDomains, after.AllowUnverifiedDomains)
	changed(m, "trust_idp_mfa", before.TrustIdPMFA, after.TrustIdPMFA)
	changed(m, "pairing", before.Pairing, after.Pairing)
	changed(m, "attribute_mapping", before.Mapping, after.Mapping)
	changed(m, "client_secret", before.Secret, after.Secret)
	if before.SAML != nil && after.SAML != nil {
		changed(m, "saml.idp_entity_id", before.SAML.IdPEntityID, after.SAML.IdPEntityID)
		changed(m, "saml.sso_url", before.SAML.SSOURL, after.SAML.SSOURL)
		if from, to := before.SAML.fingerprints(), after.SAML.fingerprints(); !slices.Equal(from, to) {
			m["saml.keys"] = audit.Change{From: from, To: to}
		}
		samlChanges(m, before.SAML, after.SAML)
	}
	if before.OIDC != nil && after.OIDC != nil {
		b, c := before.OIDC, after.OIDC
		changed(m, "oidc.issuer", b.Issuer, c.Issuer)
		changed(m, "oidc.client_id", b.ClientID, c.ClientID)
		changed(m, "oidc.auth_method", b.AuthMethod, c.AuthMethod)
		changed(m, "oidc.scopes", strings.Join(b.Scopes, " "), strings.Join(c.Scopes, " "))
		changed(m, "oidc.groups_claim", b.GroupsClaim, c.GroupsClaim)
		changed(m, "oidc.form_post", b.FormPost, c.FormPost)
		changed(m, "oidc.acr_values", strings.Join(b.ACRValues, " "), strings.Join(c.ACRValues, " "))
		changed(m, "oidc.hosted_domains", strings.Join(b.HostedDomains, " "), strings.Join(c.HostedDomains, " "))
		changed(m, "oidc.revocation_issuer", b.RevocationIssuer, c.RevocationIssuer)
	}
	return m
}

// samlChanges adds what loosens or tightens the judgement of answers.
func samlChanges(m map[string]audit.Change, b, c *SAMLSettings) {
	changed(m, "saml.clock_skew", b.ClockSkew.String(), c.ClockSkew.String())
	changed(m, "saml.sign_requests", b.SignRequests, c.SignRequests)
	changed(m, "saml.want_encrypted", b.WantEncrypted, c.WantEncrypted)
	changed(m, "saml.refuse_cbc", b.RefuseCBC, c.RefuseCBC)
	changed(m, "saml.allow_inclusive_c14n", b.AllowInclusiveC14N, c.AllowInclusiveC14N)
	changed(m, "saml.allow_sha1_until", shownDate(b.AllowSHA1Until), shownDate(c.AllowSHA1Until))
	changed(m, "saml.allow_idp_initiated", b.AllowIdPInitiated, c.AllowIdPInitiated)
	changed(m, "saml.force_authn", b.ForceAuthn, c.ForceAuthn)
	changed(m, "saml.authn_contexts", strings.Join(b.AuthnContexts, " "), strings.Join(c.AuthnContexts, " "))
	changed(m, "saml.max_response_bytes", b.MaxResponseBytes, c.MaxResponseBytes)
	changed(m, "saml.slo_url", b.SLOURL, c.SLOURL)
	changed(m, "saml.slo_response_url", b.SLOResponseURL, c.SLOResponseURL)
	changed(m, "saml.graph_tenant", b.GraphTenant, c.GraphTenant)
	changed(m, "saml.graph_client", b.GraphClient, c.GraphClient)
	changed(m, "saml.revocation_issuer", b.RevocationIssuer, c.RevocationIssuer)
}

func shownDate(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func (s *SAMLSettings) fingerprints() []string {
	list := make([]string, 0, len(s.Keys))
	for _, k := range s.Keys {
		list = append(list, k.SPKI)
	}
	slices.Sort(list)
	return list
}
