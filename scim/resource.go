package scim

import (
	"context"
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/scim/dialect"
	"github.com/gatehouse-id/gatehouse/scim/patch"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// The operations of the endpoints, as functions that bulk requests share.

func (c *call) createResource(ctx context.Context, k schema.Kind, body *schema.Object) (outcome, error) {
	c.entry.Status = http.StatusCreated
	if k == schema.Group {
		return c.createGroup(ctx, body)
	}
	return c.createUser(ctx, body)
}

func (c *call) replaceResource(ctx context.Context, k schema.Kind, resource string, pre precondition, groups bool, body *schema.Object) (outcome, error) {
	if !id.Valid(id.Resource, resource) {
		return outcome{}, errNotFound
	}
	c.entry.Status = http.StatusOK
	if k == schema.Group {
		return c.changeGroup(ctx, resource, pre, body, func(current *schema.Object, _ func() ([]schema.Member, error)) (patch.Result, error) {
			return patch.Replace(c.ix, k, current, body, c.dialect)
		})
	}
	return c.changeUser(ctx, resource, pre, groups, func(current *schema.Object) (patch.Result, error) {
		return patch.Replace(c.ix, k, current, body, c.dialect)
	})
}

// patchResource answers a group without its representation unless asked.
func (c *call) patchResource(ctx context.Context, k schema.Kind, resource string, pre precondition, groups, asked bool, body *schema.Object) (outcome, error) {
	if !id.Valid(id.Resource, resource) {
		return outcome{}, errNotFound
	}
	req, err := patch.Parse(body, c.dialect)
	if err != nil {
		return outcome{}, err
	}
	c.entry.Status = http.StatusOK
	if k == schema.User {
		return c.changeUser(ctx, resource, pre, groups, func(current *schema.Object) (patch.Result, error) {
			return patch.Apply(c.ix, k, current, req, c.dialect, patch.Options{ID: resource})
		})
	}
	if !asked {
		c.dialect.Allow(dialect.GroupPatch204)
		c.entry.Status = http.StatusNoContent
	}
	out, err := c.changeGroup(ctx, resource, pre, body, func(current *schema.Object, members func() ([]schema.Member, error)) (patch.Result, error) {
		return patch.Apply(c.ix, k, current, req, c.dialect, patch.Options{ID: resource, Members: members})
	})
	if !asked {
		out.status, out.empty = http.StatusNoContent, true
	}
	return out, err
}

func (c *call) removeResource(ctx context.Context, k schema.Kind, resource string, pre precondition) (outcome, error) {
	if !id.Valid(id.Resource, resource) {
		return outcome{}, errNotFound
	}
	c.entry.Status = http.StatusNoContent
	c.h.anchors.forget(c.conn.ID)
	if k == schema.Group {
		return c.removeGroup(ctx, resource, pre)
	}
	return c.removeUser(ctx, resource, pre)
}

func (c *call) maskOf(r *http.Request, k schema.Kind) (*mask, error) {
	p, err := parameters(r)
	if err != nil {
		return nil, err
	}
	return newMask(c.ix, k, p.attributes, p.excluded)
}

func (h *Handler) create(k schema.Kind) operation {
	return func(w http.ResponseWriter, r *http.Request, c *call) error {
		m, err := c.maskOf(r, k)
		if err != nil {
			return err
		}
		body, err := c.readBody(r)
		if err != nil {
			return err
		}
		out, err := c.createResource(r.Context(), k, body)
		if err != nil {
			return err
		}
		return c.answer(w, r, out, m)
	}
}

func (h *Handler) get(k schema.Kind) operation {
	return func(w http.ResponseWriter, r *http.Request, c *call) error {
		m, err := c.maskOf(r, k)
		if err != nil {
			return err
		}
		resource := chi.URLParam(r, "id")
		if !id.Valid(id.Resource, resource) {
			return errNotFound
		}
		c.entry.Resource = resource
		out := outcome{status: http.StatusOK, kind: k}
		found := false
		stmts := []db.Stmt{{SQL: sqlResource, Args: []any{c.conn.Tenant, c.conn.ID, resource, k.String()}, Scan: func(rows db.Rows) error {
			for rows.Next() {
				found = true
				if err := out.row.scan(rows); err != nil {
					return err
				}
			}
			return rows.Err()
		}}}
		if k == schema.User && m.wants("groups") {
			stmts = append(stmts, c.groupsOf(resource, &out.groups))
		}
		if err := c.read(r.Context(), stmts); err != nil {
			return err
		}
		if !found {
			return errNotFound
		}
		if fresh(r, etag(out.row.Version)) {
			w.Header().Set("ETag", etag(out.row.Version))
			c.entry.Status = http.StatusNotModified
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
		return c.answer(w, r, out, m)
	}
}

func (h *Handler) replace(k schema.Kind) operation {
	return func(w http.ResponseWriter, r *http.Request, c *call) error {
		m, err := c.maskOf(r, k)
		if err != nil {
			return err
		}
		body, err := c.readBody(r)
		if err != nil {
			return err
		}
		out, err := c.replaceResource(r.Context(), k, chi.URLParam(r, "id"), ifMatch(r), m.wants("groups"), body)
		if err != nil {
			return err
		}
		return c.answer(w, r, out, m)
	}
}

func (h *Handler) patch(k schema.Kind) operation {
	return func(w http.ResponseWriter, r *http.Request, c *call) error {
		m, err := c.maskOf(r, k)
		if err != nil {
			return err
		}
		body, err := c.readBody(r)
		if err != nil {
			return err
		}
		out, err := c.patchResource(r.Context(), k, chi.URLParam(r, "id"), ifMatch(r), m.wants("groups"), m != nil && m.only, body)
		if err != nil {
			return err
		}
		return c.answer(w, r, out, m)
	}
}

func (h *Handler) remove(k schema.Kind) operation {
	return func(w http.ResponseWriter, r *http.Request, c *call) error {
		out, err := c.removeResource(r.Context(), k, chi.URLParam(r, "id"), ifMatch(r))
		if err != nil {
			return err
		}
		return c.answer(w, r, out, nil)
	}
}

// read runs statements that only read: one round trip on PostgreSQL, the read
// pool on SQLite, where a batch would wait for the writer.
func (c *call) read(ctx context.Context, stmts []db.Stmt) error {
	if len(stmts) > 1 && c.h.DB.Dialect().Name == db.Postgres {
		return c.h.DB.Batch(ctx, stmts)
	}
	for _, s := range stmts {
		rows, err := c.h.DB.Query(ctx, s.SQL, s.Args...)
		if err != nil {
			return err
		}
		err = s.Scan(rows)
		rows.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// answer writes an operation's outcome.
func (c *call) answer(w http.ResponseWriter, r *http.Request, out outcome, m *mask) error {
	c.entry.Status = out.status
	if !out.empty || out.row.ID != "" {
		w.Header().Set("ETag", etag(out.row.Version))
	}
	if out.empty {
		w.WriteHeader(out.status)
		return nil
	}
	location := c.location(out.kind, out.row.ID)
	w.Header().Set("Location", location)
	groups := out.groups
	if !m.wants("groups") {
		groups = nil
	}
	body, err := c.appendHead(make([]byte, 0, len(out.row.Doc)+512), out.kind, out.row, m, groups)
	if err != nil {
		return err
	}
	if out.kind == schema.User || !m.wants("members") {
		writeBody(w, out.status, append(body, '}'))
		return nil
	}
	s := newStream(w, out.status)
	s.write(body)
	if err := c.streamMembers(r.Context(), s, out.row.ID, m); err != nil {
		return s.fail(err)
	}
	s.write([]byte{'}'})
	return s.close()
}

// streamMembers writes ,"members":[…] without holding them in memory; nothing
// when the group is empty or the mask leaves nothing of a member.
func (c *call) streamMembers(ctx context.Context, s *stream, group string, m *mask) error {
	parts := partsOf(m)
	if parts == (memberParts{}) {
		return nil
	}
	some := false
	buf := make([]byte, 0, 256)
	err := c.eachMember(ctx, c.h.DB, group, func(member, kind string) {
		buf = append(buf[:0], ',')
		if !some {
			buf = append(buf, `"members":[`...)
		}
		some = true
		buf = c.appendMember(buf, member, kind, parts)
		s.write(buf)
	})
	if some {
		s.write([]byte{']'})
	}
	return err
}

// memberPage is the LIMIT of sqlGroupsIn and sqlPeopleOf, whose rows of that many
// ids have at most 640 KiB.
const memberPage = 20_000

// eachMember visits a group's members: the groups in it, then the people. Nothing
// of the store is held during a visit, so that a client that reads slowly holds
// no connection.
func (c *call) eachMember(ctx context.Context, q db.Queryer, group string, visit func(member, kind string)) error {
	for _, of := range []struct {
		sql  string
		kind schema.Kind
	}{{sqlGroupsIn, schema.Group}, {sqlPeopleOf, schema.User}} {
		last := ""
		for n := int64(memberPage); n >= memberPage; {
			var list string
			if err := q.QueryRow(ctx, of.sql, c.conn.Tenant, c.conn.ID, group, last).Scan(&n, &list, &last); err != nil {
				return err
			}
			for list != "" {
				var member string
				member, list, _ = strings.Cut(list, " ")
				visit(member, of.kind.String())
			}
		}
	}
	return nil
}
