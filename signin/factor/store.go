package factor

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/db"
)

const (
	// A try is counted only when none has to wait; of tries at once each is.
	sqlTry = `INSERT INTO attempts (environment_id, key, failures, last_at, free_at) VALUES ($1, $2, 1, $3, $3)
ON CONFLICT (environment_id, key) DO UPDATE SET failures = CASE WHEN attempts.last_at < $4 THEN 1 ELSE attempts.failures + 1 END, last_at = $3
WHERE attempts.free_at <= $3 RETURNING failures`
	sqlFreeAt   = `SELECT free_at FROM attempts WHERE environment_id = $1 AND key = $2`
	sqlWait     = `UPDATE attempts SET free_at = $3 WHERE environment_id = $1 AND key = $2 AND free_at < $3`
	sqlForgive  = `DELETE FROM attempts WHERE environment_id = $1 AND key = $2`
	sqlTakeBack = `UPDATE attempts SET failures = failures - 1, free_at = $3 WHERE environment_id = $1 AND key = $2 AND failures > 0`
	// Of a network address last_at says until when it has tries to pay off: each costs
	// $4 microseconds, and time alone pays.
	sqlTryAddress = `INSERT INTO attempts (environment_id, key, failures, last_at, free_at) VALUES ($1, $2, 1, CAST($3 AS BIGINT) + CAST($4 AS BIGINT), $3)
ON CONFLICT (environment_id, key) DO UPDATE SET failures = attempts.failures + 1,
 last_at = CASE WHEN attempts.last_at > $3 THEN attempts.last_at ELSE CAST($3 AS BIGINT) END + CAST($4 AS BIGINT)
WHERE attempts.free_at <= $3 RETURNING last_at`
	sqlGiveBack = `UPDATE attempts SET failures = failures - 1, last_at = last_at - CAST($4 AS BIGINT), free_at = $3 WHERE environment_id = $1 AND key = $2 AND failures > 0`
	sqlKnow     = `INSERT INTO attempts (environment_id, key, failures, last_at, free_at) VALUES ($1, $2, 0, $3, $4)
ON CONFLICT (environment_id, key) DO UPDATE SET last_at = $3, free_at = $4`

	factorColumns   = `id, kind, name, secret, last_step, created_at, last_used_at, confined_to`
	sqlFactors      = `SELECT ` + factorColumns + ` FROM factors WHERE environment_id = $1 AND user_id = $2 ORDER BY created_at, id`
	sqlInsertFactor = `INSERT INTO factors (environment_id, user_id, id, kind, name, secret, credential, last_step, created_at, confined_to)
SELECT $1, $2, $3, $4, $5, $6, $7, CAST($8 AS BIGINT), CAST($9 AS BIGINT), $11
WHERE (SELECT COUNT(*) FROM factors f WHERE f.environment_id = $1 AND f.user_id = $2) < CAST($10 AS BIGINT)`
	sqlRenameFactor = `UPDATE factors SET name = $4 WHERE environment_id = $1 AND user_id = $2 AND id = $3`
	sqlDeleteFactor = `DELETE FROM factors WHERE environment_id = $1 AND user_id = $2 AND id = $3`
	// A code's step serves once, on whichever replica comes first.
	sqlUseStep       = `UPDATE factors SET last_step = $4, last_used_at = $5 WHERE environment_id = $1 AND user_id = $2 AND id = $3 AND last_step < $4`
	sqlUseCredential = `UPDATE factors SET secret = $4, last_used_at = $5 WHERE environment_id = $1 AND user_id = $2 AND id = $3`
	sqlCredential    = `SELECT user_id FROM factors WHERE environment_id = $1 AND credential = $2 AND confined_to = ''`

	sqlInsertRecovery = `INSERT INTO recovery_codes (environment_id, user_id, hash, created_at, confined_to) SELECT $1, $2, key, CAST($4 AS BIGINT), $5 FROM json_each($3)`
	sqlUseRecovery    = `UPDATE recovery_codes SET used_at = $4 WHERE environment_id = $1 AND user_id = $2 AND hash = $3 AND used_at IS NULL AND confined_to IN ('', $5)`
	sqlDeleteRecovery = `DELETE FROM recovery_codes WHERE environment_id = $1 AND user_id = $2 AND confined_to = $3`
	sqlDropRecovery   = `DELETE FROM recovery_codes WHERE environment_id = $1 AND user_id = $2`
	sqlCountRecovery  = `SELECT COUNT(*) FROM recovery_codes WHERE environment_id = $1 AND user_id = $2 AND used_at IS NULL AND confined_to IN ('', $3)`

	sqlPutChallenge = `INSERT INTO challenges (environment_id, holder, kind, user_id, secret, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (environment_id, holder, kind) DO UPDATE SET user_id = $4, secret = $5, created_at = $6, expires_at = $7`
	sqlChallenge = `SELECT user_id, secret, created_at FROM challenges WHERE environment_id = $1 AND holder = $2 AND kind = $3 AND expires_at > $4`
	// Of answers at once one takes the challenge.
	sqlTakeChallenge = `DELETE FROM challenges WHERE environment_id = $1 AND holder = $2 AND kind = $3 AND expires_at > $4 RETURNING user_id, secret`

	sqlInsertReset = `INSERT INTO password_resets (environment_id, hash, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)`
	sqlLastReset   = `SELECT MAX(created_at) FROM password_resets WHERE environment_id = $1 AND user_id = $2`
	sqlReset       = `SELECT user_id FROM password_resets WHERE environment_id = $1 AND hash = $2 AND used_at IS NULL AND expires_at > $3`
	sqlUseReset    = `UPDATE password_resets SET used_at = $3 WHERE environment_id = $1 AND hash = $2 AND used_at IS NULL AND expires_at > $3 RETURNING user_id`
	sqlEndResets   = `UPDATE password_resets SET used_at = $3 WHERE environment_id = $1 AND user_id = $2 AND used_at IS NULL`

	sqlHistory       = `SELECT hash FROM password_history WHERE environment_id = $1 AND user_id = $2 ORDER BY seq DESC LIMIT $3`
	sqlInsertHistory = `INSERT INTO password_history (environment_id, user_id, seq, hash, created_at)
SELECT $1, $2, COALESCE(MAX(seq), 0) + 1, $3, CAST($4 AS BIGINT) FROM password_history WHERE environment_id = $1 AND user_id = $2`
	sqlTrimHistory = `DELETE FROM password_history WHERE environment_id = $1 AND user_id = $2 AND seq <= (SELECT MAX(h.seq) FROM password_history h WHERE h.environment_id = $1 AND h.user_id = $2) - $3`

	sqlInsertDevice  = `INSERT INTO remembered_devices (environment_id, hash, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)`
	sqlDevice        = `SELECT created_at FROM remembered_devices WHERE environment_id = $1 AND hash = $2 AND user_id = $3 AND expires_at > $4`
	sqlForgetDevices = `DELETE FROM remembered_devices WHERE environment_id = $1 AND user_id = $2`
)

