package scim

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/scim/dialect"
	"github.com/gatehouse-id/gatehouse/scim/patch"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// createGroup is RFC 7644 §3.3 for groups.
func (c *call) createGroup(ctx context.Context, body *schema.Object) (outcome, error) {
	res, err := patch.Create(c.ix, schema.Group, body, c.dialect)
	if err != nil {
		return outcome{}, err
	}
	r := row{ID: id.New(id.Resource), Version: 1, Created: c.now, Modified: c.now, Doc: string(res.Doc.Bytes())}
	c.entry.Resource = r.ID
	keys, values := schema.KeysOf(schema.Group, res.Doc), c.ix.Values(schema.Group, res.Doc, c.matching)
	err = c.tx(ctx, func(q db.Queryer) error {
		if err := c.checkDisplayName(ctx, q, keys.DisplayName, r.ID); err != nil {
			return err
		}
		g, stmts, err := c.h.Directory.CreateGroupStmts(c.actor, c.conn.Environment, directory.Group{
			Tenant: c.conn.Tenant, Name: res.Doc.String("displayName"), ManagedBy: directory.SCIM, Connection: c.conn.ID,
		})
		if err != nil {
			return err
		}
		r.Group = g.ID
		stmts = append(stmts, c.insertResource(r, schema.Group, keys, values)...)
		if res.Members == nil {
			return q.Batch(ctx, append(stmts, c.logCreation(res.Changes)))
		}
		if err := q.Batch(ctx, stmts); err != nil {
			return err
		}
		return c.applyMembers(ctx, q, lockedGroup{row: r, group: g, known: map[string]resolved{}}, res.Members, func(m moves) []db.Stmt {
			return []db.Stmt{c.logCreation(m.appendTo(res.Changes))}
		})
	})
	if err != nil {
		c.entry.Resource = "" // there is none
		return outcome{}, err
	}
	return outcome{status: http.StatusCreated, kind: schema.Group, row: r}, nil
}

// checkDisplayName is Entra's rule of unique group names, where the connection has
// it. It makes those that give names on one connection wait for each other: no
// constraint of the store keeps two of them apart.
func (c *call) checkDisplayName(ctx context.Context, q db.Queryer, key, except string) error {
	if key == "" || !c.dialect.Has(dialect.UniqueDisplayName) {
		return nil
	}
	var n int64
	err := q.Batch(ctx, []db.Stmt{
		{SQL: sqlLockConnection + q.Dialect().ForNoKeyUpdate, Args: []any{c.conn.Tenant, c.conn.ID}, Scan: func(rows db.Rows) error {
			for rows.Next() { // the lock is all
			}
			return rows.Err()
		}},
		{SQL: sqlDisplayNameTaken, Args: []any{c.conn.Tenant, c.conn.ID, key, except}, Scan: scanInt(&n)},
	})
	if err != nil {
		return err
	}
	if n > 0 && c.dialect.Allow(dialect.UniqueDisplayName) {
		return refuse(http.StatusConflict, "uniqueness", "Another group of this connection has this displayName already.")
	}
	return nil
}

// lockedGroup is a group's resource within a transaction that changes it.
type lockedGroup struct {
	row   row
	group directory.Group
	doc   *schema.Object
	known map[string]resolved // members that the request names
}

