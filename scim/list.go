package scim

import (
	"context"
	"net/http"
	"strconv"

	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// list is GET on a resource type (RFC 7644 §3.4.2).
func (h *Handler) list(k schema.Kind) operation {
	return func(w http.ResponseWriter, r *http.Request, c *call) error {
		p, err := parameters(r)
		if err != nil {
			return err
		}
		return c.answerList(w, r, []schema.Kind{k}, p)
	}
}

// listAll is GET on the root (RFC 7644 §3.4.2.1).
func (h *Handler) listAll(w http.ResponseWriter, r *http.Request, c *call) error {
	p, err := parameters(r)
	if err != nil {
		return err
	}
	return c.answerList(w, r, []schema.Kind{schema.User, schema.Group}, p)
}

// search is POST …/.search (RFC 7644 §3.4.3).
func (h *Handler) search(k schema.Kind) operation {
	return func(w http.ResponseWriter, r *http.Request, c *call) error {
		return c.answerSearch(w, r, []schema.Kind{k})
	}
}

func (h *Handler) searchAll(w http.ResponseWriter, r *http.Request, c *call) error {
	return c.answerSearch(w, r, []schema.Kind{schema.User, schema.Group})
}

func (c *call) answerSearch(w http.ResponseWriter, r *http.Request, kinds []schema.Kind) error {
	body, err := c.readBody(r)
	if err != nil {
		return err
	}
	p, err := searchParameters(body)
	if err != nil {
		return err
	}
	return c.answerList(w, r, kinds, p)
}

// part is the page of one kind within a list.
type part struct {
	kind schema.Kind
	mask *mask
	page page
}

// answerList answers a query over one kind, or over users and then groups.
func (c *call) answerList(w http.ResponseWriter, r *http.Request, kinds []schema.Kind, p params) error {
	ctx := r.Context()
	var parts []part
	var total int64
	var items int
	next := ""
	if p.cursor != nil && len(kinds) > 1 {
		return refuse(http.StatusBadRequest, "invalidCursor", "A query over all resource types takes startIndex, not a cursor.")
	}
	if p.cursor != nil && p.start > 1 {
		return errTwoPages
	}
	start, left := p.start, p.count
	for _, k := range kinds {
		q, err := c.query(k, p, len(kinds) > 1)
		if err != nil {
			return err
		}
		m, err := newMask(c.ix, k, p.attributes, p.excluded)
		if err != nil {
			return err
		}
		q.groups = k == schema.User && m.wants("groups")
		var pg page
		if p.cursor != nil {
			pg, next, err = c.cursorPage(ctx, q, *p.cursor, left)
		} else {
			pg, err = c.indexPage(ctx, q, start, left)
		}
		if err != nil {
			return err
		}
		parts = append(parts, part{k, m, pg})
		total += pg.total
		items += len(pg.rows)
		left -= len(pg.rows)
		start = max(start-int(pg.total), 1)
	}
	c.entry.Status = http.StatusOK
	s := newStream(w, http.StatusOK)
	head := append([]byte(nil), `{"schemas":["`+schema.ListResponseURN+`"],"totalResults":`...)
	head = strconv.AppendInt(head, total, 10)
	if p.cursor == nil {
		head = strconv.AppendInt(append(head, `,"startIndex":`...), int64(p.start), 10)
	}
	head = strconv.AppendInt(append(head, `,"itemsPerPage":`...), int64(items), 10)
	if next != "" {
		head = append(append(append(head, `,"nextCursor":"`...), next...), '"')
	}
	s.write(append(head, `,"Resources":[`...))
	if err := c.streamParts(ctx, s, parts); err != nil {
		return s.fail(err)
	}
	s.write([]byte("]}"))
	return s.close()
}

func (c *call) streamParts(ctx context.Context, s *stream, parts []part) error {
	first := true
	var buf []byte
	for _, part := range parts {
		for _, r := range part.page.rows {
			if buf = buf[:0]; !first {
				buf = append(buf, ',')
			}
			first = false
			// The mask may end before the last brace of nothing: appendHead knows.
			head, err := c.appendHead(nil, part.kind, r, part.mask, part.page.groups[r.ID])
			if err != nil {
				return err
			}
			s.write(append(buf, head...))
			if part.kind == schema.Group && part.mask.wants("members") {
				if err := c.streamMembers(ctx, s, r.ID, part.mask); err != nil {
					return err
				}
			}
			s.write([]byte{'}'})
		}
	}
	return nil
}

// indexPage is index pagination (RFC 7644 §3.4.2.4).
func (c *call) indexPage(ctx context.Context, q query, start, count int) (page, error) {
	if !q.inSQL() {
		return c.pageByMatcher(ctx, q, position{offset: start - 1}, count, -1)
	}
	at := position{offset: start - 1}
	remember := q.sort == nil && count > 0
	list := listKey{q.filter, q.kind}
	if remember && start > 1 {
		if after, skip := c.h.anchors.find(c.conn.ID, list, start); after != nil {
			at.after, at.offset = after, skip
		}
	}
	p, err := c.pageInSQL(ctx, q, at, count)
	if err == nil && remember && p.more {
		c.h.anchors.keep(c.conn.ID, list, start+len(p.rows), p.rows[len(p.rows)-1])
	}
	return p, err
}
