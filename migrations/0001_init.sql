-- +goose Up
-- Ground of the data model. Times are unix microseconds, booleans are checked,
-- JSON is opaque text. Keys of tenant tables lead with tenant_id, keys above
-- tenants with environment_id, so that a reference across tenants cannot be
-- stored and the schema can be spread by tenant.

CREATE TABLE environments (
  id          TEXT NOT NULL PRIMARY KEY,
  name        TEXT NOT NULL,
  base_url    TEXT NOT NULL,               -- the issuer; empty for the default environment: then the configured base URL
  is_default  BOOLEAN NOT NULL CHECK (is_default IN (TRUE, FALSE)),
  settings    TEXT NOT NULL DEFAULT '{}',
  created_at  BIGINT NOT NULL,
  updated_at  BIGINT NOT NULL
);
CREATE UNIQUE INDEX environments_default ON environments (is_default) WHERE is_default;

-- What arrives before the tenant is known and lives long. kind: host, connection, domain, token.
CREATE TABLE locators (
  kind           TEXT NOT NULL,
  key            TEXT NOT NULL,
  environment_id TEXT NOT NULL REFERENCES environments (id),
  tenant_id      TEXT NOT NULL DEFAULT '',
  id             TEXT NOT NULL,
  PRIMARY KEY (kind, key, tenant_id, id)
);

CREATE TABLE tenants (
  environment_id      TEXT NOT NULL REFERENCES environments (id),
  id                  TEXT NOT NULL,
  key                 TEXT NOT NULL,
  parent_id           TEXT,
  name                TEXT NOT NULL,
  status              TEXT NOT NULL CHECK (status IN ('active', 'suspended')),
  subaccounts_enabled BOOLEAN NOT NULL DEFAULT FALSE CHECK (subaccounts_enabled IN (TRUE, FALSE)),
  subaccount_access   TEXT NOT NULL DEFAULT 'default_off' CHECK (subaccount_access IN ('default_off', 'default_on', 'always_on')),
  details             TEXT NOT NULL DEFAULT '{}', -- address, website, timezone, currency, logo
  scim_schema_version BIGINT NOT NULL DEFAULT 0,  -- changes with scim_schemas; 0: never had any
  version             BIGINT NOT NULL DEFAULT 1,
  created_at          BIGINT NOT NULL,
  updated_at          BIGINT NOT NULL,
  PRIMARY KEY (environment_id, id),
  UNIQUE (id),
  UNIQUE (environment_id, key),
  FOREIGN KEY (environment_id, parent_id) REFERENCES tenants (environment_id, id)
);
CREATE INDEX tenants_parent ON tenants (environment_id, parent_id);
CREATE INDEX tenants_created ON tenants (environment_id, created_at, id);

-- Every ancestor of every tenant, itself included at depth 0.
CREATE TABLE tenant_closure (
  environment_id TEXT NOT NULL,
  ancestor_id    TEXT NOT NULL,
  descendant_id  TEXT NOT NULL,
  depth          BIGINT NOT NULL,
  PRIMARY KEY (environment_id, ancestor_id, descendant_id),
  FOREIGN KEY (environment_id, ancestor_id) REFERENCES tenants (environment_id, id) ON DELETE CASCADE,
  FOREIGN KEY (environment_id, descendant_id) REFERENCES tenants (environment_id, id) ON DELETE CASCADE
);
CREATE INDEX tenant_closure_descendant ON tenant_closure (environment_id, descendant_id, depth);

CREATE TABLE domains (
  tenant_id      TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  id             TEXT NOT NULL,
  environment_id TEXT NOT NULL,
  domain         TEXT NOT NULL,            -- lower case, IDNA A-label
  txt_value      TEXT NOT NULL,
  verified_at    BIGINT,
  verified_by    TEXT NOT NULL DEFAULT '' CHECK (verified_by IN ('', 'dns', 'management_key')),
  checked_at     BIGINT,
  confirmed_at   BIGINT,                   -- when DNS last showed the record
  created_at     BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, domain)
);
CREATE INDEX domains_checked ON domains (checked_at, id) WHERE verified_by = 'dns';

CREATE TABLE applications (
  environment_id TEXT NOT NULL REFERENCES environments (id),
  id             TEXT NOT NULL,            -- the client_id
  name           TEXT NOT NULL,
  type           TEXT NOT NULL CHECK (type IN ('web', 'spa', 'native', 'service')),
  secret_hash    TEXT NOT NULL DEFAULT '',
  settings       TEXT NOT NULL,            -- redirect URIs, authentication method, algorithms
  is_default     BOOLEAN NOT NULL DEFAULT FALSE CHECK (is_default IN (TRUE, FALSE)),
  version        BIGINT NOT NULL DEFAULT 1,
  created_at     BIGINT NOT NULL,
  updated_at     BIGINT NOT NULL,
  PRIMARY KEY (environment_id, id)
);
CREATE UNIQUE INDEX applications_default ON applications (environment_id) WHERE is_default;

