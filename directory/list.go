package directory

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Filter chooses from the list of a tenant's people. What is set must match.
type Filter struct {
	Email    string // exact, folded; empty: all
	Search   string // the beginning of the address or of the user name; empty: all
	Status   Status // empty: any
	Guests   *bool  // people with an access period, expired ones included; or those without
	Disabled *bool
	Cursor   string // of the page before; empty: the first
	Limit    int    // 1–200; 0: 50
}

// Parts of the list's statement. Each filter has an index that leads to the few
// whom it chooses.
const (
	sqlPeople = sqlPerson + ` AND m.hidden_at IS NULL`

	wherePeopleEmail = ` AND m.email_key = %s`
	wherePeopleState = ` AND m.status = %s`
	wherePeopleFound = ` AND m.id IN (SELECT key FROM json_each(%s))`
	wherePeopleBegin = ` AND (m.email_key >= %[1]s AND m.email_key < %[2]s OR m.user_name_key >= %[1]s AND m.user_name_key < %[2]s)`

	wherePeopleAfter = ` AND (m.created_at, m.id) > ($2, $3)`
	orderPeople      = ` ORDER BY m.created_at, m.id LIMIT %s`

	// The same where a filter leads to few: SQLite, which has no statistics before somebody
	// asks for them, would walk the tenant in the order of the list.
	whereFewAfter = ` AND (m.created_at + 0, m.id) > ($2, $3)`
	orderFew      = ` ORDER BY m.created_at + 0, m.id LIMIT %s`
)

// sqlBegins finds the members of a search, each from an index; one may come twice.
// Names have none: it would cost each member whom a directory creates.
const sqlBegins = `SELECT m.id FROM memberships m WHERE m.tenant_id = $1 AND m.email_key >= $2 AND m.email_key < $3
UNION ALL SELECT m.id FROM memberships m
WHERE m.tenant_id = $1 AND m.user_name_key <> '' AND m.user_name_key >= $2 AND m.user_name_key < $3 LIMIT $4`

// maxFound is how many a search may find before the list is walked in its order
// instead, where so many fill a page soon.
const maxFound = 5000

const maxSearch = 320

// People lists a tenant's members, oldest first. next is empty at the end. People
// whom a directory deleted softly are left out.
func (s *Service) People(ctx context.Context, q db.Queryer, tenant string, f Filter) (list []Person, next string, err error) {
	if f.Limit <= 0 {
		f.Limit = 50
	}
	f.Limit = min(f.Limit, 200)
	var since int64
	var after string
	if f.Cursor != "" {
		if _, err := fmt.Sscanf(f.Cursor, "%d~%s", &since, &after); err != nil {
			return nil, "", fault.New(fault.Invalid, "invalid_cursor", "The cursor is not one of ours.").In("cursor")
		}
	}
	var found []string
	if f.Search != "" {
		if err := checkText("q", f.Search, maxSearch); err != nil {
			return nil, "", err
		}
		key := NameKey(f.Search)
		rows, err := q.Query(ctx, sqlBegins, tenant, key, beyond(key), int64(maxFound)+1)
		if err != nil {
			return nil, "", err
		}
		err = scanStrings(&found)(rows)
		rows.Close()
		if err != nil {
			return nil, "", err
		}
	}
	text, args, err := f.statement(tenant, since, after, found)
	if err != nil {
		return nil, "", err
	}
	rows, err := q.Query(ctx, text, args...)
	if err != nil {
		return nil, "", err
	}
	defer rows.Close()
	for rows.Next() {
		var p Person
		if err := scanMembership(rows, &p.Membership, userDest(&p.User)...); err != nil {
			return nil, "", err
		}
		list = append(list, p)
	}
	if err := rows.Err(); err != nil {
		return nil, "", err
	}
	if len(list) > f.Limit {
		list = list[:f.Limit]
		m := list[f.Limit-1].Membership
		next = fmt.Sprintf("%d~%s", m.CreatedAt.UnixMicro(), m.ID)
	}
	return list, next, nil
}

// statement makes the list's statement; found are the members of the search.
func (f Filter) statement(tenant string, since int64, after string, found []string) (string, []any, error) {
	text, args, order := sqlPeople, []any{tenant, since, after}, orderPeople
	if f.Email != "" || f.Search != "" && len(found) <= maxFound {
		text, order = text+whereFewAfter, orderFew
	} else {
		text += wherePeopleAfter
	}
	with := func(part string, values ...any) {
		names := make([]any, len(values))
		for i, v := range values {
			args = append(args, v)
			names[i] = fmt.Sprintf("$%d", len(args))
		}
		text += fmt.Sprintf(part, names...)
	}
	if f.Email != "" {
		with(wherePeopleEmail, EmailKey(f.Email))
	}
	switch {
	case f.Search == "":
	case len(found) <= maxFound:
		with(wherePeopleFound, db.Set(found))
	default:
		key := NameKey(f.Search)
		with(wherePeopleBegin, key, beyond(key))
	}
	switch f.Status {
	case "":
	case StatusActive, StatusInvited, StatusPendingApproval, StatusPendingLogin:
		with(wherePeopleState, string(f.Status))
		if f.Status != StatusActive {
			text += ` AND m.status <> 'active'` // by which PostgreSQL knows the partial index
		}
	default:
		return "", nil, fault.New(fault.Invalid, "invalid_value", "Choose invited, pending_approval, pending_login or active.").In("status")
	}
	text += flag(f.Guests, "m.expires_at") + flag(f.Disabled, "m.disabled_at")
	with(order, int64(f.Limit)+1)
	return text, args, nil
}

func flag(wanted *bool, column string) string {
	switch {
	case wanted == nil:
		return ""
	case *wanted:
		return " AND " + column + " IS NOT NULL"
	}
	return " AND " + column + " IS NULL"
}

// beyond is after every text that begins with the key: its bytes are UTF-8, in
// which this character is the last.
func beyond(key string) string {
	return strings.TrimSuffix(key, string(utf8.MaxRune)) + string(utf8.MaxRune)
}
