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
	errCursor        = refuse(http.StatusBadRequest, "invalidCursor", "The cursor is not one of this query.")
	errExpiredCursor = refuse(http.StatusBadRequest, "expiredCursor", "The cursor has expired. Begin again without one.")
)

// cursor says where the next page starts (RFC 9865 §2). It holds no secret; the
// MAC binds it to the connection and keeps clients from writing their own.
type cursor struct {
	Query   string `json:"q"` // hash of what was asked
	Created int64  `json:"c,omitempty"`
	ID      string `json:"i,omitempty"`
	Offset  int    `json:"o,omitempty"` // instead of a key, where the order is no key's
	Total   int64  `json:"t"`
	Expires int64  `json:"e"` // unix seconds
}

const maxCursor = 1024

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
	cur := cursor{Query: c.hash(q), Total: -1}
	var at position
	if token != "" {
		if cur, err = c.open(token, q); err != nil {
			return p, "", err
		}
		if at.offset = cur.Offset; cur.ID != "" {
			at.after = &anchor{created: time.UnixMicro(cur.Created).UTC(), id: cur.ID}
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
	} else {
		cur.Offset += len(p.rows)
	}
	next, err = c.sign(cur)
	return p, next, err
}
