-- +goose Up
-- Authorization requests that applications pushed (RFC 9126), used once.
CREATE TABLE pushed_requests (
  environment_id TEXT NOT NULL REFERENCES environments (id),
  hash           TEXT NOT NULL,            -- of the reference in request_uri
  client_id      TEXT NOT NULL,
  request        TEXT NOT NULL,            -- its parameters
  created_at     BIGINT NOT NULL,
  expires_at     BIGINT NOT NULL,
  used_at        BIGINT,
  PRIMARY KEY (environment_id, hash)
);
CREATE INDEX pushed_requests_expiry ON pushed_requests (expires_at);

-- Identifiers of client assertions (RFC 7523) and of DPoP proofs (RFC 9449) that were used.
CREATE TABLE oauth_replays (
  environment_id TEXT NOT NULL REFERENCES environments (id),
  hash           TEXT NOT NULL,            -- SHA-256 over kind, holder and jti
  expires_at     BIGINT NOT NULL,
  PRIMARY KEY (environment_id, hash)
);
CREATE INDEX oauth_replays_expiry ON oauth_replays (expires_at);

-- The key that a public client's refresh tokens are bound to (RFC 9449 §5); empty: none.
ALTER TABLE refresh_families ADD COLUMN jkt TEXT NOT NULL DEFAULT '';
