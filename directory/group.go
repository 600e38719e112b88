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

// HoldGroup locks a group and gives it as it is then, for those who ask its
// version or its level before they change it.
func (s *Service) HoldGroup(ctx context.Context, q db.Queryer, tenant, group string) (Group, error) {
	return s.lockGroup(ctx, q, tenant, group)
}

// TouchGroup counts a change of what others keep of a group, such as its roles.
func (s *Service) TouchGroup(ctx context.Context, q db.Queryer, tenant, group string) error {
	_, err := q.Exec(ctx, sqlTouchGroup, tenant, group, db.At(s.clock.Now()))
	return err
}

func (s *Service) lockGroup(ctx context.Context, q db.Queryer, tenant, group string) (Group, error) {
	return scanGroup(q.QueryRow(ctx, sqlGroup+q.Dialect().ForUpdate, tenant, group))
}

// lastRune ends the range of names that begin with a prefix.
const lastRune = "\U0010FFFF"

// groupCursor separates name and id in the cursor of a list.
const groupCursor = '\x1f'

// Groups lists a tenant's groups by name; cursor is the one of the page before.
func (s *Service) Groups(ctx context.Context, q db.Queryer, tenant, cursor string, limit int) (list []Group, next string, err error) {
	return s.FindGroups(ctx, q, tenant, "", cursor, limit)
}

// FindGroups is Groups for those whose name begins with prefix, ignoring case, in
// the order of their names without it.
func (s *Service) FindGroups(ctx context.Context, q db.Queryer, tenant, prefix, cursor string, limit int) (list []Group, next string, err error) {
	if limit <= 0 {
		limit = 50
	}
	limit = min(limit, 200)
	name, after := "", ""
	if i := strings.LastIndexByte(cursor, groupCursor); i >= 0 { // ids do not hold it, names may
		name, after = cursor[:i], cursor[i+1:]
	}
	from := NameKey(prefix)
	rows, err := q.Query(ctx, sqlGroups, tenant, from, from+lastRune, name, after, int64(limit)+1)
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
		next = NameKey(list[limit-1].Name) + string(groupCursor) + list[limit-1].ID
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
