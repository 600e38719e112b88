package webhooks

// Event types are the environment's.
const (
	sqlTypes = `SELECT key, name, description, category, builtin, enabled, created_at, updated_at FROM event_types WHERE environment_id = $1 ORDER BY key`

	sqlCountTypes = `SELECT COUNT(*) FROM event_types WHERE environment_id = $1 AND NOT builtin`

	sqlInsertType = `INSERT INTO event_types (environment_id, key, name, description, category, builtin, enabled, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8) ON CONFLICT DO NOTHING`

	sqlLockType = `UPDATE event_types SET key = key WHERE environment_id = $1 AND key = $2`

	sqlUpdateType = `UPDATE event_types SET name = $3, description = $4, category = $5, enabled = $6, updated_at = $7
WHERE environment_id = $1 AND key = $2`

	sqlSwitchType = `INSERT INTO event_types (environment_id, key, name, category, builtin, enabled, created_at, updated_at)
VALUES ($1, $2, $3, $4, TRUE, $5, $6, $6)
ON CONFLICT (environment_id, key) DO UPDATE SET builtin = TRUE, enabled = excluded.enabled, updated_at = excluded.updated_at`

	sqlDeleteType = `DELETE FROM event_types WHERE environment_id = $1 AND key = $2 AND NOT builtin`
)

const endpointColumns = `e.tenant_id, e.id, e.environment_id, e.name, e.url, e.event_types, e.signature, e.active, e.disabled_reason, e.disabled_at,
 e.version, e.created_at, e.updated_at, q.failures, q.failing_since, q.last_success_at, q.last_failure_at`

const (
	sqlLockTenant = `SELECT id FROM tenants WHERE environment_id = $1 AND id = $2 AND deleted_at IS NULL` // and ForNoKeyUpdate

	sqlEnvironmentSettings = `SELECT settings FROM environments WHERE id = $1`

	sqlTenantStatus = `SELECT status FROM tenants WHERE environment_id = $1 AND id = $2 AND deleted_at IS NULL`

	sqlCountEndpoints = `SELECT COUNT(*) FROM webhook_endpoints WHERE tenant_id = $1`

	sqlEndpoints = `SELECT ` + endpointColumns + ` FROM webhook_endpoints e JOIN webhook_queues q ON q.tenant_id = e.tenant_id AND q.endpoint_id = e.id
WHERE e.tenant_id = $1 ORDER BY e.id`

	sqlEndpoint = `SELECT ` + endpointColumns + ` FROM webhook_endpoints e JOIN webhook_queues q ON q.tenant_id = e.tenant_id AND q.endpoint_id = e.id
WHERE e.tenant_id = $1 AND e.id = $2`

	sqlInsertEndpoint = `INSERT INTO webhook_endpoints
(tenant_id, id, environment_id, name, url, event_types, signature, active, disabled_reason, disabled_at, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)`

	sqlLockEndpoint = `UPDATE webhook_endpoints SET id = id WHERE tenant_id = $1 AND id = $2`

	sqlUpdateEndpoint = `UPDATE webhook_endpoints SET name = $3, url = $4, event_types = $5, active = $6, disabled_reason = $7, disabled_at = $8,
 version = $9, updated_at = $10 WHERE tenant_id = $1 AND id = $2`

	sqlTouchEndpoint = `UPDATE webhook_endpoints SET version = $3, updated_at = $4 WHERE tenant_id = $1 AND id = $2`

	sqlDeleteEndpoint = `DELETE FROM webhook_endpoints WHERE tenant_id = $1 AND id = $2`

	sqlSubscribers = `SELECT e.tenant_id, e.id, e.event_types FROM webhook_endpoints e
JOIN tenants t ON t.environment_id = e.environment_id AND t.id = e.tenant_id AND t.status = 'active'
WHERE e.tenant_id = $1 AND e.active ORDER BY e.id`
)

