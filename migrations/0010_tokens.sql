-- +goose Up
-- API tokens, and the vendor's people.

-- A token of a tenant, or of one of its members: then it dies with the membership. Its id is the client_id.
-- A locator of kind 'token' leads to it.
CREATE TABLE api_tokens (
  tenant_id      TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  id             TEXT NOT NULL,
  environment_id TEXT NOT NULL,
  membership_id  TEXT,
  kind           TEXT NOT NULL CHECK (kind IN ('client_credentials', 'access_token')),
  description    TEXT NOT NULL,
  metadata       TEXT NOT NULL DEFAULT '{}', -- goes into the tokens that it is exchanged for
  hash           TEXT NOT NULL,
  last4          TEXT NOT NULL,
  created_by     TEXT NOT NULL DEFAULT '',   -- id of the actor; the token outlives him
  created_by_name TEXT NOT NULL DEFAULT '',
  expires_at     BIGINT,
  last_used_at   BIGINT,
  last_used_ip   TEXT NOT NULL DEFAULT '',
  created_at     BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, membership_id) REFERENCES memberships (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX api_tokens_membership ON api_tokens (tenant_id, membership_id, id);

CREATE TABLE api_token_roles (
  tenant_id      TEXT NOT NULL,
  token_id       TEXT NOT NULL,
  environment_id TEXT NOT NULL,
  role_owner     TEXT NOT NULL,
  role_id        TEXT NOT NULL,
  PRIMARY KEY (tenant_id, token_id, role_id),
  CHECK (role_owner IN ('', tenant_id)),
  FOREIGN KEY (tenant_id, token_id) REFERENCES api_tokens (tenant_id, id) ON DELETE CASCADE,
  FOREIGN KEY (environment_id, role_owner, role_id) REFERENCES roles (environment_id, owner_tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX api_token_roles_role ON api_token_roles (environment_id, role_owner, role_id);

CREATE TABLE api_token_permissions (
  tenant_id      TEXT NOT NULL,
  token_id       TEXT NOT NULL,
  environment_id TEXT NOT NULL,
  permission_id  TEXT NOT NULL,
  PRIMARY KEY (tenant_id, token_id, permission_id),
  FOREIGN KEY (tenant_id, token_id) REFERENCES api_tokens (tenant_id, id) ON DELETE CASCADE,
  FOREIGN KEY (environment_id, permission_id) REFERENCES permissions (environment_id, id) ON DELETE CASCADE
);
CREATE INDEX api_token_permissions_permission ON api_token_permissions (environment_id, permission_id);

-- management_keys.role holds the names of one or more back-office roles, separated by spaces.
ALTER TABLE management_keys ADD COLUMN last_used_ip TEXT NOT NULL DEFAULT '';
ALTER TABLE management_keys ADD COLUMN created_by TEXT NOT NULL DEFAULT '';
ALTER TABLE management_keys ADD COLUMN created_by_name TEXT NOT NULL DEFAULT '';

-- The vendor's people, who stand above environments.
CREATE TABLE staff (
  id         TEXT NOT NULL PRIMARY KEY,
  email      TEXT NOT NULL,
  email_key  TEXT NOT NULL UNIQUE,
  name       TEXT NOT NULL DEFAULT '',
  status     TEXT NOT NULL CHECK (status IN ('active', 'disabled')),
  version    BIGINT NOT NULL DEFAULT 1,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL
);
CREATE INDEX staff_created ON staff (created_at, id);

-- environment_id empty: in every environment.
CREATE TABLE staff_roles (
  staff_id       TEXT NOT NULL REFERENCES staff (id) ON DELETE CASCADE,
  environment_id TEXT NOT NULL DEFAULT '',
  role           TEXT NOT NULL,
  created_at     BIGINT NOT NULL,
  PRIMARY KEY (staff_id, environment_id, role)
);
CREATE INDEX staff_roles_environment ON staff_roles (environment_id, role, staff_id);
