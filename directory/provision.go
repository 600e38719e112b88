package directory

import (
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/sessions"
)

// Profile is what a SCIM resource says about a person, as far as directory
// keeps it.
type Profile struct {
	ExternalID, UserName string // as sent
	Email                string // the primary or first one; may be empty
	FirstName, LastName  string
	DisplayName          string
	Active               bool
}

// Resource names a SCIM resource and where it belongs.
type Resource struct {
	Environment, Tenant, Connection string
	ID                              string // res_…
}

// RetentionDays is how long a softly deleted person is kept (identity rule 10).
const RetentionDays = 30

// joinHit is a membership that a SCIM create may join.
type joinHit struct {
	step       string
	membership Membership
	taken      bool // it already has a live resource of this connection: another person
}

// tombHit is a tombstone of the created person, by externalId or userName; an
// address alone does not say that it is his.
type tombHit struct {
	id, userID string
	away       bool // his user is not in the tenant again
}

// Found is what a SCIM create's search brought; fill it by running
// Service.ProvisionSearch's statements.
type Found struct {
	hits  []joinHit
	tombs []tombHit // the surest first
	users []string  // of the environment with the e-mail, whose domain this tenant holds, without a membership here
}

type provisionDecision struct {
	join   *Membership
	userID string // of an existing user who gets a membership; empty: a new user
	step   string
}

// decideProvision is identity rule 3 for SCIM creates: the first step with a hit
// decides, one hit joins that person, two make a new user. A membership that has
// a live resource of this connection already is somebody else, and so is one that
// was deleted softly and has only the e-mail in common (rule 10). When nobody is
// joined, a hard-deleted person gets the user id that his tombstone holds; without
// a hit, a user of the environment joins by e-mail where the tenant holds the
// domain (rule 4).
func decideProvision(f Found) provisionDecision {
	for _, step := range []string{StepExternalID, StepUserName, StepEmail} {
		var hit *joinHit
		several := false
		for i := range f.hits {
			h := &f.hits[i]
			if h.step != step || step == StepEmail && !h.membership.HiddenAt.IsZero() {
				continue
			}
			several = several || hit != nil && hit.membership.ID != h.membership.ID
			hit = h
		}
		switch {
		case hit == nil:
			continue
		case several || hit.taken:
			return f.buried()
		}
		return provisionDecision{join: &hit.membership, step: step}
	}
	if d := f.buried(); d.userID != "" || len(f.users) != 1 {
		return d
	}
	return provisionDecision{userID: f.users[0], step: StepOtherEmail}
}

// buried gives the user of the person's own tombstone, or a new user.
func (f *Found) buried() provisionDecision {
	for _, t := range f.tombs {
		if t.away {
			return provisionDecision{userID: t.userID, step: StepTombstone}
		}
	}
	return provisionDecision{}
}

// ProvisionSearch gives the statements that look for a person whom SCIM creates,
// and where their rows go. They write nothing, but belong into the transaction of
// ProvisionStmts: until it ends, other creations of the person in this tenant wait.
func (s *Service) ProvisionSearch(d db.Dialect, r Resource, p Profile) ([]db.Stmt, *Found) {
	f := &Found{}
	email, name := EmailKey(p.Email), NameKey(p.UserName)
	return []db.Stmt{
		lockPerson(d, r.Tenant, name, email, p.ExternalID),
		{SQL: sqlProvisionHits, Args: []any{r.Tenant, r.Connection, p.ExternalID, name, email}, Scan: func(rows db.Rows) error {
			f.hits = nil
			for rows.Next() {
				var h joinHit
				var step int64
				if err := scanMembership(rows, &h.membership, &step, &h.taken); err != nil {
					return err
				}
				h.step = [...]string{StepExternalID, StepUserName, StepEmail}[step-1]
				f.hits = append(f.hits, h)
			}
			return rows.Err()
		}},
		{SQL: sqlProvisionTombstones, Args: []any{r.Tenant, r.Connection, p.ExternalID, name}, Scan: func(rows db.Rows) error {
			f.tombs = nil
			for rows.Next() {
				var t tombHit
				if err := rows.Scan(&t.id, &t.userID, &t.away); err != nil {
					return err
				}
				f.tombs = append(f.tombs, t)
			}
			return rows.Err()
		}},
		{SQL: sqlProvisionUsers, Args: []any{r.Tenant, r.Environment, email, EmailDomain(p.Email)}, Scan: func(rows db.Rows) error {
			f.users = nil
			for rows.Next() {
				var u string
				if err := rows.Scan(&u); err != nil {
					return err
				}
				f.users = append(f.users, u)
			}
			return rows.Err()
		}},
	}, f
}

