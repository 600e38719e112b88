-- +goose Up
-- Answers to POSTs that carried an Idempotency-Key, for a day, so that a request
-- that is sent again takes effect once.
CREATE TABLE idempotency_keys (
  environment_id TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
  subject        TEXT NOT NULL,            -- whose key it is: the credential, and the tenant it acts for
  key            TEXT NOT NULL,
  claim          TEXT NOT NULL,            -- the request that holds the key or has answered
  fingerprint    TEXT NOT NULL,            -- SHA-256 of method, address and body
  answer         TEXT NOT NULL DEFAULT '', -- encrypted, bound to the claim; empty while the request runs
  locked_until   BIGINT NOT NULL,          -- after it, a request that has not answered has died
  expires_at     BIGINT NOT NULL,
  PRIMARY KEY (environment_id, subject, key)
);
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);
