package rbac

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// DefaultRoleStmts gives a new membership the default roles (product 106), where
// no actor gives them: people who come by SSO or SCIM. See AssignDefaults.
func (s *Service) DefaultRoleStmts(tenant, environment, membership string) []db.Stmt {
	return []db.Stmt{{SQL: sqlDefaultRoles, Args: []any{tenant, membership, environment, db.At(s.clock.Now())}}}
}

// AssignDefaults gives a new membership, which the actor adds without naming
// roles, the default roles. They are what he grants, so that none may be stronger
// than he is (product 106, 121).
func (s *Service) AssignDefaults(ctx context.Context, a actor.Actor, q db.Queryer, tenant, membership string) error {
	if !exempt(a) && a.Kind != actor.SCIM {
		refs, err := scanRefs(q.Query(ctx, sqlGrantedDefaults+q.Dialect().ForKeyShare, a.Environment, tenant))
		if err != nil {
			return err
		}
		if err := notStronger(a, refs); err != nil {
			return err
		}
	}
	return q.Batch(ctx, s.DefaultRoleStmts(tenant, a.Environment, membership))
}

// FirstUserRoleStmts gives a membership the first-user roles when it is the only
// one of its tenant but for those who were invited and have not come (product 2.5).
// People who come by SSO or SCIM never get them.
// Of two that are made at once the second waits for the first.
func (s *Service) FirstUserRoleStmts(q db.Queryer, tenant, environment, membership string) []db.Stmt {
	return []db.Stmt{lockTenant(q, environment, tenant), {SQL: sqlFirstUserRoles, Args: []any{tenant, membership, environment, db.At(s.clock.Now())}}}
}

// AssignRoles replaces the direct roles of a membership. Roles that are added and
// roles that are taken away must not be stronger than the actor, nor the person.
func (s *Service) AssignRoles(ctx context.Context, a actor.Actor, q db.Queryer, tenant, membership string, roleIDs []string) error {
	if err := s.CheckTarget(ctx, a, q, tenant, membership); err != nil {
		return err
	}
	return s.replace(ctx, a, q, replacement{
		tenant: tenant, object: membership, roleIDs: roleIDs, read: sqlMembershipRoles, remove: sqlDeleteMembershipRole,
		action: "membership.roles_updated", target: audit.Target{Type: "membership", ID: membership},
		mayRemove: "fe.secure.delete.usersRoles",
		add: func(r RoleRef) db.Stmt {
			return db.Stmt{SQL: sqlInsertMembershipRole, Args: []any{tenant, membership, a.Environment, r.Owner, r.ID, db.At(s.clock.Now())}}
		},
	})
}

// MembershipRoles gives the ids of the direct roles (product 136).
func (s *Service) MembershipRoles(ctx context.Context, q db.Queryer, tenant, membership string) ([]string, error) {
	return scanIDs(q.Query(ctx, sqlMembershipRoles, tenant, membership))
}

// SetGroupRoles replaces the roles of a group.
func (s *Service) SetGroupRoles(ctx context.Context, a actor.Actor, q db.Queryer, tenant, group string, roleIDs []string) error {
	var name string
	if err := q.QueryRow(ctx, sqlGroup+q.Dialect().ForUpdate, tenant, group).Scan(&name); err != nil {
		if errors.Is(err, db.ErrNotFound) {
			return ErrGroupNotFound
		}
		return err
	}
	return s.replace(ctx, a, q, replacement{
		tenant: tenant, object: group, roleIDs: roleIDs, read: sqlGroupRoles, remove: sqlDeleteGroupRole,
		action: "group.roles_updated", target: audit.Target{Type: "group", ID: group, Name: name},
		mayAdd: "fe.secure.write.groupsRoles", mayRemove: "fe.secure.delete.groupsRoles",
		add: func(r RoleRef) db.Stmt {
			return db.Stmt{SQL: sqlInsertGroupRole, Args: []any{tenant, group, a.Environment, r.Owner, r.ID, db.At(s.clock.Now())}}
		},
	})
}

// GroupRoles gives the ids of a group's roles.
func (s *Service) GroupRoles(ctx context.Context, q db.Queryer, tenant, group string) ([]string, error) {
	return scanIDs(q.Query(ctx, sqlGroupRoles, tenant, group))
}

