-- +goose Up
-- Categories are described, permissions are versioned as roles are, and who holds a role is read a page at a time.
ALTER TABLE permission_categories ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE permission_categories ADD COLUMN version BIGINT NOT NULL DEFAULT 1;
ALTER TABLE permissions ADD COLUMN version BIGINT NOT NULL DEFAULT 1;

-- The list of holders goes by tenant and holder.
CREATE INDEX membership_roles_holder ON membership_roles (environment_id, role_owner, role_id, tenant_id, membership_id);
DROP INDEX membership_roles_role;

-- Groups are listed and searched by their names without case.
CREATE INDEX groups_name_key ON groups (tenant_id, name_key, id);
