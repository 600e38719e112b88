package directory

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/sessions"
)

// Service is the operations on people and groups.
type Service struct {
	clock    clock.Clock
	sessions *sessions.Service
}

// New makes the service. Sessions of people who lose access are ended through s.
func New(c clock.Clock, s *sessions.Service) *Service { return &Service{clock: c, sessions: s} }

var (
	errNoUser = fault.New(fault.NotFound, "user_not_found", "There is no such user.")
	// ErrUserExists says that somebody else of the tenant has the address.
	ErrUserExists  = fault.New(fault.Conflict, "user_exists", "A user with this e-mail address is already in the tenant.").In("email")
	errUserManaged = fault.New(fault.Conflict, "user_idp_managed", "This user is kept by a directory; change it there.")
	errAccess      = fault.New(fault.Invalid, "invalid_expiry", "An access period is at least 300 seconds.").In("expires_at")
)

// MinAccess is the shortest access period of a guest (product 2.4).
const MinAccess = 300 * time.Second

// NewUser is a person whom somebody adds by hand or by API, or whom a login
// creates just in time.
type NewUser struct {
	Environment, Tenant string
	UserID              string // of an existing user who gets a membership (LinkUser); empty: see CreateUser
	Email               string
	EmailVerified       bool // he proved the address to us
	UserName            string
	FirstName, LastName string
	DisplayName         string
	Status              Status // empty: active
	ManagedBy           Source // Local or SSO; empty: Local
	Connection          string // that creates him, with SSO
	PasswordHash        string // not empty: a local login
	LocalLogin          bool   // may get a password later
	Apart               bool   // a new user, whoever else has the address
	ExpiresAt           time.Time
	Metadata            string // a JSON object; empty: none
	Invitation          string // inv_…, of who is invited
}

// CreateUser adds a person to a tenant. A local user joins an existing user of
// the environment with the same e-mail only when the tenant holds its domain
// (identity rule 4); else, and for just-in-time users without UserID, a new user
// is made. Roles are the caller's to assign. Whoever is invited (StatusInvited)
// is on a user of his own, without an address, whom no search by e-mail finds,
// until he accepts: nobody becomes a member unasked, and nothing tells whether the
// address is known elsewhere.
//
// Faults: user_exists (conflict) for a second local one of the address,
// invalid_email, too_long, invalid_characters.
func (s *Service) CreateUser(ctx context.Context, a actor.Actor, q db.Queryer, n NewUser) (Person, error) {
	now := s.clock.Now()
	if n.ManagedBy == "" {
		n.ManagedBy = Local
	}
	if n.Status == "" {
		n.Status = StatusActive
	}
	if err := n.check(now); err != nil {
		return Person{}, err
	}
	localTaken := false
	if n.ManagedBy == Local && n.UserID == "" {
		var err error
		var known string
		if known, localTaken, err = s.localMatch(ctx, q, n); err != nil {
			return Person{}, err
		}
		if n.Status != StatusInvited && !n.Apart {
			n.UserID = known
		}
	}
	var stmts []db.Stmt
	p := Person{Membership: Membership{
		ID: id.New(id.Membership), Tenant: n.Tenant, Environment: n.Environment, UserID: n.UserID, Status: n.Status, ExpiresAt: n.ExpiresAt,
		ManagedBy: n.ManagedBy, Connection: n.Connection, Email: n.Email, UserName: NameKey(n.UserName),
		FirstName: n.FirstName, LastName: n.LastName, DisplayName: n.DisplayName, Metadata: n.Metadata, Version: 1, CreatedAt: now, UpdatedAt: now,
	}}
	action := "membership.created"
	if n.UserID == "" {
		action = "user.created"
		p.User = User{
			ID: id.New(id.User), Environment: n.Environment, Email: n.Email, EmailVerified: n.EmailVerified, PasswordHash: n.PasswordHash,
			LocalLogin: (n.LocalLogin || n.PasswordHash != "") && !localTaken, Version: 1, CreatedAt: now, UpdatedAt: now,
		}
		if n.PasswordHash != "" && localTaken {
			return Person{}, fault.New(fault.Conflict, "login_exists", "Another user of this address already has a password.").In("password")
		}
		if n.Status == StatusInvited {
			action, p.User.Email, p.User.LocalLogin = "invitation.created", "", false
		}
		p.Membership.UserID = p.User.ID
		stmts = append(stmts, insertUser(p.User, now))
	}
	stmts = append(stmts, insertMembership(p.Membership, now))
	events, err := audit.Stmts(audit.Event{
		Environment: n.Environment, Tenant: n.Tenant, Action: action, Actor: a, At: now, Connection: n.Connection,
		Targets: n.targets(p.Membership.UserID),
	})
	if err != nil {
		return Person{}, err
	}
	if err := q.Batch(ctx, append(stmts, events...)); err != nil {
		if errors.Is(err, db.ErrConflict) {
			return Person{}, ErrUserExists.Because(err)
		}
		return Person{}, err
	}
	if p.User.ID == "" {
		return s.PersonOf(ctx, q, n.Tenant, n.UserID)
	}
	return p, nil
}

