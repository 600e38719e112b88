// Package audit is the event: the only source of the audit log, of webhooks and
// of every other account of what happened.
//
// It owns audit_events, audit_seals, audit_checkpoints, audit_event_keys,
// audit_interest and outbox. Record writes
// an event in the transaction of the change that it tells of, and beside it an
// outbox row where audit_interest says that somebody subscribes. Outbox rows are
// claimed and deleted by webhooks, never read by a cursor, because rows commit
// out of order.
//
// # Tamper evidence
//
// Events are inserted unsealed and never changed. The sealer gives committed
// events a place in the chain of their tenant, in batches and after the fact, so
// that the chain never makes writers wait for each other:
//
//	hash(n) = hex SHA-256( hash(n-1) ‖ canonical JSON of event n ), hash(0) = ""
//
// Events above tenants form a chain of their own, that of the tenant "". Verify
// recomputes a chain and says which rows were changed, which are missing and how
// many wait to be sealed. Whoever can write to both tables can rewrite a chain
// from some point on: keep a copy of the newest hash elsewhere to notice it.
//
// # Retention
//
// Purge deletes the old beginning of each chain and leaves a checkpoint: the
// place and the hash from which the rest verifies. The checkpoint carries a
// digest of itself, and the chain tells of it in an event of its own,
// audit.purged, written in the same transaction, so that neither is made or
// changed alone without Verify seeing it. The limit is that of the chain: no part
// of it has a key, so who may write to these tables, and forges checkpoint and
// event together, deletes a beginning that nothing but a copy of the log, or of a
// hash, kept elsewhere would show.
//
// # Reading
//
// List reads at most 10,000 events along one index for a page, whatever the
// filter asks for, in at most two statements; see search.go. An export is the
// same search in pieces, of which one is in memory at a time.
package audit
