-- +goose Up
-- How sign-in pages look: of an environment (tenant_id is empty) and, over it, of a
-- tenant. tenant_ref is the tenant again, or NULL, so that it takes its row along.
CREATE TABLE brandings (
  environment_id TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
  tenant_id      TEXT NOT NULL DEFAULT '',
  tenant_ref     TEXT,
  name           TEXT NOT NULL DEFAULT '',
  accent         TEXT NOT NULL DEFAULT '',  -- #rrggbb; empty: that of the product
  locale         TEXT NOT NULL DEFAULT '',  -- BCP 47; empty: the browser decides
  logo_type      TEXT NOT NULL DEFAULT '',  -- image/png, …; empty: no logo
  logo_hash      TEXT NOT NULL DEFAULT '',  -- SHA-256 of the image, in hex
  logo_width     BIGINT NOT NULL DEFAULT 0, -- pixels
  logo_height    BIGINT NOT NULL DEFAULT 0,
  logo           TEXT NOT NULL DEFAULT '',  -- the image, base64
  version        BIGINT NOT NULL DEFAULT 1,
  updated_at     BIGINT NOT NULL,
  PRIMARY KEY (environment_id, tenant_id),
  FOREIGN KEY (environment_id, tenant_ref) REFERENCES tenants (environment_id, id) ON DELETE CASCADE
);

-- ui_locales of the application's request: the language of the pages of the sign-in.
ALTER TABLE flows ADD COLUMN ui_locales TEXT NOT NULL DEFAULT '';