func (n *NewUser) targets(user string) []audit.Target {
	list := []audit.Target{{Type: "user", ID: user, Name: n.Email}}
	if n.Invitation != "" {
		list = append(list, audit.Target{Type: "invitation", ID: n.Invitation, Name: n.Email})
	}
	return list
}

func (n *NewUser) check(now time.Time) error {
	if n.ManagedBy == Local || n.Email != "" {
		if err := validEmail(n.Email); err != nil {
			return err
		}
	}
	if !n.ExpiresAt.IsZero() && n.ExpiresAt.Before(now.Add(MinAccess)) {
		return errAccess
	}
	var err error
	if n.Metadata, err = checkMetadata(n.Metadata); err != nil {
		return err
	}
	for field, v := range map[string]string{"first_name": n.FirstName, "last_name": n.LastName, "display_name": n.DisplayName, "user_name": n.UserName} {
		if err := checkText(field, v, maxName); err != nil {
			return err
		}
	}
	return nil
}

// localMatch finds the user of the environment whom a local user is, and whether
// somebody of the address may log in by password already.
func (s *Service) localMatch(ctx context.Context, q db.Queryer, n NewUser) (userID string, localTaken bool, err error) {
	var here, held bool
	var users []string
	key := EmailKey(n.Email)
	err = q.Batch(ctx, []db.Stmt{
		lockPerson(q.Dialect(), n.Tenant, NameKey(n.UserName), key),
		{SQL: sqlEmailHere, Args: []any{n.Tenant, key}, Scan: scanCount(&here)},
		{SQL: sqlProvisionUsers, Args: []any{n.Tenant, n.Environment, key, EmailDomain(n.Email)}, Scan: scanStrings(&users)},
		{SQL: sqlLocalLogin, Args: []any{n.Environment, key}, Scan: scanCount(&held)},
	})
	switch {
	case err != nil:
		return "", false, err
	case here:
		return "", false, ErrUserExists
	case len(users) == 1:
		return users[0], held, nil
	}
	return "", held, nil
}

// PersonOf reads a user as a member of a tenant. Fails with user_not_found.
func (s *Service) PersonOf(ctx context.Context, q db.Queryer, tenant, userID string) (Person, error) {
	return s.person(ctx, q, sqlPersonByUser, tenant, userID)
}

// PersonByMembership reads a member by the membership's id.
func (s *Service) PersonByMembership(ctx context.Context, q db.Queryer, tenant, membership string) (Person, error) {
	return s.person(ctx, q, sqlPersonByMembership, tenant, membership)
}

func (s *Service) person(ctx context.Context, q db.Queryer, sql, tenant, key string) (Person, error) {
	var p Person
	err := scanMembership(q.QueryRow(ctx, sql, tenant, key), &p.Membership, userDest(&p.User)...)
	if errors.Is(err, db.ErrNotFound) {
		return p, errNoUser
	}
	return p, err
}

