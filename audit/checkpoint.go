package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/gatehouse-id/gatehouse/internal/db"
)

// checkpoint is the place at which retention has cut a chain: all up to seq is
// gone, and the next place continues from hash. The zero value is the beginning
// of a chain that was never cut.
type checkpoint struct {
	tenant string
	seq    int64
	hash   string
	events int64 // deleted since the beginning
	faults int64 // of them, those that did not verify
	at     db.Time
	digest string
}

// sum tells a checkpoint that somebody edited from one that retention wrote. It
// has no key: who knows this form can make it fit. Hence the chain itself tells
// of each checkpoint too, see told.
func (c *checkpoint) sum() string {
	h := sha256.Sum256(fmt.Appendf(nil, "checkpoint\n%s\n%d\n%s\n%d\n%d\n%d", c.tenant, c.seq, c.hash, c.events, c.faults, c.at.UnixMicro()))
	return hex.EncodeToString(h[:])
}

// told is what the newest audit.purged event of a chain says of its checkpoint.
type told struct {
	event string // id; empty: none
	seq   int64
	hash  string
}

// holds reports whether the checkpoint is the one that was written: its digest
// fits, and it is not older than, or other than, what the chain tells of it. A
// purge that was interrupted leaves a checkpoint that is newer.
func (c *checkpoint) holds(t told) bool {
	if c.seq != 0 && c.digest != c.sum() {
		return false
	}
	return t.event == "" || t.seq < c.seq || t.seq == c.seq && t.hash == c.hash
}

const (
	sqlCheckpoint = `SELECT seq, hash, events, faults, purged_at, digest FROM audit_checkpoints WHERE tenant_id = $1`

	sqlPutCheckpoint = `INSERT INTO audit_checkpoints (tenant_id, seq, hash, events, faults, purged_at, digest)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tenant_id) DO UPDATE SET seq = excluded.seq, hash = excluded.hash,
 events = excluded.events, faults = excluded.faults, purged_at = excluded.purged_at, digest = excluded.digest`

	sqlTold = `SELECT e.id, e.metadata FROM audit_events e
WHERE e.tenant_id = $1 AND e.action = 'audit.purged' AND e.source = 'builtin' ORDER BY e.occurred_at DESC, e.id DESC LIMIT 1`
)

func readCheckpoint(ctx context.Context, q db.Queryer, tenant string) (checkpoint, error) {
	c := checkpoint{tenant: tenant}
	err := q.QueryRow(ctx, sqlCheckpoint, tenant).Scan(&c.seq, &c.hash, &c.events, &c.faults, &c.at, &c.digest)
	if errors.Is(err, db.ErrNotFound) {
		return c, nil
	}
	return c, err
}

func (l *Log) toldCheckpoint(ctx context.Context, tenant string) (told, error) {
	var t told
	var text string
	err := l.db.QueryRow(ctx, sqlTold, tenant).Scan(&t.event, &text)
	if errors.Is(err, db.ErrNotFound) {
		return told{}, nil
	}
	if err != nil {
		return told{}, err
	}
	var m struct {
		Seq  int64  `json:"seq"`
		Hash string `json:"hash"`
	}
	if json.Unmarshal([]byte(text), &m) != nil {
		return told{event: t.event, seq: -1}, nil // changed, of which the chain tells
	}
	t.seq, t.hash = m.Seq, m.Hash
	return t, nil
}
