package directory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

// Group is a set of a tenant's members and, where a directory pushed it, of
// other groups.
type Group struct {
	ID, Tenant           string
	Name                 string
	Description, Color   string
	Metadata             string // a JSON object of at most 16 KiB
	ManagedBy            Source // Local or SCIM
	Connection           string // the SCIM connection that pushed it
	Version              int64
	CreatedAt, UpdatedAt time.Time
}

// Limits of groups.
const (
	MaxGroupDepth  = 8 // groups on the longest path through nested groups
	MaxMemberIDs   = 10_000
	maxDescription = 4096
	maxColor       = 32
	maxMetadata    = 16 << 10
)

var (
	errNoGroup       = fault.New(fault.NotFound, "group_not_found", "There is no such group.")
	errGroupManaged  = fault.New(fault.Conflict, "group_idp_managed", "This group is kept by a directory; change it there.")
	errGroupExists   = fault.New(fault.Conflict, "group_exists", "A group of this name already exists.").In("name")
	errUnknownMember = fault.New(fault.Invalid, "unknown_member", "Only members of the tenant can be in its groups.").In("members")
	errGroupCycle    = fault.New(fault.Invalid, "group_cycle", "A group cannot contain itself, directly or through others.").In("members")
	errGroupDepth    = fault.New(fault.Invalid, "group_too_deep", "Groups are nested too deeply.").In("members")
	errTooMany       = fault.New(fault.TooLarge, "too_many_members", "At most 10,000 members in one request.").In("members")
)

// mayEdit keeps directory-managed groups in the hands of their connection.
func (g Group) mayEdit(a actor.Actor) error {
	if g.ManagedBy == SCIM && (a.Kind != actor.SCIM || a.Connection != g.Connection) {
		return errGroupManaged
	}
	return nil
}

func (g *Group) check() error {
	g.Name = strings.TrimSpace(g.Name)
	if g.Metadata == "" {
		g.Metadata = "{}"
	}
	if g.Name == "" {
		return fault.New(fault.Invalid, "invalid_name", "A group needs a name.").In("name")
	}
	var object map[string]any
	if len(g.Metadata) > maxMetadata || !utf8.ValidString(g.Metadata) || json.Unmarshal([]byte(g.Metadata), &object) != nil || object == nil {
		return fault.New(fault.Invalid, "invalid_metadata", "Metadata is a JSON object of at most 16 KiB.").In("metadata")
	}
	return errors.Join(checkText("name", g.Name, maxName), checkText("description", g.Description, maxDescription), checkText("color", g.Color, maxColor))
}

// CreateGroup makes a local group. Name is required and unique among the
// tenant's local groups, ignoring case (group_exists).
func (s *Service) CreateGroup(ctx context.Context, a actor.Actor, q db.Queryer, environment string, g Group) (Group, error) {
	g.ManagedBy, g.Connection = Local, ""
	g, stmts, err := s.CreateGroupStmts(a, environment, g)
	if err != nil {
		return g, err
	}
	return g, groupConflict(q.Batch(ctx, stmts))
}

// CreateGroupStmts are CreateGroup's statements, for a SCIM connection's groups
// too: those carry ManagedBy and Connection.
func (s *Service) CreateGroupStmts(a actor.Actor, environment string, g Group) (Group, []db.Stmt, error) {
	if err := g.check(); err != nil {
		return g, nil, err
	}
	now := s.clock.Now()
	if g.ID == "" {
		g.ID = id.New(id.Group)
	}
	g.Version, g.CreatedAt, g.UpdatedAt = 1, now, now
	events, err := audit.Stmts(groupEvent(a, environment, g, "group.created", now, nil))
	return g, append([]db.Stmt{{SQL: sqlInsertGroup, Args: []any{
		g.Tenant, g.ID, g.Name, NameKey(g.Name), g.Description, g.Color, g.Metadata, string(g.ManagedBy), g.Connection, db.At(now),
	}}}, events...), err
}

func groupConflict(err error) error {
	if errors.Is(err, db.ErrConflict) {
		return errGroupExists.Because(err)
	}
	return err
}

// Group reads a group. Fails with group_not_found.
func (s *Service) Group(ctx context.Context, q db.Queryer, tenant, group string) (Group, error) {
	return scanGroup(q.QueryRow(ctx, sqlGroup, tenant, group))
}

