-- +goose Up
-- Links in the mail that tells somebody of a lock, which lift it.
CREATE TABLE unlock_links (
  environment_id TEXT NOT NULL,
  hash           TEXT NOT NULL,            -- of the mailed token
  user_id        TEXT NOT NULL,
  created_at     BIGINT NOT NULL,
  expires_at     BIGINT NOT NULL,
  used_at        BIGINT,
  PRIMARY KEY (environment_id, hash),
  FOREIGN KEY (environment_id, user_id) REFERENCES users (environment_id, id) ON DELETE CASCADE
);
CREATE INDEX unlock_links_expiry ON unlock_links (expires_at);
CREATE INDEX unlock_links_user ON unlock_links (environment_id, user_id, created_at);

-- As in the tz database; empty: not chosen.
ALTER TABLE users ADD COLUMN time_zone TEXT NOT NULL DEFAULT '';
