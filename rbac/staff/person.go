package staff

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

// Statuses of the vendor's people.
const (
	Active   = "active"
	Disabled = "disabled"
)

// Everywhere is the environment of an assignment that holds in all of them.
const Everywhere = ""

// Person is one of the vendor's people. He stands above environments; his roles
// hold in one of them or everywhere.
type Person struct {
	ID        string
	Email     string
	Name      string
	Status    string
	Roles     map[string][]string // environment → roles, the strongest first
	Version   int64
	CreatedAt time.Time
	UpdatedAt time.Time
}

// In gives the roles that hold in an environment, the strongest first.
func (p Person) In(environment string) []string {
	var out []string
	for _, r := range Roles {
		if slices.Contains(p.Roles[environment], r) || slices.Contains(p.Roles[Everywhere], r) {
			out = append(out, r)
		}
	}
	return out
}

// NewPerson is what CreatePerson takes.
type NewPerson struct {
	Email       string
	Name        string
	Environment string // where the roles hold; Everywhere: in all of them
	Roles       []string
}

// PersonPatch changes what is not nil.
type PersonPatch struct {
	Name   *string
	Status *string
	Roles  map[string][]string // by environment, or Everywhere; replaces those there, none takes them
}

// Faults.
var (
	ErrNotFound  = fault.New(fault.NotFound, "staff_not_found", "There is no such person.")
	ErrLastAdmin = fault.New(fault.Conflict, "last_admin", "This is the last admin. Make another person an admin first.")
	ErrElsewhere = fault.New(fault.Forbidden, "staff_of_other_environments", "The person has roles beyond this environment, where you may not act.")
	errNoRoles   = fault.New(fault.Invalid, "invalid_role", "A person has at least one role somewhere. Delete the person instead.").In("roles")
	ErrTaken     = fault.New(fault.Conflict, "email_taken", "Somebody with this address has a role here already.").In("email")
)

const prefix = "stf"

// CreatePerson adds one of the vendor's people, or gives somebody whom another
// environment knows by that address his first roles in this one; his name stays
// then. Faults: invalid_email, invalid_name, invalid_role,
// invalid_role_combination, role_exceeds_own, email_taken, staff_of_other_environments.
func (s *Service) CreatePerson(ctx context.Context, a actor.Actor, q db.Queryer, in NewPerson) (Person, error) {
	now := s.clock.Now()
	roles, err := s.grantable(ctx, a, q, in.Environment, in.Roles, false)
	if err != nil {
		return Person{}, err
	}
	email := strings.TrimSpace(in.Email)
	if err := directory.CheckEmail(email); err != nil {
		return Person{}, err
	}
	p := Person{ID: id.New(prefix), Email: email, Name: strings.TrimSpace(in.Name), Status: Active, Version: 1, CreatedAt: now, UpdatedAt: now}
	if err := checkName(p.Name, false); err != nil {
		return Person{}, err
	}
	key := directory.EmailKey(p.Email)
	n, err := q.Exec(ctx, sqlInsertPerson, p.ID, p.Email, key, p.Name, db.At(now))
	if err != nil {
		return Person{}, err
	}
	if n == 0 {
		if p, err = s.person(ctx, q, sqlPersonByEmail+q.Dialect().ForUpdate, key); err != nil {
			return Person{}, err
		}
		if len(p.Roles[in.Environment]) > 0 {
			return Person{}, ErrTaken
		}
		if _, err := q.Exec(ctx, sqlTouchPerson, p.ID, db.At(now)); err != nil {
			return Person{}, err
		}
		p.Version, p.UpdatedAt = p.Version+1, now
	}
	if p.Roles == nil {
		p.Roles = map[string][]string{}
	}
	p.Roles[in.Environment] = roles
	stmts, err := s.event(a, in.Environment, "staff.created", p, map[string]audit.Change{"roles": {From: []string{}, To: roles}})
	if err != nil {
		return Person{}, err
	}
	return p, q.Batch(ctx, append(s.insertRoles(p.ID, in.Environment, roles), stmts...))
}

// Person gives somebody who has a role in the environment.
func (s *Service) Person(ctx context.Context, q db.Queryer, environment, personID string) (Person, error) {
	p, err := s.person(ctx, q, sqlPerson, personID)
	if err == nil && len(p.In(environment)) == 0 {
		err = ErrNotFound
	}
	return p, err
}

// PersonByEmail gives somebody by his address.
func (s *Service) PersonByEmail(ctx context.Context, q db.Queryer, email string) (Person, error) {
	return s.person(ctx, q, sqlPersonByEmail, directory.EmailKey(email))
}

