package factor

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Kinds of factor.
const (
	TOTP     = "totp"
	WebAuthn = "webauthn"
)

const (
	maxFactors = 20 // of a person
	maxName    = 100
	// challengeLife is how long a question waits for its answer.
	challengeLife = 10 * time.Minute
)

// Kinds of challenge.
const (
	challengeCode     = "code"     // mailed
	challengeLogin    = "login"    // of a security key
	challengeRegister = "register" // of a security key
	challengeTOTP     = "totp"     // a new authenticator app
)

// Refusals that people read.
var (
	ErrWrong     = fault.New(fault.Invalid, "SIGNIN_WRONG_CODE", "That did not match. Check it and try again.").In("code")
	ErrExpired   = fault.New(fault.Invalid, "SIGNIN_CHALLENGE_EXPIRED", "This took too long. Ask again.")
	ErrNotFound  = fault.New(fault.NotFound, "factor_not_found", "There is no such factor.")
	ErrTooMany   = fault.New(fault.Conflict, "too_many_factors", "Remove a factor first: twenty are enough.")
	ErrWrongKey  = fault.New(fault.Invalid, "SIGNIN_WRONG_KEY", "The security key's answer was not accepted. Try again.")
	ErrNoKeys    = fault.New(fault.Invalid, "SIGNIN_KEYS_UNAVAILABLE", "Security keys and passkeys cannot be used at this address. Choose another way.")
	ErrKeyExists = fault.New(fault.Conflict, "factor_exists", "This security key is registered already.")
)

// Service holds the operations of the package. It is safe for concurrent use.
type Service struct {
	db     db.DB
	vault  *keys.Vault
	clock  clock.Clock
	of     population
	Hasher *Hasher
}

// New makes the service for the people of tenants.
func New(d db.DB, v *keys.Vault, c clock.Clock) *Service {
	return &Service{db: d, vault: v, clock: c, of: people, Hasher: NewHasher()}
}

// Staff gives the same service for the vendor's people: their ids take the place
// of users' ids, and the default environment, at whose address the back office
// answers, is the environment. Both share the places for hashing.
func (s *Service) Staff() *Service {
	of := *s
	of.of = vendors
	return &of
}

// Person is whose factors an operation is about.
type Person struct {
	Environment tenants.Environment
	UserID      string
	Name        string // that an authenticator shows: the e-mail address
	// Tenant is the organization behind whose identity provider the person stands;
	// empty: he proved himself to us. What he sets up there serves there only, because
	// that provider speaks for him in its own tenant alone (identity rule 6).
	Tenant string
}

// Factor is something that a person has.
type Factor struct {
	ID         string
	Kind       string
	Name       string
	CreatedAt  time.Time
	LastUsedAt time.Time // zero: never
	Tenant     string    // behind whose identity provider alone it serves; empty: everywhere

	secret string // sealed
	step   int64
}

// Serves reports whether the factor counts for somebody who stands behind the
// identity provider of the tenant, or with an empty one behind none.
func (f Factor) Serves(tenant string) bool { return f.Tenant == "" || f.Tenant == tenant }

// Factors lists a person's factors, the oldest first, those that are confined to an
// organization included.
func (s *Service) Factors(ctx context.Context, q db.Queryer, environment, user string) ([]Factor, error) {
	rows, err := q.Query(ctx, s.of.list, environment, user)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Factor
	for rows.Next() {
		var f Factor
		var created, used db.Time
		if err := rows.Scan(&f.ID, &f.Kind, &f.Name, &f.secret, &f.step, &created, &used, &f.Tenant); err != nil {
			return nil, err
		}
		f.CreatedAt, f.LastUsedAt = created.Time, used.Time
		list = append(list, f)
	}
	return list, rows.Err()
}

// Rename names a factor.
func (s *Service) Rename(ctx context.Context, q db.Queryer, environment, user, factorID, name string) error {
	return changed(q.Exec(ctx, s.of.rename, environment, user, factorID, named(name, "")))
}

// Remove takes a factor away. Devices that were remembered are asked again.
func (s *Service) Remove(ctx context.Context, q db.Queryer, environment, user, factorID string) error {
	if err := changed(q.Exec(ctx, s.of.remove, environment, user, factorID)); err != nil {
		return err
	}
	_, err := q.Exec(ctx, sqlForgetDevices, environment, user)
	return err
}

