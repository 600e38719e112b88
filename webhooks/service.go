package webhooks

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/internal/mail"
	"github.com/gatehouse-id/gatehouse/internal/safehttp"
	"github.com/gatehouse-id/gatehouse/keys"
)

// Deps is what the service is made of.
type Deps struct {
	DB    db.DB
	Clock clock.Clock
	Vault *keys.Vault
	// Fetch sends the requests; NewFetch makes it.
	Fetch *safehttp.Client
	// Admins gives the people of a tenant who may change its webhooks, to whom mail
	// goes when an endpoint is switched off. Nil: nobody gets mail.
	Admins func(ctx context.Context, q db.Queryer, environment, tenant string) ([]mail.Address, error)
	Log    *slog.Logger // nil: nothing is logged
}

// Service holds the operations of the package. It is safe for concurrent use.
type Service struct {
	db     db.DB
	clock  clock.Clock
	vault  *keys.Vault
	fetch  *safehttp.Client
	admins func(ctx context.Context, q db.Queryer, environment, tenant string) ([]mail.Address, error)
	log    *slog.Logger

	lease   time.Duration
	timeout time.Duration // of an attempt
	poll    time.Duration
	grace   time.Duration  // for attempts at a stop
	jitter  func() float64 // 0 to 1
	wake    chan struct{}
	storing chan struct{} // a token for each outcome that is being written

	mu      sync.Mutex
	running map[share]int // lanes
	served  string        // the tenant at which the dispatcher's round stands
}

// New makes the service; nothing is sent before Run or RunDue.
func New(d Deps) *Service {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{
		db: d.DB, clock: d.Clock, vault: d.Vault, fetch: d.Fetch, admins: d.Admins, log: d.Log,
		lease: defaultLease, timeout: Timeout, poll: time.Second, grace: 10 * time.Second, jitter: random,
		wake: make(chan struct{}, 1), storing: make(chan struct{}, storing), running: map[share]int{},
	}
}

