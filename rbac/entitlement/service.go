package entitlement

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/rbac"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Service holds the operations of the package. It is safe for concurrent use.
type Service struct {
	tenants   *tenants.Service
	directory *directory.Service
	rbac      *rbac.Service
	clock     clock.Clock
}

// New makes the service.
func New(t *tenants.Service, d *directory.Service, r *rbac.Service, c clock.Clock) *Service {
	return &Service{tenants: t, directory: d, rbac: r, clock: c}
}

// CreateFeature makes a feature (product 92, 95).
//
// Faults: invalid_key, key_taken, invalid_text, unknown_permission, too_many.
func (s *Service) CreateFeature(ctx context.Context, a actor.Actor, q db.Queryer, in NewFeature) (Feature, error) {
	now := s.clock.Now()
	f := Feature{ID: id.New(featureID), Key: in.Key, Metadata: in.Metadata, Version: 1, CreatedAt: now, UpdatedAt: now}
	if err := checkKey(f.Key); err != nil {
		return Feature{}, err
	}
	var err error
	if f.Name, err = checkText(in.Name, "name", true, maxName); err != nil {
		return Feature{}, err
	}
	if f.Description, err = checkText(in.Description, "description", false, maxDescription); err != nil {
		return Feature{}, err
	}
	metadata, err := checkMetadata(in.Metadata)
	if err != nil {
		return Feature{}, err
	}
	if f.Metadata == nil {
		f.Metadata = map[string]any{}
	}
	if f.Permissions, err = s.checkPermissions(ctx, q, a.Environment, in.Permissions); err != nil {
		return Feature{}, err
	}
	if err := room(ctx, q, sqlCountFeatures, a.Environment, maxFeatures); err != nil {
		return Feature{}, err
	}
	if _, err := q.Exec(ctx, sqlInsertFeature, a.Environment, f.ID, f.Key, f.Name, f.Description, metadata, db.At(now)); err != nil {
		return Feature{}, conflict(err, errFeatureKey)
	}
	if _, err := q.Exec(ctx, sqlLink, a.Environment, f.ID, db.Set(f.Permissions)); err != nil {
		return Feature{}, err
	}
	return f, s.record(ctx, a, q, "feature.created", featureTarget(f), map[string]audit.Change{
		"key": {To: f.Key}, "permissions": {To: f.Permissions},
	})
}

// Features lists the features of the environment by key, after the key of the page
// before; next is empty on the last page.
func (s *Service) Features(ctx context.Context, q db.Queryer, environment, after string, limit int) (list []Feature, next string, err error) {
	limit = page(limit)
	list, err = scanFeatures(q.Query(ctx, sqlFeatures, environment, after, limit+1))
	if len(list) > limit {
		list, next = list[:limit], list[limit-1].Key
	}
	return list, next, err
}

// Feature finds a feature. Fails with feature_not_found.
func (s *Service) Feature(ctx context.Context, q db.Queryer, environment, feature string) (Feature, error) {
	list, err := scanFeatures(q.Query(ctx, sqlFeature, environment, feature))
	if err == nil && len(list) == 0 {
		err = ErrFeatureNotFound
	}
	if err != nil {
		return Feature{}, err
	}
	return list[0], nil
}

