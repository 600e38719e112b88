package provider

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
)

const (
	sqlInsertPushed = `INSERT INTO pushed_requests (environment_id, hash, client_id, request, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6)`
	// Of uses at once one gets the request (RFC 9126 §7.3).
	sqlUsePushed = `UPDATE pushed_requests SET used_at = $4
WHERE environment_id = $1 AND hash = $2 AND client_id = $3 AND used_at IS NULL AND expires_at > $4 RETURNING request`
	sqlInsertDevice = `INSERT INTO device_requests (environment_id, hash, user_hash, client_id, scope, interval_seconds, next_poll_at, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8)`
	sqlFindDevice = `SELECT client_id FROM device_requests WHERE environment_id = $1 AND user_hash = $2 AND status = 'pending' AND expires_at > $3`
	// Of decisions at once the first counts.
	sqlDecideDevice = `UPDATE device_requests SET status = $4, session_id = $5, organization_id = $6, user_id = $7, decided_at = $8
WHERE environment_id = $1 AND user_hash = $2 AND client_id = $3 AND status = 'pending' AND expires_at > $8`
	// Whoever asks too early waits longer from then on (RFC 8628 §3.5). The row stays
	// locked, so that of questions at once one gets the tokens.
	sqlPollDevice = `UPDATE device_requests SET slowed_at = CASE WHEN next_poll_at > $4 THEN CAST($4 AS BIGINT) END,
 interval_seconds = interval_seconds + CASE WHEN next_poll_at > $4 THEN 5 ELSE 0 END,
 next_poll_at = CAST($4 AS BIGINT) + 1000000 * (interval_seconds + CASE WHEN next_poll_at > $4 THEN 5 ELSE 0 END)
WHERE environment_id = $1 AND hash = $2 AND client_id = $3
RETURNING status, scope, session_id, organization_id, user_id, slowed_at, expires_at, used_at`
	sqlUseDevice    = `UPDATE device_requests SET used_at = $3 WHERE environment_id = $1 AND hash = $2`
	sqlInsertReplay = `INSERT INTO oauth_replays (environment_id, hash, expires_at) VALUES ($1, $2, $3)
ON CONFLICT (environment_id, hash) DO NOTHING`
)

// What has run out, of all environments.
const (
	sqlPurgePushed  = `DELETE FROM pushed_requests WHERE expires_at < $1`
	sqlPurgeDevices = `DELETE FROM device_requests WHERE expires_at < $1`
	sqlPurgeReplays = `DELETE FROM oauth_replays WHERE expires_at < $1`
)

// JobPurge is the kind of the job that runs Purge, every hour.
const JobPurge = "provider.purge"

// Purge removes what has run out.
func (h *Handler) Purge(ctx context.Context) error {
	now := db.At(h.clock.Now())
	return h.db.Tx(ctx, func(q db.Queryer) error {
		return q.Batch(ctx, []db.Stmt{{SQL: sqlPurgePushed, Args: []any{now}}, {SQL: sqlPurgeReplays, Args: []any{now}}, {SQL: sqlPurgeDevices, Args: []any{db.At(h.clock.Now().Add(-time.Hour))}}})
	})
}

// firstUse uses an identifier of a holder up. Of uses that arrive at once exactly
// one is the first.
func (h *Handler) firstUse(ctx context.Context, environment, kind, holder, jti string, until time.Time) (bool, error) {
	sum := sha256.Sum256([]byte(kind + "\x00" + holder + "\x00" + jti))
	n, err := h.db.Exec(ctx, sqlInsertReplay, environment, hex.EncodeToString(sum[:]), db.At(until))
	return n == 1, err
}
