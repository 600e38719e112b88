package directory

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
)

// LinkQuery is what a login through an SSO connection says about a person.
type LinkQuery struct {
	Environment, Tenant, Connection string
	// SubjectKey is the hex SHA-256 over the parts of the subject (identity rule 2).
	SubjectKey string
	// Subject and ObjectID (Entra's oid) are what SCIM's externalId may repeat,
	// exact in case.
	Subject, ObjectID string
	UserName, Email   string
	// EmailVerified is what the identity provider says; nil when it says nothing.
	// False keeps the e-mail from matching anybody.
	EmailVerified *bool
}

// LinkOutcome says what to do with a login.
type LinkOutcome uint8

// The outcomes.
const (
	// LinkNone: nobody matches; the connection's rules for just-in-time creation decide.
	LinkNone LinkOutcome = iota
	// LinkKnown: the identity exists. The caller checks whether the membership is usable.
	LinkKnown
	// LinkMembership: the login is this membership's person; the identity is to be added.
	LinkMembership
	// LinkUser: the login is this user of the environment, who has no membership here yet.
	LinkUser
	// LinkRefused: somebody matches, and the login must not become him or anybody; Err says why.
	LinkRefused
)

// Steps of the search, in order (identity rules 3 and 4).
const (
	StepIdentity   = "identity"
	StepExternalID = "external_id"
	StepUserName   = "user_name"
	StepEmail      = "email"
	StepTombstone  = "tombstone"
	StepOtherEmail = "email_across_tenants"
)

// LinkResult is what a search found.
type LinkResult struct {
	Outcome    LinkOutcome
	Step       string // that decided; empty with LinkNone
	Identity   Identity
	Membership Membership // with LinkKnown and LinkMembership
	UserID     string     // with LinkUser, and with a membership its user
	// Person is, with an invited membership, the user of the environment whom an
	// e-mail in a domain of this tenant matches: the membership is to become his.
	Person string
	// DomainVerified: this tenant holds the e-mail's domain (identity rule 4).
	DomainVerified bool
	Err            error // with LinkRefused: one of the refusals of this package
}

// linkHit is a membership that a step found.
type linkHit struct {
	step       string
	membership Membership
	taken      bool // it has another subject of this connection
}

// userHit is a user of the environment with the e-mail.
type userHit struct {
	id      string
	here    bool // has a membership of this tenant, which is:
	linkHit linkHit
}

// linkFindings is everything that decides about a login that is not known yet.
type linkFindings struct {
	hits           []linkHit // in order of steps
	tombstone      bool
	domainVerified bool
	users          []userHit
}

// decideLink is identity rules 3 and 4: the first step with a hit decides; one
// usable hit links; two hits, a disabled or hidden hit, or a membership that
// already has another subject of this connection refuse. Only after that may an
// e-mail in a domain that this tenant holds match a user of the environment.
func decideLink(now time.Time, q LinkQuery, f linkFindings) LinkResult {
	r := LinkResult{DomainVerified: f.domainVerified}
	mailCounts := q.Email != "" && (q.EmailVerified == nil || *q.EmailVerified)
	for _, step := range []string{StepExternalID, StepUserName, StepEmail} {
		if step == StepEmail && !mailCounts {
			continue
		}
		if hits := distinct(f.hits, step); len(hits) > 0 {
			r = r.take(now, step, hits)
			if r.Outcome == LinkMembership && r.Membership.Status == StatusInvited && f.domainVerified && mailCounts {
				r.Person = f.elsewhere()
			}
			return r
		}
	}
	if f.tombstone {
		return r.refuse(StepTombstone, ErrDeprovisioned)
	}
	if !f.domainVerified || !mailCounts {
		return r
	}
	var here []linkHit
	for _, u := range f.users {
		if u.here {
			here = append(here, u.linkHit)
		}
	}
	switch {
	case len(here) > 0:
		return r.take(now, StepOtherEmail, here)
	case len(f.users) == 1:
		r.Outcome, r.Step, r.UserID = LinkUser, StepOtherEmail, f.users[0].id
	}
	return r
}

// elsewhere is the one user of the environment with the e-mail, when he has no
// membership of this tenant; empty when there is none, or are several.
func (f linkFindings) elsewhere() string {
	if len(f.users) != 1 || f.users[0].here {
		return ""
	}
	return f.users[0].id
}

