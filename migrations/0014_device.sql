-- +goose Up
-- Requests of devices without a browser of their own (RFC 8628).
CREATE TABLE device_requests (
  environment_id   TEXT NOT NULL REFERENCES environments (id),
  hash             TEXT NOT NULL,             -- of the device code
  user_hash        TEXT NOT NULL,             -- of the user code
  client_id        TEXT NOT NULL,
  scope            TEXT NOT NULL,
  status           TEXT NOT NULL DEFAULT 'pending', -- pending, approved, denied
  session_id       TEXT NOT NULL DEFAULT '',  -- of who decided
  organization_id  TEXT NOT NULL DEFAULT '',  -- the tenant for which he did
  user_id          TEXT NOT NULL DEFAULT '',
  interval_seconds BIGINT NOT NULL,           -- between polls; grows when the device polls too often
  next_poll_at     BIGINT NOT NULL,
  slowed_at        BIGINT,                    -- the latest poll, where it came too early
  created_at       BIGINT NOT NULL,
  expires_at       BIGINT NOT NULL,
  decided_at       BIGINT,
  used_at          BIGINT,
  PRIMARY KEY (environment_id, hash),
  UNIQUE (environment_id, user_hash)
);
CREATE INDEX device_requests_expiry ON device_requests (expires_at);