// UserPatch is a change by hand; nil leaves alone.
type UserPatch struct {
	Email, FirstName, LastName, DisplayName *string
	ExpiresAt                               *time.Time // the zero time makes a guest permanent
	Metadata                                *string    // a JSON object; empty: none
}

// UpdateUser changes what this tenant knows of a member. People whom a directory
// keeps cannot be edited here (user_idp_managed), but for their access period and
// metadata. An address that another member has is refused (user_exists).
func (s *Service) UpdateUser(ctx context.Context, a actor.Actor, q db.Queryer, tenant, userID string, u UserPatch) (Person, error) {
	now := s.clock.Now()
	p, err := s.lockedPerson(ctx, q, tenant, userID)
	if err != nil {
		return p, err
	}
	m := &p.Membership
	edited := u.Email != nil || u.FirstName != nil || u.LastName != nil || u.DisplayName != nil
	if edited && m.ManagedBy == SCIM {
		return p, errUserManaged
	}
	changes, action := map[string]audit.Change{}, "user.updated"
	set := func(field string, to *string, from *string) error {
		if to == nil || *to == *from {
			return nil
		}
		changes[field] = audit.Change{From: *from, To: *to}
		*from = *to
		return checkText(field, *to, maxName)
	}
	if u.Email != nil && *u.Email != m.Email {
		if m.Status == StatusInvited {
			return p, errInvitedEmail
		}
		if err := validEmail(*u.Email); err != nil {
			return p, err
		}
		if err := s.freeAddress(ctx, q, *m, *u.Email); err != nil {
			return p, err
		}
	}
	if u.Metadata != nil {
		text, err := checkMetadata(*u.Metadata)
		if err != nil {
			return p, err
		}
		if text != m.Metadata {
			changes["metadata"] = audit.Change{From: m.Metadata, To: text}
			m.Metadata = text
		}
	}
	if err := errors.Join(set("email", u.Email, &m.Email), set("first_name", u.FirstName, &m.FirstName),
		set("last_name", u.LastName, &m.LastName), set("display_name", u.DisplayName, &m.DisplayName)); err != nil {
		return p, err
	}
	if u.ExpiresAt != nil && !u.ExpiresAt.Equal(m.ExpiresAt) {
		if !u.ExpiresAt.IsZero() && u.ExpiresAt.Before(now.Add(MinAccess)) {
			return p, errAccess
		}
		changes["expires_at"] = audit.Change{From: shownTime(m.ExpiresAt), To: shownTime(*u.ExpiresAt)}
		action = accessAction(m.ExpiresAt, *u.ExpiresAt)
		m.ExpiresAt = *u.ExpiresAt
	}
	if len(changes) == 0 {
		return p, nil
	}
	m.Version, m.UpdatedAt = m.Version+1, now
	return p, s.write(ctx, q, s.event(a, *m, action, now, changes), db.Stmt{SQL: sqlUpdateMembership, Args: []any{
		tenant, m.ID, m.Email, EmailKey(m.Email), m.FirstName, m.LastName, m.DisplayName, db.At(m.ExpiresAt), db.At(now), m.Metadata,
	}})
}

// freeAddress refuses an address that another member of the tenant has: a first
// login with it would find two people, or the wrong one.
func (s *Service) freeAddress(ctx context.Context, q db.Queryer, m Membership, email string) error {
	key := EmailKey(email)
	if key == EmailKey(m.Email) {
		return nil
	}
	var taken bool
	err := q.Batch(ctx, []db.Stmt{
		lockPerson(q.Dialect(), m.Tenant, "", key),
		{SQL: sqlEmailOfAnother, Args: []any{m.Tenant, key, m.ID}, Scan: scanCount(&taken)},
	})
	if err == nil && taken {
		err = ErrUserExists
	}
	return err
}

