package scim

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/scim/patch"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// outcome is what an operation did, for the answer of a request or of one
// operation of a bulk request.
type outcome struct {
	status int
	kind   schema.Kind
	row    row
	groups []any // of a user
	// empty: 204, no resource in the answer.
	empty bool
}

// profileOf reads what directory keeps of a user's document. A userName in the
// form of an address stands in for a missing e-mail, because many clients send
// nothing else.
func profileOf(doc *schema.Object) directory.Profile {
	p := directory.Profile{
		ExternalID: doc.String("externalId"), UserName: doc.String("userName"), DisplayName: doc.String("displayName"),
	}
	p.Active, _ = doc.Bool("active")
	if name := doc.Object("name"); name != nil {
		p.FirstName, p.LastName = name.String("givenName"), name.String("familyName")
	}
	best := 0
	for _, v := range doc.List("emails") {
		e, ok := v.(*schema.Object)
		if !ok || e.String("value") == "" {
			continue
		}
		rank := 1
		if strings.EqualFold(e.String("type"), "work") {
			rank = 2
		}
		if primary, _ := e.Bool("primary"); primary {
			rank = 3
		}
		if rank > best {
			best, p.Email = rank, e.String("value")
		}
	}
	if p.Email == "" && directory.EmailDomain(p.UserName) != "" {
		p.Email = p.UserName
	}
	return p
}

func (c *call) resource(id string) directory.Resource {
	return directory.Resource{Environment: c.conn.Environment, Tenant: c.conn.Tenant, Connection: c.conn.ID, ID: id}
}

// createUser is RFC 7644 §3.3 for users: one search and one batch of writes.
func (c *call) createUser(ctx context.Context, body *schema.Object) (outcome, error) {
	res, err := patch.Create(c.ix, schema.User, body, c.dialect)
	if err != nil {
		return outcome{}, err
	}
	r := row{ID: id.New(id.Resource), Version: 1, Created: c.now, Modified: c.now, Doc: string(res.Doc.Bytes())}
	c.entry.Resource = r.ID
	target, profile := c.resource(r.ID), profileOf(res.Doc)
	keys, values := schema.KeysOf(schema.User, res.Doc), c.ix.Values(schema.User, res.Doc, c.matching)
	err = c.tx(ctx, func(q db.Queryer) error {
		search, found := c.h.Directory.ProvisionSearch(q.Dialect(), target, profile)
		if err := q.Batch(ctx, search); err != nil {
			return err
		}
		person, stmts, err := c.h.Directory.ProvisionStmts(c.actor, target, profile, found)
		if err != nil {
			return err
		}
		r.Membership = person.Membership
		if person.Created {
			stmts = append(stmts, c.h.Roles.DefaultRoleStmts(c.conn.Tenant, c.conn.Environment, person.Membership)...)
		}
		stmts = append(stmts, c.logCreation(res.Changes))
		// Last, because it counts: others wait for that row until this commits.
		return q.Batch(ctx, append(stmts, c.insertResource(r, schema.User, keys, values)...))
	})
	if err != nil {
		c.entry.Resource = "" // there is none
		return outcome{}, c.taken(err, "userName")
	}
	return outcome{status: http.StatusCreated, kind: schema.User, row: r}, nil
}

// taken names the attribute whose value another resource has.
func (c *call) taken(err error, attribute string) error {
	var conflict *db.ConflictError
	if errors.As(err, &conflict) && !conflict.ForeignKey {
		return refuse(http.StatusConflict, "uniqueness", "Another user of this connection has this "+attribute+" already.")
	}
	return err
}

// lockedUser is a user's resource within a transaction that changes it.
type lockedUser struct {
	row    row
	person directory.SourceState
	groups []any
	doc    *schema.Object
}

// lockUser reads a user for a change; before are statements that go first.
func (c *call) lockUser(ctx context.Context, q db.Queryer, resource string, pre precondition, groups bool, before ...db.Stmt) (lockedUser, error) {
	var u lockedUser
	found := false
	stmts := append(before, db.Stmt{
		SQL: sqlLockUser + q.Dialect().ForUpdate, Args: []any{c.conn.Tenant, c.conn.ID, resource},
		Scan: func(rows db.Rows) error {
			for rows.Next() {
				found = true
				if err := u.row.scan(rows, &u.person.UserID, &u.person.SCIMResources, &u.person.SCIMActive); err != nil {
					return err
				}
			}
			return rows.Err()
		},
	})
	if groups {
		stmts = append(stmts, c.groupsOf(resource, &u.groups))
	}
	if err := q.Batch(ctx, stmts); err != nil {
		return u, err
	}
	if !found {
		return u, errNotFound
	}
	u.person.Membership = u.row.Membership
	if err := pre.check(u.row.Version); err != nil {
		return u, err
	}
	var err error
	u.doc, err = schema.Decode([]byte(u.row.Doc))
	return u, err
}

// groupsOf reads the groups of one user.
func (c *call) groupsOf(resource string, into *[]any) db.Stmt {
	return db.Stmt{SQL: sqlGroupsOf, Args: []any{c.conn.Tenant, c.conn.ID, resource}, Scan: func(rows db.Rows) error {
		*into = nil
		for rows.Next() {
			var user, group, name string
			if err := rows.Scan(&user, &group, &name); err != nil {
				return err
			}
			*into = append(*into, c.groupOf(group, name))
		}
		return rows.Err()
	}}
}

