-- +goose Up
-- A deleted tenant is marked, and its rows go afterwards, in batches. Until they
-- are gone it counts as suspended wherever a status is asked for.
ALTER TABLE tenants ADD COLUMN deleted_at BIGINT CHECK (deleted_at IS NULL OR status = 'suspended');

CREATE INDEX tenants_deleted ON tenants (deleted_at, id) WHERE deleted_at IS NOT NULL;