// lockGroup locks a group and looks up the members that the request is expected
// to name, in one round trip; before are statements that go first.
func (c *call) lockGroup(ctx context.Context, q db.Queryer, resource string, pre precondition, named []string, before ...db.Stmt) (lockedGroup, error) {
	l := lockedGroup{group: directory.Group{Tenant: c.conn.Tenant, ManagedBy: directory.SCIM, Connection: c.conn.ID}, known: map[string]resolved{}}
	g := &l.group
	stmts := append(before, db.Stmt{
		SQL: sqlLockGroup + q.Dialect().ForUpdate, Args: []any{c.conn.Tenant, c.conn.ID, resource},
		Scan: func(rows db.Rows) error {
			for rows.Next() {
				if err := l.row.scan(rows, &g.Name, &g.Description, &g.Color, &g.Metadata, &g.Version); err != nil {
					return err
				}
			}
			return rows.Err()
		},
	})
	if len(named) > 0 {
		stmts = append(stmts, c.resolve(resource, named, l.known))
	}
	if err := q.Batch(ctx, stmts); err != nil {
		return l, err
	}
	if l.row.ID == "" {
		return l, errNotFound
	}
	g.ID = l.row.Group
	if err := pre.check(l.row.Version); err != nil {
		return l, err
	}
	var err error
	l.doc, err = schema.Decode([]byte(l.row.Doc))
	return l, err
}

// named guesses which members a body names: every "value", and what stands in
// quotes in a path. A wrong guess costs a look-up, nothing else.
func named(v any, ids []string) []string {
	switch v := v.(type) {
	case *schema.Object:
		for key, w := range v.All() {
			s, isString := w.(string)
			switch {
			case isString && strings.EqualFold(key, "value"):
				ids = append(ids, s)
			case isString && strings.EqualFold(key, "path"):
				for i, part := range strings.Split(s, `"`) {
					if i%2 == 1 {
						ids = append(ids, part)
					}
				}
			case !isString:
				ids = named(w, ids)
			}
		}
	case []any:
		for _, w := range v {
			ids = named(w, ids)
		}
	}
	return ids[:min(len(ids), directory.MaxMemberIDs)]
}

// changeGroup is PUT and PATCH. Members become inserts and deletes of rows, so
// that the cost is that of the request and not of the group.
func (c *call) changeGroup(ctx context.Context, resource string, pre precondition, body *schema.Object,
	edit func(current *schema.Object, members func() ([]schema.Member, error)) (patch.Result, error),
) (outcome, error) {
	c.entry.Resource = resource
	out := outcome{status: http.StatusOK, kind: schema.Group}
	members := named(body, nil)
	err := c.tx(ctx, func(q db.Queryer) error {
		l, err := c.lockGroup(ctx, q, resource, pre, members)
		if err != nil {
			return err
		}
		r, doc := l.row, l.doc
		res, err := edit(doc, func() ([]schema.Member, error) { return c.members(ctx, q, resource) })
		if err != nil {
			return err
		}
		out.row = r
		if !res.Changed && res.Members == nil {
			return nil
		}
		next := r
		next.Version, next.Modified = r.Version+1, c.now
		var stmts []db.Stmt
		if res.Changed {
			next.Doc = string(res.Doc.Bytes())
			name := res.Doc.String("displayName")
			if key := schema.Fold(name); key != schema.Fold(doc.String("displayName")) {
				if err := c.checkDisplayName(ctx, q, key, resource); err != nil {
					return err
				}
			}
			var rename []db.Stmt
			if l.group, rename, err = c.h.Directory.UpdateGroupStmts(c.actor, c.conn.Environment, l.group, directory.GroupPatch{Name: &name}); err != nil {
				return err
			}
			stmts = append(c.updateResource(next, schema.Group, doc, res.Doc), rename...)
		}
		changed := res.Changed
		if res.Members != nil {
			write := func(m moves) []db.Stmt {
				if !m.any() && !res.Changed {
					return nil
				}
				changed = true
				if !res.Changed {
					stmts = append(stmts, db.Stmt{SQL: sqlTouchResource, Args: []any{c.conn.Tenant, c.conn.ID, resource, db.At(c.now)}})
				}
				return append(stmts, c.logChange(m.appendTo(res.Changes)))
			}
			if err := c.applyMembers(ctx, q, l, res.Members, write); err != nil {
				return err
			}
		} else if err := q.Batch(ctx, append(stmts, c.logChange(res.Changes))); err != nil {
			return err
		}
		if changed {
			out.row = next
		}
		return nil
	})
	if err != nil {
		return outcome{}, err
	}
	return out, nil
}

