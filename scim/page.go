package scim

import (
	"context"
	"strconv"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/scim/dialect"
	"github.com/gatehouse-id/gatehouse/scim/filter"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// query is a list request for one kind of resource, resolved.
type query struct {
	kind   schema.Kind
	plan   filter.Plan
	filter string // canonical text; "" when there is none
	sort   *schema.Attribute
	desc   bool
	groups bool // users' groups are wanted
}

// page is a part of a list.
type page struct {
	rows   []row
	groups map[string][]any // by user
	total  int64
	more   bool // something follows the last row
}

// position is where a page starts: after a key of the default order, or at an
// offset.
type position struct {
	after  *anchor
	offset int
}

func (c *call) query(k schema.Kind, p params, lenient bool) (query, error) {
	q := query{kind: k, desc: p.descending}
	var bound *filter.Bound
	if strings.TrimSpace(p.filter) != "" {
		d := c.dialect
		if lenient { // a search over several types (RFC 7644 §3.4.2.1)
			d = dialect.Dialect{Profile: d.Profile.With([]dialect.Rule{dialect.UnknownIsAbsent}, nil), Fired: d.Fired}
		}
		expr, err := filter.Parse(p.filter, d)
		if err != nil {
			return q, err
		}
		q.filter = expr.String()
		if bound, err = filter.Bind(c.ix, k, expr, d); err != nil {
			return q, err
		}
	}
	q.plan = bound.Plan(filter.Options{Matching: c.matching})
	if p.sortBy != "" && !lenient {
		a, ok := c.ix.Resolve(k, p.sortBy)
		if !ok || a.Returned == schema.Never || a.Related() {
			return q, refuse(400, "invalidPath", "sortBy names an attribute that cannot be sorted by.")
		}
		if a.Type == schema.Complex {
			if a = a.Default(); a == nil {
				return q, refuse(400, "invalidPath", "sortBy names a complex attribute without a value.")
			}
		}
		q.sort = a
	}
	return q, nil
}

// inSQL tells whether the engine pages by itself.
func (q query) inSQL() bool { return q.plan.Exact && (q.sort == nil || q.sort.Column != "") }

// order is the ORDER BY of the page: the order of creation, or of a column.
// Resources without a value come last, or first in descending order (RFC 7644
// §3.4.2.3).
func (q query) order() string {
	if q.sort == nil || q.sort.Column == "" {
		if selective(q.plan.Cond) {
			// The condition's own index finds few rows. The sum keeps PostgreSQL, while
			// it has no statistics, from walking the index of this order instead.
			return "r.created + 0, r.id"
		}
		return "r.created, r.id"
	}
	if q.desc {
		return "r." + string(q.sort.Column) + " DESC NULLS FIRST, r.id"
	}
	return "r." + string(q.sort.Column) + " ASC NULLS LAST, r.id"
}

// selective tells whether a condition asks for one key, so that few rows hold.
func selective(c *filter.Cond) bool {
	switch c.Kind {
	case filter.Both:
		return selective(c.X) || selective(c.Y)
	case filter.Either:
		return selective(c.X) && selective(c.Y)
	case filter.OnColumn:
		return c.Op == filter.Eq && c.Arg != nil && c.Column != schema.ColumnActive
	case filter.OnValue:
		return c.Op == filter.Eq
	case filter.False:
		return true
	}
	return false
}

// where is the condition of the list and its arguments; $1 tenant, $2
// connection, $3 kind.
func (c *call) where(q query) (string, []any) {
	cond, args := q.plan.Render(4)
	return "r.tenant_id = $1 AND r.connection_id = $2 AND r.kind = $3 AND " + cond, append([]any{c.conn.Tenant, c.conn.ID, q.kind.String()}, args...)
}

// The statements of lists are these texts around a planned condition, in which
// every value is a parameter: the only ones that are not constants.
const (
	pageColumns = `SELECT ` + resourceColumns + ` FROM scim_resources r WHERE `
	countWhere  = `SELECT COUNT(*) FROM scim_resources r WHERE `
	pageGroups  = `SELECT r.id, g.id, n.name FROM (SELECT r.id, r.tenant_id, r.membership_id FROM scim_resources r WHERE `
	groupsOfIt  = `) r
JOIN group_members x ON x.tenant_id = r.tenant_id AND x.membership_id = r.membership_id
JOIN scim_resources g ON g.tenant_id = x.tenant_id AND g.group_id = x.group_id AND g.connection_id = $2
JOIN groups n ON n.tenant_id = g.tenant_id AND n.id = g.group_id ORDER BY r.id, g.created, g.id`
)

func placeholder(n int) string { return "$" + strconv.Itoa(n) }

// pageInSQL reads a page, what it needs beside it and, where it is cheap, the
// total in one round trip.
func (c *call) pageInSQL(ctx context.Context, q query, at position, count int) (page, error) {
	where, args := c.where(q)
	inner, innerArgs := where, append([]any(nil), args...)
	if at.after != nil {
		var beyond string
		beyond, innerArgs = q.beyond(at.after, innerArgs)
		inner += beyond
	}
	inner += " ORDER BY " + q.order() + " LIMIT " + placeholder(len(innerArgs)+1)
	innerArgs = append(innerArgs, int64(count)+1) // one more tells whether something follows
	if at.offset > 0 {
		inner += " OFFSET " + placeholder(len(innerArgs)+1)
		innerArgs = append(innerArgs, int64(at.offset))
	}
	var p page
	stmts := []db.Stmt{{SQL: pageColumns + inner, Args: innerArgs, Scan: func(rows db.Rows) error {
		p.rows = nil
		for rows.Next() {
			var r row
			if err := r.scan(rows); err != nil {
				return err
			}
			p.rows = append(p.rows, r)
		}
		return rows.Err()
	}}}
	if q.groups && count > 0 {
		stmts = append(stmts, db.Stmt{SQL: pageGroups + inner + groupsOfIt, Args: innerArgs, Scan: c.scanGroups(&p.groups)})
	}
	total := db.Stmt{SQL: countWhere + where, Args: args, Scan: scanInt(&p.total)}
	known := false
	if q.filter == "" {
		total = db.Stmt{SQL: sqlTotal, Args: []any{c.conn.Tenant, c.conn.ID, q.kind.String()}, Scan: scanInt(&p.total)}
		stmts, known = append(stmts, total), true
	}
	if count == 0 {
		stmts = []db.Stmt{total}
		known = true
	}
	if err := c.read(ctx, stmts); err != nil {
		return p, err
	}
	if len(p.rows) > count {
		p.rows, p.more = p.rows[:count], true
	}
	switch {
	case known:
	case !p.more && at.after == nil && (len(p.rows) > 0 || at.offset == 0):
		p.total = int64(at.offset + len(p.rows))
	default:
		return p, c.read(ctx, []db.Stmt{total})
	}
	return p, nil
}

func scanInt(into *int64) func(db.Rows) error {
	return func(rows db.Rows) error {
		for rows.Next() {
			if err := rows.Scan(into); err != nil {
				return err
			}
		}
		return rows.Err()
	}
}

func (c *call) scanGroups(into *map[string][]any) func(db.Rows) error {
	return func(rows db.Rows) error {
		for rows.Next() {
			var user, group, name string
			if err := rows.Scan(&user, &group, &name); err != nil {
				return err
			}
			if *into == nil {
				*into = map[string][]any{}
			}
			(*into)[user] = append((*into)[user], c.groupOf(group, name))
		}
		return rows.Err()
	}
}

// relatedChunk is how many resources are held while their members or groups are
// read for the matcher.
const relatedChunk = 100

// scan streams the resources for which the planned condition holds, in order,
// and visits those that match, with their whole documents. Where the matcher
// needs members or groups it holds a chunk instead, and reads those of all of it
// at once: a query within an open one takes a second connection, and as many such
// requests as the pool has connections would wait for each other for ever.
func (c *call) scan(ctx context.Context, q query, after *anchor, visit func(r row, doc *schema.Object) (more bool)) error {
	at := position{after: after}
	if len(q.plan.NeedsRelated) == 0 {
		return c.scanRows(ctx, q, at, 0, func(r row) (bool, error) { return c.match(q, r, visit) })
	}
	for {
		chunk := make([]row, 0, relatedChunk)
		err := c.scanRows(ctx, q, at, relatedChunk, func(r row) (bool, error) {
			chunk = append(chunk, r)
			return true, nil
		})
		if err != nil {
			return err
		}
		if more, err := c.matchChunk(ctx, q, chunk, visit); err != nil || !more {
			return err
		}
		if len(chunk) < relatedChunk {
			return nil
		}
		if last := chunk[len(chunk)-1]; q.sort == nil || q.sort.Column == "" {
			at.after = &anchor{created: last.Created, id: last.ID}
		} else {
			at.offset += len(chunk)
		}
	}
}

// scanRows reads the resources of the planned condition from a position on, at
// most limit of them; 0: all.
func (c *call) scanRows(ctx context.Context, q query, at position, limit int, visit func(r row) (more bool, err error)) error {
	sql, args := c.where(q)
	if at.after != nil {
		var beyond string
		beyond, args = q.beyond(at.after, args)
		sql += beyond
	}
	sql += " ORDER BY " + q.order()
	if limit > 0 {
		sql += " LIMIT " + placeholder(len(args)+1) + " OFFSET " + placeholder(len(args)+2)
		args = append(args, int64(limit), int64(at.offset))
	}
	rows, err := c.h.DB.Query(ctx, pageColumns+sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r row
		if err := r.scan(rows); err != nil {
			return err
		}
		if more, err := visit(r); err != nil || !more {
			return err
		}
	}
	return rows.Err()
}

// match visits a resource if the part of the filter that the engine did not
// answer holds for it.
func (c *call) match(q query, r row, visit func(r row, doc *schema.Object) (more bool)) (more bool, err error) {
	doc, err := c.full(q.kind, r)
	if err != nil {
		return false, err
	}
	if q.plan.Residual != nil && !q.plan.Residual.Match(filter.Target{Doc: doc}) {
		return true, nil
	}
	return visit(r, doc), nil
}

// matchChunk is match where the filter asks for members or groups. They are held
// for one resource at a time.
func (c *call) matchChunk(ctx context.Context, q query, chunk []row, visit func(r row, doc *schema.Object) (more bool)) (more bool, err error) {
	docs, alone := make(map[string]*schema.Object, len(chunk)), make(map[string]bool, len(chunk))
	ids := make([]string, len(chunk))
	for i, r := range chunk {
		if docs[r.ID], err = c.full(q.kind, r); err != nil {
			return false, err
		}
		ids[i], alone[r.ID] = r.ID, true
	}
	drop := func(resource string, related []any) {
		t := filter.Target{Doc: docs[resource], Related: func(string) []any { return related }}
		if !q.plan.Residual.Match(t) {
			delete(docs, resource)
		}
		delete(alone, resource)
	}
	if err := c.eachRelated(ctx, q.kind, ids, drop); err != nil {
		return false, err
	}
	for resource := range alone { // without members, or in no group
		drop(resource, nil)
	}
	for _, r := range chunk {
		if doc := docs[r.ID]; doc != nil && !visit(r, doc) {
			return false, nil
		}
	}
	return true, nil
}

// eachRelated visits those of the resources that have members (groups) or groups
// (users), with them. The list is valid during the visit, which asks nothing of
// the store.
func (c *call) eachRelated(ctx context.Context, k schema.Kind, ids []string, visit func(resource string, related []any)) error {
	sql, element := sqlGroupsOfAll, c.groupOf
	if k == schema.Group {
		sql, element = sqlMembersOfAll, c.memberOf
	}
	rows, err := c.h.DB.Query(ctx, sql, c.conn.Tenant, c.conn.ID, db.Set(ids))
	if err != nil {
		return err
	}
	defer rows.Close()
	last := ""
	var list []any
	for rows.Next() {
		var resource, other, detail string
		if err := rows.Scan(&resource, &other, &detail); err != nil {
			return err
		}
		if resource != last && last != "" {
			visit(last, list)
			list = list[:0]
		}
		last = resource
		list = append(list, element(other, detail))
	}
	if err := rows.Err(); err != nil || last == "" {
		return err
	}
	visit(last, list)
	return nil
}

// memberOf is an element of a group's members for the matcher.
func (c *call) memberOf(id, kind string) *schema.Object {
	o := schema.NewObject(3)
	o.Set("value", id)
	o.Set("$ref", c.base+"/"+kind+"s/"+id)
	o.Set("type", kind)
	return o
}

// pageByMatcher reads a page of a list that the matcher or a sort decides on.
// total -1 counts all; otherwise it is known, and the scan ends with the page.
func (c *call) pageByMatcher(ctx context.Context, q query, at position, count int, total int64) (page, error) {
	if q.sort != nil && q.sort.Column == "" {
		return c.pageSorted(ctx, q, at, count)
	}
	var p page
	var n int64
	err := c.scan(ctx, q, at.after, func(r row, _ *schema.Object) bool {
		n++
		switch {
		case n <= int64(at.offset):
		case len(p.rows) < count:
			p.rows = append(p.rows, r)
		default:
			p.more = true
			return total < 0
		}
		return true
	})
	if p.total = total; total < 0 {
		p.total = n
	}
	if err == nil && q.groups {
		err = c.readGroups(ctx, &p)
	}
	return p, err
}

// readGroups reads the groups of a page's users.
func (c *call) readGroups(ctx context.Context, p *page) error {
	if len(p.rows) == 0 {
		return nil
	}
	ids := make([]string, len(p.rows))
	for i, r := range p.rows {
		ids[i] = r.ID
	}
	return c.read(ctx, []db.Stmt{{SQL: sqlGroupsOfAll, Args: []any{c.conn.Tenant, c.conn.ID, db.Set(ids)}, Scan: c.scanGroups(&p.groups)}})
}