// Disable keeps a member out of this tenant and ends his sessions there; his
// other tenants are untouched (product 138).
func (s *Service) Disable(ctx context.Context, a actor.Actor, q db.Queryer, tenant, userID string) (Person, error) {
	now := s.clock.Now()
	p, err := s.lockedPerson(ctx, q, tenant, userID)
	if err != nil || !p.Membership.DisabledAt.IsZero() {
		return p, err
	}
	p.Membership.DisabledAt = now
	stmts := []db.Stmt{{SQL: sqlSetDisabled, Args: []any{tenant, p.Membership.ID, db.At(now), db.At(now)}}}
	end, err := s.sessions.EndStmts(a, sessions.Selector{Environment: p.Membership.Environment, Tenant: tenant, User: userID}, "disabled", now)
	if err != nil {
		return p, err
	}
	return p, s.write(ctx, q, s.event(a, p.Membership, "user.disabled", now, nil), append(stmts, end...)...)
}

// Enable lets a disabled member in again.
func (s *Service) Enable(ctx context.Context, a actor.Actor, q db.Queryer, tenant, userID string) (Person, error) {
	now := s.clock.Now()
	p, err := s.lockedPerson(ctx, q, tenant, userID)
	if err != nil || p.Membership.DisabledAt.IsZero() {
		return p, err
	}
	p.Membership.DisabledAt = time.Time{}
	return p, s.write(ctx, q, s.event(a, p.Membership, "user.enabled", now, nil),
		db.Stmt{SQL: sqlSetDisabled, Args: []any{tenant, p.Membership.ID, db.Time{}, db.At(now)}})
}

// RemoveUser takes a member out of a tenant; with his last membership the user
// goes (product 137). People whom a directory keeps are removed there
// (user_idp_managed).
func (s *Service) RemoveUser(ctx context.Context, a actor.Actor, q db.Queryer, tenant, userID string) error {
	now := s.clock.Now()
	p, err := s.lockedPerson(ctx, q, tenant, userID)
	if err != nil {
		return err
	}
	if p.Membership.ManagedBy == SCIM {
		return errUserManaged
	}
	end, err := s.sessions.EndStmts(a, sessions.Selector{Environment: p.Membership.Environment, Tenant: tenant, User: userID}, "removed", now)
	if err != nil {
		return err
	}
	return s.write(ctx, q, s.event(a, p.Membership, "user.deleted", now, nil), append(end,
		db.Stmt{SQL: sqlDropMembership, Args: []any{tenant, p.Membership.ID}},
		dropUsers(p.Membership.Environment, []string{userID}))...)
}

// HoldPerson reads a member whom nobody else changes until the end of the
// transaction.
//
// Fault: user_not_found.
func (s *Service) HoldPerson(ctx context.Context, q db.Queryer, tenant, userID string) (Person, error) {
	return s.lockedPerson(ctx, q, tenant, userID)
}

func (s *Service) lockedPerson(ctx context.Context, q db.Queryer, tenant, userID string) (Person, error) {
	return s.person(ctx, q, sqlPersonByUser+q.Dialect().ForUpdate, tenant, userID)
}

func (s *Service) event(a actor.Actor, m Membership, action string, now time.Time, changes map[string]audit.Change) audit.Event {
	return audit.Event{
		Environment: m.Environment, Tenant: m.Tenant, Action: action, Actor: a, At: now, Changes: changes,
		Targets: []audit.Target{{Type: "user", ID: m.UserID, Name: m.Email}},
	}
}

// write runs the statements and records the event in one round trip.
func (s *Service) write(ctx context.Context, q db.Queryer, e audit.Event, stmts ...db.Stmt) error {
	events, err := audit.Stmts(e)
	if err != nil {
		return err
	}
	return q.Batch(ctx, append(stmts, events...))
}

func scanStrings(into *[]string) func(db.Rows) error {
	return func(rows db.Rows) error {
		*into = nil
		for rows.Next() {
			var v string
			if err := rows.Scan(&v); err != nil {
				return err
			}
			*into = append(*into, v)
		}
		return rows.Err()
	}
}