// resolved is a member id that the client sent.
type resolved struct {
	kind              string
	membership, group string
	user, email       string
	in                bool
}

// moves is who comes into a group and who leaves it, by e-mail or id.
type moves struct{ in, out []string }

func (m moves) any() bool { return len(m.in)+len(m.out) > 0 }

// maxLoggedMembers is how many members of each direction a log entry lists.
const maxLoggedMembers = 100

// appendTo adds the moves to the changes of a log entry.
func (m moves) appendTo(changes []patch.Change) []patch.Change {
	if !m.any() {
		return changes
	}
	list := func(who []string) any {
		if len(who) == 0 {
			return nil
		}
		out := make([]any, 0, min(len(who), maxLoggedMembers)+1)
		for _, w := range who[:min(len(who), maxLoggedMembers)] {
			out = append(out, w)
		}
		if rest := len(who) - maxLoggedMembers; rest > 0 {
			out = append(out, "and "+strconv.Itoa(rest)+" more")
		}
		return out
	}
	return append(changes[:len(changes):len(changes)], patch.Change{Attr: "members", Old: list(m.out), New: list(m.in)})
}

func (m *moves) people(into *[]string, list []directory.GroupMember) {
	for _, p := range list {
		who := p.Email
		if who == "" {
			who = p.UserID
		}
		*into = append(*into, who)
	}
}

// applyMembers brings a group that the caller has locked to what ops say.
// Members that are no resources of the connection are refused when added and
// ignored when removed. with adds the statements of the rest of the change to the
// last batch; it is told who moves.
func (c *call) applyMembers(ctx context.Context, q db.Queryer, l lockedGroup, ops *patch.MemberOps, with func(moves) []db.Stmt) error {
	ids := make([]string, 0, len(ops.Add)+len(ops.Remove))
	for _, m := range ops.Add {
		ids = append(ids, m.Value)
	}
	ids = append(ids, ops.Remove...)
	if len(ids) > directory.MaxMemberIDs {
		return refuse(http.StatusRequestEntityTooLarge, "tooMany", "At most 10,000 members in one request.")
	}
	g, known := l.group, l.known
	if slices.ContainsFunc(ids, func(id string) bool { _, ok := known[id]; return !ok }) {
		if err := q.Batch(ctx, []db.Stmt{c.resolve(l.row.ID, ids, known)}); err != nil {
			return err
		}
	}
	var err error
	var added, removed []directory.GroupMember
	var addGroups, removeGroups []string
	seen := map[string]bool{} // two ids may be one person
	for _, m := range ops.Add {
		k, ok := known[m.Value]
		switch {
		case !ok:
			return fault.New(fault.Invalid, "invalidValue", "The member "+cut(m.Value, 64)+" is not a resource of this connection.").In("members")
		case m.Type != "" && m.Type != k.kind:
			return fault.New(fault.Invalid, "invalidValue", "The member "+cut(m.Value, 64)+" is not a "+m.Type+".").In("members")
		case k.kind == schema.Group.String():
			addGroups = append(addGroups, k.group)
		case !seen[k.membership]:
			seen[k.membership] = true
			if !k.in {
				added = append(added, k.member())
			}
		}
	}
	for _, m := range ops.Remove {
		switch k, ok := known[m]; {
		case !ok:
		case k.kind == schema.Group.String():
			removeGroups = append(removeGroups, k.group)
		case k.in && !seen[k.membership]:
			seen[k.membership] = true
			removed = append(removed, k.member())
		}
	}
	if ops.Replace {
		if removed, removeGroups, err = c.strangers(ctx, q, g.ID, seen, addGroups); err != nil {
			return err
		}
	}
	var m moves
	m.people(&m.in, added)
	m.people(&m.out, removed)
	if len(addGroups)+len(removeGroups) > 0 {
		in, out, err := c.h.Directory.ChangeChildren(ctx, c.actor, q, c.conn.Environment, g, addGroups, removeGroups)
		if err != nil {
			return err
		}
		m.in, m.out = append(m.in, in...), append(m.out, out...)
	}
	var stmts []db.Stmt
	if len(added)+len(removed) > 0 {
		if stmts, err = c.h.Directory.MemberStmts(c.actor, c.conn.Environment, g, added, removed); err != nil {
			return err
		}
	}
	if stmts = append(stmts, with(m)...); len(stmts) == 0 {
		return nil
	}
	return q.Batch(ctx, stmts)
}