func (s *Service) lockGroup(ctx context.Context, q db.Queryer, tenant, group string) (Group, error) {
	return scanGroup(q.QueryRow(ctx, sqlGroup+q.Dialect().ForUpdate, tenant, group))
}

// groupCursor separates name and id in the cursor of a list.
const groupCursor = '\x1f'

// Groups lists a tenant's groups by name; cursor is the one of the page before.
func (s *Service) Groups(ctx context.Context, q db.Queryer, tenant, cursor string, limit int) (list []Group, next string, err error) {
	if limit <= 0 {
		limit = 50
	}
	limit = min(limit, 200)
	name, after := "", ""
	if i := strings.LastIndexByte(cursor, groupCursor); i >= 0 { // ids do not hold it, names may
		name, after = cursor[:i], cursor[i+1:]
	}
	rows, err := q.Query(ctx, sqlGroups, tenant, name, after, int64(limit)+1)
	if err != nil {
		return nil, "", err
	}
	defer rows.Close()
	for rows.Next() {
		g, err := scanGroup(rows)
		if err != nil {
			return nil, "", err
		}
		list = append(list, g)
	}
	if err := rows.Err(); err != nil {
		return nil, "", err
	}
	if len(list) > limit {
		list = list[:limit]
		next = list[limit-1].Name + string(groupCursor) + list[limit-1].ID
	}
	return list, next, nil
}

// GroupPatch is a change of a group; nil leaves alone.
type GroupPatch struct{ Name, Description, Color, Metadata *string }

// UpdateGroup changes a group. Only its connection changes a group that a
// directory keeps (group_idp_managed).
func (s *Service) UpdateGroup(ctx context.Context, a actor.Actor, q db.Queryer, environment, tenant, group string, u GroupPatch) (Group, error) {
	before, err := s.lockGroup(ctx, q, tenant, group)
	if err != nil {
		return before, err
	}
	after, stmts, err := s.UpdateGroupStmts(a, environment, before, u)
	if err != nil || len(stmts) == 0 {
		return after, err
	}
	return after, groupConflict(q.Batch(ctx, stmts))
}

// UpdateGroupStmts are UpdateGroup's statements on a group that the caller has
// locked; none when nothing changes.
func (s *Service) UpdateGroupStmts(a actor.Actor, environment string, g Group, u GroupPatch) (Group, []db.Stmt, error) {
	if err := g.mayEdit(a); err != nil {
		return g, nil, err
	}
	changes := map[string]audit.Change{}
	set := func(field string, to, from *string) {
		if to != nil && *to != *from {
			changes[field] = audit.Change{From: *from, To: *to}
			*from = *to
		}
	}
	set("name", u.Name, &g.Name)
	set("description", u.Description, &g.Description)
	set("color", u.Color, &g.Color)
	set("metadata", u.Metadata, &g.Metadata)
	if len(changes) == 0 {
		return g, nil, nil
	}
	if err := g.check(); err != nil {
		return g, nil, err
	}
	now := s.clock.Now()
	g.Version, g.UpdatedAt = g.Version+1, now
	events, err := audit.Stmts(groupEvent(a, environment, g, "group.updated", now, changes))
	return g, append([]db.Stmt{{SQL: sqlUpdateGroup, Args: []any{
		g.Tenant, g.ID, g.Name, NameKey(g.Name), g.Description, g.Color, g.Metadata, db.At(now),
	}}}, events...), err
}

// DeleteGroup removes a group with its memberships, roles and mappings.
func (s *Service) DeleteGroup(ctx context.Context, a actor.Actor, q db.Queryer, environment, tenant, group string) error {
	g, err := s.lockGroup(ctx, q, tenant, group)
	if err != nil {
		return err
	}
	stmts, err := s.DeleteGroupStmts(a, environment, g)
	if err != nil {
		return err
	}
	return q.Batch(ctx, stmts)
}

// DeleteGroupStmts are DeleteGroup's statements on a group that the caller has locked.
func (s *Service) DeleteGroupStmts(a actor.Actor, environment string, g Group) ([]db.Stmt, error) {
	if err := g.mayEdit(a); err != nil {
		return nil, err
	}
	events, err := audit.Stmts(groupEvent(a, environment, g, "group.deleted", s.clock.Now(), nil))
	return append([]db.Stmt{{SQL: sqlDropGroup, Args: []any{g.Tenant, g.ID}}}, events...), err
}

