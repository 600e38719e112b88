-- +goose Up
-- Environments that are made by hand, access to sub-accounts per person, and
-- applications that are assigned to tenants and people.

ALTER TABLE environments ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
-- The name part of base_url, which no two environments share; empty for the default one.
ALTER TABLE environments ADD COLUMN host TEXT NOT NULL DEFAULT '';
CREATE UNIQUE INDEX environments_host_key ON environments (host) WHERE host <> '';
-- Its audit log keeps the row of a deleted environment; nothing else finds it.
ALTER TABLE environments ADD COLUMN deleted_at BIGINT;

-- What lists of tenants are searched and filtered by.
ALTER TABLE tenants ADD COLUMN name_key TEXT NOT NULL DEFAULT ''; -- folded
UPDATE tenants SET name_key = lower(name);
CREATE INDEX tenants_name ON tenants (environment_id, name_key);
CREATE INDEX tenants_status ON tenants (environment_id, status, created_at, id);
DROP INDEX tenants_parent;
CREATE INDEX tenants_parent ON tenants (environment_id, parent_id, created_at, id);

-- What the person may do with the tenant's sub-accounts: 'on', 'off', or '' as the tenant's mode says.
ALTER TABLE memberships ADD COLUMN subaccount_access TEXT NOT NULL DEFAULT '';

-- Applications that only some tenants, or only some people of a tenant, may use.
ALTER TABLE applications ADD COLUMN tenant_access TEXT NOT NULL DEFAULT 'all' CHECK (tenant_access IN ('all', 'assigned'));
ALTER TABLE applications ADD COLUMN user_access TEXT NOT NULL DEFAULT 'all' CHECK (user_access IN ('all', 'assigned'));

CREATE TABLE application_tenants (
  tenant_id      TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  application_id TEXT NOT NULL,
  environment_id TEXT NOT NULL,
  created_at     BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, application_id),
  FOREIGN KEY (environment_id, application_id) REFERENCES applications (environment_id, id) ON DELETE CASCADE
);
CREATE INDEX application_tenants_application ON application_tenants (environment_id, application_id);

CREATE TABLE application_users (
  tenant_id      TEXT NOT NULL,
  membership_id  TEXT NOT NULL,
  application_id TEXT NOT NULL,
  environment_id TEXT NOT NULL,
  created_at     BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, membership_id, application_id),
  FOREIGN KEY (tenant_id, membership_id) REFERENCES memberships (tenant_id, id) ON DELETE CASCADE,
  FOREIGN KEY (environment_id, application_id) REFERENCES applications (environment_id, id) ON DELETE CASCADE
);
CREATE INDEX application_users_application ON application_users (environment_id, application_id);
