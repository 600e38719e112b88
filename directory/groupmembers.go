package directory

import (
	"context"
	"errors"
	"strings"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
)

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

// MembershipsOf gives the memberships of people who are named by their user ids;
// in one statement, however many they are.
//
// Fault: unknown_member, when one is not the tenant's.
func (s *Service) MembershipsOf(ctx context.Context, q db.Queryer, tenant string, userIDs []string) ([]string, error) {
	rows, err := q.Query(ctx, sqlMembershipsOfUsers, tenant, db.Set(userIDs))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []string
	known := map[string]bool{}
	for rows.Next() {
		var membership, user string
		if err := rows.Scan(&membership, &user); err != nil {
			return nil, err
		}
		known[user] = true
		list = append(list, membership)
	}
	for _, u := range userIDs {
		if !known[u] {
			return nil, errors.Join(rows.Err(), errUnknownMember.In("user_ids"))
		}
	}
	return list, rows.Err()
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