func changed(n int64, err error) error {
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	return err
}

// insert adds a factor.
func (s *Service) insert(ctx context.Context, q db.Queryer, p Person, f Factor, credential string) error {
	n, err := q.Exec(ctx, s.of.insert, p.Environment.ID, p.UserID, f.ID, f.Kind, f.Name, f.secret, credential, f.step, db.At(s.clock.Now()), maxFactors, p.Tenant)
	switch {
	case errors.Is(err, db.ErrConflict):
		return ErrKeyExists.Because(err)
	case err == nil && n == 0:
		return ErrTooMany
	}
	return err
}

// ask keeps what was asked of a holder, in the place of what it was asked before.
func (s *Service) ask(ctx context.Context, q db.Queryer, environment, holder, kind, user string, plain []byte) error {
	sealed, err := s.vault.Seal("challenges", "secret", environment+"/"+holder+"/"+kind, plain)
	if err != nil {
		return err
	}
	now := s.clock.Now()
	_, err = q.Exec(ctx, sqlPutChallenge, environment, holder, kind, user, sealed, db.At(now), db.At(now.Add(challengeLife)))
	return err
}

// take uses up what a holder was asked.
func (s *Service) take(ctx context.Context, q db.Queryer, environment, holder, kind string) (user string, plain []byte, err error) {
	var sealed string
	err = q.QueryRow(ctx, sqlTakeChallenge, environment, holder, kind, db.At(s.clock.Now())).Scan(&user, &sealed)
	if errors.Is(err, db.ErrNotFound) {
		return "", nil, ErrExpired
	}
	if err != nil {
		return "", nil, err
	}
	plain, err = s.vault.Open("challenges", "secret", environment+"/"+holder+"/"+kind, sealed)
	return user, plain, err
}

// look reads what a holder was asked, and leaves it.
func (s *Service) look(ctx context.Context, q db.Queryer, environment, holder, kind string) (user string, plain []byte, at time.Time, err error) {
	var sealed string
	var created db.Time
	err = q.QueryRow(ctx, sqlChallenge, environment, holder, kind, db.At(s.clock.Now())).Scan(&user, &sealed, &created)
	if errors.Is(err, db.ErrNotFound) {
		return "", nil, at, ErrExpired
	}
	if err != nil {
		return "", nil, at, err
	}
	plain, err = s.vault.Open("challenges", "secret", environment+"/"+holder+"/"+kind, sealed)
	return user, plain, created.Time, err
}

// DeviceLife is how long a browser can be remembered at most; the policies
// decide when it is asked again.
const DeviceLife = 90 * 24 * time.Hour

// Remember lets a browser go without a second factor for a while, and gives its
// cookie.
func (s *Service) Remember(ctx context.Context, q db.Queryer, environment, user string) (string, error) {
	cookie, now := secret.Random(), s.clock.Now()
	_, err := q.Exec(ctx, sqlInsertDevice, environment, secret.Hash(cookie), user, db.At(now), db.At(now.Add(DeviceLife)))
	return cookie, err
}

// RememberedAt is when this person was given the cookie; zero when he was not, or
// it has run out.
func (s *Service) RememberedAt(ctx context.Context, q db.Queryer, environment, user, cookie string) (time.Time, error) {
	var at db.Time
	if cookie == "" || user == "" {
		return at.Time, nil
	}
	err := q.QueryRow(ctx, sqlDevice, environment, secret.Hash(cookie), user, db.At(s.clock.Now())).Scan(&at)
	if errors.Is(err, db.ErrNotFound) {
		err = nil
	}
	return at.Time, err
}

// Forget has every browser of a person asked again.
func (s *Service) Forget(ctx context.Context, q db.Queryer, environment, user string) error {
	_, err := q.Exec(ctx, sqlForgetDevices, environment, user)
	return err
}

// host is the name that keys are bound to, and origin where they may be used.
func host(e tenants.Environment) (rpID, origin string, err error) {
	u, err := url.Parse(e.BaseURL)
	if err != nil {
		return "", "", err
	}
	return u.Hostname(), u.Scheme + "://" + u.Host, nil
}

// digits gives a number of so many decimal digits, evenly spread.
func digits(n int) string {
	out := make([]byte, 0, n)
	var b [1]byte
	for len(out) < n {
		_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
		if b[0] < 250 {
			out = append(out, '0'+b[0]%10)
		}
	}
	return string(out)
}
