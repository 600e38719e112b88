package scim

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

var (
	errCursor        = refuse(http.StatusBadRequest, "invalidCursor", "The cursor is not one of this query. Send the query that gave it unchanged, or begin again with an empty cursor.")
	errExpiredCursor = refuse(http.StatusBadRequest, "expiredCursor", "The cursor is more than an hour old. Begin again with an empty cursor.")
	errCursorCount   = refuse(http.StatusBadRequest, "invalidCount", "The count is not that of the query that gave the cursor. Send the same count for every page.")
	errTwoPages      = refuse(http.StatusBadRequest, "invalidValue", "Send startIndex or cursor to ask for a page, not both.")
)

// cursor says where the next page starts (RFC 9865 §2): after a resource, so that
// others that come and go between two pages move nothing. It holds no secret, only
// what the client was shown; the MAC binds it to the connection and keeps clients
// from writing their own.
type cursor struct {
	Query   string `json:"q"` // hash of what was asked
	Created int64  `json:"c,omitempty"`
	ID      string `json:"i,omitempty"`
	// Present, Text and Number are the sort key of the resource.
	Present bool    `json:"p,omitempty"`
	Text    string  `json:"k,omitempty"`
	Number  float64 `json:"f,omitempty"`
	Offset  int     `json:"o,omitempty"` // in a sorted list; counts where the key is too long to be kept
	Count   int     `json:"n"`           // RFC 9865 §2.1: the same for every page
	Total   int64   `json:"t"`
	Expires int64   `json:"e"` // unix seconds
}

const (
	maxCursor  = 16 << 10
	maxSortKey = 1024 // bytes of a key in a cursor
)

func (c *call) hash(q query) string {
	parts := []string{q.kind.String(), q.filter, "", strconv.FormatBool(q.desc)}
	if q.sort != nil {
		parts[2] = q.sort.Path
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

func (c *call) sign(cur cursor) (string, error) {
	text, err := json.Marshal(cur)
	if err != nil {
		return "", err
	}
	body := base64.RawURLEncoding.EncodeToString(text)
	return body + "." + c.h.Vault.MAC("scim cursor", c.conn.Tenant, c.conn.ID, body), nil
}

func (c *call) open(token string, q query) (cursor, error) {
	var cur cursor
	body, mac, ok := strings.Cut(token, ".")
	if !ok || len(token) > maxCursor || !keys.Equal(mac, c.h.Vault.MAC("scim cursor", c.conn.Tenant, c.conn.ID, body)) {
		return cur, errCursor
	}
	text, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil || json.Unmarshal(text, &cur) != nil || cur.Query != c.hash(q) {
		return cur, errCursor
	}
	if c.now.Unix() >= cur.Expires {
		return cur, errExpiredCursor
	}
	return cur, nil
}

// cursorPage is cursor pagination; token is empty for the first page. next is
// empty at the end.
func (c *call) cursorPage(ctx context.Context, q query, token string, count int) (p page, next string, err error) {
	cur := cursor{Query: c.hash(q), Count: count, Total: -1}
	var at position
	if token != "" {
		if cur, err = c.open(token, q); err != nil {
			return p, "", err
		}
		if cur.Count != count {
			return p, "", errCursorCount
		}
		if at.offset = cur.Offset; cur.ID != "" {
			at.after = &anchor{
				created: time.UnixMicro(cur.Created).UTC(), id: cur.ID,
				key: sortKey{id: cur.ID, present: cur.Present, text: cur.Text, number: cur.Number},
			}
			at.offset = 0
		}
	}
	if q.inSQL() {
		p, err = c.pageInSQL(ctx, q, at, count)
	} else {
		p, err = c.pageByMatcher(ctx, q, at, count, cur.Total)
	}
	if err != nil || !p.more || len(p.rows) == 0 {
		return p, "", err
	}
	last := p.rows[len(p.rows)-1]
	cur.Total, cur.Expires = p.total, c.now.Unix()+schema.CursorLifetime
	if q.sort == nil {
		cur.Created, cur.ID, cur.Offset = last.Created.UnixMicro(), last.ID, 0
	} else if err := c.sortCursor(&cur, q, last, len(p.rows)); err != nil {
		return p, "", err
	}
	next, err = c.sign(cur)
	return p, next, err
}

// sortCursor puts the place of a sorted page's last row into a cursor.
func (c *call) sortCursor(cur *cursor, q query, last row, rows int) error {
	doc, err := c.full(q.kind, last)
	if err != nil {
		return err
	}
	key := keyOf(q.sort, doc, last.ID)
	if q.sort.Column != "" {
		key = q.columnKey(last, doc)
	}
	cur.Offset += rows
	cur.ID, cur.Present, cur.Text, cur.Number = last.ID, key.present, key.text, key.number
	if len(key.text) > maxSortKey {
		cur.ID, cur.Present, cur.Text = "", false, ""
	}
	return nil
}
