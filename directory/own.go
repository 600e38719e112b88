package directory

import (
	"context"
	"time"

	"golang.org/x/text/language"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// OwnPatch is what a person changes of his own profile; nil leaves alone. No tenant
// sees it before he signs in there (identity rule 1).
type OwnPatch struct {
	Name     *string // at most 200 bytes
	Locale   *string // a language tag (BCP 47); empty: not chosen
	TimeZone *string // of the tz database; empty: not chosen
}

const (
	maxOwnName  = 200
	maxTimeZone = 64
	maxLocale   = 35
)

// UpdateOwn changes the person's own profile.
//
// Faults: too_long, invalid_characters, invalid_locale, invalid_time_zone,
// user_not_found.
func (s *Service) UpdateOwn(ctx context.Context, a actor.Actor, q db.Queryer, environment, userID string, p OwnPatch) (User, error) {
	u, err := s.lockedUser(ctx, q, environment, userID)
	if err != nil {
		return u, err
	}
	changes := map[string]audit.Change{}
	set := func(field string, to, from *string) {
		if to != nil && *to != *from {
			changes[field] = audit.Change{From: *from, To: *to}
			*from = *to
		}
	}
	if p.Name != nil {
		if err := checkText("name", *p.Name, maxOwnName); err != nil {
			return u, err
		}
	}
	if p.Locale != nil && *p.Locale != "" {
		tag, err := language.Parse(*p.Locale)
		if err != nil || len(*p.Locale) > maxLocale {
			return u, fault.New(fault.Invalid, "invalid_locale", "Give a language, such as en or de-AT.").In("locale")
		}
		named := tag.String()
		p.Locale = &named
	}
	if p.TimeZone != nil && *p.TimeZone != "" {
		if _, err := time.LoadLocation(*p.TimeZone); err != nil || len(*p.TimeZone) > maxTimeZone || *p.TimeZone == "Local" {
			return u, fault.New(fault.Invalid, "invalid_time_zone", "Give a time zone, such as Europe/Vienna.").In("time_zone")
		}
	}
	set("name", p.Name, &u.Name)
	set("locale", p.Locale, &u.Locale)
	set("time_zone", p.TimeZone, &u.TimeZone)
	if len(changes) == 0 {
		return u, nil
	}
	now := s.clock.Now()
	u.Version, u.UpdatedAt = u.Version+1, now
	return u, s.write(ctx, q, audit.Event{
		Environment: environment, Tenant: a.Tenant, Action: "profile.updated", Actor: a, At: now, Changes: changes,
		Targets: []audit.Target{{Type: "user", ID: userID, Name: u.Email}},
	}, db.Stmt{SQL: sqlUpdateOwn, Args: []any{environment, userID, u.Name, u.Locale, u.TimeZone, db.At(now)}})
}

const sqlUpdateOwn = `UPDATE users SET name = $3, locale = $4, time_zone = $5, version = version + 1, updated_at = $6 WHERE environment_id = $1 AND id = $2`
