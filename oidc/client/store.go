package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/tenants"
)

const (
	sqlInsertReplay = `INSERT INTO oidc_replays (tenant_id, connection_id, hash, expires_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (tenant_id, connection_id, hash) DO NOTHING`

	// Whom the connection knows by a subject: the sub of his tokens or, at Entra ID, his object id.
	sqlUsersBySubject = `SELECT DISTINCT m.user_id FROM identities i
		JOIN memberships m ON m.tenant_id = i.tenant_id AND m.id = i.membership_id
		WHERE i.tenant_id = $1 AND i.connection_id = $2 AND (i.subject = $3 OR i.object_id = $3)
		ORDER BY m.user_id LIMIT $4`

	// Whom the directories paired with the connection know by their externalId
	// (identity rule 3); $2 is the connection.
	sqlUsersByExternalID = `SELECT DISTINCT m.user_id FROM membership_sources s
		JOIN memberships m ON m.tenant_id = s.tenant_id AND m.id = s.membership_id
		JOIN sso_connections k ON k.tenant_id = s.tenant_id AND k.id = $2
		WHERE s.tenant_id = $1 AND s.external_id = $3 AND s.external_id <> ''
		AND (EXISTS (SELECT 1 FROM sso_scim_pairs p WHERE p.tenant_id = $1 AND p.sso_connection_id = $2 AND p.scim_connection_id = s.connection_id)
		 OR k.pairing = 'auto' AND NOT EXISTS (SELECT 1 FROM sso_connections o WHERE o.tenant_id = $1 AND o.id <> $2))
		ORDER BY m.user_id LIMIT $4`

	sqlUsersByEmail    = `SELECT user_id FROM memberships WHERE tenant_id = $1 AND email_key = $2 ORDER BY user_id LIMIT $3`
	sqlUsersByUserName = `SELECT user_id FROM memberships WHERE tenant_id = $1 AND user_name_key = $2 AND user_name_key <> '' ORDER BY user_id LIMIT $3`

	// Whose identity of the connection came with the address at his last login.
	sqlUsersByIdentityEmail = `SELECT DISTINCT m.user_id FROM identities i
		JOIN memberships m ON m.tenant_id = i.tenant_id AND m.id = i.membership_id
		WHERE i.tenant_id = $1 AND i.connection_id = $2 AND LOWER(i.email) = $3 ORDER BY m.user_id LIMIT $4`

	// Retention goes over all tenants: used tokens are forgotten once they cannot
	// be valid any more, a bounded number at a time.
	sqlPurgeReplays = `DELETE FROM oidc_replays WHERE (tenant_id, connection_id, hash) IN
		(SELECT tenant_id, connection_id, hash FROM oidc_replays WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)`
)

const (
	purgeRows = 1000
	// maxUsers bounds whom one token can mean: persons who share an address.
	maxUsers = 20
)

// firstUse uses up a token's jti. Of uses that arrive at once exactly one is the
// first.
func firstUse(ctx context.Context, q db.Queryer, conn tenants.SSOConnection, issuer, jti string, until time.Time) (bool, error) {
	sum := sha256.Sum256([]byte(strconv.Itoa(len(issuer)) + ":" + issuer + jti))
	n, err := q.Exec(ctx, sqlInsertReplay, conn.Tenant, conn.ID, hex.EncodeToString(sum[:]), db.At(until))
	return n == 1, err
}

func users(ctx context.Context, q db.Queryer, text string, args ...any) ([]string, error) {
	rows, err := q.Query(ctx, text, append(args, int64(maxUsers))...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []string
	for rows.Next() {
		var user string
		if err := rows.Scan(&user); err != nil {
			return nil, err
		}
		list = append(list, user)
	}
	return list, rows.Err()
}

// Purge drops used tokens that have expired.
func (h *Handler) Purge(ctx context.Context) error {
	for {
		n, err := h.db.Exec(ctx, sqlPurgeReplays, db.At(h.clock.Now()), purgeRows)
		if err != nil || n < purgeRows {
			return err
		}
	}
}
