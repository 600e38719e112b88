package onboarding

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/permission"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/rbac"
	"github.com/gatehouse-id/gatehouse/rbac/apitoken"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Service is the operations on invitations. It lets invited people in at sign-in
// (signin.Joiner).
type Service struct {
	db        db.DB
	tenants   *tenants.Service
	directory *directory.Service
	policy    *policy.Service
	rbac      *rbac.Service
	tokens    *apitoken.Service
	sessions  *sessions.Service
	signin    *signin.Service
	clock     clock.Clock
}

// Deps are what the package stands on.
type Deps struct {
	DB        db.DB
	Tenants   *tenants.Service
	Directory *directory.Service
	Policy    *policy.Service
	RBAC      *rbac.Service
	Tokens    *apitoken.Service
	Sessions  *sessions.Service
	Signin    *signin.Service
	Clock     clock.Clock
}

// New makes the service, and has sign-ins ask it.
func New(d Deps) *Service {
	s := &Service{
		db: d.DB, tenants: d.Tenants, directory: d.Directory, policy: d.Policy, rbac: d.RBAC, tokens: d.Tokens,
		sessions: d.Sessions, signin: d.Signin, clock: d.Clock,
	}
	d.Signin.UseJoiner(s)
	return s
}

// What an actor needs to invite, now and still when the invited person comes.
const (
	PermissionInvite = "fe.secure.write.users"
	PermissionLink   = "fe.secure.write.tenantInvites"
)

// Refusals of who comes. Their codes are shown to people.
var (
	errUnknown      = fault.New(fault.NotFound, "INVITATION_UNKNOWN", "This invitation is not valid: it was used or withdrawn, or a newer mail has replaced it. Ask the person who invited you for a new one.")
	errExpired      = fault.New(fault.Forbidden, "INVITATION_EXPIRED", "This invitation has expired. Ask the person who invited you for a new one.")
	errUsedUp       = fault.New(fault.Forbidden, "INVITATION_USED_UP", "This link has been used as often as it may be. Ask the person who sent it for a new one.")
	errVoid         = fault.New(fault.Forbidden, "INVITATION_VOID", "Whoever sent this may no longer add people to this organization. Ask its administrator for a new invitation.")
	errOtherAddress = fault.New(fault.Forbidden, "INVITATION_OTHER_ADDRESS", "The invitation was sent to another address than the one that you signed in with. Sign in with the invited address, or ask for an invitation of this one.")
	errUnproved     = fault.New(fault.Forbidden, "INVITATION_ADDRESS_UNPROVED", "Nobody has proved that the address of this account is yours. Sign in through the organization that invites you.")
	errKnown        = fault.New(fault.Conflict, "INVITATION_KNOWN_ADDRESS", "This organization knows your address already. Sign in there, or open the mail that invited you.")
	errSuspended    = fault.New(fault.Forbidden, "POLICY_TENANT_SUSPENDED", "This organization's access to the service is suspended. Ask its administrator.")
	errOff          = fault.New(fault.Forbidden, "invitations_disabled", "Invitations are switched off here.")
	errLinksOff     = fault.New(fault.Forbidden, "invite_links_disabled", "Invite links are switched off here.")
	errGuestsOff    = fault.New(fault.Forbidden, "guests_disabled", "Access periods are switched off here.")
	errDomain       = fault.New(fault.Invalid, "domain_not_allowed", "People of this e-mail domain may not be added.")
	errAddress      = fault.New(fault.Forbidden, "POLICY_IP", "This organization does not admit people from this network address.")
	errDomainJoin   = fault.New(fault.Forbidden, "POLICY_EMAIL_DOMAIN", "Your e-mail domain is not one from which people may join this organization. Ask its administrator.")
)

// creator is who invites, as an invitation remembers him.
type creator struct {
	kind   actor.Kind
	id     string
	tenant string // that his power comes from; empty: above tenants
	name   string
}

func creatorOf(a actor.Actor) creator {
	c := creator{kind: a.Kind, id: a.Subject, tenant: cmp.Or(a.Home, a.Tenant), name: cmp.Or(a.Name, a.Email)}
	if a.Kind == actor.APIToken && a.Owner != "" {
		c.kind, c.id = actor.User, a.Owner // a personal token is its person
	}
	if c.vendor() {
		c.name = ""
	}
	// He stands in mails and pages: in one line, as somebody is called.
	c.name = strings.Join(strings.Fields(c.name), " ")
	if r := []rune(c.name); len(r) > maxInviter {
		c.name = string(r[:maxInviter])
	}
	return c
}

