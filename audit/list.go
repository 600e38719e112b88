package audit

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

// Limits of List.
const (
	DefaultLimit = 50
	MaxLimit     = 200
	// MaxSearch bounds the text of a search in bytes.
	MaxSearch = 200
	// scanLimit is how many events one page looks at for those that its filter
	// asks for.
	scanLimit = 10_000
	// pageBytes bounds the text of one page: events may be large, and a page of
	// large ones is shorter.
	pageBytes = 4 << 20
)

// The refusals of reading.
var (
	ErrEventNotFound = fault.New(fault.NotFound, "not_found", "There is no such audit event.")
	errTenant        = fault.New(fault.NotFound, "not_found", "There is no such tenant.")
	errCursor        = fault.New(fault.Invalid, "invalid_cursor", "The cursor is not one that a list returned.").In("cursor")
)

// Filter says which events List returns.
type Filter struct {
	Tenant     string     // empty: the actor's own; for actors above tenants, events above tenants
	Everywhere bool       // for actors above tenants: events of all tenants and above; Tenant is not looked at
	Action     string     // exactly, or all of a noun: "user.*"
	Actor      string     // id or, with an @, e-mail address; exactly (the address without regard to ASCII case)
	Target     string     // id of a target, exactly
	Severities []Severity // any of them; empty: all
	Outcome    Outcome    // empty: all
	Source     string     // builtin or custom; empty: both
	Search     string     // text that stands in the action, or the actor's or a target's id, name or address
	From, To   time.Time  // of occurrence (Everywhere: of recording); From included, To excluded; zero: open
	Oldest     bool       // oldest first; else newest first
	Cursor     string     // the next of the call before
	Limit      int        // 0: DefaultLimit; at most MaxLimit
	// NoImpersonator leaves out who impersonated the actor, for a tenant's own log
	// where the environment does not show it (product 2.8).
	NoImpersonator bool
}

// Entry is an event as it was recorded.
type Entry struct {
	ID          string
	Environment string
	Tenant      string
	OccurredAt  time.Time
	RecordedAt  time.Time
	Action      string
	Outcome     Outcome
	Severity    Severity
	Actor       Who
	Targets     []Target
	Context     Where
	Changes     map[string]Change
	Metadata    map[string]any
	Source      string
	Visible     bool
	// SentBy is who vouches for a custom event; nil for built-in ones.
	SentBy *Sender
}

// position is a place in a list: the time that the list goes along, and the id.
type position struct {
	at int64
	id string
}

func (p position) String() string { return strconv.FormatInt(p.at, 10) + "~" + p.id }

func parsePosition(s string) (position, error) {
	at, event, ok := strings.Cut(s, "~")
	n, err := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil || !id.Valid(id.Event, event) {
		return position{}, errCursor
	}
	return position{n, event}, nil
}

// search is a filter as its statements take it.
type search struct {
	path
	args       []any // $1, $4, $7 and on
	lead       []any // $19
	start      position
	everywhere bool
	oldest     bool
	text       string // folded, as entries are compared with it
	plain      bool   // the tenant may not see the impersonator
}

