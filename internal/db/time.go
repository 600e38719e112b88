package db

import (
	"database/sql/driver"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// Time is a time in the database: BIGINT microseconds since 1970 UTC, NULL for the zero time. Finer
// parts are cut off. It covers every year that time.UnixMicro does.
type Time struct{ time.Time }

// At makes a database time of t, cut to microseconds and in UTC, so that it equals what is read back.
func At(t time.Time) Time {
	if t.IsZero() {
		return Time{}
	}
	return Time{time.UnixMicro(t.UnixMicro()).UTC()}
}

// Value implements driver.Valuer.
func (t Time) Value() (driver.Value, error) {
	if t.IsZero() {
		return nil, nil
	}
	return t.UnixMicro(), nil
}

// Scan implements sql.Scanner.
func (t *Time) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*t = Time{}
	case int64:
		*t = Time{time.UnixMicro(v).UTC()}
	default:
		return fmt.Errorf("db: cannot read a time from %T", src)
	}
	return nil
}

// ScanInt64 lets pgx read a BIGINT without the detour through database/sql.
func (t *Time) ScanInt64(v pgtype.Int8) error {
	*t = Time{}
	if v.Valid {
		*t = Time{time.UnixMicro(v.Int64).UTC()}
	}
	return nil
}

// Int64Value lets pgx write a BIGINT without the detour through database/sql.
func (t Time) Int64Value() (pgtype.Int8, error) {
	if t.IsZero() {
		return pgtype.Int8{}, nil
	}
	return pgtype.Int8{Int64: t.UnixMicro(), Valid: true}, nil
}
