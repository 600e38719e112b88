-- +goose Up
-- What people prove themselves with at the gateway itself. The hash of a password
-- stands on the user.
CREATE TABLE password_history (
  environment_id TEXT NOT NULL,
  user_id        TEXT NOT NULL,
  seq            BIGINT NOT NULL,
  hash           TEXT NOT NULL,
  created_at     BIGINT NOT NULL,
  PRIMARY KEY (environment_id, user_id, seq),
  FOREIGN KEY (environment_id, user_id) REFERENCES users (environment_id, id) ON DELETE CASCADE
);

CREATE TABLE password_resets (
  environment_id TEXT NOT NULL,
  hash           TEXT NOT NULL,            -- of the mailed token
  user_id        TEXT NOT NULL,
  created_at     BIGINT NOT NULL,
  expires_at     BIGINT NOT NULL,
  used_at        BIGINT,
  PRIMARY KEY (environment_id, hash),
  FOREIGN KEY (environment_id, user_id) REFERENCES users (environment_id, id) ON DELETE CASCADE
);
CREATE INDEX password_resets_user ON password_resets (environment_id, user_id, created_at);
CREATE INDEX password_resets_expiry ON password_resets (expires_at);

-- Tries that failed, by account (known or not) and by network address.
CREATE TABLE attempts (
  environment_id TEXT NOT NULL REFERENCES environments (id),
  key            TEXT NOT NULL,            -- kind:hash or kind:prefix
  failures       BIGINT NOT NULL,
  last_at        BIGINT NOT NULL,
  free_at        BIGINT NOT NULL,          -- no try before
  PRIMARY KEY (environment_id, key)
);
CREATE INDEX attempts_last ON attempts (last_at);

-- kind: totp, webauthn.
CREATE TABLE factors (
  environment_id TEXT NOT NULL,
  user_id        TEXT NOT NULL,
  id             TEXT NOT NULL,
  kind           TEXT NOT NULL CHECK (kind IN ('totp', 'webauthn')),
  name           TEXT NOT NULL,
  secret         TEXT NOT NULL,            -- the shared secret or the credential record, encrypted, bound to this row
  credential     TEXT NOT NULL DEFAULT '', -- SHA-256 of the credential id
  last_step      BIGINT NOT NULL DEFAULT 0, -- of a code that was used: it does not serve twice
  created_at     BIGINT NOT NULL,
  last_used_at   BIGINT,
  PRIMARY KEY (environment_id, user_id, id),
  FOREIGN KEY (environment_id, user_id) REFERENCES users (environment_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX factors_credential ON factors (environment_id, credential) WHERE credential <> '';

CREATE TABLE recovery_codes (
  environment_id TEXT NOT NULL,
  user_id        TEXT NOT NULL,
  hash           TEXT NOT NULL,            -- a MAC under the master key
  created_at     BIGINT NOT NULL,
  used_at        BIGINT,
  PRIMARY KEY (environment_id, user_id, hash),
  FOREIGN KEY (environment_id, user_id) REFERENCES users (environment_id, id) ON DELETE CASCADE
);

-- What a sign-in or a session was asked and has not answered yet.
CREATE TABLE challenges (
  environment_id TEXT NOT NULL REFERENCES environments (id),
  holder         TEXT NOT NULL,            -- the flow or the session
  kind           TEXT NOT NULL,            -- code, login, register, totp
  user_id        TEXT NOT NULL DEFAULT '',
  secret         TEXT NOT NULL,            -- encrypted, bound to this row
  created_at     BIGINT NOT NULL,
  expires_at     BIGINT NOT NULL,
  PRIMARY KEY (environment_id, holder, kind)
);
CREATE INDEX challenges_expiry ON challenges (expires_at);

-- Browsers that asked not to be asked for a second factor again.
CREATE TABLE remembered_devices (
  environment_id TEXT NOT NULL,
  hash           TEXT NOT NULL,            -- of the cookie
  user_id        TEXT NOT NULL,
  created_at     BIGINT NOT NULL,
  expires_at     BIGINT NOT NULL,
  PRIMARY KEY (environment_id, hash),
  FOREIGN KEY (environment_id, user_id) REFERENCES users (environment_id, id) ON DELETE CASCADE
);
CREATE INDEX remembered_devices_user ON remembered_devices (environment_id, user_id);
CREATE INDEX remembered_devices_expiry ON remembered_devices (expires_at);

-- A sign-in without an identity provider goes in steps: who proved himself, and how.
ALTER TABLE flows ADD COLUMN user_id TEXT NOT NULL DEFAULT '';
ALTER TABLE flows ADD COLUMN proof TEXT NOT NULL DEFAULT '{}';
