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

// told is what the audit.purged event of the newest checkpoint says of it.
type told struct {
	event string // id; empty: none
	seq   int64
	hash  string
}

// holds reports whether the checkpoint is the one that was written: its digest
// fits, and the chain tells the same of it. Both are written in one transaction,
// and the event that tells goes only with a purge that tells anew.
func (c *checkpoint) holds(t told) bool {
	if c.seq == 0 {
		return t.event == ""
	}
	return c.digest == c.sum() && t.seq == c.seq && t.hash == c.hash
}

const (
	sqlCheckpoint = `SELECT seq, hash, events, faults, purged_at, digest FROM audit_checkpoints WHERE tenant_id = $1`

	sqlPutCheckpoint = `INSERT INTO audit_checkpoints (tenant_id, seq, hash, events, faults, purged_at, digest)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (tenant_id) DO UPDATE SET seq = excluded.seq, hash = excluded.hash,
 events = excluded.events, faults = excluded.faults, purged_at = excluded.purged_at, digest = excluded.digest`

	// Of two replicas whose clocks differ, the later purge may bear the earlier
	// time: hence more than one.
	sqlTold = `SELECT e.id, e.metadata FROM audit_events e
WHERE e.tenant_id = $1 AND e.action = '` + actionPurged + `' AND e.source = 'builtin' ORDER BY e.occurred_at DESC, e.id DESC LIMIT 100`
)

func readCheckpoint(ctx context.Context, q db.Queryer, tenant string) (checkpoint, error) {
	c := checkpoint{tenant: tenant}
	err := q.QueryRow(ctx, sqlCheckpoint, tenant).Scan(&c.seq, &c.hash, &c.events, &c.faults, &c.at, &c.digest)
	if errors.Is(err, db.ErrNotFound) {
		return c, nil
	}
	return c, err
}

// toldCheckpoint gives the checkpoint and what the chain tells of it. A purge
// may come in between the two: then they are read again.
func (l *Log) toldCheckpoint(ctx context.Context, tenant string) (c checkpoint, t told, err error) {
	for range 3 {
		if c, err = readCheckpoint(ctx, l.db, tenant); err != nil {
			return c, t, err
		}
		if t, err = l.told(ctx, tenant); err != nil || c.holds(t) {
			return c, t, err
		}
	}
	return c, t, nil
}

func (l *Log) told(ctx context.Context, tenant string) (newest told, err error) {
	rows, err := l.db.Query(ctx, sqlTold, tenant)
	if err != nil {
		return told{}, err
	}
	defer rows.Close()
	for rows.Next() {
		var t told
		var text string
		if err := rows.Scan(&t.event, &text); err != nil {
			return told{}, err
		}
		var m struct {
			Seq  int64  `json:"seq"`
			Hash string `json:"hash"`
		}
		if json.Unmarshal([]byte(text), &m) == nil { // otherwise changed, of which the chain tells
			t.seq, t.hash = m.Seq, m.Hash
		}
		if newest.event == "" || t.seq > newest.seq {
			newest = t
		}
	}
	return newest, rows.Err()
}
