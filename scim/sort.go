package scim

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// maxSorted bounds the keys that a sort by an attribute without a column holds.
const maxSorted = 200_000

// sortKey is a resource's place in a sort.
type sortKey struct {
	text    string
	number  float64
	present bool
	id      string
}

// pageSorted sorts keys of all matching resources in memory and reads the
// documents of one page.
func (c *call) pageSorted(ctx context.Context, q query, at position, count int) (page, error) {
	var keys []sortKey
	err := c.scan(ctx, q, nil, func(r row, doc *schema.Object) bool {
		keys = append(keys, keyOf(q.sort, doc, r.ID))
		return len(keys) <= maxSorted
	})
	if err != nil {
		return page{}, err
	}
	if len(keys) > maxSorted {
		return page{}, refuse(400, "tooMany", "More than 200,000 users or groups are too many to sort by this attribute. Add a filter, or sort by userName.")
	}
	order := func(a, b sortKey) int {
		c := a.compare(b)
		if q.desc {
			c = -c
		}
		return cmp.Or(c, cmp.Compare(a.id, b.id))
	}
	slices.SortFunc(keys, order)
	p := page{total: int64(len(keys))}
	from := min(at.offset, len(keys))
	if at.after != nil {
		from, _ = slices.BinarySearchFunc(keys, at.after.key, func(k, after sortKey) int {
			return cmp.Or(order(k, after), -1) // the place behind it
		})
	}
	to := min(from+count, len(keys))
	p.more = to < len(keys)
	if from == to {
		return p, nil
	}
	ids := make([]string, 0, to-from)
	for _, k := range keys[from:to] {
		ids = append(ids, k.id)
	}
	p.rows = make([]row, len(ids))
	var stmts []db.Stmt
	for i, id := range ids {
		stmts = append(stmts, db.Stmt{SQL: sqlResourceByID, Args: []any{c.conn.Tenant, c.conn.ID, id}, Scan: func(rows db.Rows) error {
			for rows.Next() {
				if err := p.rows[i].scan(rows); err != nil {
					return err
				}
			}
			return rows.Err()
		}})
	}
	if err := c.read(ctx, stmts); err != nil {
		return p, err
	}
	// One that went meanwhile leaves a gap.
	p.rows = slices.DeleteFunc(p.rows, func(r row) bool { return r.ID == "" })
	if q.groups {
		return p, c.readGroups(ctx, &p)
	}
	return p, nil
}

// sqlResourceByID reads one document of a page; a page is one batch of them.
const sqlResourceByID = `SELECT ` + resourceColumns + ` FROM scim_resources r WHERE r.tenant_id = $1 AND r.connection_id = $2 AND r.id = $3`

// compare orders by value, resources without one last.
func (k sortKey) compare(o sortKey) int {
	switch {
	case k.present != o.present:
		if k.present {
			return -1
		}
		return 1
	case !k.present:
		return 0
	}
	return cmp.Or(cmp.Compare(k.number, o.number), cmp.Compare(k.text, o.text))
}

// keyOf reads the value to sort by: of a multi-valued attribute that of the
// primary element, or of the first (RFC 7644 §3.4.2.3).
func keyOf(a *schema.Attribute, doc *schema.Object, id string) sortKey {
	k := sortKey{id: id}
	home := doc
	if a.URN != "" {
		home = doc.Object(a.URN)
	}
	v, _ := home.Get(a.Top().Name)
	if list, ok := v.([]any); ok {
		v = nil
		for i, e := range list {
			o, _ := e.(*schema.Object)
			primary, _ := o.Bool("primary")
			if i == 0 || primary {
				v = e
			}
			if primary {
				break
			}
		}
	}
	if a.Parent != nil {
		o, _ := v.(*schema.Object)
		v, _ = o.Get(a.Name)
	}
	switch v := v.(type) {
	case string:
		k.present, k.text = true, v
		if t, ok := schema.ParseTime(v); ok && a.Type == schema.DateTime {
			k.text, k.number = "", float64(t.UnixMicro())
		} else if !a.CaseExact {
			k.text = schema.Fold(v)
		}
	case bool:
		k.present, k.text = true, strconv.FormatBool(v)
	case json.Number:
		if f, err := v.Float64(); err == nil {
			k.present, k.number = true, f
		}
	}
	return k
}

// columnKey is keyOf for an attribute with a column: what the column holds.
func (q query) columnKey(r row, doc *schema.Object) sortKey {
	k := sortKey{id: r.ID}
	keys := schema.KeysOf(q.kind, doc)
	switch q.sort.Column {
	case schema.ColumnUserName:
		k.text = keys.UserName
	case schema.ColumnExternalID:
		k.text = keys.ExternalID
	case schema.ColumnDisplayName:
		k.text = keys.DisplayName
	case schema.ColumnID:
		k.text = r.ID
	case schema.ColumnActive:
		k.present = true
		if keys.Active {
			k.number = 1
		}
	case schema.ColumnCreated:
		k.present, k.number = true, float64(r.Created.UnixMicro())
	case schema.ColumnModified:
		k.present, k.number = true, float64(r.Modified.UnixMicro())
	}
	k.present = k.present || k.text != ""
	return k
}

// beyond is the condition for what comes after an anchor in the order of the
// query, see query.order; it appends its arguments.
func (q query) beyond(after *anchor, args []any) (string, []any) {
	next := func(v any) string {
		args = append(args, v)
		return placeholder(len(args))
	}
	if q.sort == nil || q.sort.Column == "" {
		return " AND (r.created, r.id) > (" + next(db.At(after.created)) + ", " + next(after.id) + ")", args
	}
	column, id := "r."+string(q.sort.Column), next(after.id)
	if !after.key.present {
		if q.desc {
			return " AND (" + column + " IS NOT NULL OR r.id > " + id + ")", args
		}
		return " AND " + column + " IS NULL AND r.id > " + id, args
	}
	var v any = after.key.text
	switch q.sort.Column {
	case schema.ColumnActive:
		v = after.key.number != 0
	case schema.ColumnCreated, schema.ColumnModified:
		v = int64(after.key.number)
	}
	value := next(v)
	if q.desc {
		return " AND (" + column + " < " + value + " OR " + column + " = " + value + " AND r.id > " + id + ")", args
	}
	return " AND (" + column + " > " + value + " OR " + column + " = " + value + " AND r.id > " + id + " OR " + column + " IS NULL)", args
}