CREATE TABLE sso_connections (
  tenant_id      TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  id             TEXT NOT NULL,
  environment_id TEXT NOT NULL,
  type           TEXT NOT NULL CHECK (type IN ('saml', 'oidc')),
  name           TEXT NOT NULL,
  status         TEXT NOT NULL CHECK (status IN ('draft', 'tested', 'active', 'disabled')),
  settings       TEXT NOT NULL,            -- of the protocol, and attribute mapping
  secret         TEXT NOT NULL DEFAULT '', -- OIDC client secret, encrypted, bound to this row
  jit            BOOLEAN NOT NULL CHECK (jit IN (TRUE, FALSE)),
  allow_unverified_domains BOOLEAN NOT NULL CHECK (allow_unverified_domains IN (TRUE, FALSE)),
  trust_idp_mfa  BOOLEAN NOT NULL CHECK (trust_idp_mfa IN (TRUE, FALSE)),
  pairing        TEXT NOT NULL DEFAULT 'auto' CHECK (pairing IN ('auto', 'chosen')),
  last_test_ok_at BIGINT,
  last_login_at  BIGINT,
  version        BIGINT NOT NULL DEFAULT 1,
  created_at     BIGINT NOT NULL,
  updated_at     BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, id)
);

-- Trusted signing keys of a SAML identity provider. Trust is the key, not the dates of its certificate.
CREATE TABLE sso_idp_keys (
  tenant_id     TEXT NOT NULL,
  connection_id TEXT NOT NULL,
  spki          TEXT NOT NULL,             -- hex SHA-256 of the DER SubjectPublicKeyInfo
  certificate   TEXT NOT NULL,             -- PEM
  not_after     BIGINT NOT NULL,
  status        TEXT NOT NULL CHECK (status IN ('trusted', 'pending')),
  created_at    BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, connection_id, spki),
  FOREIGN KEY (tenant_id, connection_id) REFERENCES sso_connections (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE scim_connections (
  tenant_id      TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  id             TEXT NOT NULL,
  environment_id TEXT NOT NULL,
  name           TEXT NOT NULL,
  profile        TEXT NOT NULL,
  status         TEXT NOT NULL CHECK (status IN ('pending', 'linked', 'paused')),
  delete_mode    TEXT NOT NULL CHECK (delete_mode IN ('soft', 'hard')),
  matching_attribute TEXT NOT NULL DEFAULT '',
  last_request_at BIGINT,
  version        BIGINT NOT NULL DEFAULT 1,
  created_at     BIGINT NOT NULL,
  updated_at     BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, id)
);

CREATE TABLE scim_tokens (
  tenant_id     TEXT NOT NULL,
  id            TEXT NOT NULL,
  connection_id TEXT NOT NULL,
  name          TEXT NOT NULL,
  hash          TEXT NOT NULL,
  last4         TEXT NOT NULL,
  expires_at    BIGINT,
  last_used_at  BIGINT,
  created_at    BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, connection_id) REFERENCES scim_connections (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX scim_tokens_connection ON scim_tokens (tenant_id, connection_id);

-- OAuth 2 clients of a SCIM connection (RFC 6749 §4.4). Their access tokens are not stored: they name the client and end with it.
CREATE TABLE scim_clients (
  tenant_id     TEXT NOT NULL,
  id            TEXT NOT NULL,
  connection_id TEXT NOT NULL,
  name          TEXT NOT NULL,
  hash          TEXT NOT NULL,
  last4         TEXT NOT NULL,
  last_used_at  BIGINT,
  created_at    BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, connection_id) REFERENCES scim_connections (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX scim_clients_connection ON scim_clients (tenant_id, connection_id);

-- Extension schemas of a tenant, for all of its SCIM connections (RFC 7643 §3.3).
CREATE TABLE scim_schemas (
  tenant_id  TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  key        TEXT NOT NULL,                -- the URN, folded: schema URIs are compared without case
  definition TEXT NOT NULL,                -- as RFC 7643 §7 shapes it, with the resource type
  version    BIGINT NOT NULL DEFAULT 1,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, key)
);

-- Which SCIM connections an SSO connection meets (identity rule 3), where pairing is 'chosen'.
CREATE TABLE sso_scim_pairs (
  tenant_id          TEXT NOT NULL,
  sso_connection_id  TEXT NOT NULL,
  scim_connection_id TEXT NOT NULL,
  PRIMARY KEY (tenant_id, sso_connection_id, scim_connection_id),
  FOREIGN KEY (tenant_id, sso_connection_id) REFERENCES sso_connections (tenant_id, id) ON DELETE CASCADE,
  FOREIGN KEY (tenant_id, scim_connection_id) REFERENCES scim_connections (tenant_id, id) ON DELETE CASCADE
);

-- A person's own profile. What an identity provider says stands on the membership (identity rule 1).
CREATE TABLE users (
  environment_id TEXT NOT NULL REFERENCES environments (id),
  id             TEXT NOT NULL,
  email          TEXT NOT NULL,
  email_key      TEXT NOT NULL,
  email_verified BOOLEAN NOT NULL CHECK (email_verified IN (TRUE, FALSE)),
  local_login    BOOLEAN NOT NULL DEFAULT FALSE CHECK (local_login IN (TRUE, FALSE)),
  password_hash  TEXT NOT NULL DEFAULT '',
  name           TEXT NOT NULL DEFAULT '',
  locale         TEXT NOT NULL DEFAULT '',
  picture        TEXT NOT NULL DEFAULT '',
  locked_at      BIGINT,
  version        BIGINT NOT NULL DEFAULT 1,
  created_at     BIGINT NOT NULL,
  updated_at     BIGINT NOT NULL,
  PRIMARY KEY (environment_id, id)
);
CREATE INDEX users_email ON users (environment_id, email_key);
CREATE UNIQUE INDEX users_local_email ON users (environment_id, email_key) WHERE local_login;

CREATE TABLE memberships (
  tenant_id      TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  id             TEXT NOT NULL,
  environment_id TEXT NOT NULL,
  user_id        TEXT NOT NULL,
  status         TEXT NOT NULL CHECK (status IN ('invited', 'pending_approval', 'pending_login', 'active')),
  disabled_at    BIGINT,                   -- an admin disabled it
  hidden_at      BIGINT,                   -- its SCIM resources were deleted softly
  expires_at     BIGINT,                   -- a guest's access period
  managed_by     TEXT NOT NULL CHECK (managed_by IN ('local', 'sso', 'scim')),
  connection_id  TEXT NOT NULL DEFAULT '', -- that created it
  email          TEXT NOT NULL,
  email_key      TEXT NOT NULL,
  user_name_key  TEXT NOT NULL DEFAULT '',
  first_name     TEXT NOT NULL DEFAULT '',
  last_name      TEXT NOT NULL DEFAULT '',
  display_name   TEXT NOT NULL DEFAULT '',
  scim_resources BIGINT NOT NULL DEFAULT 0, -- live resources of this membership
  scim_active    BIGINT NOT NULL DEFAULT 0, -- of which active; usable needs none or one active (identity rule 10)
  version        BIGINT NOT NULL DEFAULT 1,
  created_at     BIGINT NOT NULL,
  updated_at     BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, user_id),
  FOREIGN KEY (environment_id, user_id) REFERENCES users (environment_id, id)
);
CREATE INDEX memberships_user ON memberships (environment_id, user_id);
CREATE INDEX memberships_email ON memberships (tenant_id, email_key);
CREATE INDEX memberships_user_name ON memberships (tenant_id, user_name_key) WHERE user_name_key <> '';
CREATE INDEX memberships_hidden ON memberships (hidden_at) WHERE hidden_at IS NOT NULL;
CREATE INDEX memberships_created ON memberships (tenant_id, created_at, id);