// newSearch checks the filter. Nobody sees events of another environment. An
// actor bound to a tenant sees that tenant only and no hidden events.
func newSearch(a actor.Actor, f Filter) (search, error) {
	if f.Everywhere {
		f.Tenant = ""
	} else if f.Tenant == "" {
		f.Tenant = a.Tenant
	}
	if a.Tenant != "" && (f.Everywhere || f.Tenant != a.Tenant) {
		return search{}, errTenant
	}
	for field, v := range map[string]string{"tenant_id": f.Tenant, "action": f.Action, "actor": f.Actor, "target": f.Target, "q": f.Search} {
		if len(v) > MaxSearch || !utf8.ValidString(v) || strings.IndexByte(v, 0) >= 0 {
			return search{}, fault.New(fault.Invalid, "invalid_filter", "The text is too long or not valid UTF-8.").In(field)
		}
	}
	s := search{everywhere: f.Everywhere, oldest: f.Oldest, text: strings.ToLower(f.Search), plain: f.NoImpersonator}
	from, to := int64(math.MinInt64), int64(math.MaxInt64)
	if !f.From.IsZero() {
		from = f.From.UnixMicro()
	}
	if !f.To.IsZero() {
		to = f.To.UnixMicro()
	}
	direction, bound := 0, from
	s.start = position{at: to}
	if f.Oldest {
		direction, bound = 1, to
		s.start = position{at: from}
	}
	if f.Cursor != "" {
		at, err := parsePosition(f.Cursor)
		if err != nil {
			return search{}, err
		}
		s.start = at
	}
	first, leading := f.Tenant, "time"
	var low, high, email string
	noun, prefix := strings.CutSuffix(f.Action, ".*")
	switch {
	case prefix:
		low, high = noun+".", noun+"/" // the byte after the dot
	case f.Action != "":
		low, high = f.Action, f.Action+"!" // comes before every byte of a name
	}
	if strings.Contains(f.Actor, "@") {
		email = "%" + pattern(`"email":`+quote(lowerASCII(f.Actor))) + "%"
	}
	switch {
	case f.Everywhere:
		first, leading = a.Environment, "environment"
		if f.Actor != "" && email == "" {
			return search{}, fault.New(fault.Invalid, "invalid_filter", "Name the tenant to search for an actor's id.").In("actor")
		}
	case f.Actor != "" && email == "":
		leading, s.lead = "actor", []any{f.Actor}
	case f.Action != "" && !prefix:
		leading, s.lead = "action", []any{f.Action}
	}
	s.path = paths[leading][direction]
	severities, target := "", ""
	if len(f.Severities) > 0 {
		severities = ","
		for _, v := range f.Severities {
			severities += string(v) + ","
		}
	}
	if f.Target != "" {
		target = "%" + pattern(`"id":`+quote(f.Target)) + "%"
	}
	texts := textPatterns(f.Search)
	s.args = []any{first, bound, a.Tenant == "", a.Environment, low, high, severities, string(f.Outcome), f.Source, email, target, texts[0], texts[1], texts[2]}
	return s, nil
}

// matches reports whether the search's text stands in a value of the entry: the
// statement compares documents, whose own words (such as "name") would match.
func (s *search) matches(e *Entry) bool {
	if s.text == "" {
		return true
	}
	has := func(v string) bool { return strings.Contains(strings.ToLower(v), s.text) }
	return has(e.Action) || has(e.Actor.ID) || has(e.Actor.Name) || has(e.Actor.Email) ||
		slices.ContainsFunc(e.Targets, func(t Target) bool { return has(t.ID) || has(t.Name) || has(t.Type) })
}

// entry shows a row, or nothing when the search's text is not in it.
func (s *search) entry(r *row) (Entry, bool, error) {
	e, err := r.entry()
	if s.plain {
		e.Actor.Impersonator = nil
	}
	return e, err == nil && s.matches(&e), err
}

// stretch reads on from the start: at most limit events of at most scan. It calls
// take for each, which may say that it has enough. more reports whether the log
// goes on behind next.
func (s *search) stretch(ctx context.Context, q db.Queryer, start position, limit, scan int, take func(*row) (enough bool, err error)) (next position, more bool, err error) {
	first := []any{s.args[0], start.at, start.id, s.args[1], int64(scan)}
	args := append(append(append(slices.Clone(first), int64(limit+1)), s.args[2:]...), s.lead...)
	// The end of the stretch is a matter of counting. Retention takes events away
	// at the old end: seen from there the end is found first, so that nothing that
	// was not read is skipped; the other way round nothing before it moves.
	first[4] = int64(scan - 1)
	var end *position
	if s.oldest {
		if end, err = s.endOf(ctx, q, first); err != nil {
			return position{}, false, err
		}
	}
	next, more, err = s.read(ctx, q, args, limit, end, take)
	if err != nil || more {
		return next, more, err
	}
	if !s.oldest {
		if end, err = s.endOf(ctx, q, first); err != nil {
			return position{}, false, err
		}
	}
	if end == nil {
		return position{}, false, nil
	}
	return *end, true, nil
}

// endOf gives the last place of a stretch, or nothing when the log ends in it.
func (s *search) endOf(ctx context.Context, q db.Queryer, args []any) (*position, error) {
	var end position
	err := q.QueryRow(ctx, s.end, append(args, s.lead...)...).Scan(&end.at, &end.id)
	if errors.Is(err, db.ErrNotFound) {
		return nil, nil
	}
	return &end, err
}