const maxInviter = 100 // characters of his name

// vendor reports whether the level rule does not bind the creator (product 121). A
// management key and a member of the staff speak for the vendor, who stays when the
// key is deleted or the member has left: what they invited stands until somebody
// withdraws it or it expires.
func (c creator) vendor() bool {
	return c.tenant == "" && (c.kind == actor.Management || c.kind == actor.Staff || c.kind == actor.System)
}

// power is what a creator may grant now.
type power struct {
	level int
	roles []string // ids of his effective roles
	all   bool     // he is not bound
}

// power asks what the creator may grant in the tenant now (product 124).
//
// Fault: INVITATION_VOID.
func (s *Service) power(ctx context.Context, q db.Queryer, environment, tenant string, c creator, needs string) (power, error) {
	if c.vendor() {
		return power{all: true}, nil
	}
	var e rbac.Effective
	switch c.kind {
	case actor.User:
		p, err := s.signin.Check(ctx, q, environment, c.tenant, c.id, "")
		if err != nil {
			return power{}, void(err)
		}
		if e, err = s.rbac.Effective(ctx, q, c.tenant, p.Membership); err != nil {
			return power{}, err
		}
	case actor.APIToken:
		t, err := s.tokens.Get(ctx, q, c.tenant, c.id)
		if err != nil {
			return power{}, void(err)
		}
		if !t.ExpiresAt.IsZero() && !s.clock.Now().Before(t.ExpiresAt) {
			return power{}, errVoid
		}
		if e, err = s.rbac.OfRoles(ctx, q, environment, c.tenant, t.RoleIDs); err != nil {
			return power{}, err
		}
	default:
		return power{}, errVoid
	}
	held := permission.NewSet(e.Permissions...)
	if !held.Has(needs) {
		return power{}, errVoid
	}
	if c.tenant != tenant {
		as := actor.Actor{Environment: environment, Tenant: c.tenant, Kind: c.kind, Subject: c.id, Permissions: held}
		if _, err := s.directory.Enter(ctx, q, as, environment, tenant); err != nil {
			return power{}, void(err)
		}
	}
	p := power{level: e.Level}
	for _, g := range e.Roles {
		p.roles = append(p.roles, g.ID)
	}
	return p, nil
}

// void turns a refusal about the creator into one that tells nothing of him.
func void(err error) error {
	if fault.KindOf(err) != 0 {
		return errVoid.Because(err)
	}
	return err
}

// narrow gives what is left of the roles. The creator's own roles count only
// while he has them (product 124, decided: intersect).
func (s *Service) narrow(ctx context.Context, q db.Queryer, environment, tenant string, p power, own bool, roleIDs []string) ([]string, error) {
	if p.all {
		p.level = 0
	}
	refs, err := s.rbac.Narrow(ctx, q, environment, tenant, p.level, roleIDs)
	if err != nil {
		return nil, err
	}
	var left []string
	for _, r := range refs {
		if own && !p.all && !contains(p.roles, r.ID) {
			continue
		}
		left = append(left, r.ID)
	}
	if len(left) == 0 && len(roleIDs) > 0 {
		return nil, errVoid
	}
	return left, nil
}

func contains(list []string, v string) bool {
	for _, x := range list {
		if x == v {
			return true
		}
	}
	return false
}

// domains are the rules about e-mail domains of environment and tenant.
func (s *Service) domains(ctx context.Context, q db.Queryer, environment, tenant string) (func(email string) bool, error) {
	env, own, err := s.policy.Load(ctx, q, environment, tenant)
	return func(email string) bool {
		return policy.Admit(policy.Input{Email: email, Environment: env, Tenant: own}).Outcome == policy.OutcomeAllow
	}, err
}

// grant decides which roles an invitation gives, and checks that the actor may
// give them (product 105, 121). Without any named, those are the default roles.
func (s *Service) grant(ctx context.Context, a actor.Actor, q db.Queryer, environment, tenant string, named *[]string) ([]rbac.RoleRef, error) {
	var ids []string
	if named != nil {
		ids = *named
	} else {
		roles, err := s.rbac.Roles(ctx, q, environment, tenant)
		if err != nil {
			return nil, err
		}
		for _, r := range roles {
			if r.Default {
				ids = append(ids, r.ID)
			}
		}
	}
	return s.rbac.CheckGrant(ctx, a, q, environment, tenant, ids)
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }
