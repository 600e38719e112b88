-- +goose Up
-- Webhooks: what the vendor offers, who subscribes, what was sent.

-- Types of events that the vendor defined, and the built-in ones that he switched.
CREATE TABLE event_types (
  environment_id TEXT NOT NULL REFERENCES environments (id),
  key            TEXT NOT NULL,
  name           TEXT NOT NULL,
  description    TEXT NOT NULL DEFAULT '',
  category       TEXT NOT NULL DEFAULT '',
  builtin        BOOLEAN NOT NULL CHECK (builtin IN (TRUE, FALSE)), -- then only enabled counts
  enabled        BOOLEAN NOT NULL CHECK (enabled IN (TRUE, FALSE)),
  created_at     BIGINT NOT NULL,
  updated_at     BIGINT NOT NULL,
  PRIMARY KEY (environment_id, key)
);

CREATE TABLE webhook_endpoints (
  tenant_id       TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  id              TEXT NOT NULL,
  environment_id  TEXT NOT NULL,
  name            TEXT NOT NULL,
  url             TEXT NOT NULL,
  event_types     TEXT NOT NULL,                -- JSON array of keys
  signature       TEXT NOT NULL CHECK (signature IN ('v1', 'v1a')),
  active          BOOLEAN NOT NULL CHECK (active IN (TRUE, FALSE)),
  disabled_reason TEXT NOT NULL DEFAULT '',     -- manual, gone or failing; empty while active
  disabled_at     BIGINT,
  version         BIGINT NOT NULL DEFAULT 1,
  created_at      BIGINT NOT NULL,
  updated_at      BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, id)
);

-- Every secret that signs: the newest without an end, those before it until theirs.
CREATE TABLE webhook_secrets (
  tenant_id   TEXT NOT NULL,
  endpoint_id TEXT NOT NULL,
  id          TEXT NOT NULL,
  secret      TEXT NOT NULL,                    -- encrypted, bound to this row
  created_at  BIGINT NOT NULL,
  expires_at  BIGINT,
  PRIMARY KEY (tenant_id, endpoint_id, id),
  FOREIGN KEY (tenant_id, endpoint_id) REFERENCES webhook_endpoints (tenant_id, id) ON DELETE CASCADE
);

-- How an endpoint does, and who works for it. Whoever holds the lease sends its deliveries.
CREATE TABLE webhook_queues (
  tenant_id       TEXT NOT NULL,
  endpoint_id     TEXT NOT NULL,
  due_at          BIGINT,                       -- when a delivery waits; NULL: nothing to do
  slow            BOOLEAN NOT NULL DEFAULT FALSE CHECK (slow IN (TRUE, FALSE)),
  leased_until    BIGINT NOT NULL DEFAULT 0,
  lease_owner     TEXT NOT NULL DEFAULT '',
  paused_until    BIGINT NOT NULL DEFAULT 0,    -- it asked for a rest, or does not answer
  failures        BIGINT NOT NULL DEFAULT 0,    -- in a row
  failing_since   BIGINT,
  last_success_at BIGINT,
  last_failure_at BIGINT,
  PRIMARY KEY (tenant_id, endpoint_id),
  FOREIGN KEY (tenant_id, endpoint_id) REFERENCES webhook_endpoints (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX webhook_queues_due ON webhook_queues (slow, due_at);

CREATE TABLE webhook_messages (
  tenant_id  TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  id         TEXT NOT NULL,
  event_type TEXT NOT NULL,
  event_id   TEXT NOT NULL DEFAULT '',          -- of the audit log; it may be gone before the message
  body       TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
CREATE INDEX webhook_messages_created ON webhook_messages (created_at);

CREATE TABLE webhook_deliveries (
  tenant_id   TEXT NOT NULL,
  id          TEXT NOT NULL,
  endpoint_id TEXT NOT NULL,
  message_id  TEXT NOT NULL,
  event_type  TEXT NOT NULL,
  kind        TEXT NOT NULL CHECK (kind IN ('event', 'test', 'replay')),
  status      TEXT NOT NULL CHECK (status IN ('pending', 'delivered', 'failed')),
  attempts    BIGINT NOT NULL DEFAULT 0,
  next_at     BIGINT,                           -- of pending ones
  last_status BIGINT NOT NULL DEFAULT 0,        -- of HTTP; 0: no answer
  last_error  TEXT NOT NULL DEFAULT '',
  created_at  BIGINT NOT NULL,
  finished_at BIGINT,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, endpoint_id) REFERENCES webhook_endpoints (tenant_id, id) ON DELETE CASCADE,
  FOREIGN KEY (tenant_id, message_id) REFERENCES webhook_messages (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX webhook_deliveries_next ON webhook_deliveries (tenant_id, endpoint_id, next_at);
CREATE INDEX webhook_deliveries_list ON webhook_deliveries (tenant_id, endpoint_id, id);
CREATE INDEX webhook_deliveries_status ON webhook_deliveries (tenant_id, endpoint_id, status, id);
CREATE INDEX webhook_deliveries_message ON webhook_deliveries (tenant_id, message_id);

CREATE TABLE webhook_attempts (
  tenant_id   TEXT NOT NULL,
  delivery_id TEXT NOT NULL,
  n           BIGINT NOT NULL,
  at          BIGINT NOT NULL,
  duration    BIGINT NOT NULL,                  -- microseconds
  status      BIGINT NOT NULL,
  error       TEXT NOT NULL,
  response    TEXT NOT NULL,                    -- its beginning
  PRIMARY KEY (tenant_id, delivery_id, n),
  FOREIGN KEY (tenant_id, delivery_id) REFERENCES webhook_deliveries (tenant_id, id) ON DELETE CASCADE
);

-- The dispatcher takes a tenant's events in the order of their ids, by the primary
-- key; every event that somebody hears of would write this index for nobody.
DROP INDEX outbox_created;
