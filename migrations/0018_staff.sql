-- +goose Up
-- How the vendor's people sign in to the back office. They stand above
-- environments; what belongs to an address, such as a security key, names the
-- default environment, at whose address the back office answers.
CREATE TABLE staff_credentials (
  staff_id      TEXT NOT NULL REFERENCES staff (id) ON DELETE CASCADE,
  password_hash TEXT NOT NULL,
  break_glass   BOOLEAN NOT NULL DEFAULT FALSE CHECK (break_glass IN (TRUE, FALSE)), -- serves where the vendor's provider is required
  updated_at    BIGINT NOT NULL,
  PRIMARY KEY (staff_id)
);

-- Links that set credentials, of which each person has one of a kind at most.
CREATE TABLE staff_links (
  staff_id    TEXT NOT NULL REFERENCES staff (id) ON DELETE CASCADE,
  kind        TEXT NOT NULL CHECK (kind IN ('welcome', 'reset')),
  hash        TEXT NOT NULL UNIQUE,         -- of the token
  break_glass BOOLEAN NOT NULL DEFAULT FALSE CHECK (break_glass IN (TRUE, FALSE)),
  created_at  BIGINT NOT NULL,
  expires_at  BIGINT NOT NULL,
  PRIMARY KEY (staff_id, kind)
);
CREATE INDEX staff_links_expiry ON staff_links (expires_at);

-- Sign-ins under way.
CREATE TABLE staff_flows (
  hash       TEXT NOT NULL,                 -- of the browser's cookie
  staff_id   TEXT NOT NULL,                 -- empty: nobody proved himself yet
  proof      TEXT NOT NULL,                 -- JSON: what was proved and how
  question   TEXT NOT NULL DEFAULT '',      -- to the vendor's provider, encrypted, bound to this row
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  PRIMARY KEY (hash)
);
CREATE INDEX staff_flows_expiry ON staff_flows (expires_at);

CREATE TABLE staff_sessions (
  hash         TEXT NOT NULL,               -- of the browser's cookie
  id           TEXT NOT NULL UNIQUE,
  staff_id     TEXT NOT NULL REFERENCES staff (id) ON DELETE CASCADE,
  method       TEXT NOT NULL,
  amr          TEXT NOT NULL,               -- separated by spaces
  ip           TEXT NOT NULL,
  user_agent   TEXT NOT NULL,
  auth_at      BIGINT NOT NULL,
  created_at   BIGINT NOT NULL,
  last_used_at BIGINT NOT NULL,
  idle_at      BIGINT NOT NULL,             -- it ends unless it is used before
  expires_at   BIGINT NOT NULL,
  PRIMARY KEY (hash)
);
CREATE INDEX staff_sessions_staff ON staff_sessions (staff_id, created_at);
CREATE INDEX staff_sessions_idle ON staff_sessions (idle_at);

-- As factors and recovery_codes.
CREATE TABLE staff_factors (
  environment_id TEXT NOT NULL REFERENCES environments (id),
  staff_id       TEXT NOT NULL REFERENCES staff (id) ON DELETE CASCADE,
  id             TEXT NOT NULL,
  kind           TEXT NOT NULL CHECK (kind IN ('totp', 'webauthn')),
  name           TEXT NOT NULL,
  secret         TEXT NOT NULL,            -- encrypted, bound to this row
  credential     TEXT NOT NULL DEFAULT '', -- SHA-256 of the credential id
  last_step      BIGINT NOT NULL DEFAULT 0,
  created_at     BIGINT NOT NULL,
  last_used_at   BIGINT,
  PRIMARY KEY (environment_id, staff_id, id)
);
CREATE INDEX staff_factors_staff ON staff_factors (staff_id);
CREATE UNIQUE INDEX staff_factors_credential ON staff_factors (environment_id, credential) WHERE credential <> '';

CREATE TABLE staff_recovery_codes (
  environment_id TEXT NOT NULL REFERENCES environments (id),
  staff_id       TEXT NOT NULL REFERENCES staff (id) ON DELETE CASCADE,
  hash           TEXT NOT NULL,            -- a MAC under the master key
  created_at     BIGINT NOT NULL,
  used_at        BIGINT,
  PRIMARY KEY (environment_id, staff_id, hash)
);
CREATE INDEX staff_recovery_codes_staff ON staff_recovery_codes (staff_id);

-- The vendor's own OpenID provider, and whom of the staff it knows by which name.
CREATE TABLE staff_sso (
  id            TEXT NOT NULL CHECK (id = 'staff'), -- there is one
  issuer        TEXT NOT NULL,
  client_id     TEXT NOT NULL,
  client_secret TEXT NOT NULL,              -- encrypted, bound to this row
  email_domains TEXT NOT NULL,              -- JSON
  second_factor TEXT NOT NULL CHECK (second_factor IN ('here', 'evidence', 'provider')),
  enforced      BOOLEAN NOT NULL CHECK (enforced IN (TRUE, FALSE)),
  version       BIGINT NOT NULL,
  updated_at    BIGINT NOT NULL,
  PRIMARY KEY (id)
);

CREATE TABLE staff_identities (
  issuer       TEXT NOT NULL,
  subject      TEXT NOT NULL,
  staff_id     TEXT NOT NULL REFERENCES staff (id) ON DELETE CASCADE,
  created_at   BIGINT NOT NULL,
  last_used_at BIGINT NOT NULL,
  PRIMARY KEY (issuer, subject),
  UNIQUE (staff_id, issuer)                 -- somebody has one name there
);