// A secret signs until its end, if it has one.
const (
	sqlInsertSecret = `INSERT INTO webhook_secrets (tenant_id, endpoint_id, id, secret, created_at) VALUES ($1, $2, $3, $4, $5)`

	sqlTenantSecrets = `SELECT endpoint_id, id, secret, expires_at FROM webhook_secrets
WHERE tenant_id = $1 AND (expires_at IS NULL OR expires_at > $2) ORDER BY endpoint_id, id DESC`

	sqlSecrets = `SELECT endpoint_id, id, secret, expires_at FROM webhook_secrets
WHERE tenant_id = $1 AND (expires_at IS NULL OR expires_at > $2) AND endpoint_id = $3 ORDER BY id DESC`

	sqlCountSecrets = `SELECT COUNT(*) FROM webhook_secrets WHERE tenant_id = $1 AND endpoint_id = $2 AND (expires_at IS NULL OR expires_at > $3)`

	// sqlEndSecrets gives the secret that has no end one; those of earlier rotations keep theirs.
	sqlEndSecrets = `UPDATE webhook_secrets SET expires_at = $3 WHERE tenant_id = $1 AND endpoint_id = $2 AND expires_at IS NULL`

	// sqlPurgeSecrets crosses tenants: retention.
	sqlPurgeSecrets = `DELETE FROM webhook_secrets WHERE expires_at <= $1`
)

// Messages and deliveries.
const (
	sqlInsertMessage = `INSERT INTO webhook_messages (tenant_id, id, event_type, event_id, body, created_at) VALUES ($1, $2, $3, $4, $5, $6)`

	sqlInsertDelivery = `INSERT INTO webhook_deliveries (tenant_id, id, endpoint_id, message_id, event_type, kind, status, next_at, created_at)
VALUES ($1, $2, $3, $4, $5, $6, 'pending', $7, $7)`

	sqlInsertTest = `INSERT INTO webhook_deliveries (tenant_id, id, endpoint_id, message_id, event_type, kind, status, next_at, created_at)
VALUES ($1, $2, $3, $4, $5, $6, 'pending', $7, $8)`

	// sqlQueueDue leaves a queue that is due earlier, or rests, as it is.
	sqlQueueDue = `UPDATE webhook_queues SET due_at = CASE WHEN paused_until > $3 THEN paused_until ELSE $3 END
WHERE tenant_id = $1 AND endpoint_id = $2 AND (due_at IS NULL OR due_at > $3 AND due_at > paused_until)`

	sqlCountWaiting = `SELECT COUNT(*) FROM (
  SELECT 1 FROM webhook_deliveries d WHERE d.tenant_id = $1 AND d.endpoint_id = $2 AND d.next_at IS NOT NULL AND d.kind = $3 LIMIT $4) waiting`

	// sqlQueueNow is for what a person asked for: it ends a rest.
	sqlQueueNow = `UPDATE webhook_queues SET due_at = $3, paused_until = 0 WHERE tenant_id = $1 AND endpoint_id = $2`

	deliveryColumns = `d.id, d.endpoint_id, d.message_id, d.event_type, m.event_id, d.kind, d.status, d.attempts, d.next_at, d.last_status, d.last_error,
 d.created_at, d.finished_at`

	sqlDeliveries = `SELECT ` + deliveryColumns + `, '' FROM webhook_deliveries d
JOIN webhook_messages m ON m.tenant_id = d.tenant_id AND m.id = d.message_id
WHERE d.tenant_id = $1 AND d.endpoint_id = $2 AND d.id < $3 AND d.created_at >= $4 AND d.created_at < $5 AND $6 IN ('', d.event_type)
ORDER BY d.id DESC LIMIT $7`

	sqlDeliveriesOf = `SELECT ` + deliveryColumns + `, '' FROM webhook_deliveries d
JOIN webhook_messages m ON m.tenant_id = d.tenant_id AND m.id = d.message_id
WHERE d.tenant_id = $1 AND d.endpoint_id = $2 AND d.id < $3 AND d.created_at >= $4 AND d.created_at < $5 AND $6 IN ('', d.event_type) AND d.status = $8
ORDER BY d.id DESC LIMIT $7`

	sqlDelivery = `SELECT ` + deliveryColumns + `, m.body FROM webhook_deliveries d
JOIN webhook_messages m ON m.tenant_id = d.tenant_id AND m.id = d.message_id
WHERE d.tenant_id = $1 AND d.endpoint_id = $2 AND d.id = $3`

	sqlAttempts = `SELECT n, at, duration, status, error, response FROM webhook_attempts WHERE tenant_id = $1 AND delivery_id = $2 ORDER BY n`

	sqlDropTenantMessages = `DELETE FROM webhook_messages WHERE tenant_id = $1 AND id IN (
  SELECT m.id FROM webhook_messages m WHERE m.tenant_id = $1 ORDER BY m.id LIMIT $2)`

	// sqlPurge crosses tenants: retention. Deliveries and attempts go with the message.
	sqlPurge = `DELETE FROM webhook_messages WHERE (tenant_id, id) IN (
  SELECT tenant_id, id FROM webhook_messages WHERE created_at < $1 ORDER BY created_at LIMIT $2)`
)