// Endpoints lists a tenant's endpoints in the order of their creation; there are
// at most MaxEndpoints.
func (s *Service) Endpoints(ctx context.Context, q db.Queryer, tenant string) ([]Endpoint, error) {
	rows, err := q.Query(ctx, sqlEndpoints, tenant)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Endpoint
	for rows.Next() {
		e, err := scanEndpoint(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	rows.Close()
	signing, err := s.secrets(ctx, q, sqlTenantSecrets, tenant)
	if err != nil {
		return nil, err
	}
	for i := range list {
		list[i].describe(signing[list[i].ID])
	}
	return list, nil
}

// Endpoint gives one endpoint.
func (s *Service) Endpoint(ctx context.Context, q db.Queryer, tenant, endpoint string) (Endpoint, error) {
	e, err := scanEndpoint(q.QueryRow(ctx, sqlEndpoint, tenant, endpoint))
	if err != nil {
		return Endpoint{}, err
	}
	return e, s.describeSecrets(ctx, q, &e)
}

// CreateEndpoint subscribes an address to event types and gives its secret, which
// is shown once; for v1a signatures it is empty and PublicKeys holds the key.
// Errors: invalid_url and the codes of safehttp, unknown_event_type,
// invalid_secret, limit_reached.
func (s *Service) CreateEndpoint(ctx context.Context, a actor.Actor, q db.Queryer, environment, tenant string, in NewEndpoint) (Endpoint, string, error) {
	now := s.clock.Now()
	e := Endpoint{
		ID: id.New(id.Webhook), Tenant: tenant, Environment: environment, Name: cmp.Or(strings.TrimSpace(in.Name), host(in.URL)), URL: in.URL,
		Active: !in.Inactive, Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	var err error
	if e.Signature, err = checkSignature(in.Signature); err != nil {
		return Endpoint{}, "", err
	}
	if err := s.check(&e); err != nil {
		return Endpoint{}, "", err
	}
	offered, err := s.enabledTypes(ctx, q, environment)
	if err != nil {
		return Endpoint{}, "", err
	}
	if e.EventTypes, err = subscriptions(in.EventTypes, offered, nil); err != nil {
		return Endpoint{}, "", err
	}
	secret, err := newSecret(e.Signature, in.Secret)
	if err != nil {
		return Endpoint{}, "", err
	}
	if !e.Active {
		e.Disabled, e.DisabledAt = Manual, now
	}
	// The tenant's row is locked: two creations at once would both find room for one.
	var n int
	if err := q.QueryRow(ctx, sqlLockTenant+q.Dialect().ForNoKeyUpdate, environment, tenant).Scan(&tenant); err != nil {
		return Endpoint{}, "", err
	}
	if err := q.QueryRow(ctx, sqlCountEndpoints, tenant).Scan(&n); err != nil {
		return Endpoint{}, "", err
	}
	if n >= MaxEndpoints {
		return Endpoint{}, "", tooMany("50 webhooks of a tenant")
	}
	sealed, err := s.secretStmt(e, secret)
	if err != nil {
		return Endpoint{}, "", err
	}
	err = q.Batch(ctx, []db.Stmt{
		{SQL: sqlInsertEndpoint, Args: []any{
			tenant, e.ID, environment, e.Name, e.URL, e.eventTypes(), string(e.Signature), e.Active, string(e.Disabled), db.At(e.DisabledAt), db.At(now),
		}},
		{SQL: sqlInsertQueue, Args: []any{tenant, e.ID}},
		sealed,
	})
	if err != nil {
		return Endpoint{}, "", err
	}
	if err := audit.SetInterest(ctx, q, tenant, e.ID, e.actions()); err != nil {
		return Endpoint{}, "", err
	}
	if key := publicKey(secret); key != "" {
		e.PublicKeys, secret = []string{key}, ""
	}
	return e, secret, s.record(ctx, a, q, "webhook.created", e, nil, map[string]any{"url": withoutQuery(e.URL), "event_types": e.EventTypes})
}

// UpdateEndpoint changes an endpoint. match sees the version under lock and may
// refuse it; nil lets any pass. Switching an endpoint on again, and another address,
// forget its failures, and what waited is sent.
func (s *Service) UpdateEndpoint(ctx context.Context, a actor.Actor, q db.Queryer, tenant, endpoint string, p EndpointPatch, match func(version int64) error) (Endpoint, error) {
	e, err := s.lockEndpoint(ctx, q, tenant, endpoint, match)
	if err != nil {
		return Endpoint{}, err
	}
	changes := map[string]audit.Change{}
	before := e
	set(changes, "name", &e.Name, p.Name)
	set(changes, "url", &e.URL, p.URL)
	set(changes, "active", &e.Active, p.Active)
	if err := s.check(&e); err != nil {
		return Endpoint{}, err
	}
	if p.EventTypes != nil {
		offered, err := s.enabledTypes(ctx, q, e.Environment)
		if err != nil {
			return Endpoint{}, err
		}
		if e.EventTypes, err = subscriptions(p.EventTypes, offered, before.EventTypes); err != nil {
			return Endpoint{}, err
		}
		if from, to := before.eventTypes(), e.eventTypes(); from != to {
			changes["event_types"] = audit.Change{From: before.EventTypes, To: e.EventTypes}
		}
	}
	if len(changes) == 0 {
		return e, s.describeSecrets(ctx, q, &e)
	}
	if _, ok := changes["url"]; ok {
		changes["url"] = audit.Change{From: withoutQuery(before.URL), To: withoutQuery(e.URL)}
	}
	now := s.clock.Now()
	e.UpdatedAt, e.Version = now, e.Version+1
	action := "webhook.updated"
	switch {
	case e.Active && !before.Active:
		e.Disabled, e.DisabledAt = "", time.Time{}
		action = "webhook.enabled"
	case !e.Active && before.Active:
		e.Disabled, e.DisabledAt = Manual, now
		action = "webhook.disabled"
	}
	if err := s.storeEndpoint(ctx, q, e); err != nil {
		return Endpoint{}, err
	}
	if _, moved := changes["url"]; e.Active && (moved || !before.Active) { // what it did before says nothing any more
		e.Failures, e.FailingSince = 0, time.Time{}
		if _, err := q.Exec(ctx, sqlReviveQueue, tenant, e.ID); err != nil {
			return Endpoint{}, err
		}
	}
	if err := s.describeSecrets(ctx, q, &e); err != nil {
		return Endpoint{}, err
	}
	return e, s.record(ctx, a, q, action, e, changes, nil)
}

// storeEndpoint writes an endpoint and what it waits for.
func (s *Service) storeEndpoint(ctx context.Context, q db.Queryer, e Endpoint) error {
	_, err := q.Exec(ctx, sqlUpdateEndpoint, e.Tenant, e.ID, e.Name, e.URL, e.eventTypes(), e.Active, string(e.Disabled), db.At(e.DisabledAt), e.Version, db.At(e.UpdatedAt))
	if err != nil {
		return err
	}
	return audit.SetInterest(ctx, q, e.Tenant, e.ID, e.actions())
}

// DeleteEndpoint removes an endpoint with its secrets and its log.
func (s *Service) DeleteEndpoint(ctx context.Context, a actor.Actor, q db.Queryer, tenant, endpoint string, match func(version int64) error) error {
	e, err := s.lockEndpoint(ctx, q, tenant, endpoint, match)
	if err != nil {
		return err
	}
	if _, err := q.Exec(ctx, sqlDeleteEndpoint, tenant, e.ID); err != nil {
		return err
	}
	if err := audit.SetInterest(ctx, q, tenant, e.ID, nil); err != nil {
		return err
	}
	return s.record(ctx, a, q, "webhook.deleted", e, nil, nil)
}

// RotateSecret gives the endpoint another secret, shown once. The one before it
// signs beside it for Overlap. An empty secret has one made.
func (s *Service) RotateSecret(ctx context.Context, a actor.Actor, q db.Queryer, tenant, endpoint, pasted string, match func(version int64) error) (Endpoint, string, error) {
	e, err := s.lockEndpoint(ctx, q, tenant, endpoint, match)
	if err != nil {
		return Endpoint{}, "", err
	}
	secret, err := newSecret(e.Signature, pasted)
	if err != nil {
		return Endpoint{}, "", err
	}
	now := s.clock.Now()
	var n int
	if err := q.QueryRow(ctx, sqlCountSecrets, tenant, e.ID, db.At(now)).Scan(&n); err != nil {
		return Endpoint{}, "", err
	}
	if n >= maxSecrets {
		return Endpoint{}, "", fault.New(fault.Conflict, "limit_reached", "5 secrets sign already. Wait until a replaced one has ended.")
	}
	stmt, err := s.secretStmt(e, secret)
	if err != nil {
		return Endpoint{}, "", err
	}
	e.Version, e.UpdatedAt = e.Version+1, now
	err = q.Batch(ctx, []db.Stmt{
		{SQL: sqlEndSecrets, Args: []any{tenant, e.ID, db.At(now.Add(Overlap))}},
		stmt,
		{SQL: sqlTouchEndpoint, Args: []any{tenant, e.ID, e.Version, db.At(now)}},
	})
	if err != nil {
		return Endpoint{}, "", err
	}
	if err := s.describeSecrets(ctx, q, &e); err != nil {
		return Endpoint{}, "", err
	}
	if e.Signature == Ed25519 {
		secret = ""
	}
	return e, secret, s.record(ctx, a, q, "webhook.secret_rotated", e, nil, nil)
}

func (s *Service) lockEndpoint(ctx context.Context, q db.Queryer, tenant, endpoint string, match func(int64) error) (Endpoint, error) {
	if !validEndpoint(endpoint) {
		return Endpoint{}, ErrEndpointNotFound
	}
	n, err := q.Exec(ctx, sqlLockEndpoint, tenant, endpoint)
	if err != nil {
		return Endpoint{}, err
	}
	if n == 0 {
		return Endpoint{}, ErrEndpointNotFound
	}
	e, err := scanEndpoint(q.QueryRow(ctx, sqlEndpoint, tenant, endpoint))
	if err == nil && match != nil {
		err = match(e.Version)
	}
	return e, err
}

// check refuses a name or an address. Where a name leads is decided when it is
// dialled, at every attempt.
func (s *Service) check(e *Endpoint) (err error) {
	if e.Name, err = checkText(e.Name, maxName, "name", true); err != nil {
		return err
	}
	if len(e.URL) > maxURL || strings.ContainsAny(e.URL, "#\n\r\t ") {
		return invalid("invalid_url", "Give an address of at most 2000 characters without spaces and without a #.", "url")
	}
	if err := s.fetch.Check(e.URL); err != nil {
		if f, ok := fault.From(err); ok {
			return f.In("url")
		}
		return err
	}
	return nil
}

func (s *Service) secretStmt(e Endpoint, secret string) (db.Stmt, error) {
	row := id.New(secretID)
	sealed, err := s.vault.Seal("webhook_secrets", "secret", e.Tenant+"/"+e.ID+"/"+row, []byte(secret))
	return db.Stmt{SQL: sqlInsertSecret, Args: []any{e.Tenant, e.ID, row, sealed, db.At(s.clock.Now())}}, err
}

// signing is a secret that signs.
type signing struct {
	plain   string
	expires time.Time // zero: not yet
}

// secrets gives what signs now, by endpoint, the newest first.
func (s *Service) secrets(ctx context.Context, q db.Queryer, sql, tenant string, more ...any) (map[string][]signing, error) {
	rows, err := q.Query(ctx, sql, append([]any{tenant, db.At(s.clock.Now())}, more...)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[string][]signing{}
	for rows.Next() {
		var endpoint, row, sealed string
		var expires db.Time
		if err := rows.Scan(&endpoint, &row, &sealed, &expires); err != nil {
			return nil, err
		}
		plain, err := s.vault.Open("webhook_secrets", "secret", tenant+"/"+endpoint+"/"+row, sealed)
		if err != nil {
			return nil, err
		}
		all[endpoint] = append(all[endpoint], signing{string(plain), expires.Time})
	}
	return all, rows.Err()
}

// describeSecrets fills in what may be shown of an endpoint's secrets.
func (s *Service) describeSecrets(ctx context.Context, q db.Queryer, e *Endpoint) error {
	all, err := s.secrets(ctx, q, sqlSecrets, e.Tenant, e.ID)
	e.describe(all[e.ID])
	return err
}

func (e *Endpoint) describe(list []signing) {
	e.SecretRotatesUntil, e.PublicKeys = time.Time{}, nil
	for _, secret := range list {
		if secret.expires.After(e.SecretRotatesUntil) {
			e.SecretRotatesUntil = secret.expires
		}
		if key := publicKey(secret.plain); key != "" {
			e.PublicKeys = append(e.PublicKeys, key)
		}
	}
}

func (s *Service) record(ctx context.Context, a actor.Actor, q db.Queryer, action string, e Endpoint, changes map[string]audit.Change, metadata map[string]any) error {
	return audit.Record(ctx, q, audit.Event{
		Environment: e.Environment, Tenant: e.Tenant, Action: action, Actor: a, At: s.clock.Now(), Changes: changes, Metadata: metadata,
		Targets: []audit.Target{{Type: "webhook", ID: e.ID, Name: e.Name}},
	})
}

// withoutQuery is an address as the audit log shows it: queries carry secrets.
func withoutQuery(address string) string {
	path, _, _ := strings.Cut(address, "?")
	return path
}

func scanEndpoint(row db.Row) (Endpoint, error) {
	var e Endpoint
	var types string
	var disabled, failing, success, failure, created, updated db.Time
	err := row.Scan(&e.Tenant, &e.ID, &e.Environment, &e.Name, &e.URL, &types, (*string)(&e.Signature), &e.Active, (*string)(&e.Disabled), &disabled,
		&e.Version, &created, &updated, &e.Failures, &failing, &success, &failure)
	if isNotFound(err) {
		return Endpoint{}, ErrEndpointNotFound
	}
	if err != nil {
		return Endpoint{}, err
	}
	e.DisabledAt, e.FailingSince, e.LastSuccessAt, e.LastFailureAt = disabled.Time, failing.Time, success.Time, failure.Time
	e.CreatedAt, e.UpdatedAt = created.Time, updated.Time
	return e, json.Unmarshal([]byte(types), &e.EventTypes)
}
