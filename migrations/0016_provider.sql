-- +goose Up
-- What access tokens of people say beside the claims of every token, and for whom.
CREATE TABLE jwt_templates (
  environment_id TEXT NOT NULL REFERENCES environments (id),
  id             TEXT NOT NULL,
  name           TEXT NOT NULL,
  priority       BIGINT NOT NULL,           -- the lowest is asked first
  settings       TEXT NOT NULL,             -- condition, claims, lifetime, algorithm
  version        BIGINT NOT NULL DEFAULT 1,
  created_at     BIGINT NOT NULL,
  updated_at     BIGINT NOT NULL,
  PRIMARY KEY (environment_id, id)
);