func (r LinkResult) take(now time.Time, step string, hits []linkHit) LinkResult {
	if len(hits) > 1 {
		return r.refuse(step, ErrLinkAmbiguous)
	}
	m := hits[0].membership
	if err := m.Usable(now); err != nil {
		return r.refuse(step, err)
	}
	if hits[0].taken {
		return r.refuse(step, ErrLinkTaken)
	}
	r.Outcome, r.Step, r.Membership, r.UserID = LinkMembership, step, m, m.UserID
	return r
}

func (r LinkResult) refuse(step string, err error) LinkResult {
	r.Outcome, r.Step, r.Err = LinkRefused, step, err
	return r
}

// distinct gives the step's hits, each membership once.
func distinct(all []linkHit, step string) []linkHit {
	var hits []linkHit
next:
	for _, h := range all {
		if h.step != step {
			continue
		}
		for _, g := range hits {
			if g.membership.ID == h.membership.ID {
				continue next
			}
		}
		hits = append(hits, h)
	}
	return hits
}

// FindLink says who a login is: one round trip for a known identity, one more
// for a first login. That one makes other creations of the person in this tenant
// wait until the caller's transaction ends.
func (s *Service) FindLink(ctx context.Context, q db.Queryer, l LinkQuery) (LinkResult, error) {
	var r LinkResult
	known := knownIdentity(l, &r)
	err := q.Batch(ctx, []db.Stmt{known, {SQL: sqlDomainVerified, Args: []any{l.Tenant, EmailDomain(l.Email)}, Scan: scanCount(&r.DomainVerified)}})
	if err != nil || r.Outcome == LinkKnown {
		return r, err
	}
	var f linkFindings
	name, email := NameKey(l.UserName), EmailKey(l.Email)
	search := []any{l.Tenant, l.Connection, l.Subject, l.ObjectID, name, email}
	err = q.Batch(ctx, []db.Stmt{
		lockPerson(q.Dialect(), l.Tenant, name, email, l.Subject, l.ObjectID),
		known, // again: another login of the person may have committed before the lock was ours
		{SQL: sqlLinkHits, Args: search, Scan: func(rows db.Rows) error {
			f.hits = nil
			for rows.Next() {
				var h linkHit
				var step int64
				if err := scanMembership(rows, &h.membership, &step, &h.taken); err != nil {
					return err
				}
				h.step = [...]string{StepExternalID, StepUserName, StepEmail}[step-1]
				f.hits = append(f.hits, h)
			}
			return rows.Err()
		}},
		{SQL: sqlLinkTombstones, Args: append(search[:6:6], l.SubjectKey, l.Environment), Scan: scanCount(&f.tombstone)},
		{SQL: sqlUsersByEmail, Args: []any{l.Environment, email}, Scan: func(rows db.Rows) error {
			f.users = nil
			for rows.Next() {
				var u userHit
				if err := rows.Scan(&u.id); err != nil {
					return err
				}
				f.users = append(f.users, u)
			}
			return rows.Err()
		}},
		{SQL: sqlUsersByEmailHere, Args: []any{l.Tenant, l.Connection, l.Environment, email}, Scan: func(rows db.Rows) error {
			for rows.Next() {
				u := userHit{here: true}
				if err := scanMembership(rows, &u.linkHit.membership, &u.linkHit.taken); err != nil {
					return err
				}
				u.id, u.linkHit.step = u.linkHit.membership.UserID, StepOtherEmail
				f.users = append(f.users, u)
			}
			return rows.Err()
		}},
	})
	if err != nil || r.Outcome == LinkKnown {
		return r, err
	}
	f.domainVerified = r.DomainVerified
	return decideLink(s.clock.Now(), l, f), nil
}

func knownIdentity(l LinkQuery, r *LinkResult) db.Stmt {
	return db.Stmt{SQL: sqlKnownIdentity, Args: []any{l.Tenant, l.Connection, l.SubjectKey}, Scan: func(rows db.Rows) error {
		for rows.Next() {
			r.Outcome, r.Step = LinkKnown, StepIdentity
			if err := scanMembership(rows, &r.Membership, identityDest(&r.Identity)...); err != nil {
				return err
			}
			r.UserID = r.Membership.UserID
		}
		return rows.Err()
	}}
}

func scanCount(some *bool) func(db.Rows) error {
	return func(rows db.Rows) error {
		*some = false
		for rows.Next() {
			var n int64
			if err := rows.Scan(&n); err != nil {
				return err
			}
			*some = n > 0
		}
		return rows.Err()
	}
}
