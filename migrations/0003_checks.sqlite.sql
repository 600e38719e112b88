-- +goose Up
-- Nothing to change here: see 0003_checks.postgres.sql.
SELECT 1;
