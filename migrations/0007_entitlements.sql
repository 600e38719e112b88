-- +goose Up
-- Features, plans, feature flags, and who has them.

CREATE TABLE features (
  environment_id TEXT NOT NULL REFERENCES environments (id),
  id             TEXT NOT NULL,
  key            TEXT NOT NULL,
  name           TEXT NOT NULL,
  description    TEXT NOT NULL DEFAULT '',
  metadata       TEXT NOT NULL DEFAULT '{}',
  version        BIGINT NOT NULL DEFAULT 1,
  created_at     BIGINT NOT NULL,
  updated_at     BIGINT NOT NULL,
  PRIMARY KEY (environment_id, id),
  UNIQUE (environment_id, key)
);

-- The permissions that are of use only with the feature.
CREATE TABLE feature_permissions (
  environment_id TEXT NOT NULL,
  feature_id     TEXT NOT NULL,
  permission_id  TEXT NOT NULL,
  PRIMARY KEY (environment_id, feature_id, permission_id),
  FOREIGN KEY (environment_id, feature_id) REFERENCES features (environment_id, id) ON DELETE CASCADE,
  FOREIGN KEY (environment_id, permission_id) REFERENCES permissions (environment_id, id) ON DELETE CASCADE
);
CREATE INDEX feature_permissions_permission ON feature_permissions (environment_id, permission_id);

-- A feature has one flag or none.
CREATE TABLE feature_flags (
  environment_id    TEXT NOT NULL,
  feature_id        TEXT NOT NULL,
  enabled           BOOLEAN NOT NULL CHECK (enabled IN (TRUE, FALSE)),
  off_treatment     BOOLEAN NOT NULL CHECK (off_treatment IN (TRUE, FALSE)),
  default_treatment BOOLEAN NOT NULL CHECK (default_treatment IN (TRUE, FALSE)),
  rules             TEXT NOT NULL,
  version           BIGINT NOT NULL DEFAULT 1,
  created_at        BIGINT NOT NULL,
  updated_at        BIGINT NOT NULL,
  PRIMARY KEY (environment_id, feature_id),
  FOREIGN KEY (environment_id, feature_id) REFERENCES features (environment_id, id) ON DELETE CASCADE
);

CREATE TABLE plans (
  environment_id    TEXT NOT NULL REFERENCES environments (id),
  id                TEXT NOT NULL,
  name              TEXT NOT NULL,
  description       TEXT NOT NULL DEFAULT '',
  default_treatment BOOLEAN NOT NULL CHECK (default_treatment IN (TRUE, FALSE)),
  rules             TEXT NOT NULL,
  assign_on_signup  BOOLEAN NOT NULL CHECK (assign_on_signup IN (TRUE, FALSE)),
  time_limit_days   BIGINT NOT NULL DEFAULT 0, -- of what is assigned on signup; 0: none
  version           BIGINT NOT NULL DEFAULT 1,
  created_at        BIGINT NOT NULL,
  updated_at        BIGINT NOT NULL,
  PRIMARY KEY (environment_id, id)
);

CREATE TABLE plan_features (
  environment_id TEXT NOT NULL,
  plan_id        TEXT NOT NULL,
  feature_id     TEXT NOT NULL,
  PRIMARY KEY (environment_id, plan_id, feature_id),
  FOREIGN KEY (environment_id, plan_id) REFERENCES plans (environment_id, id) ON DELETE CASCADE,
  FOREIGN KEY (environment_id, feature_id) REFERENCES features (environment_id, id) ON DELETE CASCADE
);
CREATE INDEX plan_features_feature ON plan_features (environment_id, feature_id);

-- A plan that a tenant has, for all its people or for one.
CREATE TABLE entitlements (
  tenant_id      TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
  id             TEXT NOT NULL,
  environment_id TEXT NOT NULL,
  plan_id        TEXT NOT NULL,
  membership_id  TEXT,                     -- NULL: everybody of the tenant
  expires_at     BIGINT,                   -- NULL: never
  version        BIGINT NOT NULL DEFAULT 1,
  created_at     BIGINT NOT NULL,
  updated_at     BIGINT NOT NULL,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, membership_id) REFERENCES memberships (tenant_id, id) ON DELETE CASCADE,
  FOREIGN KEY (environment_id, plan_id) REFERENCES plans (environment_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX entitlements_user ON entitlements (tenant_id, membership_id, plan_id) WHERE membership_id IS NOT NULL;
CREATE UNIQUE INDEX entitlements_tenant ON entitlements (tenant_id, plan_id) WHERE membership_id IS NULL;
CREATE INDEX entitlements_plan ON entitlements (environment_id, plan_id);