func (k resolved) member() directory.GroupMember {
	return directory.GroupMember{Membership: k.membership, UserID: k.user, Email: k.email}
}

// resolve looks up the resources with the ids, and whether they are in the group.
func (c *call) resolve(resource string, ids []string, into map[string]resolved) db.Stmt {
	return db.Stmt{SQL: sqlResolveMembers, Args: []any{c.conn.Tenant, c.conn.ID, resource, db.Set(ids)}, Scan: func(rows db.Rows) error {
		for rows.Next() {
			var key string
			var k resolved
			if err := rows.Scan(&key, &k.kind, &k.membership, &k.group, &k.user, &k.email, &k.in); err != nil {
				return err
			}
			into[key] = k
		}
		return rows.Err()
	}}
}

// strangers lists who must leave a group whose members are replaced by those kept.
func (c *call) strangers(ctx context.Context, q db.Queryer, group string, keep map[string]bool, keepGroups []string) (people []directory.GroupMember, groups []string, err error) {
	err = q.Batch(ctx, []db.Stmt{
		{SQL: sqlPeopleIn, Args: []any{c.conn.Tenant, group}, Scan: func(rows db.Rows) error {
			people = nil
			for rows.Next() {
				var m directory.GroupMember
				if err := rows.Scan(&m.Membership, &m.UserID, &m.Email); err != nil {
					return err
				}
				if !keep[m.Membership] {
					people = append(people, m)
				}
			}
			return rows.Err()
		}},
		{SQL: sqlChildrenOf, Args: []any{c.conn.Tenant, group}, Scan: func(rows db.Rows) error {
			groups = nil
			for rows.Next() {
				var child string
				if err := rows.Scan(&child); err != nil {
					return err
				}
				if !slices.Contains(keepGroups, child) {
					groups = append(groups, child)
				}
			}
			return rows.Err()
		}},
	})
	return people, groups, err
}

// members reads a group's members whole, for PATCH filters that are not by
// value: nothing else needs them in memory.
func (c *call) members(ctx context.Context, q db.Queryer, resource string) ([]schema.Member, error) {
	var list []schema.Member
	err := c.eachMember(ctx, q, resource, func(member, kind string) {
		list = append(list, schema.Member{Value: member, Type: kind})
	})
	return list, err
}

// removeGroup is DELETE (RFC 7644 §3.6). Groups go for good in both modes.
func (c *call) removeGroup(ctx context.Context, resource string, pre precondition) (outcome, error) {
	c.entry.Resource = resource
	err := c.tx(ctx, func(q db.Queryer) error {
		l, err := c.lockGroup(ctx, q, resource, pre, nil, c.touch(sqlTouchGroupsAround, resource))
		if err != nil {
			return err
		}
		stmts := []db.Stmt{{SQL: sqlDeleteResource, Args: []any{c.conn.Tenant, c.conn.ID, resource}}, c.count(schema.Group, -1)}
		gone, err := c.h.Directory.DeleteGroupStmts(c.actor, c.conn.Environment, l.group)
		if err != nil {
			return err
		}
		stmts = append(stmts, gone...)
		return q.Batch(ctx, append(stmts, c.logChange(nil)))
	})
	if err != nil {
		return outcome{}, err
	}
	return outcome{status: http.StatusNoContent, kind: schema.Group, empty: true}, nil
}
