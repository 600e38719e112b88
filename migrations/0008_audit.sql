-- +goose Up
-- The log is read along the time of what happened, which a custom event brings
-- with it, so each index of a list carries it. That of the time covers what the
-- portal counts.
DROP INDEX audit_events_action;
CREATE INDEX audit_events_action ON audit_events (tenant_id, action, occurred_at, id);
DROP INDEX audit_events_actor;
CREATE INDEX audit_events_actor ON audit_events (tenant_id, actor_id, occurred_at, id);
DROP INDEX audit_events_time;
CREATE INDEX audit_events_time ON audit_events (tenant_id, occurred_at, id, severity, visible);
-- By the time of recording: the vendor's list over all tenants, the sealer and retention.
DROP INDEX audit_events_recorded;
CREATE INDEX audit_events_recorded ON audit_events (environment_id, recorded_at, id);

-- Where retention has cut a chain: the hash of the last place that is gone.
CREATE TABLE audit_checkpoints (
  tenant_id TEXT NOT NULL DEFAULT '' PRIMARY KEY,
  seq       BIGINT NOT NULL,
  hash      TEXT NOT NULL,
  events    BIGINT NOT NULL,            -- deleted since the beginning
  faults    BIGINT NOT NULL DEFAULT 0,  -- places that did not verify when they were deleted
  purged_at BIGINT NOT NULL,
  digest    TEXT NOT NULL               -- over the other columns
);

-- Idempotency keys of custom events, 24 hours.
CREATE TABLE audit_event_keys (
  tenant_id   TEXT NOT NULL,
  key         TEXT NOT NULL,            -- hash of the caller's key
  event_id    TEXT NOT NULL,
  fingerprint TEXT NOT NULL,            -- hash of what was sent
  created_at  BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, key)
);
CREATE INDEX audit_event_keys_created ON audit_event_keys (created_at);
