-- +goose Up
-- Social login: OpenID providers of an environment, through which people of any
-- tenant that allows it may sign in. A tenant's own connections stand in sso_connections.
CREATE TABLE social_connections (
  environment_id TEXT NOT NULL REFERENCES environments (id),
  id             TEXT NOT NULL,
  kind           TEXT NOT NULL CHECK (kind IN ('google', 'microsoft', 'oidc')),
  name           TEXT NOT NULL,
  status         TEXT NOT NULL CHECK (status IN ('draft', 'active', 'disabled')),
  issuer         TEXT NOT NULL,            -- of Microsoft also common, organizations and consumers; never changes
  settings       TEXT NOT NULL,            -- client id, scopes, authentication method
  secret         TEXT NOT NULL DEFAULT '', -- client secret, encrypted, bound to this row
  version        BIGINT NOT NULL DEFAULT 1,
  created_at     BIGINT NOT NULL,
  updated_at     BIGINT NOT NULL,
  PRIMARY KEY (environment_id, id)
);

-- Who comes through them. An identity is a person's, not a tenant's, and of one person.
CREATE TABLE social_identities (
  environment_id TEXT NOT NULL,
  id             TEXT NOT NULL,
  connection_id  TEXT NOT NULL,
  subject_key    TEXT NOT NULL,            -- hex SHA-256 over issuer and subject; the e-mail address has no part in it
  user_id        TEXT NOT NULL,
  subject        TEXT NOT NULL,
  email          TEXT NOT NULL DEFAULT '', -- as the provider said it at the last sign-in, to show
  created_at     BIGINT NOT NULL,
  last_login_at  BIGINT,
  PRIMARY KEY (environment_id, id),
  UNIQUE (environment_id, connection_id, subject_key),
  FOREIGN KEY (environment_id, connection_id) REFERENCES social_connections (environment_id, id) ON DELETE CASCADE,
  FOREIGN KEY (environment_id, user_id) REFERENCES users (environment_id, id) ON DELETE CASCADE
);
CREATE INDEX social_identities_user ON social_identities (environment_id, user_id, created_at);

-- Questions to them, as sso_requests are those to a tenant's connections.
CREATE TABLE social_requests (
  environment_id TEXT NOT NULL,
  connection_id  TEXT NOT NULL,
  key            TEXT NOT NULL,            -- the hash of state
  flow_id        TEXT NOT NULL,
  secret         TEXT NOT NULL DEFAULT '', -- nonce and PKCE verifier, encrypted, bound to this row
  created_at     BIGINT NOT NULL,
  expires_at     BIGINT NOT NULL,
  used_at        BIGINT,
  PRIMARY KEY (environment_id, connection_id, key),
  FOREIGN KEY (environment_id, connection_id) REFERENCES social_connections (environment_id, id) ON DELETE CASCADE
);
CREATE INDEX social_requests_expiry ON social_requests (expires_at);

-- An identity that nobody has yet, and whether the person agreed to have it connected
-- to the account that he signs in to in this flow; encrypted, bound to this row.
ALTER TABLE flows ADD COLUMN social TEXT NOT NULL DEFAULT '';

-- Which connection of the environment a part of a session came through; empty: none.
ALTER TABLE session_tenants ADD COLUMN social_connection_id TEXT NOT NULL DEFAULT '';
CREATE INDEX session_tenants_social ON session_tenants (environment_id, social_connection_id) WHERE social_connection_id <> '';
