package entitlement

import (
	"context"
	"strconv"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/permission"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Subject is whose facts Load reads.
type Subject struct {
	Environment string
	Tenant      string
	Membership  string // empty: the tenant alone, or somebody who is no member
	Permissions permission.Set
	// User's EmailVerified may be left to Load where the tenant holds the domain.
	User UserAttributes
}

// Want is what will be asked: Load reads the features of these keys and those that
// are linked to these permissions, with all that decides about them.
type Want struct {
	Features    []string
	Permissions []string
}

// Load reads the facts of somebody in six statements, one round trip, however
// many features and plans there are.
func (s *Service) Load(ctx context.Context, q db.Queryer, who Subject, want Want) (Facts, error) {
	f := Facts{
		Permissions: who.Permissions, Features: map[string]FeatureFacts{}, Plans: map[string]Targeting{},
		Attributes: Attributes{User: who.User}, Now: s.clock.Now(),
	}
	byID := map[string]*FeatureFacts{}
	keys := map[string]string{}
	grants := map[string]Grant{}
	args := []any{who.Environment, db.Set(want.Features), db.Set(want.Permissions)}
	err := q.Batch(ctx, []db.Stmt{
		{SQL: sqlLoadFeatures, Args: args, Scan: func(rows db.Rows) error {
			for rows.Next() {
				var id, key, rules string
				var on *bool
				var flag FlagFacts
				err := rows.Scan(&id, &key, &on, &flag.Off, &flag.Default, &rules)
				if err != nil {
					return err
				}
				x := &FeatureFacts{}
				if on != nil {
					flag.On, x.Flag = *on, &flag
					if flag.Rules, err = ParseRules([]byte(rules)); err != nil {
						return err
					}
				}
				byID[id], keys[id] = x, key
			}
			return rows.Err()
		}},
		{SQL: sqlLoadLinks, Args: args, Scan: pairs(func(feature, key string) {
			if x := byID[feature]; x != nil {
				x.Permissions = append(x.Permissions, key)
			}
		})},
		{SQL: sqlLoadBundles, Args: args, Scan: pairs(func(feature, plan string) {
			if x := byID[feature]; x != nil {
				x.Plans = append(x.Plans, plan)
			}
		})},
		{SQL: sqlLoadPlans, Args: args, Scan: func(rows db.Rows) error {
			for rows.Next() {
				var id, rules string
				var t Targeting
				err := rows.Scan(&id, &t.Default, &rules)
				if err != nil {
					return err
				}
				if t.Rules, err = ParseRules([]byte(rules)); err != nil {
					return err
				}
				f.Plans[id] = t
			}
			return rows.Err()
		}},
		{SQL: sqlLoadGrants, Args: []any{who.Tenant, who.Membership}, Scan: func(rows db.Rows) error {
			for rows.Next() {
				var plan string
				var expires db.Time
				if err := rows.Scan(&plan, &expires); err != nil {
					return err
				}
				grants[plan] = grants[plan].or(Grant{Granted: true, Until: expires.Time})
			}
			return rows.Err()
		}},
		{SQL: sqlHoldsDomain, Args: []any{who.Tenant, directory.EmailDomain(who.User.Email)}, Scan: func(rows db.Rows) error {
			for rows.Next() {
				var n int
				if err := rows.Scan(&n); err != nil {
					return err
				}
				f.Attributes.User.EmailVerified = who.User.EmailVerified || n > 0
			}
			return rows.Err()
		}},
	})
	if err != nil {
		return Facts{}, err
	}
	for id, x := range byID {
		for _, plan := range x.Plans {
			x.Grant = x.Grant.or(grants[plan])
		}
		f.Features[keys[id]] = *x
	}
	return f, nil
}

func pairs(add func(a, b string)) func(db.Rows) error {
	return func(rows db.Rows) error {
		for rows.Next() {
			var a, b string
			if err := rows.Scan(&a, &b); err != nil {
				return err
			}
			add(a, b)
		}
		return rows.Err()
	}
}

// or gives the grant that lasts longer.
func (g Grant) or(other Grant) Grant {
	switch {
	case !g.Granted, other.Granted && (other.Until.IsZero() || !g.Until.IsZero() && other.Until.After(g.Until)):
		return other
	}
	return g
}

// Check is one question: about a feature or about a permission.
type Check struct {
	Tenant     string // id or key
	User       string // empty: what the tenant has for everybody; of features only
	Feature    string
	Permission string
	Attributes map[string]any // custom ones that rules look at
	Claims     map[string]any // of the user's access token, for jwt.…
}

// MaxChecks bounds the questions of one call.
const MaxChecks = 100

// Check answers questions in their order (product 99), reading once for each
// tenant and user. Somebody whom the tenant does not know, or who may not log in
// there, is entitled to nothing. An actor of a tenant asks about his own tenant:
// about himself, about the tenant, or, with the permission to read users, about
// anybody.
//
// Faults: too_many, invalid_check, tenant_not_found, forbidden_user.
func (s *Service) Check(ctx context.Context, a actor.Actor, q db.Queryer, checks []Check) ([]Result, error) {
	if len(checks) > MaxChecks {
		return nil, fault.New(fault.TooLarge, "too_many", "Ask at most 100 questions at once.").In("checks")
	}
	type whom struct{ tenant, user string }
	var order []whom
	wants := map[whom]Want{}
	for i, c := range checks {
		field := "checks[" + strconv.Itoa(i) + "]"
		switch {
		case (c.Feature == "") == (c.Permission == ""):
			return nil, invalid("invalid_check", "Ask about a feature or about a permission.", field)
		case c.Permission != "" && c.User == "":
			return nil, invalid("invalid_check", "Only a user holds permissions.", field+".user_id")
		}
		w := whom{c.Tenant, c.User}
		want, seen := wants[w]
		if !seen {
			order = append(order, w)
		}
		if c.Feature != "" {
			want.Features = append(want.Features, c.Feature)
		} else {
			want.Permissions = append(want.Permissions, c.Permission)
		}
		wants[w] = want
	}
	ids := map[string]tenants.Tenant{}
	facts := map[whom]Facts{}
	for _, w := range order {
		t, ok := ids[w.tenant]
		if !ok {
			var err error
			if t, err = s.tenants.Get(ctx, q, a.Environment, w.tenant); err != nil {
				return nil, err
			}
			if a.Tenant != "" && a.Tenant != t.ID {
				return nil, tenants.ErrTenantNotFound
			}
			ids[w.tenant] = t
		}
		if err := mayAsk(a, w.user); err != nil {
			return nil, err
		}
		f, err := s.facts(ctx, q, t, w.user, wants[w])
		if err != nil {
			return nil, err
		}
		facts[w] = f
	}
	out := make([]Result, 0, len(checks))
	for _, c := range checks {
		f := facts[whom{c.Tenant, c.User}]
		f.Attributes.Custom, f.Attributes.Claims = c.Attributes, c.Claims
		if c.Feature != "" {
			out = append(out, f.Feature(c.Feature))
		} else {
			out = append(out, f.Permission(c.Permission))
		}
	}
	return out, nil
}

// mayAsk refuses actors of a tenant who ask about another person without the
// permission to read users.
func mayAsk(a actor.Actor, user string) error {
	own := a.Owner
	if a.Kind == actor.User {
		own = a.Subject
	}
	if a.Tenant == "" || user == "" || user == own || a.May("fe.secure.read.users") {
		return nil
	}
	return ErrOthers
}

// facts loads what is known of a user, or of the tenant alone.
func (s *Service) facts(ctx context.Context, q db.Queryer, t tenants.Tenant, user string, want Want) (Facts, error) {
	who := Subject{Environment: t.Environment, Tenant: t.ID, User: UserAttributes{TenantID: t.ID}}
	if t.Status != tenants.StatusActive {
		return Facts{}, nil
	}
	if user != "" {
		p, err := s.directory.PersonOf(ctx, q, t.ID, user)
		switch {
		case missing(err), err == nil && (p.Membership.Usable(s.clock.Now()) != nil || !p.User.LockedAt.IsZero()):
			return Facts{}, nil
		case err != nil:
			return Facts{}, err
		}
		who.Membership = p.Membership.ID
		who.User = userAttributes(p)
		if len(want.Permissions) > 0 {
			e, err := s.rbac.Effective(ctx, q, t.ID, who.Membership)
			if err != nil {
				return Facts{}, err
			}
			who.Permissions = permission.NewSet(e.Permissions...)
		}
	}
	return s.Load(ctx, q, who, want)
}

// userAttributes are the claims of the person's tokens in the tenant: the address
// is the one that he has there, which his own proof covers when it is the same.
func userAttributes(p directory.Person) UserAttributes {
	own := p.User.EmailVerified && directory.EmailKey(p.User.Email) == directory.EmailKey(p.Membership.Email)
	return UserAttributes{UserID: p.User.ID, TenantID: p.Membership.Tenant, Email: p.Membership.Email, EmailVerified: own}
}

// missing reports that the tenant does not know the person.
func missing(err error) bool { return fault.KindOf(err) == fault.NotFound }

// Sections says which sections of the portal a user of the tenant sees. Whoever
// belongs to a tenant and asks about another person needs the permission to read
// users.
//
// Faults: forbidden_user, user_not_found.
func (s *Service) Sections(ctx context.Context, a actor.Actor, q db.Queryer, settings tenants.EnvironmentSettings, t tenants.Tenant, user string) ([]Section, error) {
	if err := mayAsk(a, user); err != nil {
		return nil, err
	}
	if _, err := s.directory.PersonOf(ctx, q, t.ID, user); err != nil {
		return nil, err
	}
	f, err := s.facts(ctx, q, t, user, Want{Permissions: sectionPermissions()})
	return Visible(settings, f), err
}

// Allows asks, after the permission itself was found held, whether a feature
// stands in the way of a person or an API token: for environments that switch
// enforce_entitlements_on_api on (product 134). Other actors pass. In a
// sub-account that account's plans count.
//
// Fault: not_entitled.
func (s *Service) Allows(ctx context.Context, q db.Queryer, a actor.Actor, key string) error {
	if a.Kind != actor.User && a.Kind != actor.APIToken || a.Tenant == "" {
		return nil
	}
	var linked int
	if err := q.QueryRow(ctx, sqlIsLinked, a.Environment, key).Scan(&linked); err != nil || linked == 0 {
		return err
	}
	who := Subject{Environment: a.Environment, Tenant: a.Tenant, Permissions: a.Permissions, User: UserAttributes{TenantID: a.Tenant}}
	user := a.Owner
	if a.Kind == actor.User {
		user = a.Subject
	}
	if user != "" {
		p, err := s.directory.PersonOf(ctx, q, a.Tenant, user)
		if err != nil && !missing(err) {
			return err
		}
		if err == nil {
			who.Membership = p.Membership.ID
			who.User = userAttributes(p)
		}
	}
	f, err := s.Load(ctx, q, who, Want{Permissions: []string{key}})
	if err != nil {
		return err
	}
	if !f.Permission(key).Entitled {
		return ErrNotEntitled
	}
	return nil
}