// Commands gives a person of the actor's environment whose credentials the actor
// may take away and give anew. Who can do that can become the person, so he must
// reach all of the person's roles and hold at least as much.
//
// Faults: staff_not_found, staff_of_other_environments, role_exceeds_own.
func (s *Service) Commands(ctx context.Context, a actor.Actor, q db.Queryer, personID string) (Person, error) {
	p, err := s.Lock(ctx, a, q, personID)
	if err != nil {
		return Person{}, err
	}
	if err := s.reaches(ctx, a, q, slices.Collect(maps.Keys(p.Roles))...); err != nil {
		return Person{}, err
	}
	for _, environment := range slices.Sorted(maps.Keys(p.Roles)) {
		if err := s.within(ctx, a, q, environment, p.Roles[environment]); err != nil {
			return Person{}, err
		}
	}
	return p, nil
}

// CommandsAll refuses who could not become everybody on the staff by taking their
// credentials: who decides which provider vouches for them can become any of them.
//
// Faults: staff_of_other_environments, role_exceeds_own.
func (s *Service) CommandsAll(ctx context.Context, a actor.Actor, q db.Queryer) error {
	if err := s.reaches(ctx, a, q, Everywhere); err != nil {
		return err
	}
	rows, err := q.Query(ctx, sqlRolesGiven)
	if err != nil {
		return err
	}
	defer rows.Close()
	given := map[string][]string{}
	for rows.Next() {
		var environment, role string
		if err := rows.Scan(&environment, &role); err != nil {
			return err
		}
		given[environment] = append(given[environment], role)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	rows.Close() // before the next statement
	for environment, roles := range given {
		if err := s.within(ctx, a, q, environment, roles); err != nil {
			return err
		}
	}
	return nil
}

// Position is the last of a page of People.
type Position struct {
	At time.Time
	ID string
}

// People lists those who have a role in the environment, the longest-standing
// first; nil at the end.
func (s *Service) People(ctx context.Context, q db.Queryer, environment string, after Position, limit int) ([]Person, *Position, error) {
	list, err := scanPeople(q.Query(ctx, sqlPeople, environment, db.At(after.At).UnixMicro(), after.ID, limit+1))
	if err != nil {
		return nil, nil, err
	}
	var next *Position
	if len(list) > limit {
		list = list[:limit]
		next = &Position{At: list[limit-1].CreatedAt, ID: list[limit-1].ID}
	}
	return list, next, s.fill(ctx, q, list)
}

// UpdatePerson changes what the patch names. Name and status are the person's
// everywhere and change only where the actor reaches all of his roles. The last
// active admin stays one.
func (s *Service) UpdatePerson(ctx context.Context, a actor.Actor, q db.Queryer, personID string, patch PersonPatch) (Person, error) {
	before, err := s.Lock(ctx, a, q, personID)
	if err != nil {
		return Person{}, err
	}
	p, now, changes := before, s.clock.Now(), map[string]audit.Change{}
	p.Roles = maps.Clone(before.Roles)
	if patch.Name != nil {
		p.Name = strings.TrimSpace(*patch.Name)
		if err := checkName(p.Name, false); err != nil {
			return Person{}, err
		}
	}
	if patch.Status != nil {
		if *patch.Status != Active && *patch.Status != Disabled {
			return Person{}, fault.New(fault.Invalid, "invalid_status", "Choose active or disabled.").In("status")
		}
		p.Status = *patch.Status
	}
	if p.Name != before.Name {
		changes["name"] = audit.Change{From: before.Name, To: p.Name}
	}
	if p.Status != before.Status {
		changes["status"] = audit.Change{From: before.Status, To: p.Status}
	}
	if len(changes) > 0 {
		if err := s.reaches(ctx, a, q, slices.Collect(maps.Keys(before.Roles))...); err != nil {
			return Person{}, err
		}
	}
	var stmts []db.Stmt
	for environment, wanted := range patch.Roles {
		old := before.Roles[environment]
		if ordered, err := checkRoles(wanted); err == nil && slices.Equal(old, ordered) {
			continue // what stays as it is asks for no power
		}
		roles, err := s.grantable(ctx, a, q, environment, wanted, len(old) > 0)
		if err != nil {
			return Person{}, err
		}
		field := "roles"
		if environment == Everywhere {
			field = "everywhere_roles"
		}
		p.Roles[environment] = roles
		if len(roles) == 0 {
			delete(p.Roles, environment)
		}
		changes[field] = audit.Change{From: append([]string{}, old...), To: append([]string{}, roles...)}
		stmts = append(stmts, db.Stmt{SQL: sqlDeleteRoles, Args: []any{p.ID, environment}})
		stmts = append(stmts, s.insertRoles(p.ID, environment, roles)...)
	}
	if len(p.Roles) == 0 {
		return Person{}, errNoRoles
	}
	if len(changes) == 0 {
		return p, nil
	}
	if err := s.keepAdmin(ctx, q, before, p); err != nil {
		return Person{}, err
	}
	p.Version, p.UpdatedAt = before.Version+1, now
	event, err := s.event(a, a.Environment, "staff.updated", p, changes)
	if err != nil {
		return Person{}, err
	}
	stmts = append(stmts, db.Stmt{SQL: sqlUpdatePerson, Args: []any{p.ID, p.Name, p.Status, db.At(now)}})
	if p.Status != Active {
		stmts = append(stmts, db.Stmt{SQL: sqlEndSessions, Args: []any{p.ID, ""}})
	}
	return p, q.Batch(ctx, append(stmts, event...))
}

// DeletePerson takes a person's roles where the actor administers, and with the
// last of all his roles the person.
func (s *Service) DeletePerson(ctx context.Context, a actor.Actor, q db.Queryer, personID string) error {
	before, err := s.Lock(ctx, a, q, personID)
	if err != nil {
		return err
	}
	p := before
	p.Roles = map[string][]string{}
	for environment, roles := range before.Roles {
		switch err := s.reaches(ctx, a, q, environment); {
		case errors.Is(err, ErrElsewhere):
			p.Roles[environment] = roles
		case err != nil:
			return err
		}
	}
	if len(p.Roles) == len(before.Roles) {
		return ErrElsewhere // what he has here comes from a role that holds everywhere
	}
	if err := s.keepAdmin(ctx, q, before, p); err != nil {
		return err
	}
	stmts, err := s.event(a, a.Environment, "staff.deleted", before, nil)
	if err != nil {
		return err
	}
	if len(p.Roles) == 0 {
		return q.Batch(ctx, append(stmts, db.Stmt{SQL: sqlDeletePerson, Args: []any{p.ID}}))
	}
	for environment := range before.Roles {
		if _, stays := p.Roles[environment]; !stays {
			stmts = append(stmts, db.Stmt{SQL: sqlDeleteRoles, Args: []any{p.ID, environment}})
		}
	}
	return q.Batch(ctx, append(stmts, db.Stmt{SQL: sqlTouchPerson, Args: []any{p.ID, db.At(s.clock.Now())}}))
}

// Actor gives what a person is and may do in an environment. Somebody who is
// disabled or has no role there is not found.
func (s *Service) Actor(ctx context.Context, q db.Queryer, environment, personID string) (actor.Actor, error) {
	p, err := s.Person(ctx, q, environment, personID)
	if err != nil {
		return actor.Actor{}, err
	}
	if p.Status != Active {
		return actor.Actor{}, ErrNotFound
	}
	return actor.Actor{
		Environment: environment, Kind: actor.Staff, Subject: p.ID, Email: p.Email, Name: cmp.Or(p.Name, p.Email), Permissions: permissionsOf(p.In(environment)),
	}, nil
}

// grantable checks roles that the actor wants to give in an environment; none are
// in order where some are taken.
func (s *Service) grantable(ctx context.Context, a actor.Actor, q db.Queryer, environment string, roles []string, takes bool) ([]string, error) {
	if err := s.reaches(ctx, a, q, environment); err != nil {
		return nil, err
	}
	if len(roles) == 0 && takes {
		return nil, nil
	}
	roles, err := checkRoles(roles)
	if err != nil {
		return nil, err
	}
	return roles, s.within(ctx, a, q, environment, roles)
}

// within refuses with ErrStronger where roles in an environment hold what the
// actor does not hold there.
func (s *Service) within(ctx context.Context, a actor.Actor, q db.Queryer, environment string, roles []string) error {
	if a.Kind == actor.Staff && environment != a.Environment {
		own, err := s.person(ctx, q, sqlPerson, a.Subject)
		if err != nil {
			return err
		}
		a.Permissions = permissionsOf(own.In(environment))
	}
	return checkWithin(a, roles)
}

// Reaches refuses with ErrElsewhere where the actor does not administer the
// environment, or all of them for Everywhere.
func (s *Service) Reaches(ctx context.Context, a actor.Actor, q db.Queryer, environment string) error {
	return s.reaches(ctx, a, q, environment)
}

// reaches refuses with ErrElsewhere where the actor does not administer all of the
// environments. A key serves one, that of the default environment all of them; a
// person's roles say where.
func (s *Service) reaches(ctx context.Context, a actor.Actor, q db.Queryer, environments ...string) error {
	if a.Kind == actor.System || !slices.ContainsFunc(environments, func(e string) bool { return e != a.Environment }) {
		return nil
	}
	switch a.Kind {
	case actor.Management:
		var main bool
		if err := q.QueryRow(ctx, sqlIsDefault, a.Environment).Scan(&main); err != nil || main {
			return err
		}
	case actor.Staff:
		own, err := s.person(ctx, q, sqlPerson, a.Subject)
		if err != nil || slices.Contains(own.Roles[Everywhere], Admin) {
			return err
		}
	}
	return ErrElsewhere
}

// Lock gives a person of the actor's environment for a change. Changes of the
// vendor's people take turns, so that two admins cannot remove each other.
func (s *Service) Lock(ctx context.Context, a actor.Actor, q db.Queryer, personID string) (Person, error) {
	rows, err := q.Query(ctx, sqlLockAdmins+q.Dialect().ForUpdate)
	if err != nil {
		return Person{}, err
	}
	for rows.Next() {
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return Person{}, err
	}
	p, err := s.person(ctx, q, sqlPerson+q.Dialect().ForUpdate, personID)
	if err == nil && a.Kind != actor.System && len(p.In(a.Environment)) == 0 {
		err = ErrNotFound
	}
	return p, err
}

// keepAdmin refuses with ErrLastAdmin a change after which some environment, or
// all of them together, would have lost the last active admin.
func (s *Service) keepAdmin(ctx context.Context, q db.Queryer, before, after Person) error {
	for environment, roles := range before.Roles {
		stays := after.Status == Active && slices.Contains(after.Roles[environment], Admin)
		if before.Status != Active || !slices.Contains(roles, Admin) || stays {
			continue
		}
		var others int64
		if err := q.QueryRow(ctx, sqlOtherAdmins, environment, before.ID).Scan(&others); err != nil {
			return err
		}
		if others == 0 {
			return ErrLastAdmin
		}
	}
	return nil
}

func (s *Service) insertRoles(personID, environment string, roles []string) []db.Stmt {
	stmts := make([]db.Stmt, 0, len(roles))
	for _, r := range roles {
		stmts = append(stmts, db.Stmt{SQL: sqlInsertRole, Args: []any{personID, environment, r, db.At(s.clock.Now())}})
	}
	return stmts
}

// event tells of a change in the log of the environment where it was made.
func (s *Service) event(a actor.Actor, environment, action string, p Person, changes map[string]audit.Change) ([]db.Stmt, error) {
	if environment == Everywhere {
		environment = a.Environment
	}
	return audit.Stmts(audit.Event{
		Environment: environment, Action: action, Actor: a, At: s.clock.Now(), Changes: changes,
		Targets: []audit.Target{{Type: "staff", ID: p.ID, Name: p.Email}},
	})
}

func (s *Service) person(ctx context.Context, q db.Queryer, sql, key string) (Person, error) {
	var p Person
	if err := scanPerson(q.QueryRow(ctx, sql, key), &p); err != nil {
		if errors.Is(err, db.ErrNotFound) {
			err = ErrNotFound
		}
		return Person{}, err
	}
	list := []Person{p}
	err := s.fill(ctx, q, list)
	return list[0], err
}

// fill adds the roles.
func (s *Service) fill(ctx context.Context, q db.Queryer, list []Person) error {
	at, ids := make(map[string]*Person, len(list)), make([]string, 0, len(list))
	for i := range list {
		list[i].Roles = map[string][]string{}
		at[list[i].ID] = &list[i]
		ids = append(ids, list[i].ID)
	}
	rows, err := q.Query(ctx, sqlRoles, db.Set(ids))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var personID, environment, role string
		if err := rows.Scan(&personID, &environment, &role); err != nil {
			return err
		}
		p := at[personID]
		p.Roles[environment] = append(p.Roles[environment], role)
	}
	for _, p := range list {
		for _, roles := range p.Roles {
			slices.SortFunc(roles, func(a, b string) int { return cmp.Compare(slices.Index(Roles, a), slices.Index(Roles, b)) })
		}
	}
	return rows.Err()
}
