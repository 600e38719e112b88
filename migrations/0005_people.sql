-- +goose Up
-- People: invitations by mail and by link, guests.

-- What applications keep of a member; tokens carry it. A JSON object; empty: none.
ALTER TABLE memberships ADD COLUMN metadata TEXT NOT NULL DEFAULT '';

-- The lists of a tenant's people by what is rare.
CREATE INDEX memberships_waiting ON memberships (tenant_id, status, created_at, id) WHERE status <> 'active';
CREATE INDEX memberships_disabled ON memberships (tenant_id, created_at, id) WHERE disabled_at IS NOT NULL;
CREATE INDEX memberships_guests ON memberships (tenant_id, created_at, id) WHERE expires_at IS NOT NULL;
CREATE INDEX memberships_expiry ON memberships (expires_at) WHERE expires_at IS NOT NULL;

-- An invitation that waits. Its membership stands on a user of its own until it is accepted; then the row goes.
CREATE TABLE invitations (
  tenant_id      TEXT NOT NULL,
  id             TEXT NOT NULL,
  environment_id TEXT NOT NULL,
  membership_id  TEXT NOT NULL,
  email          TEXT NOT NULL,            -- to which it is bound
  email_key      TEXT NOT NULL,
  hash           TEXT NOT NULL,            -- of the token that was mailed last
  default_roles  BOOLEAN NOT NULL CHECK (default_roles IN (TRUE, FALSE)), -- those of the day of acceptance
  inviter_kind   TEXT NOT NULL,
  inviter_id     TEXT NOT NULL,
  inviter_tenant TEXT NOT NULL,            -- that his power comes from; empty: above tenants
  inviter_name   TEXT NOT NULL,
  sent_at        BIGINT NOT NULL,
  sends          BIGINT NOT NULL,
  lifetime       BIGINT NOT NULL,          -- in seconds, from when it was sent
  expires_at     BIGINT NOT NULL,
  created_at     BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, membership_id),
  FOREIGN KEY (tenant_id, membership_id) REFERENCES memberships (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX invitations_created ON invitations (tenant_id, created_at, id);

CREATE TABLE invitation_roles (
  tenant_id      TEXT NOT NULL,
  invitation_id  TEXT NOT NULL,
  environment_id TEXT NOT NULL,
  role_owner     TEXT NOT NULL,
  role_id        TEXT NOT NULL,
  PRIMARY KEY (tenant_id, invitation_id, role_id),
  CHECK (role_owner IN ('', tenant_id)),
  FOREIGN KEY (tenant_id, invitation_id) REFERENCES invitations (tenant_id, id) ON DELETE CASCADE,
  FOREIGN KEY (environment_id, role_owner, role_id) REFERENCES roles (environment_id, owner_tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX invitation_roles_role ON invitation_roles (environment_id, role_owner, role_id);

-- A link that adds whoever follows it. roles: 'creator' gives those that he had and still has, 'chosen' those
-- named, 'default' the tenant's defaults.
CREATE TABLE invite_links (
  tenant_id      TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  id             TEXT NOT NULL,
  environment_id TEXT NOT NULL,
  hash           TEXT NOT NULL,
  roles          TEXT NOT NULL CHECK (roles IN ('creator', 'chosen', 'default')),
  creator_kind   TEXT NOT NULL,
  creator_id     TEXT NOT NULL,
  creator_tenant TEXT NOT NULL,
  creator_name   TEXT NOT NULL,
  max_uses       BIGINT NOT NULL,          -- 0: any number
  uses           BIGINT NOT NULL,
  approval       BOOLEAN NOT NULL CHECK (approval IN (TRUE, FALSE)),
  lifetime       BIGINT NOT NULL,          -- in seconds
  expires_at     BIGINT NOT NULL,
  created_at     BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, id)
);
CREATE INDEX invite_links_created ON invite_links (tenant_id, created_at, id);

CREATE TABLE invite_link_roles (
  tenant_id      TEXT NOT NULL,
  link_id        TEXT NOT NULL,
  environment_id TEXT NOT NULL,
  role_owner     TEXT NOT NULL,
  role_id        TEXT NOT NULL,
  PRIMARY KEY (tenant_id, link_id, role_id),
  CHECK (role_owner IN ('', tenant_id)),
  FOREIGN KEY (tenant_id, link_id) REFERENCES invite_links (tenant_id, id) ON DELETE CASCADE,
  FOREIGN KEY (environment_id, role_owner, role_id) REFERENCES roles (environment_id, owner_tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX invite_link_roles_role ON invite_link_roles (environment_id, role_owner, role_id);