// SetConnectionRoles replaces the roles that everybody gets who has an identity of
// an SSO connection.
func (s *Service) SetConnectionRoles(ctx context.Context, a actor.Actor, q db.Queryer, tenant, connection string, roleIDs []string) error {
	var name string
	if err := q.QueryRow(ctx, sqlSSOConnection, tenant, connection).Scan(&name); err != nil {
		if errors.Is(err, db.ErrNotFound) {
			return ErrConnectionNotFound
		}
		return err
	}
	current, err := s.ConnectionRoles(ctx, q, tenant)
	if err != nil {
		return err
	}
	err = s.replace(ctx, a, q, replacement{
		tenant: tenant, object: connection, roleIDs: roleIDs, current: current[connection], remove: sqlDeleteConnectionRole,
		action: "sso_connection.updated", target: audit.Target{Type: "sso_connection", ID: connection, Name: name},
		mayAdd: "fe.secure.write.samlDefaultRoles", mayRemove: "fe.secure.write.samlDefaultRoles",
		add: func(r RoleRef) db.Stmt {
			return db.Stmt{SQL: sqlInsertConnectionRole, Args: []any{tenant, connection, a.Environment, r.Owner, r.ID}}
		},
	})
	var f *fault.Error
	if errors.As(err, &f) && f.Field == "role_ids" {
		return f.In("default_role_ids")
	}
	return err
}

// ConnectionRoles gives the default roles of every SSO connection of a tenant.
func (s *Service) ConnectionRoles(ctx context.Context, q db.Queryer, tenant string) (map[string][]string, error) {
	rows, err := q.Query(ctx, sqlConnectionRoles, tenant)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	m := map[string][]string{}
	for rows.Next() {
		var connection, role string
		if err := rows.Scan(&connection, &role); err != nil {
			return nil, err
		}
		m[connection] = append(m[connection], role)
	}
	return m, rows.Err()
}

type replacement struct {
	tenant, object string
	roleIDs        []string
	read, remove   string
	current        []string // when read is empty
	action         string
	target         audit.Target
	// What an actor who is bound must hold to add and to remove, beyond what the
	// operation asked for; empty: nothing.
	mayAdd, mayRemove string
	add               func(RoleRef) db.Stmt
}

func (s *Service) replace(ctx context.Context, a actor.Actor, q db.Queryer, r replacement) error {
	current := r.current
	if r.read != "" {
		var err error
		if current, err = scanIDs(q.Query(ctx, r.read, r.tenant, r.object)); err != nil {
			return err
		}
	}
	wanted := slices.Compact(slices.Sorted(slices.Values(r.roleIDs)))
	var added, removed []string
	for _, v := range wanted {
		if !slices.Contains(current, v) {
			added = append(added, v)
		}
	}
	for _, v := range current {
		if !slices.Contains(wanted, v) {
			removed = append(removed, v)
		}
	}
	if len(added)+len(removed) == 0 {
		return nil
	}
	if !exempt(a) && (len(added) > 0 && r.mayAdd != "" && !a.May(r.mayAdd) || len(removed) > 0 && r.mayRemove != "" && !a.May(r.mayRemove)) {
		return errNeedsPermission.In("role_ids")
	}
	refs, err := s.CheckGrant(ctx, a, q, a.Environment, r.tenant, append(slices.Clone(added), removed...))
	if err != nil {
		return err
	}
	stmts := make([]db.Stmt, 0, len(refs)+2)
	var from, to []string
	for _, ref := range refs {
		if slices.Contains(added, ref.ID) {
			stmts, to = append(stmts, r.add(ref)), append(to, ref.Key)
		} else {
			stmts, from = append(stmts, db.Stmt{SQL: r.remove, Args: []any{r.tenant, r.object, ref.ID}}), append(from, ref.Key)
		}
	}
	event, err := audit.Stmts(audit.Event{
		Environment: a.Environment, Tenant: r.tenant, Action: r.action, Actor: a, Targets: []audit.Target{r.target}, At: s.clock.Now(),
		Changes: map[string]audit.Change{"roles": {From: from, To: to}},
	})
	if err != nil {
		return err
	}
	return q.Batch(ctx, append(stmts, event...))
}