-- What one SCIM connection says about a person: the oldest live source's attributes stand on the membership
-- (identity rule 10), and first logins are searched by these keys (identity rule 3). A soft delete keeps the row.
CREATE TABLE membership_sources (
  tenant_id      TEXT NOT NULL,
  membership_id  TEXT NOT NULL,
  connection_id  TEXT NOT NULL,
  resource_id    TEXT NOT NULL,
  external_id    TEXT NOT NULL DEFAULT '',
  user_name_key  TEXT NOT NULL DEFAULT '',
  email          TEXT NOT NULL DEFAULT '',
  email_key      TEXT NOT NULL DEFAULT '',
  first_name     TEXT NOT NULL DEFAULT '',
  last_name      TEXT NOT NULL DEFAULT '',
  display_name   TEXT NOT NULL DEFAULT '',
  active         BOOLEAN NOT NULL CHECK (active IN (TRUE, FALSE)),
  created_at     BIGINT NOT NULL,
  deleted_at     BIGINT,
  PRIMARY KEY (tenant_id, membership_id, connection_id),
  FOREIGN KEY (tenant_id, membership_id) REFERENCES memberships (tenant_id, id) ON DELETE CASCADE,
  FOREIGN KEY (tenant_id, connection_id) REFERENCES scim_connections (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX membership_sources_external ON membership_sources (tenant_id, external_id) WHERE external_id <> '';
CREATE INDEX membership_sources_user_name ON membership_sources (tenant_id, user_name_key) WHERE user_name_key <> '';

-- A person known to an SSO connection: the link key of a login is (connection, subject) (identity rule 2).
CREATE TABLE identities (
  tenant_id     TEXT NOT NULL,
  id            TEXT NOT NULL,
  connection_id TEXT NOT NULL,
  subject_key   TEXT NOT NULL,             -- hex SHA-256 over the parts of the subject
  subject       TEXT NOT NULL,             -- as shown to an admin, and as SCIM's externalId may repeat it
  object_id     TEXT NOT NULL DEFAULT '',  -- Entra's oid, which SCIM's externalId may repeat
  membership_id TEXT NOT NULL,
  email         TEXT NOT NULL DEFAULT '',
  profile       TEXT NOT NULL DEFAULT '{}',
  created_at    BIGINT NOT NULL,
  last_login_at BIGINT,
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, connection_id, subject_key),
  UNIQUE (tenant_id, connection_id, membership_id),
  FOREIGN KEY (tenant_id, connection_id) REFERENCES sso_connections (tenant_id, id) ON DELETE CASCADE,
  FOREIGN KEY (tenant_id, membership_id) REFERENCES memberships (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX identities_membership ON identities (tenant_id, membership_id);
CREATE INDEX identities_subject ON identities (tenant_id, subject);
CREATE INDEX identities_object ON identities (tenant_id, object_id) WHERE object_id <> '';

CREATE TABLE identity_groups (
  tenant_id     TEXT NOT NULL,
  connection_id TEXT NOT NULL,
  identity_id   TEXT NOT NULL,
  name          TEXT NOT NULL,
  PRIMARY KEY (tenant_id, connection_id, identity_id, name),
  FOREIGN KEY (tenant_id, identity_id) REFERENCES identities (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX identity_groups_identity ON identity_groups (tenant_id, identity_id, name);

-- A hard-deleted person: refuses just-in-time creation until SCIM creates the person again (identity rule 3).
CREATE TABLE tombstones (
  tenant_id     TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  id            TEXT NOT NULL,
  connection_id TEXT NOT NULL,
  user_id       TEXT NOT NULL,
  external_id   TEXT NOT NULL DEFAULT '',
  user_name_key TEXT NOT NULL DEFAULT '',
  email_key     TEXT NOT NULL DEFAULT '',
  created_at    BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
CREATE INDEX tombstones_user ON tombstones (user_id, tenant_id);
CREATE INDEX tombstones_external ON tombstones (tenant_id, external_id) WHERE external_id <> '';
CREATE INDEX tombstones_user_name ON tombstones (tenant_id, user_name_key) WHERE user_name_key <> '';
CREATE INDEX tombstones_email ON tombstones (tenant_id, email_key) WHERE email_key <> '';

-- The logins of a hard-deleted person, which stay refused whatever address they come with.
CREATE TABLE tombstone_subjects (
  tenant_id     TEXT NOT NULL,
  tombstone_id  TEXT NOT NULL,
  connection_id TEXT NOT NULL,
  subject_key   TEXT NOT NULL,
  PRIMARY KEY (tenant_id, tombstone_id, connection_id, subject_key),
  FOREIGN KEY (tenant_id, tombstone_id) REFERENCES tombstones (tenant_id, id) ON DELETE CASCADE,
  FOREIGN KEY (tenant_id, connection_id) REFERENCES sso_connections (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX tombstone_subjects_subject ON tombstone_subjects (tenant_id, connection_id, subject_key);

CREATE TABLE groups (
  tenant_id     TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  id            TEXT NOT NULL,
  name          TEXT NOT NULL,
  name_key      TEXT NOT NULL,
  description   TEXT NOT NULL DEFAULT '',
  color         TEXT NOT NULL DEFAULT '',
  metadata      TEXT NOT NULL DEFAULT '{}',
  managed_by    TEXT NOT NULL CHECK (managed_by IN ('local', 'scim')),
  connection_id TEXT NOT NULL DEFAULT '',  -- the SCIM connection that pushed it
  version       BIGINT NOT NULL DEFAULT 1,
  created_at    BIGINT NOT NULL,
  updated_at    BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX groups_local_name ON groups (tenant_id, name_key) WHERE managed_by = 'local';
CREATE INDEX groups_name ON groups (tenant_id, name);

CREATE TABLE group_members (
  tenant_id     TEXT NOT NULL,
  group_id      TEXT NOT NULL,
  membership_id TEXT NOT NULL,
  added_at      BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, group_id, membership_id),
  FOREIGN KEY (tenant_id, group_id) REFERENCES groups (tenant_id, id) ON DELETE CASCADE,
  FOREIGN KEY (tenant_id, membership_id) REFERENCES memberships (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX group_members_membership ON group_members (tenant_id, membership_id, group_id);

-- Nested groups, as SCIM pushes them.
CREATE TABLE group_children (
  tenant_id TEXT NOT NULL,
  group_id  TEXT NOT NULL,
  child_id  TEXT NOT NULL,
  added_at  BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, group_id, child_id),
  FOREIGN KEY (tenant_id, group_id) REFERENCES groups (tenant_id, id) ON DELETE CASCADE,
  FOREIGN KEY (tenant_id, child_id) REFERENCES groups (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX group_children_child ON group_children (tenant_id, child_id, group_id);

CREATE TABLE permission_categories (
  environment_id TEXT NOT NULL REFERENCES environments (id),
  id             TEXT NOT NULL,
  name           TEXT NOT NULL,
  created_at     BIGINT NOT NULL,
  PRIMARY KEY (environment_id, id),
  UNIQUE (environment_id, name)
);

CREATE TABLE permissions (
  environment_id TEXT NOT NULL REFERENCES environments (id),
  id             TEXT NOT NULL,
  key            TEXT NOT NULL,
  name           TEXT NOT NULL,
  description    TEXT NOT NULL DEFAULT '',
  category_id    TEXT NOT NULL,
  builtin        BOOLEAN NOT NULL CHECK (builtin IN (TRUE, FALSE)),
  listed         BOOLEAN NOT NULL CHECK (listed IN (TRUE, FALSE)),
  classification TEXT NOT NULL CHECK (classification IN ('never', 'assignable', 'always')),
  created_at     BIGINT NOT NULL,
  updated_at     BIGINT NOT NULL,
  PRIMARY KEY (environment_id, id),
  UNIQUE (environment_id, key),
  FOREIGN KEY (environment_id, category_id) REFERENCES permission_categories (environment_id, id)
);

-- owner_tenant_id is empty for system roles. An assignment names the owner in its foreign key and checks
-- that it is its own tenant or nobody, so that another tenant's role cannot be assigned.
CREATE TABLE roles (
  environment_id  TEXT NOT NULL REFERENCES environments (id),
  owner_tenant_id TEXT NOT NULL DEFAULT '',
  id              TEXT NOT NULL,
  key             TEXT NOT NULL,
  name            TEXT NOT NULL,
  description     TEXT NOT NULL DEFAULT '',
  level           BIGINT NOT NULL CHECK (level BETWEEN 0 AND 32767),
  is_default      BOOLEAN NOT NULL CHECK (is_default IN (TRUE, FALSE)),
  is_first_user   BOOLEAN NOT NULL CHECK (is_first_user IN (TRUE, FALSE)),
  base_role_id    TEXT NOT NULL DEFAULT '',
  version         BIGINT NOT NULL DEFAULT 1,
  created_at      BIGINT NOT NULL,
  updated_at      BIGINT NOT NULL,
  PRIMARY KEY (environment_id, owner_tenant_id, id),
  UNIQUE (environment_id, owner_tenant_id, key)
);

CREATE TABLE role_permissions (
  environment_id  TEXT NOT NULL,
  owner_tenant_id TEXT NOT NULL DEFAULT '',
  role_id         TEXT NOT NULL,
  permission_id   TEXT NOT NULL,
  PRIMARY KEY (environment_id, owner_tenant_id, role_id, permission_id),
  FOREIGN KEY (environment_id, owner_tenant_id, role_id) REFERENCES roles (environment_id, owner_tenant_id, id) ON DELETE CASCADE,
  FOREIGN KEY (environment_id, permission_id) REFERENCES permissions (environment_id, id) ON DELETE CASCADE
);
CREATE INDEX role_permissions_permission ON role_permissions (environment_id, permission_id);

CREATE TABLE membership_roles (
  tenant_id      TEXT NOT NULL,
  membership_id  TEXT NOT NULL,
  environment_id TEXT NOT NULL,
  role_owner     TEXT NOT NULL,
  role_id        TEXT NOT NULL,
  created_at     BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, membership_id, role_id),
  CHECK (role_owner IN ('', tenant_id)),
  FOREIGN KEY (tenant_id, membership_id) REFERENCES memberships (tenant_id, id) ON DELETE CASCADE,
  FOREIGN KEY (environment_id, role_owner, role_id) REFERENCES roles (environment_id, owner_tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX membership_roles_role ON membership_roles (environment_id, role_owner, role_id);

CREATE TABLE group_roles (
  tenant_id      TEXT NOT NULL,
  group_id       TEXT NOT NULL,
  environment_id TEXT NOT NULL,
  role_owner     TEXT NOT NULL,
  role_id        TEXT NOT NULL,
  created_at     BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, group_id, role_id),
  CHECK (role_owner IN ('', tenant_id)),
  FOREIGN KEY (tenant_id, group_id) REFERENCES groups (tenant_id, id) ON DELETE CASCADE,
  FOREIGN KEY (environment_id, role_owner, role_id) REFERENCES roles (environment_id, owner_tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX group_roles_role ON group_roles (environment_id, role_owner, role_id);

CREATE TABLE sso_default_roles (
  tenant_id      TEXT NOT NULL,
  connection_id  TEXT NOT NULL,
  environment_id TEXT NOT NULL,
  role_owner     TEXT NOT NULL,
  role_id        TEXT NOT NULL,
  PRIMARY KEY (tenant_id, connection_id, role_id),
  CHECK (role_owner IN ('', tenant_id)),
  FOREIGN KEY (tenant_id, connection_id) REFERENCES sso_connections (tenant_id, id) ON DELETE CASCADE,
  FOREIGN KEY (environment_id, role_owner, role_id) REFERENCES roles (environment_id, owner_tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX sso_default_roles_role ON sso_default_roles (environment_id, role_owner, role_id);

-- Names of groups, pushed or asserted, that carry roles. connection_id empty: from any connection.
CREATE TABLE group_role_mappings (
  tenant_id      TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  group_name     TEXT NOT NULL,
  connection_id  TEXT NOT NULL DEFAULT '',
  environment_id TEXT NOT NULL,
  role_owner     TEXT NOT NULL,
  role_id        TEXT NOT NULL,
  position       BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, group_name, connection_id, role_id),
  CHECK (role_owner IN ('', tenant_id)),
  FOREIGN KEY (environment_id, role_owner, role_id) REFERENCES roles (environment_id, owner_tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX group_role_mappings_role ON group_role_mappings (environment_id, role_owner, role_id);

-- kind: mfa, ip, domains, sessions, lockout, password, sso. tenant_id empty: of the environment.
CREATE TABLE policies (
  environment_id TEXT NOT NULL REFERENCES environments (id),
  tenant_id      TEXT NOT NULL DEFAULT '',
  kind           TEXT NOT NULL,
  body           TEXT NOT NULL,
  version        BIGINT NOT NULL DEFAULT 1,
  updated_at     BIGINT NOT NULL,
  PRIMARY KEY (environment_id, tenant_id, kind)
);

CREATE TABLE sessions (
  environment_id TEXT NOT NULL REFERENCES environments (id),
  id             TEXT NOT NULL,
  hash           TEXT NOT NULL,            -- of the cookie
  user_id        TEXT NOT NULL,
  amr            TEXT NOT NULL DEFAULT '[]',
  acr            TEXT NOT NULL DEFAULT '',
  auth_time      BIGINT NOT NULL,
  ip             TEXT NOT NULL DEFAULT '',
  user_agent     TEXT NOT NULL DEFAULT '',
  created_at     BIGINT NOT NULL,
  last_seen_at   BIGINT NOT NULL,
  idle_seconds   BIGINT NOT NULL,
  expires_at     BIGINT NOT NULL,          -- absolute
  ended_at       BIGINT,
  end_reason     TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (environment_id, id),
  UNIQUE (environment_id, hash),
  FOREIGN KEY (environment_id, user_id) REFERENCES users (environment_id, id) ON DELETE CASCADE
);
CREATE INDEX sessions_user ON sessions (environment_id, user_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- The tenants that a session has satisfied, and how (identity rule 6).
CREATE TABLE session_tenants (
  tenant_id      TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  session_id     TEXT NOT NULL,
  environment_id TEXT NOT NULL,
  user_id        TEXT NOT NULL,
  membership_id  TEXT NOT NULL,
  connection_id  TEXT NOT NULL DEFAULT '', -- empty: not through SSO
  method         TEXT NOT NULL,            -- saml, oidc, password, …
  amr            TEXT NOT NULL DEFAULT '[]',
  acr            TEXT NOT NULL DEFAULT '',
  auth_time      BIGINT NOT NULL,
  upstream       TEXT NOT NULL DEFAULT '', -- SessionIndex or sid at the identity provider
  satisfied_at   BIGINT NOT NULL,
  not_after      BIGINT,                   -- SessionNotOnOrAfter or session_expiry of the identity provider
  ended_at       BIGINT,
  PRIMARY KEY (tenant_id, session_id),
  FOREIGN KEY (environment_id, session_id) REFERENCES sessions (environment_id, id) ON DELETE CASCADE
);
CREATE INDEX session_tenants_session ON session_tenants (environment_id, session_id);
CREATE INDEX session_tenants_user ON session_tenants (tenant_id, user_id, ended_at);
CREATE INDEX session_tenants_connection ON session_tenants (tenant_id, connection_id, ended_at);

-- The applications that were given tokens of a session. When the tenant's part of the session ends, ended_at is
-- set, and the row goes when the application's back-channel logout is under way. It outlives session and user.
CREATE TABLE session_clients (
  environment_id TEXT NOT NULL REFERENCES environments (id),
  session_id     TEXT NOT NULL,
  tenant_id      TEXT NOT NULL,
  client_id      TEXT NOT NULL,
  user_id        TEXT NOT NULL,
  created_at     BIGINT NOT NULL,
  ended_at       BIGINT,
  PRIMARY KEY (environment_id, session_id, tenant_id, client_id)
);
CREATE INDEX session_clients_ended ON session_clients (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE auth_codes (
  environment_id TEXT NOT NULL REFERENCES environments (id),
  hash           TEXT NOT NULL,
  client_id      TEXT NOT NULL,
  session_id     TEXT NOT NULL,
  tenant_id      TEXT NOT NULL,
  user_id        TEXT NOT NULL,
  request        TEXT NOT NULL,            -- redirect_uri, scope, nonce, code_challenge
  created_at     BIGINT NOT NULL,
  expires_at     BIGINT NOT NULL,
  used_at        BIGINT,
  family_id      TEXT NOT NULL,            -- of the refresh tokens made from this code: revoked when the code comes again
  PRIMARY KEY (environment_id, hash)
);
CREATE INDEX auth_codes_expiry ON auth_codes (expires_at);

-- One row per family of refresh tokens; a token is (family, seq) under a MAC, so rotation is one UPDATE.
CREATE TABLE refresh_families (
  environment_id TEXT NOT NULL REFERENCES environments (id),
  id             TEXT NOT NULL,
  tenant_id      TEXT NOT NULL,
  session_id     TEXT NOT NULL,
  user_id        TEXT NOT NULL,
  client_id      TEXT NOT NULL,
  scope          TEXT NOT NULL,
  nonce          TEXT NOT NULL DEFAULT '',
  seq            BIGINT NOT NULL,
  rotated_at     BIGINT NOT NULL,
  created_at     BIGINT NOT NULL,
  idle_expires_at BIGINT NOT NULL,
  expires_at     BIGINT NOT NULL,
  revoked_at     BIGINT,
  revoke_reason  TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (environment_id, id)
);
CREATE INDEX refresh_families_user ON refresh_families (environment_id, user_id, tenant_id);
CREATE INDEX refresh_families_session ON refresh_families (environment_id, session_id);
CREATE INDEX refresh_families_expiry ON refresh_families (expires_at);

-- A sign-in under way.
CREATE TABLE flows (
  environment_id TEXT NOT NULL REFERENCES environments (id),
  id             TEXT NOT NULL,
  browser_hash   TEXT NOT NULL,            -- of the browser-id cookie
  organization   TEXT NOT NULL DEFAULT '', -- the tenant that the application named: the sign-in may not leave it
  tenant_id      TEXT NOT NULL DEFAULT '', -- chosen
  connection_id  TEXT NOT NULL DEFAULT '',
  purpose        TEXT NOT NULL,            -- authorize, test
  request        TEXT NOT NULL,            -- what to resume
  login_hint     TEXT NOT NULL DEFAULT '',
  force_authn    BOOLEAN NOT NULL DEFAULT FALSE CHECK (force_authn IN (TRUE, FALSE)),
  session_id     TEXT NOT NULL DEFAULT '', -- that the sign-in ended in; empty with finished_at: it was refused
  created_at     BIGINT NOT NULL,
  expires_at     BIGINT NOT NULL,
  finished_at    BIGINT,
  PRIMARY KEY (environment_id, id)
);
CREATE INDEX flows_expiry ON flows (expires_at);

-- A request sent to an identity provider (SAML AuthnRequest ID or OIDC state), consumed once.
CREATE TABLE sso_requests (
  tenant_id      TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  connection_id  TEXT NOT NULL,
  key            TEXT NOT NULL,            -- the AuthnRequest's ID, or the hash of state
  environment_id TEXT NOT NULL,
  flow_id        TEXT NOT NULL,
  secret         TEXT NOT NULL DEFAULT '', -- OIDC: nonce and PKCE verifier, encrypted, bound to this row
  created_at     BIGINT NOT NULL,
  expires_at     BIGINT NOT NULL,
  used_at        BIGINT,
  PRIMARY KEY (tenant_id, connection_id, key)
);
CREATE INDEX sso_requests_expiry ON sso_requests (expires_at);

-- Assertions that were used.
CREATE TABLE saml_replays (
  tenant_id     TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  connection_id TEXT NOT NULL,
  hash          TEXT NOT NULL,             -- SHA-256 of assertion ID and issuer
  expires_at    BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, connection_id, hash)
);
CREATE INDEX saml_replays_expiry ON saml_replays (expires_at);

-- A verified result waiting for its browser at /signin/continue/{handle}.
CREATE TABLE sso_results (
  environment_id TEXT NOT NULL REFERENCES environments (id),
  hash           TEXT NOT NULL,            -- of the handle
  tenant_id      TEXT NOT NULL,
  flow_id        TEXT NOT NULL,
  identity       TEXT NOT NULL,            -- encrypted, bound to this row
  created_at     BIGINT NOT NULL,
  expires_at     BIGINT NOT NULL,
  used_at        BIGINT,
  PRIMARY KEY (environment_id, hash)
);
CREATE INDEX sso_results_expiry ON sso_results (expires_at);

-- What became of each login through a connection, with its checks.
CREATE TABLE logins (
  tenant_id     TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  id            TEXT NOT NULL,
  connection_id TEXT NOT NULL,
  flow_id       TEXT NOT NULL DEFAULT '',
  at            BIGINT NOT NULL,
  outcome       TEXT NOT NULL CHECK (outcome IN ('success', 'failure', 'denied')),
  code          TEXT NOT NULL DEFAULT '',
  subject       TEXT NOT NULL DEFAULT '',
  email         TEXT NOT NULL DEFAULT '',
  checks        TEXT NOT NULL DEFAULT '[]',
  ip            TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (tenant_id, id)
);
CREATE INDEX logins_connection ON logins (tenant_id, connection_id, at, id);
CREATE INDEX logins_at ON logins (at);

-- tenant_id is empty for events above tenants.
CREATE TABLE audit_events (
  tenant_id      TEXT NOT NULL DEFAULT '',
  id             TEXT NOT NULL,
  environment_id TEXT NOT NULL,
  occurred_at    BIGINT NOT NULL,
  recorded_at    BIGINT NOT NULL,
  action         TEXT NOT NULL,
  outcome        TEXT NOT NULL CHECK (outcome IN ('success', 'failure', 'denied')),
  severity       TEXT NOT NULL CHECK (severity IN ('info', 'medium', 'high', 'critical', 'error')),
  actor_type     TEXT NOT NULL,
  actor_id       TEXT NOT NULL DEFAULT '',
  actor          TEXT NOT NULL DEFAULT '{}',
  targets        TEXT NOT NULL DEFAULT '[]',
  context        TEXT NOT NULL DEFAULT '{}',
  changes        TEXT NOT NULL DEFAULT '{}',
  metadata       TEXT NOT NULL DEFAULT '{}',
  source         TEXT NOT NULL CHECK (source IN ('builtin', 'custom')),
  visible        BOOLEAN NOT NULL CHECK (visible IN (TRUE, FALSE)),
  PRIMARY KEY (tenant_id, id)
);
CREATE INDEX audit_events_action ON audit_events (tenant_id, action, id);
CREATE INDEX audit_events_actor ON audit_events (tenant_id, actor_id, id);
CREATE INDEX audit_events_time ON audit_events (tenant_id, occurred_at, id);
CREATE INDEX audit_events_recorded ON audit_events (recorded_at); -- by which the sealer finds the tenants that have new events

CREATE TABLE audit_seals (
  tenant_id TEXT NOT NULL DEFAULT '',
  seq       BIGINT NOT NULL,
  event_id  TEXT NOT NULL,
  hash      TEXT NOT NULL,
  sealed_at BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, seq),
  UNIQUE (tenant_id, event_id)
);

-- Who wants to hear of which actions; filled by webhooks. '*' stands for every action.
CREATE TABLE audit_interest (
  tenant_id     TEXT NOT NULL,
  action        TEXT NOT NULL,
  subscriber    TEXT NOT NULL,
  PRIMARY KEY (tenant_id, action, subscriber)
);

CREATE TABLE outbox (
  tenant_id    TEXT NOT NULL,
  event_id     TEXT NOT NULL,
  created_at   BIGINT NOT NULL,
  leased_until BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant_id, event_id),
  FOREIGN KEY (tenant_id, event_id) REFERENCES audit_events (tenant_id, id)
);
CREATE INDEX outbox_created ON outbox (created_at);

-- Work to do outside a request. tenant_id empty: of the environment or the instance.
CREATE TABLE jobs (
  id             TEXT NOT NULL PRIMARY KEY,
  kind           TEXT NOT NULL,
  key            TEXT NOT NULL DEFAULT '', -- not empty: one job per (environment, tenant, kind, key)
  environment_id TEXT NOT NULL DEFAULT '',
  tenant_id      TEXT NOT NULL DEFAULT '',
  payload        TEXT NOT NULL DEFAULT '',
  run_at         BIGINT NOT NULL,
  again_at       BIGINT NOT NULL DEFAULT 0, -- not 0: asked for again while it ran
  attempts       BIGINT NOT NULL DEFAULT 0,
  leased_until   BIGINT NOT NULL DEFAULT 0, -- 0: not leased
  lease_owner    TEXT NOT NULL DEFAULT '',
  last_error     TEXT NOT NULL DEFAULT '',
  created_at     BIGINT NOT NULL
);
CREATE UNIQUE INDEX jobs_key ON jobs (environment_id, tenant_id, kind, key) WHERE key <> '';
CREATE INDEX jobs_due ON jobs (run_at, id);

CREATE TABLE signing_keys (
  environment_id TEXT NOT NULL REFERENCES environments (id),
  id             TEXT NOT NULL,            -- the kid
  alg            TEXT NOT NULL CHECK (alg IN ('ES256', 'RS256', 'EdDSA')),
  state          TEXT NOT NULL CHECK (state IN ('next', 'active', 'retired')),
  public_jwk     TEXT NOT NULL,
  private_key    TEXT NOT NULL,            -- PKCS #8, encrypted, bound to this row
  created_at     BIGINT NOT NULL,
  activated_at   BIGINT,
  retired_at     BIGINT,
  PRIMARY KEY (environment_id, id)
);
CREATE UNIQUE INDEX signing_keys_active ON signing_keys (environment_id, alg) WHERE state = 'active';
CREATE UNIQUE INDEX signing_keys_next ON signing_keys (environment_id, alg) WHERE state = 'next';

-- A value under the master key: a wrong master key is noticed at start.
CREATE TABLE key_checks (
  id         TEXT NOT NULL PRIMARY KEY,
  value      TEXT NOT NULL,
  created_at BIGINT NOT NULL
);

CREATE TABLE management_keys (
  environment_id TEXT NOT NULL REFERENCES environments (id),
  id             TEXT NOT NULL,
  name           TEXT NOT NULL,
  role           TEXT NOT NULL,
  hash           TEXT NOT NULL,
  last4          TEXT NOT NULL,
  expires_at     BIGINT,
  last_used_at   BIGINT,
  created_at     BIGINT NOT NULL,
  PRIMARY KEY (environment_id, id)
);

-- A SCIM resource has an id of its own per connection (identity rule 10).
CREATE TABLE scim_resources (
  tenant_id        TEXT NOT NULL,
  connection_id    TEXT NOT NULL,
  id               TEXT NOT NULL,
  kind             TEXT NOT NULL CHECK (kind IN ('User', 'Group')),
  membership_id    TEXT,
  group_id         TEXT,
  user_name_key    TEXT,
  external_id      TEXT,
  display_name_key TEXT,
  active           BOOLEAN NOT NULL CHECK (active IN (TRUE, FALSE)),
  version          BIGINT NOT NULL,
  created          BIGINT NOT NULL,
  modified         BIGINT NOT NULL,
  doc              TEXT NOT NULL,
  PRIMARY KEY (tenant_id, id, connection_id),
  UNIQUE (tenant_id, connection_id, user_name_key),
  FOREIGN KEY (tenant_id, connection_id) REFERENCES scim_connections (tenant_id, id) ON DELETE CASCADE,
  FOREIGN KEY (tenant_id, membership_id) REFERENCES memberships (tenant_id, id) ON DELETE CASCADE,
  FOREIGN KEY (tenant_id, group_id) REFERENCES groups (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX scim_resources_order ON scim_resources (tenant_id, connection_id, kind, created, id);
CREATE INDEX scim_resources_external ON scim_resources (tenant_id, connection_id, external_id);
CREATE INDEX scim_resources_display ON scim_resources (tenant_id, connection_id, display_name_key);
CREATE INDEX scim_resources_modified ON scim_resources (tenant_id, connection_id, kind, modified, id);
CREATE INDEX scim_resources_membership ON scim_resources (tenant_id, membership_id, connection_id, id); -- with id: members of a group are read from the index alone
CREATE INDEX scim_resources_group ON scim_resources (tenant_id, group_id, connection_id, id);

CREATE TABLE scim_values (
  tenant_id     TEXT NOT NULL,
  connection_id TEXT NOT NULL,
  resource_id   TEXT NOT NULL,
  attr          TEXT NOT NULL,             -- emails.value, employeenumber, or the connection's matching attribute
  value_key     TEXT NOT NULL,
  PRIMARY KEY (tenant_id, connection_id, resource_id, attr, value_key),
  FOREIGN KEY (tenant_id, connection_id, resource_id) REFERENCES scim_resources (tenant_id, connection_id, id) ON DELETE CASCADE
);
CREATE INDEX scim_values_value ON scim_values (tenant_id, connection_id, attr, value_key, resource_id);

CREATE TABLE scim_requests (
  tenant_id     TEXT NOT NULL,
  connection_id TEXT NOT NULL,
  id            TEXT NOT NULL,
  at            BIGINT NOT NULL,
  method        TEXT NOT NULL,
  path          TEXT NOT NULL,
  status        BIGINT NOT NULL,
  resource_id   TEXT NOT NULL DEFAULT '',
  dialect_rules TEXT NOT NULL DEFAULT '[]',
  detail        TEXT NOT NULL DEFAULT '',
  changes       TEXT NOT NULL DEFAULT '[]',
  body          TEXT NOT NULL DEFAULT '',  -- redacted
  duration_us   BIGINT NOT NULL DEFAULT 0,
  request_id    TEXT NOT NULL DEFAULT '',
  suggested_profile TEXT NOT NULL DEFAULT '', -- where the client looks like another than the connection's profile
  replay_of     TEXT NOT NULL DEFAULT '',     -- the entry that this one repeats
  PRIMARY KEY (tenant_id, connection_id, id),
  FOREIGN KEY (tenant_id, connection_id) REFERENCES scim_connections (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX scim_requests_at ON scim_requests (at);
CREATE INDEX scim_requests_suggested ON scim_requests (tenant_id, connection_id, id) WHERE suggested_profile <> '';

-- Deltas of the number of rows, summed at read: totalResults without a hot row.
CREATE TABLE counts (
  tenant_id     TEXT NOT NULL,
  connection_id TEXT NOT NULL,
  kind          TEXT NOT NULL,
  slot          BIGINT NOT NULL CHECK (slot BETWEEN 0 AND 15),
  n             BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, connection_id, kind, slot)
);
