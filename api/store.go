package api

const (
	sqlClaimKey = `INSERT INTO idempotency_keys (environment_id, subject, key, claim, fingerprint, locked_until, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (environment_id, subject, key) DO NOTHING`

	sqlKey = `SELECT claim, fingerprint, answer, locked_until, expires_at FROM idempotency_keys WHERE environment_id = $1 AND subject = $2 AND key = $3`

	// sqlTakeKey takes a key over from the claim $4, whose request died or is a day
	// old; its answer is still $9, as it is not when the request is just committing.
	sqlTakeKey = `UPDATE idempotency_keys SET claim = $5, fingerprint = $6, answer = '', locked_until = $7, expires_at = $8
WHERE environment_id = $1 AND subject = $2 AND key = $3 AND claim = $4 AND answer = $9`

	sqlKeepAnswer = `UPDATE idempotency_keys SET answer = $5 WHERE environment_id = $1 AND subject = $2 AND key = $3 AND claim = $4`

	sqlReleaseKey = `DELETE FROM idempotency_keys WHERE environment_id = $1 AND subject = $2 AND key = $3 AND claim = $4 AND answer = ''`

	sqlPurgeKeys = `DELETE FROM idempotency_keys WHERE (environment_id, subject, key) IN
(SELECT environment_id, subject, key FROM idempotency_keys WHERE expires_at < $1 LIMIT $2)`
)
