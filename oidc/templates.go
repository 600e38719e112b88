package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

// Faults of templates.
var (
	ErrTemplateNotFound = fault.New(fault.NotFound, "jwt_template_not_found", "There is no such template.")
	errTooManyTemplates = fault.New(fault.Conflict, "too_many_jwt_templates", "The environment has 50 templates. Delete one first.")
)

// templateID begins the ids of templates.
const templateID = "jwt"

// templatesFor is how long a process keeps an environment's templates.
const templatesFor = 10 * time.Second

// Templates holds the operations on templates, and keeps those of each environment
// in memory: a change is seen after at most ten seconds. It is safe for concurrent use.
type Templates struct {
	db    db.DB
	clock clock.Clock

	mu   sync.Mutex
	kept map[string]keptTemplates // by environment
}

type keptTemplates struct {
	read time.Time
	list []Template
}

// NewTemplates makes the service.
func NewTemplates(d db.DB, c clock.Clock) *Templates {
	return &Templates{db: d, clock: c, kept: map[string]keptTemplates{}}
}

// Of gives the environment's templates in the order in which they are asked. They are
// shared: do not change them. A store that does not answer leaves the old ones in use.
func (s *Templates) Of(ctx context.Context, environment string) ([]Template, error) {
	now := s.clock.Now()
	s.mu.Lock()
	kept, known := s.kept[environment]
	s.mu.Unlock()
	if known && now.Sub(kept.read) < templatesFor {
		return kept.list, nil
	}
	list, err := s.List(ctx, s.db, environment)
	if err != nil {
		if known {
			return kept.list, nil
		}
		return nil, err
	}
	for i := range list {
		if err := list[i].ready(); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[environment] = keptTemplates{now, list}
	return list, nil
}

// NewTemplate is what Create takes.
type NewTemplate struct {
	Name     string
	Priority int
	TemplateSettings
}

// TemplatePatch changes what is not nil.
type TemplatePatch struct {
	Name               *string
	Priority           *int
	Applications       *[]string
	Tenants            *[]string
	If                 *json.RawMessage // null: none
	Claims             *map[string]any
	AccessTokenSeconds *int64
	Algorithm          *string
}

// Create makes a template of the actor's environment.
//
// Faults: invalid_name, invalid_value, invalid_algorithm, invalid_rule, reserved_claim,
// invalid_claim, unknown_placeholder, too_many, too_many_jwt_templates.
func (s *Templates) Create(ctx context.Context, a actor.Actor, q db.Queryer, in NewTemplate) (Template, error) {
	now := s.clock.Now()
	t := Template{
		ID: id.New(templateID), Environment: a.Environment, Name: in.Name, Priority: in.Priority, TemplateSettings: in.TemplateSettings,
		Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	if err := t.check(); err != nil {
		return Template{}, err
	}
	settings, err := json.Marshal(t.TemplateSettings)
	if err != nil {
		return Template{}, err
	}
	var locked string
	if err := q.QueryRow(ctx, sqlLockEnvironment+q.Dialect().ForNoKeyUpdate, t.Environment).Scan(&locked); err != nil {
		return Template{}, err
	}
	var n int
	if err := q.QueryRow(ctx, sqlCountTemplates, t.Environment).Scan(&n); err != nil {
		return Template{}, err
	}
	if n >= MaxTemplates {
		return Template{}, errTooManyTemplates
	}
	if _, err := q.Exec(ctx, sqlInsertTemplate, t.Environment, t.ID, t.Name, t.Priority, string(settings), db.At(now)); err != nil {
		return Template{}, err
	}
	return t, s.record(ctx, a, q, "jwt_template.created", t, nil)
}

// List gives the environment's templates in the order in which they are asked.
func (s *Templates) List(ctx context.Context, q db.Queryer, environment string) ([]Template, error) {
	rows, err := q.Query(ctx, sqlTemplates, environment)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Template
	for rows.Next() {
		t, err := scanTemplate(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	return list, rows.Err()
}

// Get finds a template. Fault: jwt_template_not_found.
func (s *Templates) Get(ctx context.Context, q db.Queryer, environment, template string) (Template, error) {
	return one(q.QueryRow(ctx, sqlTemplate, environment, template))
}

// Hold is Get with the row locked.
func (s *Templates) Hold(ctx context.Context, q db.Queryer, environment, template string) (Template, error) {
	return one(q.QueryRow(ctx, sqlTemplate+q.Dialect().ForUpdate, environment, template))
}

func one(r db.Row) (Template, error) {
	t, err := scanTemplate(r)
	if errors.Is(err, db.ErrNotFound) {
		err = ErrTemplateNotFound
	}
	return t, err
}

// Update changes what the patch names. Faults: those of Create, jwt_template_not_found.
func (s *Templates) Update(ctx context.Context, a actor.Actor, q db.Queryer, template string, p TemplatePatch) (Template, error) {
	before, err := s.Hold(ctx, q, a.Environment, template)
	if err != nil {
		return Template{}, err
	}
	t := before
	replace(&t.Name, p.Name)
	replace(&t.Priority, p.Priority)
	replace(&t.Applications, p.Applications)
	replace(&t.Tenants, p.Tenants)
	replace(&t.Claims, p.Claims)
	replace(&t.AccessTokenSeconds, p.AccessTokenSeconds)
	replace(&t.Algorithm, p.Algorithm)
	if p.If != nil {
		t.If = nil
		if err := json.Unmarshal(*p.If, &t.If); err != nil {
			return Template{}, errTemplate("invalid_rule", "The condition is not JSON of its shape.", "if")
		}
	}
	if err := t.check(); err != nil {
		return Template{}, err
	}
	was, err := json.Marshal(before.TemplateSettings)
	if err != nil {
		return Template{}, err
	}
	settings, err := json.Marshal(t.TemplateSettings)
	if err != nil {
		return Template{}, err
	}
	changes := map[string]audit.Change{}
	if before.Name != t.Name {
		changes["name"] = audit.Change{From: before.Name, To: t.Name}
	}
	if before.Priority != t.Priority {
		changes["priority"] = audit.Change{From: before.Priority, To: t.Priority}
	}
	if string(was) != string(settings) {
		changes["settings"] = audit.Change{From: json.RawMessage(was), To: json.RawMessage(settings)}
	}
	if len(changes) == 0 {
		return t, nil
	}
	t.Version, t.UpdatedAt = t.Version+1, s.clock.Now()
	if _, err := q.Exec(ctx, sqlUpdateTemplate, t.Environment, t.ID, t.Name, t.Priority, string(settings), db.At(t.UpdatedAt)); err != nil {
		return Template{}, err
	}
	return t, s.record(ctx, a, q, "jwt_template.updated", t, changes)
}

// Delete removes a template. Fault: jwt_template_not_found.
func (s *Templates) Delete(ctx context.Context, a actor.Actor, q db.Queryer, template string) error {
	t, err := s.Hold(ctx, q, a.Environment, template)
	if err != nil {
		return err
	}
	if _, err := q.Exec(ctx, sqlDeleteTemplate, a.Environment, template); err != nil {
		return err
	}
	return s.record(ctx, a, q, "jwt_template.deleted", t, nil)
}

func (s *Templates) record(ctx context.Context, a actor.Actor, q db.Queryer, action string, t Template, changes map[string]audit.Change) error {
	return audit.Record(ctx, q, audit.Event{
		Environment: t.Environment, Action: action, Actor: a, At: s.clock.Now(), Changes: changes,
		Targets: []audit.Target{{Type: "jwt_template", ID: t.ID, Name: t.Name}},
	})
}

func replace[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}
