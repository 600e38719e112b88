-- +goose Up
-- A factor that was set up behind the identity provider of an organization serves
-- behind it only: that provider speaks for the person in his own tenant and in no other.
ALTER TABLE factors ADD COLUMN confined_to TEXT NOT NULL DEFAULT '';        -- tenant; empty: the person's own
ALTER TABLE recovery_codes ADD COLUMN confined_to TEXT NOT NULL DEFAULT ''; -- likewise

-- A switch to another tenant by a refresh token begins a family of its own, which ends
-- with the one that it came from when a copy of a token shows.
ALTER TABLE refresh_families ADD COLUMN root_id TEXT NOT NULL DEFAULT ''; -- empty: it came from none
CREATE INDEX refresh_families_root ON refresh_families (environment_id, root_id) WHERE root_id <> '';

-- What a sign-in has to prove beyond what policies want, as the application asked.
ALTER TABLE flows ADD COLUMN demand TEXT NOT NULL DEFAULT '{}';