// GroupMember is a person in a group.
type GroupMember struct {
	Membership, UserID string
	Email, Name        string
}

// Members lists a group's direct members by membership id; cursor is the last
// membership of the page before.
func (s *Service) Members(ctx context.Context, q db.Queryer, tenant, group, cursor string, limit int) (list []GroupMember, next string, err error) {
	if limit <= 0 {
		limit = 50
	}
	limit = min(limit, 1000)
	rows, err := q.Query(ctx, sqlMembersOf, tenant, group, cursor, int64(limit)+1)
	if err != nil {
		return nil, "", err
	}
	defer rows.Close()
	for rows.Next() {
		var g GroupMember
		if err := rows.Scan(&g.Membership, &g.UserID, &g.Email, &g.Name); err != nil {
			return nil, "", err
		}
		list = append(list, g)
	}
	if err := rows.Err(); err != nil {
		return nil, "", err
	}
	if len(list) > limit {
		list = list[:limit]
		next = list[limit-1].Membership
	}
	return list, next, nil
}

// AddMembers puts members of the tenant into a group, each with an event of its
// own, and returns those who were not in it. The cost does not depend on the
// size of the group. Fails with unknown_member when one is not the tenant's, and
// too_many_members beyond 10,000.
func (s *Service) AddMembers(ctx context.Context, a actor.Actor, q db.Queryer, environment, tenant, group string, memberships []string) ([]GroupMember, error) {
	g, err := s.lockGroup(ctx, q, tenant, group)
	if err != nil {
		return nil, err
	}
	if err := g.mayEdit(a); err != nil {
		return nil, err
	}
	return s.changeMembers(ctx, a, q, environment, g, memberships, true)
}

// RemoveMembers takes people out of a group and returns those who were in it.
func (s *Service) RemoveMembers(ctx context.Context, a actor.Actor, q db.Queryer, environment, tenant, group string, memberships []string) ([]GroupMember, error) {
	g, err := s.lockGroup(ctx, q, tenant, group)
	if err != nil {
		return nil, err
	}
	if err := g.mayEdit(a); err != nil {
		return nil, err
	}
	return s.changeMembers(ctx, a, q, environment, g, memberships, false)
}