// Sending.
const (
	// sqlAnyDue and sqlDueQueues cross tenants: the claim of queues. $2 and $3 are the halves of the index.
	sqlAnyDue = `SELECT EXISTS (SELECT 1 FROM webhook_queues WHERE slow = $2 AND due_at <= $1 AND leased_until <= $1)
 OR EXISTS (SELECT 1 FROM webhook_queues WHERE slow = $3 AND due_at <= $1 AND leased_until <= $1)`

	sqlDueQueues = `SELECT tenant_id, endpoint_id FROM webhook_queues
WHERE slow = $2 AND due_at <= $1 AND leased_until <= $1 AND tenant_id NOT IN (SELECT key FROM json_each($4)) ORDER BY due_at LIMIT $3`

	sqlInsertQueue = `INSERT INTO webhook_queues (tenant_id, endpoint_id) VALUES ($1, $2)`

	sqlLease = `UPDATE webhook_queues SET leased_until = $3, lease_owner = $4 WHERE tenant_id = $1 AND endpoint_id = $2`

	sqlHold = `UPDATE webhook_queues SET lease_owner = lease_owner WHERE tenant_id = $1 AND endpoint_id = $2 AND lease_owner = $3`

	sqlDueDeliveries = `SELECT d.id, d.message_id, m.body, d.kind, d.attempts FROM webhook_deliveries d
JOIN webhook_messages m ON m.tenant_id = d.tenant_id AND m.id = d.message_id
WHERE d.tenant_id = $1 AND d.endpoint_id = $2 AND d.next_at <= $3 AND (d.kind = 'test' OR $4)
ORDER BY d.next_at LIMIT $5`

	sqlNextDue = `SELECT d.next_at FROM webhook_deliveries d
JOIN webhook_endpoints e ON e.tenant_id = d.tenant_id AND e.id = d.endpoint_id AND (e.active OR d.kind = 'test')
WHERE d.tenant_id = $1 AND d.endpoint_id = $2 AND d.next_at IS NOT NULL ORDER BY d.next_at LIMIT 1`

	sqlRelease = `UPDATE webhook_queues SET leased_until = 0, lease_owner = '', due_at = $3, slow = $4, paused_until = $5, failures = $6,
 failing_since = $7, last_success_at = $8, last_failure_at = $9 WHERE tenant_id = $1 AND endpoint_id = $2`

	// sqlReviveQueue leaves slow as it is: a quick answer ends it, not a request.
	sqlReviveQueue = `UPDATE webhook_queues SET failures = 0, failing_since = NULL, paused_until = 0, due_at = (
  SELECT MIN(d.next_at) FROM webhook_deliveries d WHERE d.tenant_id = $1 AND d.endpoint_id = $2)
WHERE tenant_id = $1 AND endpoint_id = $2`

	sqlInsertAttempt = `INSERT INTO webhook_attempts (tenant_id, delivery_id, n, at, duration, status, error, response)
SELECT $1, $2, CAST($3 AS BIGINT), CAST($4 AS BIGINT), CAST($5 AS BIGINT), CAST($6 AS BIGINT), $7, $8 WHERE EXISTS (
  SELECT 1 FROM webhook_deliveries d WHERE d.tenant_id = $1 AND d.id = $2 AND d.attempts = $3 - 1 AND d.next_at IS NOT NULL)
ON CONFLICT DO NOTHING`

	sqlAttempted = `UPDATE webhook_deliveries SET attempts = $3, status = $4, next_at = $5, last_status = $6, last_error = $7, finished_at = $8
WHERE tenant_id = $1 AND id = $2 AND attempts = $3 - 1 AND next_at IS NOT NULL`

	// sqlForgottenInterest crosses tenants: it finds those that are gone.
	sqlForgottenInterest = `SELECT DISTINCT i.tenant_id FROM audit_interest i WHERE NOT EXISTS (SELECT 1 FROM tenants t WHERE t.id = i.tenant_id AND t.deleted_at IS NULL)`
)
