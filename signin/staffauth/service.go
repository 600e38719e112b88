package staffauth

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/jobs"
	"github.com/gatehouse-id/gatehouse/internal/mail"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/signin/factor"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Lifetimes.
const (
	// WelcomeLife is how long a link serves that sets all credentials.
	WelcomeLife = 24 * time.Hour
	flowLife    = 30 * time.Minute
	maxFlow     = 43 // bytes of a flow's cookie
)

// Home is the address of the back office, below which all of its pages are.
const Home = "/backoffice"

// passwordLock is the lock of an account after wrong passwords. It ends by itself:
// a lock that an admin had to lift would let anybody keep all admins out.
var passwordLock = factor.Lock{MaxAttempts: 10, For: 15 * time.Minute}

// Refusals that people read.
var (
	ErrFlow = fault.New(fault.Invalid, "BACKOFFICE_FLOW_EXPIRED", "This sign-in took too long or was begun in another browser. Start again.")
	ErrStep = fault.New(fault.Invalid, "BACKOFFICE_STEP", "This step is not the next one. Start again.")
	// ErrNoSecond is for who knows his password and has never set up a second factor.
	ErrNoSecond = fault.New(fault.Forbidden, "BACKOFFICE_NO_SECOND_FACTOR", "A password alone does not open the back office, and your account has no second factor. Ask an admin for a new link.")
	// ErrProviderOnly is for who comes with a passkey or a link where the provider is required.
	ErrProviderOnly = fault.New(fault.Forbidden, "BACKOFFICE_SSO_REQUIRED", "The back office is entered through your company's sign-in. Go back and choose it.")
	ErrNotStanding  = fault.New(fault.Forbidden, "BACKOFFICE_NO_ACCESS", "You have no access to the back office. Ask an admin.")
	ErrLink         = fault.New(fault.NotFound, "BACKOFFICE_LINK_UNKNOWN", "This link has expired, was used, or was replaced by a newer one. Ask for a new one.")
)

// Service holds the operations of the package. It is safe for concurrent use.
type Service struct {
	db      db.DB
	vault   *keys.Vault
	clock   clock.Clock
	staff   *staff.Service
	factors *factor.Service
	main    tenants.Environment
}

// New makes the service. main is the default environment, at whose address the
// back office answers; factors are those of people, whose places for hashing are
// shared.
func New(d db.DB, v *keys.Vault, c clock.Clock, people *staff.Service, factors *factor.Service, main tenants.Environment) *Service {
	return &Service{db: d, vault: v, clock: c, staff: people, factors: factors.Staff(), main: main}
}

// Environment is the default environment.
func (s *Service) Environment() tenants.Environment { return s.main }

// Hosts reports whether an environment is the one at whose address the back office
// answers. No other one shows it: its pages may stand under a customer's name.
func (s *Service) Hosts(e tenants.Environment) bool { return e.ID == s.main.ID }

// person is how factors know somebody. The name is what an authenticator shows.
func (s *Service) person(p staff.Person) factor.Person {
	env := s.main
	env.Name = "Gatehouse back office"
	return factor.Person{Environment: env, UserID: p.ID, Name: p.Email}
}

// holder is person for what asks for no name.
func (s *Service) holder(id string) factor.Person { return s.person(staff.Person{ID: id}) }

// as makes the actor of a request the person that it turned out to come from.
func as(a actor.Actor, p staff.Person) actor.Actor {
	a.Kind, a.Subject, a.Email, a.Name = actor.Staff, p.ID, p.Email, p.Name
	return a
}

// event is something that befell a person of the vendor's.
func (s *Service) event(a actor.Actor, action string, p staff.Person, metadata map[string]any) audit.Event {
	e := audit.Event{Environment: s.main.ID, Action: action, Actor: a, At: s.clock.Now(), Metadata: metadata}
	if p.ID != "" {
		e.Targets = []audit.Target{{Type: "staff", ID: p.ID, Name: p.Email}}
	}
	return e
}

func (s *Service) record(ctx context.Context, q db.Queryer, a actor.Actor, action string, p staff.Person, metadata map[string]any) error {
	return audit.Record(ctx, q, s.event(a, action, p, metadata))
}

// failed records a try that did not hold, and the lock that it led to; it gives the
// refusal.
func (s *Service) failed(ctx context.Context, a actor.Actor, p staff.Person, method string, try factor.Try, refusal error) error {
	f, ok := fault.From(refusal)
	if !ok || f.Kind == fault.Unavailable {
		return refusal
	}
	err := s.db.Tx(ctx, func(q db.Queryer) error {
		e := s.event(a, "staff.sign_in_failed", p, map[string]any{"code": f.Code, "method": method})
		e.Outcome = audit.Failure
		if err := audit.Record(ctx, q, e); err != nil || !try.Locks || p.ID == "" {
			return err
		}
		return s.record(ctx, q, a, "staff.locked", p, map[string]any{"method": method})
	})
	return errors.Join(err, refusal)
}

func (s *Service) mail(ctx context.Context, q db.Queryer, p staff.Person, l mail.Letter) error {
	sent, err := jobs.Mail(s.main.ID, "", l, mail.Address{Email: p.Email, Name: p.Name}, s.clock.Now())
	if err != nil {
		return err
	}
	return q.Batch(ctx, []db.Stmt{sent})
}

// words are what an attacker tries first for a person.
func words(p staff.Person) []string {
	return append([]string{p.Email, "gatehouse", "backoffice"}, strings.Fields(p.Name)...)
}

// Purge forgets what has run out.
func (s *Service) Purge(ctx context.Context) error {
	return s.db.Tx(ctx, func(q db.Queryer) error {
		now := db.At(s.clock.Now())
		if err := q.Batch(ctx, []db.Stmt{{SQL: sqlPurgeFlows, Args: []any{now}}, {SQL: sqlPurgeLinks, Args: []any{now}}}); err != nil {
			return err
		}
		return s.staff.PurgeSessions(ctx, q)
	})
}

// JobPurge is the kind of the job that runs Purge, every hour.
const JobPurge = "staffauth.purge"
