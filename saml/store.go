package saml

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/saml/verify"
	"github.com/gatehouse-id/gatehouse/tenants"
)

const sqlInsertReplay = `INSERT INTO saml_replays (tenant_id, connection_id, hash, expires_at)
	VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`

// replayCap bounds how long a used assertion is remembered (sso 4, step 12).
const replayCap = 24 * time.Hour

// useAssertion marks the assertion as used at this connection, and reports
// false when it was used before. Of copies that arrive at once one is first.
func useAssertion(ctx context.Context, q db.Queryer, c tenants.SSOConnection, a *verify.Assertion, now time.Time) (bool, error) {
	return useOnce(ctx, q, c, "", a.ID, a.Issuer, now, a.NotOnOrAfter.Add(c.SAML.ClockSkew))
}

// useOnce remembers a message until it cannot be valid any more, and reports
// false when it is remembered. kind is empty for assertions.
func useOnce(ctx context.Context, q db.Queryer, c tenants.SSOConnection, kind, id, issuer string, now, until time.Time) (bool, error) {
	h := sha256.New()
	for _, part := range []string{id, "\x00", issuer} { // XML holds no NUL
		h.Write([]byte(part))
	}
	if kind != "" {
		h.Write([]byte("\x00" + kind))
	}
	if last := now.Add(replayCap); until.After(last) {
		until = last
	}
	n, err := q.Exec(ctx, sqlInsertReplay, c.Tenant, c.ID, hex.EncodeToString(h.Sum(nil)), db.At(until))
	return n == 1, err
}

// Retention goes over all tenants: used assertions are forgotten once they
// cannot be valid any more, a bounded number at a time.
const sqlPurgeReplays = `DELETE FROM saml_replays WHERE (tenant_id, connection_id, hash) IN
	(SELECT tenant_id, connection_id, hash FROM saml_replays WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)`

const purgeRows = 1000

// Purge drops used assertions that have expired.
func (h *Handler) Purge(ctx context.Context) error {
	for {
		n, err := h.db.Exec(ctx, sqlPurgeReplays, db.At(h.clock.Now()), purgeRows)
		if err != nil || n < purgeRows {
			return err
		}
	}
}
