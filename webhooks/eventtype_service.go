package webhooks

import (
	"context"
	"errors"
	"slices"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// EventTypes lists the event types of an environment, built-in and its own, in
// the order of their keys: a few hundred at most.
func (s *Service) EventTypes(ctx context.Context, q db.Queryer, environment string) ([]EventType, error) {
	stored, err := storedTypes(ctx, q, environment)
	if err != nil {
		return nil, err
	}
	list := slices.Clone(builtins)
	for _, t := range stored {
		i, ok := slices.BinarySearchFunc(list[:len(builtins)], t, byKey)
		switch {
		case ok:
			list[i].Enabled, list[i].UpdatedAt = t.Enabled, t.UpdatedAt
		case !t.Builtin: // a built-in one whose action is gone says nothing any more
			list = append(list, t)
		}
	}
	slices.SortFunc(list, byKey)
	return list, nil
}

// Offered lists what tenants of the environment may subscribe to (product 71).
func (s *Service) Offered(ctx context.Context, q db.Queryer, environment string) ([]EventType, error) {
	list, err := s.EventTypes(ctx, q, environment)
	return slices.DeleteFunc(list, func(t EventType) bool { return !t.Enabled }), err
}

// EventType gives one event type.
func (s *Service) EventType(ctx context.Context, q db.Queryer, environment, key string) (EventType, error) {
	list, err := s.EventTypes(ctx, q, environment)
	if err != nil {
		return EventType{}, err
	}
	if i, ok := slices.BinarySearchFunc(list, EventType{Key: key}, byKey); ok {
		return list[i], nil
	}
	return EventType{}, ErrTypeNotFound
}

// CreateEventType defines a type of event for Trigger. Errors: invalid_key,
// event_type_exists, limit_reached.
func (s *Service) CreateEventType(ctx context.Context, a actor.Actor, q db.Queryer, in NewEventType) (EventType, error) {
	if err := checkKey(in.Key); err != nil {
		return EventType{}, err
	}
	if in.Name == "" {
		in.Name = words(in.Key)
	}
	if in.Category == "" {
		in.Category = customCategory
	}
	now := s.clock.Now()
	t := EventType{Key: in.Key, Name: in.Name, Description: in.Description, Category: in.Category, Enabled: !in.Disabled, CreatedAt: now, UpdatedAt: now}
	if err := t.check(); err != nil {
		return EventType{}, err
	}
	var n int
	if err := q.QueryRow(ctx, sqlCountTypes, a.Environment).Scan(&n); err != nil {
		return EventType{}, err
	}
	if n >= MaxEventTypes {
		return EventType{}, tooMany("500 event types of an environment")
	}
	added, err := q.Exec(ctx, sqlInsertType, a.Environment, t.Key, t.Name, t.Description, t.Category, false, t.Enabled, db.At(now))
	if err != nil {
		return EventType{}, err
	}
	if added == 0 {
		return EventType{}, fault.New(fault.Conflict, "event_type_exists", "An event type has this key.").In("key")
	}
	return t, s.recordType(ctx, a, q, "event_type.created", t, nil)
}

// UpdateEventType changes a type of the environment's own, or switches a built-in one.
func (s *Service) UpdateEventType(ctx context.Context, a actor.Actor, q db.Queryer, key string, p EventTypePatch) (EventType, error) {
	// Locked first, so that of two changes the later one sees what the earlier did.
	if _, err := q.Exec(ctx, sqlLockType, a.Environment, key); err != nil {
		return EventType{}, err
	}
	t, err := s.EventType(ctx, q, a.Environment, key)
	if err != nil {
		return EventType{}, err
	}
	if t.Builtin && (p.Name != nil || p.Description != nil || p.Category != nil) {
		return EventType{}, fault.New(fault.Invalid, "builtin_event_type", "A built-in event type can be switched on and off, not changed.")
	}
	changes := map[string]audit.Change{}
	set(changes, "name", &t.Name, p.Name)
	set(changes, "description", &t.Description, p.Description)
	set(changes, "category", &t.Category, p.Category)
	set(changes, "enabled", &t.Enabled, p.Enabled)
	if err := t.check(); err != nil {
		return EventType{}, err
	}
	if len(changes) == 0 {
		return t, nil
	}
	now := s.clock.Now()
	t.UpdatedAt = now
	if t.Builtin {
		_, err = q.Exec(ctx, sqlSwitchType, a.Environment, t.Key, t.Name, t.Category, t.Enabled, db.At(now))
	} else {
		_, err = q.Exec(ctx, sqlUpdateType, a.Environment, t.Key, t.Name, t.Description, t.Category, t.Enabled, db.At(now))
	}
	if err != nil {
		return EventType{}, err
	}
	return t, s.recordType(ctx, a, q, "event_type.updated", t, changes)
}

// DeleteEventType removes a type of the environment's own. Subscriptions to it
// stay in their lists and mean nothing.
func (s *Service) DeleteEventType(ctx context.Context, a actor.Actor, q db.Queryer, key string) error {
	if _, ok := builtin(key); ok {
		return fault.New(fault.Conflict, "builtin_event_type", "A built-in event type can be switched off, not deleted.")
	}
	n, err := q.Exec(ctx, sqlDeleteType, a.Environment, key)
	if err != nil {
		return err
	}
	if n == 0 {
		return ErrTypeNotFound
	}
	return s.recordType(ctx, a, q, "event_type.deleted", EventType{Key: key}, nil)
}

func (t *EventType) check() (err error) {
	if t.Name, err = checkText(t.Name, maxName, "name", true); err != nil {
		return err
	}
	if t.Description, err = checkText(t.Description, maxDescription, "description", false); err != nil {
		return err
	}
	t.Category, err = checkText(t.Category, maxName, "category", true)
	return err
}

func (s *Service) recordType(ctx context.Context, a actor.Actor, q db.Queryer, action string, t EventType, changes map[string]audit.Change) error {
	return audit.Record(ctx, q, audit.Event{
		Environment: a.Environment, Action: action, Actor: a, At: s.clock.Now(), Changes: changes,
		Targets: []audit.Target{{Type: "event_type", ID: t.Key, Name: t.Name}},
	})
}

// set takes a new value over and notes the change.
func set[T comparable](changes map[string]audit.Change, field string, to, from *T) {
	if from != nil && *from != *to {
		changes[field] = audit.Change{From: *to, To: *from}
		*to = *from
	}
}

// enabledTypes gives the keys that are delivered in the environment.
func (s *Service) enabledTypes(ctx context.Context, q db.Queryer, environment string) (map[string]bool, error) {
	list, err := s.Offered(ctx, q, environment)
	if err != nil {
		return nil, err
	}
	keys := make(map[string]bool, len(list))
	for _, t := range list {
		keys[t.Key] = true
	}
	return keys, nil
}

func storedTypes(ctx context.Context, q db.Queryer, environment string) ([]EventType, error) {
	rows, err := q.Query(ctx, sqlTypes, environment)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []EventType
	for rows.Next() {
		var t EventType
		var created, updated db.Time
		if err := rows.Scan(&t.Key, &t.Name, &t.Description, &t.Category, &t.Builtin, &t.Enabled, &created, &updated); err != nil {
			return nil, err
		}
		t.CreatedAt, t.UpdatedAt = created.Time, updated.Time
		list = append(list, t)
	}
	return list, rows.Err()
}

// isNotFound tells an absent row from a failure.
func isNotFound(err error) bool { return errors.Is(err, db.ErrNotFound) }
