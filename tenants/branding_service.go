package tenants

import (
	"context"
	"encoding/base64"
	"errors"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

var errNoLogo = fault.New(fault.NotFound, "logo_not_found", "There is no such logo.")

// Branding reads the look of a tenant, or of the environment where tenant is empty;
// its Version is 0 where nothing is set.
func (s *Service) Branding(ctx context.Context, q db.Queryer, environment, tenant string) (Branding, error) {
	return readBranding(ctx, q, sqlBranding, environment, tenant)
}

// HoldBranding is Branding for a transaction in which nobody else changes it.
func (s *Service) HoldBranding(ctx context.Context, q db.Queryer, environment, tenant string) (Branding, error) {
	return readBranding(ctx, q, sqlBranding+q.Dialect().ForNoKeyUpdate, environment, tenant)
}

func readBranding(ctx context.Context, q db.Queryer, text, environment, tenant string) (Branding, error) {
	b := Branding{Environment: environment, Tenant: tenant}
	var updated db.Time
	err := q.QueryRow(ctx, text, tenant, environment).Scan(&b.Name, &b.Accent, &b.Locale, &b.Logo.Type, &b.Logo.Hash, &b.Logo.Width, &b.Logo.Height, &b.Version, &updated)
	if errors.Is(err, db.ErrNotFound) {
		return b, nil
	}
	b.UpdatedAt = updated.Time
	return b, err
}

// PutBranding sets name, accent and language; the logo stays. The caller has
// checked that the actor may.
//
// Faults: invalid_name, invalid_accent, accent_contrast, invalid_locale.
func (s *Service) PutBranding(ctx context.Context, a actor.Actor, q db.Queryer, tenant string, n NewBranding) (Branding, error) {
	if err := n.check(); err != nil {
		return Branding{}, err
	}
	before, err := s.HoldBranding(ctx, q, a.Environment, tenant)
	if err != nil {
		return before, err
	}
	if _, err := q.Exec(ctx, sqlPutBranding, tenant, a.Environment, tenantRef(tenant), n.Name, n.Accent, n.Locale, db.At(s.clock.Now())); err != nil {
		return before, err
	}
	changes := map[string]audit.Change{}
	changed(changes, "name", before.Name, n.Name)
	changed(changes, "accent", before.Accent, n.Accent)
	changed(changes, "locale", before.Locale, n.Locale)
	return s.branded(ctx, a, q, tenant, "branding.updated", changes)
}

// PutLogo sets the logo, of which ReadLogo told what it is. The caller has checked
// that the actor may.
func (s *Service) PutLogo(ctx context.Context, a actor.Actor, q db.Queryer, tenant string, logo LogoInfo, data []byte) (Branding, error) {
	return s.setLogo(ctx, a, q, tenant, logo, data)
}

// DeleteLogo removes the logo.
func (s *Service) DeleteLogo(ctx context.Context, a actor.Actor, q db.Queryer, tenant string) error {
	_, err := s.setLogo(ctx, a, q, tenant, LogoInfo{}, nil)
	return err
}

func (s *Service) setLogo(ctx context.Context, a actor.Actor, q db.Queryer, tenant string, logo LogoInfo, data []byte) (Branding, error) {
	before, err := s.HoldBranding(ctx, q, a.Environment, tenant)
	if err != nil || before.Logo == logo {
		return before, err
	}
	if _, err := q.Exec(ctx, sqlPutLogo, tenant, a.Environment, tenantRef(tenant), logo.Type, logo.Hash, logo.Width, logo.Height,
		base64.StdEncoding.EncodeToString(data), db.At(s.clock.Now())); err != nil {
		return before, err
	}
	return s.branded(ctx, a, q, tenant, "branding.updated", map[string]audit.Change{"logo": {From: before.Logo.Hash, To: logo.Hash}})
}

// DeleteBranding gives the pages the look that they have without.
func (s *Service) DeleteBranding(ctx context.Context, a actor.Actor, q db.Queryer, tenant string) error {
	n, err := q.Exec(ctx, sqlDeleteBranding, tenant, a.Environment)
	if err != nil || n == 0 {
		return err
	}
	return s.record(ctx, a, q, tenant, "branding.deleted", brandingTarget(a.Environment, tenant), nil)
}

func (s *Service) branded(ctx context.Context, a actor.Actor, q db.Queryer, tenant, action string, changes map[string]audit.Change) (Branding, error) {
	b, err := s.Branding(ctx, q, a.Environment, tenant)
	if err != nil || len(changes) == 0 {
		return b, err
	}
	return b, s.record(ctx, a, q, tenant, action, brandingTarget(a.Environment, tenant), changes)
}

func brandingTarget(environment, tenant string) audit.Target {
	if tenant == "" {
		return audit.Target{Type: "branding", ID: environment}
	}
	return audit.Target{Type: "branding", ID: tenant}
}

// tenantRef is the tenant as its foreign key wants it.
func tenantRef(tenant string) *string {
	if tenant == "" {
		return nil
	}
	return &tenant
}

// Logo reads the logo of that hash: an address that names an old one is gone.
//
// Fault: logo_not_found.
func (s *Service) Logo(ctx context.Context, q db.Queryer, environment, tenant, hash string) (kind string, data []byte, err error) {
	var text string
	err = q.QueryRow(ctx, sqlLogo, tenant, environment, hash).Scan(&kind, &text)
	if errors.Is(err, db.ErrNotFound) || err == nil && kind == "" {
		return "", nil, errNoLogo
	}
	if err != nil {
		return "", nil, err
	}
	data, err = base64.StdEncoding.DecodeString(text)
	return kind, data, err
}

// Bounds of the cache of brandings.
const (
	brandsFor = 10 * time.Second
	maxBrands = 1000
)

// Brands gives the look of pages. It keeps what it read; a change is seen after at
// most ten seconds.
type Brands struct {
	q     db.Queryer
	clock clock.Clock

	mu   sync.Mutex
	kept map[[2]string]keptBrand
}

type keptBrand struct {
	Branding
	until time.Time
}

// NewBrands makes the cache.
func NewBrands(q db.Queryer, c clock.Clock) *Brands {
	return &Brands{q: q, clock: c, kept: map[[2]string]keptBrand{}}
}

// Of is the look of a tenant's pages, or of the environment's where tenant is empty.
func (b *Brands) Of(ctx context.Context, environment, tenant string) (Branding, error) {
	own, err := b.one(ctx, environment, "")
	if err != nil || tenant == "" {
		return own, err
	}
	of, err := b.one(ctx, environment, tenant)
	return of.Over(own), err
}

func (b *Brands) one(ctx context.Context, environment, tenant string) (Branding, error) {
	key, now := [2]string{environment, tenant}, b.clock.Now()
	b.mu.Lock()
	k, ok := b.kept[key]
	b.mu.Unlock()
	if ok && now.Before(k.until) {
		return k.Branding, nil
	}
	read, err := readBranding(ctx, b.q, sqlBranding, environment, tenant)
	if err != nil {
		return read, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.kept) >= maxBrands {
		clear(b.kept)
	}
	b.kept[key] = keptBrand{read, now.Add(brandsFor)}
	return read, nil
}