// PutMappings replaces the mappings of a tenant. Roles that a change gives or
// takes must not be stronger than the actor.
func (s *Service) PutMappings(ctx context.Context, a actor.Actor, q db.Queryer, tenant string, mappings []Mapping) error {
	if len(mappings) > maxMappings {
		return fault.New(fault.TooLarge, "too_many", "Give at most 2000 mappings.").In("mappings")
	}
	if err := q.Batch(ctx, []db.Stmt{lockTenant(q, a.Environment, tenant)}); err != nil {
		return err
	}
	current, err := s.Mappings(ctx, q, tenant)
	if err != nil {
		return err
	}
	connections, err := scanIDs(q.Query(ctx, sqlConnections, tenant))
	if err != nil {
		return err
	}
	type entry struct{ group, connection, role string }
	old, fresh := map[entry]bool{}, map[entry]int{}
	for _, m := range current {
		for _, r := range m.RoleIDs {
			old[entry{m.Group, m.ConnectionID, r}] = true
		}
	}
	for i, m := range mappings {
		field := "mappings[" + strconv.Itoa(i) + "]"
		if m.Group == "" || len(m.Group) > maxGroupName || strings.ContainsRune(m.Group, 0) {
			return invalid("invalid_group", "Give the name of a group, exactly as the identity provider sends it, up to 1024 bytes.", field+".group")
		}
		if m.ConnectionID != "" && !slices.Contains(connections, m.ConnectionID) {
			return invalid("unknown_connection", "The connection is not one of this tenant.", field+".connection_id")
		}
		if len(m.RoleIDs) == 0 || len(m.RoleIDs) > maxGranted {
			return invalid("invalid_list", "Give 1 to 100 roles.", field+".role_ids")
		}
		for _, r := range m.RoleIDs {
			e := entry{m.Group, m.ConnectionID, r}
			if _, ok := fresh[e]; !ok {
				fresh[e] = i
			}
		}
		if len(fresh) > maxMapped {
			return fault.New(fault.TooLarge, "too_many", "Give at most 10000 pairs of a group and a role.").In("mappings")
		}
	}
	touched, all := map[string]bool{}, map[string]bool{}
	for e := range fresh {
		all[e.role] = true
		if !old[e] {
			touched[e.role] = true
		}
	}
	for e := range old {
		if _, ok := fresh[e]; !ok {
			touched[e.role] = true
		}
	}
	for _, step := range []struct {
		roles map[string]bool
		actor actor.Actor
	}{
		{touched, a},
		{all, actor.Actor{Environment: a.Environment, Kind: actor.System}}, // those that stay as they are need their owner only
	} {
		for part := range slices.Chunk(sortedKeys(step.roles), maxGranted) {
			if _, err := s.CheckGrant(ctx, step.actor, q, a.Environment, tenant, part); err != nil {
				return err
			}
		}
	}
	set := make(map[string]int, len(fresh))
	for e, position := range fresh {
		set[fmt.Sprintf("%-*s%-*s%s", mappingID, e.role, mappingID, e.connection, e.group)] = position
	}
	text, err := json.Marshal(set)
	if err != nil {
		return err
	}
	stmts := []db.Stmt{
		{SQL: sqlDeleteMappings, Args: []any{tenant}},
		{SQL: sqlInsertMappings, Args: []any{tenant, a.Environment, string(text)}},
	}
	event, err := audit.Stmts(audit.Event{
		Environment: a.Environment, Tenant: tenant, Action: "mapping.updated", Actor: a, At: s.clock.Now(),
		Targets: []audit.Target{{Type: "tenant", ID: tenant}},
		Changes: map[string]audit.Change{"mappings": {From: describe(current), To: describe(mappings)}},
	})
	if err != nil {
		return err
	}
	return q.Batch(ctx, append(stmts, event...))
}

// Mappings lists the mappings of a tenant in their order.
func (s *Service) Mappings(ctx context.Context, q db.Queryer, tenant string) ([]Mapping, error) {
	rows, err := q.Query(ctx, sqlMappings, tenant)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []Mapping{}
	for rows.Next() {
		var m Mapping
		var role string
		if err := rows.Scan(&m.Group, &m.ConnectionID, &role); err != nil {
			return nil, err
		}
		if n := len(list); n > 0 && list[n-1].Group == m.Group && list[n-1].ConnectionID == m.ConnectionID {
			list[n-1].RoleIDs = append(list[n-1].RoleIDs, role)
			continue
		}
		m.RoleIDs = []string{role}
		list = append(list, m)
	}
	return list, rows.Err()
}

// DeleteConnectionStmts removes the mappings that name a connection, which is
// about to be deleted.
func (s *Service) DeleteConnectionStmts(tenant, connection string) []db.Stmt {
	return []db.Stmt{{SQL: sqlDeleteConnectionMappings, Args: []any{tenant, connection}}}
}

// lockTenant makes changes of one tenant that depend on each other take turns.
func lockTenant(q db.Queryer, environment, tenant string) db.Stmt {
	return db.Stmt{SQL: sqlLockTenant + q.Dialect().ForNoKeyUpdate, Args: []any{environment, tenant}, Scan: func(rows db.Rows) error {
		for rows.Next() {
		}
		return rows.Err()
	}}
}

func sortedKeys(m map[string]bool) []string {
	list := make([]string, 0, len(m))
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

// describe gives the mappings as the audit log shows them.
func describe(mappings []Mapping) []string {
	list := make([]string, 0, len(mappings))
	for _, m := range mappings {
		list = append(list, m.Group+" → "+strings.Join(m.RoleIDs, " "))
	}
	return list
}
