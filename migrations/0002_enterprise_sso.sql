-- +goose Up
-- Enterprise SSO: keys of our own, metadata by address, logins that explain
-- themselves, tests, and logout that begins at the identity provider.

-- source: by whom the key is known. What metadata brought, metadata may take away.
ALTER TABLE sso_idp_keys ADD COLUMN source TEXT NOT NULL DEFAULT 'manual' CHECK (source IN ('manual', 'metadata'));
ALTER TABLE sso_idp_keys ADD COLUMN warned_days BIGINT; -- the last threshold before not_after that was told; NULL: none
CREATE INDEX sso_idp_keys_expiry ON sso_idp_keys (not_after);

-- Our keys at one connection: they sign requests and client assertions and decrypt assertions.
-- A retired key still decrypts until it is removed.
CREATE TABLE sso_sp_keys (
  tenant_id     TEXT NOT NULL,
  connection_id TEXT NOT NULL,
  id            TEXT NOT NULL,
  state         TEXT NOT NULL CHECK (state IN ('next', 'active', 'retired')),
  certificate   TEXT NOT NULL,             -- PEM, self-signed
  private_key   TEXT NOT NULL,             -- PKCS #8, encrypted, bound to this row
  not_after     BIGINT NOT NULL,
  warned_days   BIGINT,
  created_at    BIGINT NOT NULL,
  activated_at  BIGINT,
  retired_at    BIGINT,
  PRIMARY KEY (tenant_id, connection_id, id),
  FOREIGN KEY (tenant_id, connection_id) REFERENCES sso_connections (tenant_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX sso_sp_keys_active ON sso_sp_keys (tenant_id, connection_id) WHERE state = 'active';
CREATE UNIQUE INDEX sso_sp_keys_next ON sso_sp_keys (tenant_id, connection_id) WHERE state = 'next';
CREATE INDEX sso_sp_keys_expiry ON sso_sp_keys (not_after);

-- What is known of an identity provider's metadata at its address.
CREATE TABLE sso_metadata (
  tenant_id     TEXT NOT NULL,
  connection_id TEXT NOT NULL,
  url           TEXT NOT NULL,
  trusted_host  TEXT NOT NULL,             -- host that keys may be taken from without anybody's approval
  etag          TEXT NOT NULL DEFAULT '',
  fetched_at    BIGINT,                    -- when it last answered well
  tried_at      BIGINT,
  unknown_key_at BIGINT,                   -- when an unknown key last made it be asked
  next_at       BIGINT NOT NULL,
  failures      BIGINT NOT NULL DEFAULT 0,
  error         TEXT NOT NULL DEFAULT '',  -- code of the last failure; empty: it went well
  PRIMARY KEY (tenant_id, connection_id),
  FOREIGN KEY (tenant_id, connection_id) REFERENCES sso_connections (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX sso_metadata_due ON sso_metadata (next_at);

-- Logins explain themselves: what was asked, what came, and what was made of it, values redacted but in tests.
ALTER TABLE logins ADD COLUMN purpose TEXT NOT NULL DEFAULT 'login' CHECK (purpose IN ('login', 'test'));
ALTER TABLE logins ADD COLUMN detail TEXT NOT NULL DEFAULT '{}';
CREATE INDEX logins_flow ON logins (tenant_id, flow_id);

-- A flow that a link begins belongs to no browser until one opens the link.
ALTER TABLE flows ADD COLUMN link_hash TEXT NOT NULL DEFAULT '';

-- Whom the identity provider knows the session of.
ALTER TABLE session_tenants ADD COLUMN upstream_subject TEXT NOT NULL DEFAULT '';

-- Tokens of an OpenID provider or identity provider that were used: logout tokens, revocation requests.
CREATE TABLE oidc_replays (
  tenant_id     TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  connection_id TEXT NOT NULL,
  hash          TEXT NOT NULL,             -- SHA-256 of the token's issuer and jti
  expires_at    BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, connection_id, hash)
);
CREATE INDEX oidc_replays_expiry ON oidc_replays (expires_at);

-- One-time ways in past SSO enforcement.
CREATE TABLE break_glass_links (
  environment_id TEXT NOT NULL REFERENCES environments (id),
  hash           TEXT NOT NULL,
  tenant_id      TEXT NOT NULL,
  user_id        TEXT NOT NULL,
  created_at     BIGINT NOT NULL,
  expires_at     BIGINT NOT NULL,
  used_at        BIGINT,
  PRIMARY KEY (environment_id, hash)
);
CREATE INDEX break_glass_links_expiry ON break_glass_links (expires_at);
