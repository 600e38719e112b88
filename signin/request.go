package signin

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Request is one question sent to an identity provider, answered at most once.
type Request struct {
	Environment string
	Tenant      string // empty: the connection is the environment's
	Connection  string
	Key         string // the AuthnRequest's ID, or the hash of state
	FlowID      string
	Secret      []byte // what only we may know of it: nonce, PKCE verifier
	CreatedAt   time.Time
}

// Refusals of an answer. Each protocol gives them its own code.
var (
	ErrRequestUnknown = fault.New(fault.Invalid, "SIGNIN_REQUEST_UNKNOWN", "The answer belongs to no question that this connection asked.")
	ErrRequestUsed    = fault.New(fault.Invalid, "SIGNIN_REQUEST_USED", "The question was already answered.")
	ErrRequestExpired = fault.New(fault.Invalid, "SIGNIN_REQUEST_EXPIRED", "The answer came more than ten minutes after the question.")
	errHandleUnknown  = fault.New(fault.Invalid, "SIGNIN_HANDLE_UNKNOWN", "This step of the sign-in was already taken or has expired. Start again from the application.")
)

// NewRequest stores a question before the browser carries it to the provider.
func (s *Service) NewRequest(ctx context.Context, q db.Queryer, r Request) error {
	now := s.clock.Now()
	sealed := ""
	if len(r.Secret) > 0 {
		var err error
		if sealed, err = s.vault.Seal(r.table(), "secret", r.rowID(), r.Secret); err != nil {
			return err
		}
	}
	if r.social() {
		_, err := q.Exec(ctx, sqlInsertSocialRequest, r.Environment, r.Connection, r.Key, r.FlowID, sealed, db.At(now), db.At(now.Add(FlowLifetime)))
		return err
	}
	_, err := q.Exec(ctx, sqlInsertRequest, r.Tenant, r.Connection, r.Key, r.Environment, r.FlowID, sealed, db.At(now), db.At(now.Add(FlowLifetime)))
	return err
}

// TakeRequest consumes a question of a tenant's connection. Of answers that arrive
// at once exactly one gets it.
//
// Faults: ErrRequestUnknown, ErrRequestUsed, ErrRequestExpired.
func (s *Service) TakeRequest(ctx context.Context, q db.Queryer, tenant, connection, key string) (Request, error) {
	return s.take(ctx, q, sqlTakeRequest, sqlRequest, tenant, Request{Tenant: tenant, Connection: connection, Key: key})
}

// TakeSocialRequest is TakeRequest for a connection of the environment.
func (s *Service) TakeSocialRequest(ctx context.Context, q db.Queryer, environment, connection, key string) (Request, error) {
	return s.take(ctx, q, sqlTakeSocialRequest, sqlSocialRequest, environment, Request{Environment: environment, Connection: connection, Key: key})
}

func (s *Service) take(ctx context.Context, q db.Queryer, text, find, of string, r Request) (Request, error) {
	now := s.clock.Now()
	var sealed string
	var created db.Time
	err := q.QueryRow(ctx, text, of, r.Connection, r.Key, db.At(now)).Scan(&r.FlowID, &sealed, &created)
	if errors.Is(err, db.ErrNotFound) {
		_, err := s.find(ctx, q, find, of, r.Connection, r.Key)
		if err == nil {
			err = ErrRequestUsed
		}
		return r, err
	}
	if err != nil {
		return r, err
	}
	r.CreatedAt = created.Time
	if sealed != "" {
		if r.Secret, err = s.vault.Open(r.table(), "secret", r.rowID(), sealed); err != nil {
			return r, err
		}
	}
	return r, nil
}

// Asked is the flow of a question.
type Asked struct {
	FlowID  string
	Purpose string
}

// Serves refuses a connection that is not active, except to tests.
func (a Asked) Serves(c tenants.SSOConnection) error { return serves(c.Status, a.Purpose) }

func serves(status, purpose string) error {
	if status == tenants.SSOActive || purpose == PurposeTest {
		return nil
	}
	return ErrConnectionDisabled
}

// FindRequest looks a question up without consuming it and returns its flow,
// also with ErrRequestUsed and ErrRequestExpired.
func (s *Service) FindRequest(ctx context.Context, q db.Queryer, tenant, connection, key string) (Asked, error) {
	return s.find(ctx, q, sqlRequest, tenant, connection, key)
}

// FindSocialRequest is FindRequest for a connection of the environment.
func (s *Service) FindSocialRequest(ctx context.Context, q db.Queryer, environment, connection, key string) (Asked, error) {
	return s.find(ctx, q, sqlSocialRequest, environment, connection, key)
}

func (s *Service) find(ctx context.Context, q db.Queryer, text, of, connection, key string) (Asked, error) {
	var a Asked
	var expires, used db.Time
	err := q.QueryRow(ctx, text, of, connection, key).Scan(&a.FlowID, &a.Purpose, &expires, &used)
	switch {
	case errors.Is(err, db.ErrNotFound):
		return a, ErrRequestUnknown
	case err != nil:
		return a, err
	case !used.IsZero():
		return a, ErrRequestUsed
	case !s.clock.Now().Before(expires.Time):
		return a, ErrRequestExpired
	}
	return a, nil
}

// social reports whether the question is to a connection of the environment.
func (r Request) social() bool { return r.Tenant == "" }

func (r Request) table() string {
	if r.social() {
		return "social_requests"
	}
	return "sso_requests"
}

func (r Request) rowID() string { return r.Tenant + "/" + r.Connection + "/" + r.Key }

// SaveResult keeps a verified identity under a one-time handle, in the
// transaction that consumed the request.
func (s *Service) SaveResult(ctx context.Context, q db.Queryer, environment, flowID string, identity Identity) (handle string, err error) {
	identity = identity.bounded()
	plain, err := json.Marshal(identity)
	if err != nil {
		return "", err
	}
	handle = secret.Random()
	hash := secret.Hash(handle)
	sealed, err := s.vault.Seal("sso_results", "identity", hash, plain)
	if err != nil {
		return "", err
	}
	now := s.clock.Now()
	_, err = q.Exec(ctx, sqlInsertResult, environment, hash, identity.Tenant, flowID, sealed, db.At(now), db.At(now.Add(resultLifetime)))
	return handle, err
}

func (s *Service) takeResult(ctx context.Context, q db.Queryer, environment, handle string) (flowID string, identity Identity, err error) {
	hash := secret.Hash(handle)
	var tenant, sealed string
	err = q.QueryRow(ctx, sqlTakeResult, environment, hash, db.At(s.clock.Now())).Scan(&tenant, &flowID, &sealed)
	if errors.Is(err, db.ErrNotFound) {
		return "", Identity{}, errHandleUnknown
	}
	if err != nil {
		return "", Identity{}, err
	}
	plain, err := s.vault.Open("sso_results", "identity", hash, sealed)
	if err != nil {
		return "", Identity{}, err
	}
	if err := json.Unmarshal(plain, &identity); err != nil {
		return "", Identity{}, err
	}
	if identity.Tenant != tenant {
		return "", Identity{}, errors.New("signin: a stored result names another tenant than its row")
	}
	return flowID, identity, nil
}