// UpdateFeature changes what the patch names.
func (s *Service) UpdateFeature(ctx context.Context, a actor.Actor, q db.Queryer, feature string, p FeaturePatch) (Feature, error) {
	before, err := s.lockFeature(ctx, a, q, feature)
	if err != nil {
		return Feature{}, err
	}
	f, now := before, s.clock.Now()
	if p.Name != nil {
		if f.Name, err = checkText(*p.Name, "name", true, maxName); err != nil {
			return Feature{}, err
		}
	}
	if p.Description != nil {
		if f.Description, err = checkText(*p.Description, "description", false, maxDescription); err != nil {
			return Feature{}, err
		}
	}
	if p.Metadata != nil {
		f.Metadata = *p.Metadata
		if f.Metadata == nil {
			f.Metadata = map[string]any{}
		}
	}
	metadata, err := checkMetadata(f.Metadata)
	if err != nil {
		return Feature{}, err
	}
	stmts := []db.Stmt{{SQL: sqlUpdateFeature, Args: []any{a.Environment, f.ID, f.Name, f.Description, metadata, db.At(now)}}}
	if p.Permissions != nil {
		if f.Permissions, err = s.checkPermissions(ctx, q, a.Environment, *p.Permissions); err != nil {
			return Feature{}, err
		}
		stmts = append(stmts,
			db.Stmt{SQL: sqlUnlink, Args: []any{a.Environment, f.ID}},
			db.Stmt{SQL: sqlLink, Args: []any{a.Environment, f.ID, db.Set(f.Permissions)}})
	}
	if err := q.Batch(ctx, stmts); err != nil {
		return Feature{}, err
	}
	f.Version, f.UpdatedAt = f.Version+1, now
	changes := map[string]audit.Change{}
	changed(changes, "name", before.Name, f.Name)
	changed(changes, "description", before.Description, f.Description)
	if !slices.Equal(before.Permissions, f.Permissions) {
		changes["permissions"] = audit.Change{From: before.Permissions, To: f.Permissions}
	}
	return f, s.record(ctx, a, q, "feature.updated", featureTarget(f), changes)
}

// DeleteFeature removes a feature from its plans, with its flag and its links:
// the permissions that only it gave a meaning to are free again.
func (s *Service) DeleteFeature(ctx context.Context, a actor.Actor, q db.Queryer, feature string) (Feature, error) {
	f, err := s.lockFeature(ctx, a, q, feature)
	if err != nil {
		return Feature{}, err
	}
	if _, err := q.Exec(ctx, sqlDeleteFeature, a.Environment, f.ID); err != nil {
		return Feature{}, err
	}
	return f, s.record(ctx, a, q, "feature.deleted", featureTarget(f), nil)
}

// Flags lists the feature flags by the key of their feature, after that of the
// page before; next is empty on the last page.
func (s *Service) Flags(ctx context.Context, q db.Queryer, environment, after string, limit int) (list []Flag, next string, err error) {
	limit = page(limit)
	list, err = scanFlags(q.Query(ctx, sqlFlags, environment, after, limit+1))
	if len(list) > limit {
		list, next = list[:limit], list[limit-1].FeatureKey
	}
	return list, next, err
}

// Flag finds the flag of a feature. Fails with flag_not_found.
func (s *Service) Flag(ctx context.Context, q db.Queryer, environment, feature string) (Flag, error) {
	list, err := scanFlags(q.Query(ctx, sqlFlag, environment, feature))
	if err == nil && len(list) == 0 {
		err = ErrFlagNotFound
	}
	if err != nil {
		return Flag{}, err
	}
	return list[0], nil
}

// PutFlag makes or replaces the flag of a feature, of which On, Off, Default and
// Rules count.
//
// Faults: feature_not_found, invalid_rule, too_many.
func (s *Service) PutFlag(ctx context.Context, a actor.Actor, q db.Queryer, feature string, in Flag) (Flag, error) {
	f, err := s.lockFeature(ctx, a, q, feature)
	if err != nil {
		return Flag{}, err
	}
	rules, err := rulesText(in.Rules)
	if err != nil {
		return Flag{}, err
	}
	now := db.At(s.clock.Now())
	if _, err := q.Exec(ctx, sqlPutFlag, a.Environment, f.ID, in.On, in.Off, in.Default, rules, now); err != nil {
		return Flag{}, err
	}
	g, err := s.Flag(ctx, q, a.Environment, f.ID)
	if err != nil {
		return Flag{}, err
	}
	action := "feature_flag.updated"
	if g.Version == 1 {
		action = "feature_flag.created"
	}
	return g, s.record(ctx, a, q, action, featureTarget(f), map[string]audit.Change{
		"on": {To: g.On}, "off_treatment": {To: g.Off}, "default_treatment": {To: g.Default}, "rules": {To: len(g.Rules)},
	})
}

