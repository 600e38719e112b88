package keys

const (
	sqlInsertKeyCheck = `INSERT INTO key_checks (id, value, created_at) VALUES ('master', $1, $2) ON CONFLICT (id) DO NOTHING`
	sqlKeyCheck       = `SELECT value FROM key_checks WHERE id = 'master'`
)

// The keys that the set of an environment shows: retired ones until $2.
const sqlKeys = `SELECT id, alg, state, public_jwk, private_key, created_at, activated_at, retired_at
FROM signing_keys WHERE environment_id = $1 AND (state <> 'retired' OR retired_at > $2)
ORDER BY alg, state, created_at, id`

// A second active (or next) key of an algorithm loses to the first: partial
// unique indices decide.
const sqlInsertKey = `INSERT INTO signing_keys
(environment_id, id, alg, state, public_jwk, private_key, created_at, activated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`

const (
	// sqlLockKeys makes two rotations of an algorithm wait for each other.
	sqlLockKeys = `SELECT id, state FROM signing_keys
WHERE environment_id = $1 AND alg = $2 AND state <> 'retired' ORDER BY id`
	sqlRetireKey   = `UPDATE signing_keys SET state = 'retired', retired_at = $3 WHERE environment_id = $1 AND id = $2 AND state = 'active'`
	sqlActivateKey = `UPDATE signing_keys SET state = 'active', activated_at = $3 WHERE environment_id = $1 AND id = $2 AND state = 'next'`
	sqlDropRetired = `DELETE FROM signing_keys WHERE environment_id = $1 AND state = 'retired' AND retired_at <= $2`
)

// sqlAllKeys crosses environments: the rotation job serves all of them.
const sqlAllKeys = `SELECT environment_id, id, alg, state, created_at, activated_at FROM signing_keys
WHERE state <> 'retired' ORDER BY environment_id, alg, state`