func (s *Service) changeMembers(ctx context.Context, a actor.Actor, q db.Queryer, environment string, g Group, memberships []string, add bool) ([]GroupMember, error) {
	if len(memberships) > MaxMemberIDs {
		return nil, errTooMany
	}
	set := db.Set(memberships)
	rows, err := q.Query(ctx, sqlWhoIsIn, g.Tenant, g.ID, set)
	if err != nil {
		return nil, err
	}
	var changed []GroupMember
	known := map[string]bool{}
	for rows.Next() {
		var m GroupMember
		var who string
		var in int64
		if err := rows.Scan(&m.Membership, &who, &in); err != nil {
			rows.Close()
			return nil, err
		}
		m.UserID, m.Email, _ = strings.Cut(who, " ")
		known[m.Membership] = true
		if (in > 0) != add {
			changed = append(changed, m)
		}
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if add {
		for _, m := range memberships {
			if !known[m] {
				return nil, errUnknownMember
			}
		}
	}
	if len(changed) == 0 {
		return nil, nil
	}
	var added, removed []GroupMember
	if add {
		added = changed
	} else {
		removed = changed
	}
	stmts, err := s.MemberStmts(a, environment, g, added, removed)
	if err != nil {
		return nil, err
	}
	return changed, q.Batch(ctx, stmts)
}

// MemberStmts put people into a group and take others out, with one event for
// each. The caller has locked the group, knows that the added ones belong to the
// tenant and are not in the group, and that the removed ones are.
func (s *Service) MemberStmts(a actor.Actor, environment string, g Group, added, removed []GroupMember) ([]db.Stmt, error) {
	if err := g.mayEdit(a); err != nil {
		return nil, err
	}
	now := s.clock.Now()
	var stmts []db.Stmt
	for _, c := range []struct {
		who    []GroupMember
		action string
		stmt   func(ids string) db.Stmt
	}{
		{removed, "group.member_removed", func(ids string) db.Stmt {
			return db.Stmt{SQL: sqlRemoveMembers, Args: []any{g.Tenant, g.ID, ids}}
		}},
		{added, "group.member_added", func(ids string) db.Stmt {
			return db.Stmt{SQL: sqlAddMembers, Args: []any{g.Tenant, g.ID, db.At(now), ids}}
		}},
	} {
		if len(c.who) == 0 {
			continue
		}
		ids := make([]string, len(c.who))
		people := make([]audit.Target, len(c.who))
		for i, m := range c.who {
			ids[i] = m.Membership
			people[i] = audit.Target{Type: "user", ID: m.UserID, Name: m.Email}
		}
		events, err := audit.EachStmts(audit.Event{
			Environment: environment, Tenant: g.Tenant, Action: c.action, Actor: a, At: now, Connection: g.Connection,
			Targets: []audit.Target{{Type: "group", ID: g.ID, Name: g.Name}},
		}, people)
		if err != nil {
			return nil, err
		}
		stmts = append(append(stmts, c.stmt(db.Set(ids))), events...)
	}
	return stmts, nil
}

// ChangeChildren nests groups of the same tenant in a group and takes others
// out. Cycles (group_cycle) and chains of more than MaxGroupDepth groups
// (group_too_deep) are refused. Changes of one tenant's nesting wait for each
// other, because a cycle may close through groups that neither of two changes names.
func (s *Service) ChangeChildren(ctx context.Context, a actor.Actor, q db.Queryer, environment string, g Group, add, remove []string) (added, removed []string, err error) {
	if err := g.mayEdit(a); err != nil {
		return nil, nil, err
	}
	if len(add)+len(remove) > MaxMemberIDs {
		return nil, nil, errTooMany
	}
	now := s.clock.Now()
	if _, err := q.Exec(ctx, sqlLockNesting, environment, g.Tenant); err != nil {
		return nil, nil, err
	}
	stmts := []db.Stmt{
		{SQL: sqlRemoveChildren, Args: []any{g.Tenant, g.ID, db.Set(remove)}, Scan: scanStrings(&removed)},
		{SQL: sqlAddChildren, Args: []any{g.Tenant, g.ID, db.At(now), db.Set(add)}, Scan: scanStrings(&added)},
	}
	if err := q.Batch(ctx, stmts); err != nil {
		return nil, nil, err
	}
	var below, above int64
	var cycle bool
	if len(added) > 0 {
		if err := q.QueryRow(ctx, sqlNesting, g.Tenant, g.ID, int64(MaxGroupDepth)).Scan(&below, &above, &cycle); err != nil {
			return nil, nil, err
		}
	}
	switch {
	case cycle:
		return nil, nil, errGroupCycle
	case below+above > MaxGroupDepth-1:
		return nil, nil, errGroupDepth
	}
	var events []db.Stmt
	for _, c := range []struct {
		ids    []string
		action string
	}{{removed, "group.member_removed"}, {added, "group.member_added"}} {
		children := make([]audit.Target, len(c.ids))
		for i, child := range c.ids {
			children[i] = audit.Target{Type: "group", ID: child}
		}
		more, err := audit.EachStmts(audit.Event{
			Environment: environment, Tenant: g.Tenant, Action: c.action, Actor: a, At: now, Connection: g.Connection,
			Targets: []audit.Target{{Type: "group", ID: g.ID, Name: g.Name}},
		}, children)
		if err != nil {
			return nil, nil, err
		}
		events = append(events, more...)
	}
	if len(events) > 0 {
		err = q.Batch(ctx, events)
	}
	return added, removed, err
}

func groupEvent(a actor.Actor, environment string, g Group, action string, now time.Time, changes map[string]audit.Change) audit.Event {
	return audit.Event{
		Environment: environment, Tenant: g.Tenant, Action: action, Actor: a, At: now, Connection: g.Connection, Changes: changes,
		Targets: []audit.Target{{Type: "group", ID: g.ID, Name: g.Name}},
	}
}

func scanGroup(row db.Row) (Group, error) {
	var g Group
	err := row.Scan(&g.ID, &g.Tenant, &g.Name, &g.Description, &g.Color, &g.Metadata, (*string)(&g.ManagedBy), &g.Connection,
		&g.Version, at(&g.CreatedAt), at(&g.UpdatedAt))
	switch {
	case errors.Is(err, db.ErrNotFound):
		return g, errNoGroup
	case err != nil:
		return g, fmt.Errorf("directory: group: %w", err)
	}
	return g, nil
}