// The same for the vendor's people, whose factors serve at one environment's address.
const (
	// Nobody's identity provider vouches for the vendor's people: nothing of theirs is confined.
	sqlStaffFactors      = `SELECT id, kind, name, secret, last_step, created_at, last_used_at, '' FROM staff_factors WHERE environment_id = $1 AND staff_id = $2 ORDER BY created_at, id`
	sqlStaffInsertFactor = `INSERT INTO staff_factors (environment_id, staff_id, id, kind, name, secret, credential, last_step, created_at)
SELECT $1, $2, $3, $4, $5, $6, $7, CAST($8 AS BIGINT), CAST($9 AS BIGINT)
WHERE (SELECT COUNT(*) FROM staff_factors f WHERE f.environment_id = $1 AND f.staff_id = $2) < CAST($10 AS BIGINT) AND CAST($11 AS TEXT) = ''`
	sqlStaffRenameFactor  = `UPDATE staff_factors SET name = $4 WHERE environment_id = $1 AND staff_id = $2 AND id = $3`
	sqlStaffDeleteFactor  = `DELETE FROM staff_factors WHERE environment_id = $1 AND staff_id = $2 AND id = $3`
	sqlStaffUseStep       = `UPDATE staff_factors SET last_step = $4, last_used_at = $5 WHERE environment_id = $1 AND staff_id = $2 AND id = $3 AND last_step < $4`
	sqlStaffUseCredential = `UPDATE staff_factors SET secret = $4, last_used_at = $5 WHERE environment_id = $1 AND staff_id = $2 AND id = $3`
	sqlStaffCredential    = `SELECT staff_id FROM staff_factors WHERE environment_id = $1 AND credential = $2`

	sqlStaffInsertRecovery = `INSERT INTO staff_recovery_codes (environment_id, staff_id, hash, created_at) SELECT $1, $2, key, CAST($4 AS BIGINT) FROM json_each($3) WHERE CAST($5 AS TEXT) = ''`
	sqlStaffUseRecovery    = `UPDATE staff_recovery_codes SET used_at = $4 WHERE environment_id = $1 AND staff_id = $2 AND hash = $3 AND used_at IS NULL AND CAST($5 AS TEXT) = ''`
	sqlStaffDeleteRecovery = `DELETE FROM staff_recovery_codes WHERE environment_id = $1 AND staff_id = $2 AND CAST($3 AS TEXT) = ''`
	sqlStaffDropRecovery   = `DELETE FROM staff_recovery_codes WHERE environment_id = $1 AND staff_id = $2`
	sqlStaffCountRecovery  = `SELECT COUNT(*) FROM staff_recovery_codes WHERE environment_id = $1 AND staff_id = $2 AND used_at IS NULL AND CAST($3 AS TEXT) = ''`
)