// Provisioned is the outcome of a SCIM create.
type Provisioned struct {
	Membership string
	UserID     string
	Created    bool   // a membership was made: it needs default roles
	Joined     bool   // an existing membership was joined
	Revived    bool   // it had been deleted softly
	Step       string // that matched; empty for a new person
}

// ProvisionStmts write the person whom SCIM creates, with events.
func (s *Service) ProvisionStmts(a actor.Actor, r Resource, p Profile, f *Found) (Provisioned, []db.Stmt, error) {
	now := s.clock.Now()
	d := decideProvision(*f)
	var out Provisioned
	var stmts []db.Stmt
	var action string
	out.Step = d.step
	switch {
	case d.join != nil:
		out.Membership, out.UserID, out.Joined, out.Revived = d.join.ID, d.join.UserID, true, !d.join.HiddenAt.IsZero()
		action = "membership.updated"
		if out.Revived {
			action = "membership.revived"
		}
		stmts = append(stmts, lockMembership(r.Tenant, d.join.ID),
			db.Stmt{SQL: sqlDropHiddenSource, Args: []any{r.Tenant, d.join.ID, r.Connection}},
			// A change of a group that ran beside the deletion may have put him back.
			db.Stmt{SQL: sqlLeaveGroupsOf, Args: []any{r.Tenant, d.join.ID, r.Connection}},
			insertSource(r, d.join.ID, p, now), syncMembership(r.Tenant, d.join.ID, now))
	default:
		out.Membership, out.UserID, out.Created = id.New(id.Membership), d.userID, true
		action = "membership.created"
		if out.UserID == "" {
			out.UserID = id.New(id.User)
			action = "user.created"
			stmts = append(stmts, insertUser(User{ID: out.UserID, Environment: r.Environment, Email: p.Email}, now))
		}
		m := Membership{
			ID: out.Membership, Tenant: r.Tenant, Environment: r.Environment, UserID: out.UserID, Status: StatusActive, ManagedBy: SCIM, Connection: r.Connection,
			Email: p.Email, UserName: NameKey(p.UserName), FirstName: p.FirstName, LastName: p.LastName, DisplayName: p.DisplayName, SCIMResources: 1,
		}
		if p.Active {
			m.SCIMActive = 1
		}
		stmts = append(stmts, insertMembership(m, now), insertSource(r, m.ID, p, now))
	}
	stmts = append(stmts, f.unbury(r, out.UserID, out.Created && d.userID == "")...)
	e := audit.Event{
		Environment: r.Environment, Tenant: r.Tenant, Action: action, Actor: a, At: now, Connection: r.Connection,
		Targets: []audit.Target{{Type: "user", ID: out.UserID, Name: nameOf(p)}, {Type: "scim_resource", ID: r.ID}},
	}
	if out.Step != "" {
		e.Metadata = map[string]any{"matched_by": out.Step}
	}
	events, err := audit.Stmts(e)
	return out, append(stmts, events...), err
}

// unbury drops the tombstones of who was created, and users whom only those held.
func (f *Found) unbury(r Resource, userID string, newUser bool) (stmts []db.Stmt) {
	if !newUser {
		stmts = append(stmts, db.Stmt{SQL: sqlDropTombstonesOf, Args: []any{r.Tenant, userID}})
	}
	if len(f.tombs) == 0 {
		return stmts
	}
	var tombs, users []string
	for _, t := range f.tombs {
		tombs, users = append(tombs, t.id), append(users, t.userID)
	}
	return append(stmts, db.Stmt{SQL: sqlDropTombstones, Args: []any{r.Tenant, db.Set(tombs)}}, dropUsers(r.Environment, users))
}

// SourceState is a membership as a change of one of its resources needs it. The
// caller reads it in the statement that locks the membership's row.
type SourceState struct {
	Membership, UserID        string
	SCIMResources, SCIMActive int64
	// Groups of the resource's connection that list him, for RemoveStmts to tell
	// that he left them.
	Groups []audit.Target
}