// changeUser is PUT and PATCH: edit gives the successor of the current document.
func (c *call) changeUser(ctx context.Context, resource string, pre precondition, groups bool,
	edit func(current *schema.Object) (patch.Result, error),
) (outcome, error) {
	c.entry.Resource = resource
	out := outcome{status: http.StatusOK, kind: schema.User}
	err := c.tx(ctx, func(q db.Queryer) error {
		u, err := c.lockUser(ctx, q, resource, pre, groups)
		if err != nil {
			return err
		}
		res, err := edit(u.doc)
		if err != nil {
			return err
		}
		out.row, out.groups = u.row, u.groups
		if !res.Changed {
			return nil
		}
		out.row.Version, out.row.Modified, out.row.Doc = u.row.Version+1, c.now, string(res.Doc.Bytes())
		stmts := c.updateResource(out.row, schema.User, u.doc, res.Doc)
		person, _, err := c.h.Directory.ChangeStmts(c.actor, c.resource(resource), u.person, profileOf(u.doc), profileOf(res.Doc), auditChanges(res.Changes))
		if err != nil {
			return err
		}
		stmts = append(stmts, person...)
		return q.Batch(ctx, append(stmts, c.logChange(res.Changes)))
	})
	if err != nil {
		return outcome{}, c.taken(err, "userName")
	}
	return out, nil
}

func (c *call) updateResource(r row, k schema.Kind, before, after *schema.Object) []db.Stmt {
	keys := schema.KeysOf(k, after)
	stmts := []db.Stmt{{SQL: sqlUpdateResource, Args: []any{
		c.conn.Tenant, c.conn.ID, r.ID, nullable(keys.UserName), nullable(keys.ExternalID), nullable(keys.DisplayName), keys.Active, db.At(r.Modified), r.Doc,
	}}}
	was, is := c.ix.Values(k, before, c.matching), c.ix.Values(k, after, c.matching)
	same := len(was) == len(is)
	for i := 0; same && i < len(is); i++ {
		same = was[i] == is[i]
	}
	if !same {
		stmts = append(stmts, db.Stmt{SQL: sqlDropValues, Args: []any{c.conn.Tenant, c.conn.ID, r.ID}})
		stmts = append(stmts, c.insertValues(r.ID, is)...)
	}
	return stmts
}

// touch makes a new version of what loses a member by the deletion of resource. It
// comes before the lock of the resource, because changes of groups lock in this
// order, too.
func (c *call) touch(sql, resource string) db.Stmt {
	return db.Stmt{SQL: sql, Args: []any{c.conn.Tenant, c.conn.ID, resource, db.At(c.now)}}
}

// removeUser is DELETE (RFC 7644 §3.6), soft or hard as the connection says.
func (c *call) removeUser(ctx context.Context, resource string, pre precondition) (outcome, error) {
	c.entry.Resource = resource
	err := c.tx(ctx, func(q db.Queryer) error {
		var left []audit.Target
		touch := c.touch(sqlTouchGroupsOf, resource)
		touch.Scan = func(rows db.Rows) error {
			left = nil
			for rows.Next() {
				g := audit.Target{Type: "group"}
				if err := rows.Scan(&g.ID, &g.Name); err != nil {
					return err
				}
				left = append(left, g)
			}
			return rows.Err()
		}
		u, err := c.lockUser(ctx, q, resource, pre, false, touch)
		if err != nil {
			return err
		}
		u.person.Groups = left
		stmts := []db.Stmt{{SQL: sqlDeleteResource, Args: []any{c.conn.Tenant, c.conn.ID, resource}}, c.count(schema.User, -1)}
		person, err := c.h.Directory.RemoveStmts(c.actor, c.resource(resource), u.person, profileOf(u.doc), c.conn.DeleteMode == hardDelete)
		if err != nil {
			return err
		}
		stmts = append(stmts, person...)
		return q.Batch(ctx, append(stmts, c.logChange(nil)))
	})
	if err != nil {
		return outcome{}, err
	}
	return outcome{status: http.StatusNoContent, kind: schema.User, empty: true}, nil
}

// logChange is the log entry of a change, written with it. The caller has set
// the status of the answer.
func (c *call) logChange(changes []patch.Change) db.Stmt {
	e := c.entry
	e.Rules, e.Duration = c.dialect.Fired.Names(), time.Since(e.start)
	for _, ch := range changes {
		e.Changes = append(e.Changes, Change{Attr: ch.Attr, Old: rawValue(ch.Old), New: rawValue(ch.New)})
	}
	c.logged = true
	if c.replay != nil {
		c.replay.changes = e.Changes
	}
	return e.insert()
}

// logCreation is logChange for a new resource. Its attributes stand in the body
// already; a replay lists them, because that is what it is asked for.
func (c *call) logCreation(changes []patch.Change) db.Stmt {
	if c.replay == nil {
		changes = nil
	}
	return c.logChange(changes)
}

func rawValue(v any) []byte {
	if v == nil {
		return nil
	}
	return schema.AppendJSON(nil, v)
}

// auditChanges puts changed attributes into an event; structured values as JSON text.
func auditChanges(changes []patch.Change) map[string]audit.Change {
	out := make(map[string]audit.Change, len(changes))
	for _, ch := range changes {
		out[ch.Attr] = audit.Change{From: plain(ch.Old), To: plain(ch.New)}
	}
	return out
}

func plain(v any) any {
	switch v.(type) {
	case nil, bool, string:
		return v
	}
	return string(schema.AppendJSON(nil, v))
}