// population is whose factors a Service keeps, by the statements on their tables.
type population struct {
	// accounts stands before the keys of accounts: somebody may be of both, and what is
	// tried at one door does not lock the other.
	accounts                                                         string
	table                                                            string // binds sealed secrets
	list, insert, rename, remove, useStep, useCredential, credential string
	insertRecovery, useRecovery, deleteRecovery, countRecovery       string
	dropRecovery                                                     string // those that are confined too
}

var (
	people = population{
		table: "factors", list: sqlFactors, insert: sqlInsertFactor, rename: sqlRenameFactor, remove: sqlDeleteFactor,
		useStep: sqlUseStep, useCredential: sqlUseCredential, credential: sqlCredential,
		insertRecovery: sqlInsertRecovery, useRecovery: sqlUseRecovery, deleteRecovery: sqlDeleteRecovery, countRecovery: sqlCountRecovery, dropRecovery: sqlDropRecovery,
	}
	vendors = population{
		accounts: "staff:", table: "staff_factors", list: sqlStaffFactors, insert: sqlStaffInsertFactor, rename: sqlStaffRenameFactor, remove: sqlStaffDeleteFactor,
		useStep: sqlStaffUseStep, useCredential: sqlStaffUseCredential, credential: sqlStaffCredential,
		insertRecovery: sqlStaffInsertRecovery, useRecovery: sqlStaffUseRecovery, deleteRecovery: sqlStaffDeleteRecovery, countRecovery: sqlStaffCountRecovery, dropRecovery: sqlStaffDropRecovery,
	}
)

// What has run out, of all environments.
const (
	sqlPurgeAttempts   = `DELETE FROM attempts WHERE last_at < $1 AND free_at < $2`
	sqlPurgeChallenges = `DELETE FROM challenges WHERE expires_at < $1`
	sqlPurgeResets     = `DELETE FROM password_resets WHERE expires_at < $1`
	sqlPurgeDevices    = `DELETE FROM remembered_devices WHERE expires_at < $1`
)

// JobPurge is the kind of the job that runs Purge, every hour.
const JobPurge = "factor.purge"

// Purge removes what has run out.
func (s *Service) Purge(ctx context.Context) error {
	now := s.clock.Now()
	at := db.At(now)
	return s.db.Tx(ctx, func(q db.Queryer) error {
		return q.Batch(ctx, []db.Stmt{
			{SQL: sqlPurgeAttempts, Args: []any{db.At(now.Add(-forget)), at}},
			{SQL: sqlPurgeChallenges, Args: []any{at}},
			{SQL: sqlPurgeResets, Args: []any{db.At(now.Add(-forget))}},
			{SQL: sqlPurgeDevices, Args: []any{at}},
			{SQL: sqlPurgeUnlocks, Args: []any{db.At(now.Add(-forget))}},
		})
	})
}
