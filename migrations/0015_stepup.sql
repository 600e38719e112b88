-- +goose Up
-- A factor that was set up behind the identity provider of an organization serves
-- behind it only: that provider speaks for the person in his own tenant and in no other.
ALTER TABLE factors ADD COLUMN confined_to TEXT NOT NULL DEFAULT '';        -- tenant; empty: the person's own
ALTER TABLE recovery_codes ADD COLUMN confined_to TEXT NOT NULL DEFAULT ''; -- likewise

-- What a sign-in has to prove beyond what policies want, as the application asked.
ALTER TABLE flows ADD COLUMN demand TEXT NOT NULL DEFAULT '{}';