// read runs the page's statement, up to end where there is one; more is true when
// it left events unread.
func (s *search) read(ctx context.Context, q db.Queryer, args []any, limit int, end *position, take func(*row) (bool, error)) (last position, more bool, err error) {
	rows, err := q.Query(ctx, s.page, args...)
	if err != nil {
		return last, false, err
	}
	defer rows.Close()
	for n := 0; rows.Next(); n++ {
		if n == limit {
			return last, true, nil
		}
		var r row
		if err := r.scan(rows); err != nil {
			return last, false, err
		}
		at := position{r.Occurred.UnixMicro(), r.ID}
		if s.everywhere {
			at.at = r.Recorded.UnixMicro()
		}
		if end != nil && (at.at > end.at || at.at == end.at && at.id > end.id) {
			return *end, true, nil
		}
		enough, err := take(&r)
		if err != nil {
			return last, false, err
		}
		last = at
		if enough {
			return last, true, nil
		}
	}
	return last, false, rows.Err()
}

// List returns events, newest first unless asked otherwise, and the cursor of the
// next page, empty on the last. A page may be short, even empty, and still have a
// cursor: it looks at no more than 10,000 events for those that the filter asks
// for, and holds no more than 4 MiB. An action or an actor's id is found by an
// index, so the 10,000 are counted among its own events. The caller has
// authorized the actor to read the log.
//
// Order is that of occurrence. An event that is recorded later with an earlier
// time, as custom events may be, does not appear on pages already turned.
func (l *Log) List(ctx context.Context, q db.Queryer, a actor.Actor, f Filter) ([]Entry, string, error) {
	s, err := newSearch(a, f)
	if err != nil {
		return nil, "", err
	}
	limit := f.Limit
	if limit <= 0 {
		limit = DefaultLimit
	}
	limit = min(limit, MaxLimit)
	entries, size := make([]Entry, 0, limit), 0
	next, more, err := s.stretch(ctx, q, s.start, limit, scanLimit, func(r *row) (bool, error) {
		e, ok, err := s.entry(r)
		if ok {
			entries = append(entries, e)
			size += r.size()
		}
		return size > pageBytes, err
	})
	if err != nil {
		return nil, "", err
	}
	if !more {
		return entries, "", nil
	}
	return entries, next.String(), nil
}

// Get returns one event of the tenant, the empty one standing for events above
// tenants. Who sees it is as with List.
func (l *Log) Get(ctx context.Context, q db.Queryer, a actor.Actor, tenant, event string) (Entry, error) {
	if a.Tenant != "" && tenant != a.Tenant {
		return Entry{}, errTenant
	}
	if !id.Valid(id.Event, event) {
		return Entry{}, ErrEventNotFound
	}
	rows, err := q.Query(ctx, sqlEvent, tenant, event, a.Tenant == "", a.Environment)
	if err != nil {
		return Entry{}, err
	}
	defer rows.Close()
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return Entry{}, err
		}
		return Entry{}, ErrEventNotFound
	}
	var r row
	if err := r.scan(rows); err != nil {
		return Entry{}, err
	}
	return r.entry()
}

func (r *row) size() int {
	return 200 + len(r.Actor) + len(r.Targets) + len(r.Context) + len(r.Changes) + len(r.Metadata)
}

func (r *row) entry() (Entry, error) {
	e := Entry{
		ID: r.ID, Environment: r.Environment, Tenant: r.Tenant, OccurredAt: r.Occurred.Time, RecordedAt: r.Recorded.Time,
		Action: r.Action, Outcome: r.Outcome, Severity: r.Severity, Source: r.Source, Visible: r.Visible,
	}
	var c contextDocument
	for text, to := range map[*string]any{
		&r.Actor: &e.Actor, &r.Targets: &e.Targets, &r.Context: &c, &r.Changes: &e.Changes, &r.Metadata: &e.Metadata,
	} {
		if err := json.Unmarshal([]byte(*text), to); err != nil {
			return Entry{}, err
		}
	}
	e.Context, e.SentBy = c.Where, c.SentBy
	e.Actor.Type, e.Actor.ID = r.ActorType, r.ActorID
	if c.Impersonator != nil {
		e.Actor.Impersonator = &actor.Impersonator{ID: c.Impersonator.ID, Email: c.Impersonator.Email}
	}
	return e, nil
}