// ChangeStmts write a changed resource of a person. The membership's attributes
// follow when the resource is its oldest. When no active resource is left the
// person's sessions in the tenant end; ended says so. changes go into the event.
func (s *Service) ChangeStmts(a actor.Actor, r Resource, m SourceState, before, after Profile, changes map[string]audit.Change) (stmts []db.Stmt, ended bool, err error) {
	now := s.clock.Now()
	stmts = []db.Stmt{updateSource(r, m.Membership, after), syncMembership(r.Tenant, m.Membership, now)}
	action := "user.updated"
	switch {
	case before.Active && !after.Active:
		action = "user.deprovisioned"
		ended = m.SCIMActive <= 1
	case !before.Active && after.Active:
		action = "user.reprovisioned"
	}
	events, err := audit.Stmts(audit.Event{
		Environment: r.Environment, Tenant: r.Tenant, Action: action, Actor: a, At: now, Connection: r.Connection, Changes: changes,
		Targets: []audit.Target{{Type: "user", ID: m.UserID, Name: nameOf(after)}, {Type: "scim_resource", ID: r.ID}},
	})
	if err != nil {
		return nil, false, err
	}
	stmts = append(stmts, events...)
	if ended {
		end, err := s.endSessions(a, r, m.UserID, now)
		if err != nil {
			return nil, false, err
		}
		stmts = append(stmts, end...)
	}
	return stmts, ended, nil
}

// RemoveStmts write that a resource of a person was deleted. Soft keeps the
// membership hidden for RetentionDays when it has no other resource; hard
// removes it then and leaves a tombstone. With another live resource only this
// one goes. In any case the person leaves the groups of this connection, as the
// client believes (RFC 7644 §3.6).
func (s *Service) RemoveStmts(a actor.Actor, r Resource, m SourceState, p Profile, hard bool) ([]db.Stmt, error) {
	now := s.clock.Now()
	last := m.SCIMResources <= 1
	var stmts []db.Stmt
	action := "user.deprovisioned"
	switch {
	case hard && last:
		action = "user.deleted"
		tomb := id.New("tmb")
		stmts = append(stmts, db.Stmt{SQL: sqlInsertTombstone, Args: []any{
			r.Tenant, tomb, r.Connection, m.UserID, p.ExternalID, NameKey(p.UserName), EmailKey(p.Email), db.At(now),
		}}, db.Stmt{SQL: sqlTombstoneSubjects, Args: []any{r.Tenant, tomb, m.Membership}}, db.Stmt{SQL: sqlDropMembership, Args: []any{r.Tenant, m.Membership}})
	case hard:
		stmts = append(stmts, db.Stmt{SQL: sqlLeaveGroupsOf, Args: []any{r.Tenant, m.Membership, r.Connection}}, db.Stmt{SQL: sqlDropSource, Args: []any{r.Tenant, m.Membership, r.Connection}}, syncMembership(r.Tenant, m.Membership, now))
	default:
		stmts = append(stmts, db.Stmt{SQL: sqlLeaveGroupsOf, Args: []any{r.Tenant, m.Membership, r.Connection}}, db.Stmt{SQL: sqlHideSource, Args: []any{r.Tenant, m.Membership, r.Connection, db.At(now)}},
			syncMembership(r.Tenant, m.Membership, now), hideMembership(r.Tenant, m.Membership, now))
	}
	events, err := audit.Stmts(audit.Event{
		Environment: r.Environment, Tenant: r.Tenant, Action: action, Actor: a, At: now, Connection: r.Connection,
		Targets:  []audit.Target{{Type: "user", ID: m.UserID, Name: nameOf(p)}, {Type: "scim_resource", ID: r.ID}},
		Metadata: map[string]any{"delete": map[bool]string{true: "hard", false: "soft"}[hard]},
	})
	if err != nil {
		return nil, err
	}
	stmts = append(stmts, events...)
	if events, err = audit.EachStmts(audit.Event{
		Environment: r.Environment, Tenant: r.Tenant, Action: "group.member_removed", Actor: a, At: now, Connection: r.Connection,
		Targets: []audit.Target{{Type: "user", ID: m.UserID, Name: nameOf(p)}},
	}, m.Groups); err != nil {
		return nil, err
	}
	stmts = append(stmts, events...)
	active := m.SCIMActive
	if p.Active {
		active--
	}
	if last || active <= 0 {
		end, err := s.endSessions(a, r, m.UserID, now)
		if err != nil {
			return nil, err
		}
		stmts = append(stmts, end...)
	}
	return stmts, nil
}

func (s *Service) endSessions(a actor.Actor, r Resource, userID string, now time.Time) ([]db.Stmt, error) {
	return s.sessions.EndStmts(a, sessions.Selector{Environment: r.Environment, Tenant: r.Tenant, User: userID}, "deprovisioned", now)
}

func nameOf(p Profile) string {
	if p.UserName != "" {
		return p.UserName
	}
	return p.Email
}