// DeleteFlag removes the flag of a feature.
func (s *Service) DeleteFlag(ctx context.Context, a actor.Actor, q db.Queryer, feature string) (Flag, error) {
	f, err := s.lockFeature(ctx, a, q, feature)
	if err != nil {
		return Flag{}, err
	}
	g, err := s.Flag(ctx, q, a.Environment, f.ID)
	if err != nil {
		return Flag{}, err
	}
	if _, err := q.Exec(ctx, sqlDeleteFlag, a.Environment, f.ID); err != nil {
		return Flag{}, err
	}
	return g, s.record(ctx, a, q, "feature_flag.deleted", featureTarget(f), nil)
}

func (s *Service) lockFeature(ctx context.Context, a actor.Actor, q db.Queryer, feature string) (Feature, error) {
	if err := lock(ctx, q, sqlLockFeature, a.Environment, feature, ErrFeatureNotFound); err != nil {
		return Feature{}, err
	}
	return s.Feature(ctx, q, a.Environment, feature)
}

// checkPermissions gives the sorted keys, all of which exist.
func (s *Service) checkPermissions(ctx context.Context, q db.Queryer, environment string, keys []string) ([]string, error) {
	return known(ctx, q, sqlKnownPermissions, environment, keys, maxLinks, "permissions", "unknown_permission", "There is no such permission.")
}

func known(ctx context.Context, q db.Queryer, sql, environment string, keys []string, most int, field, code, message string) ([]string, error) {
	if len(keys) == 0 {
		return []string{}, nil
	}
	sorted := slices.Compact(slices.Sorted(slices.Values(keys)))
	if len(sorted) > most {
		return nil, fault.New(fault.TooLarge, "too_many", "Give at most "+strconv.Itoa(most)+".").In(field)
	}
	found, err := scanKeys(q.Query(ctx, sql, environment, db.Set(sorted)))
	if err != nil {
		return nil, err
	}
	for i, k := range keys {
		if !found[k] {
			return nil, invalid(code, message, field+"["+strconv.Itoa(i)+"]")
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

func room(ctx context.Context, q db.Queryer, sql, environment string, most int64) error {
	var n int64
	if err := q.QueryRow(ctx, sql, environment).Scan(&n); err != nil {
		return err
	}
	if n >= most {
		return fault.New(fault.TooLarge, "too_many", "The limit of "+strconv.FormatInt(most, 10)+" is reached.")
	}
	return nil
}

func lock(ctx context.Context, q db.Queryer, sql, scope, key string, missing error) error {
	var locked string
	err := q.QueryRow(ctx, sql+q.Dialect().ForUpdate, scope, key).Scan(&locked)
	if errors.Is(err, db.ErrNotFound) {
		return missing
	}
	return err
}

// conflict names a key that is taken; other conflicts stay as they are.
func conflict(err error, taken *fault.Error) error {
	var c *db.ConflictError
	if errors.As(err, &c) && !c.ForeignKey {
		return taken.Because(err)
	}
	return err
}

// page bounds the length of a list.
func page(limit int) int {
	if limit <= 0 {
		return 50
	}
	return min(limit, 200)
}

func (s *Service) record(ctx context.Context, a actor.Actor, q db.Queryer, action string, t audit.Target, changes map[string]audit.Change) error {
	return audit.Record(ctx, q, audit.Event{
		Environment: a.Environment, Action: action, Actor: a, Targets: []audit.Target{t}, Changes: changes, At: s.clock.Now(),
	})
}

func featureTarget(f Feature) audit.Target {
	return audit.Target{Type: "feature", ID: f.ID, Name: f.Key}
}

func changed[T comparable](m map[string]audit.Change, field string, from, to T) {
	if from != to {
		m[field] = audit.Change{From: from, To: to}
	}
}
