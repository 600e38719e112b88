package tenants

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

const (
	maxDomains   = 500
	txtPrefix    = "gatehouse-domain-verification="
	dnsTimeout   = 5 * time.Second
	recheckAfter = 24 * time.Hour
	recheckBatch = 500
	// recheckAtOnce bounds the questions that wait for DNS.
	recheckAtOnce = 8
	// silenceLapses is how long a domain stays verified when DNS does not answer.
	silenceLapses = 7 * 24 * time.Hour
)

var errDomainTaken = fault.New(fault.Conflict, "domain_exists", "The tenant already has this domain.").In("domain")

// AddDomain adds a domain to a tenant. verified is for management keys only: the
// vendor answers for it; everybody else proves it by DNS (identity rule 4).
func (s *Service) AddDomain(ctx context.Context, a actor.Actor, q db.Queryer, tenant, name string, verified bool) (Domain, error) {
	if verified && a.Kind != actor.Management {
		return Domain{}, fault.New(fault.Forbidden, "verification_required", "A domain is verified by its DNS record. Only a management key may skip that.").In("verified")
	}
	name, err := NormaliseDomain(name)
	if err != nil {
		return Domain{}, err
	}
	if err := checkClaim(name); err != nil {
		return Domain{}, err
	}
	n, err := count(ctx, q, sqlCountDomains, tenant)
	if err != nil {
		return Domain{}, err
	}
	if n >= maxDomains {
		return Domain{}, tooMany("500 domains")
	}
	now := s.clock.Now()
	d := Domain{
		ID: id.New(id.Domain), Tenant: tenant, Environment: a.Environment, Domain: name,
		TXTValue: txtPrefix + secret.Random(), CreatedAt: now,
	}
	if verified {
		d.VerifiedAt, d.VerifiedBy, d.CheckedAt = now, VerifiedByManagementKey, now
	}
	if _, err := q.Exec(ctx, sqlInsertDomain, tenant, d.ID, d.Environment, d.Domain, d.TXTValue, db.At(d.VerifiedAt), d.VerifiedBy, db.At(now)); err != nil {
		return Domain{}, conflict(err, "domains_tenant_id_domain_key", errDomainTaken)
	}
	if err := s.record(ctx, a, q, tenant, "domain.created", domainTarget(d), nil); err != nil {
		return Domain{}, err
	}
	if verified {
		if err := s.locateDomain(ctx, q, d); err != nil {
			return Domain{}, err
		}
		return d, s.record(ctx, a, q, tenant, "domain.verified", domainTarget(d), map[string]audit.Change{"verified_by": {From: "", To: d.VerifiedBy}})
	}
	return d, nil
}

// Domain finds a domain of a tenant.
func (s *Service) Domain(ctx context.Context, q db.Queryer, tenant, domainID string) (Domain, error) {
	return scanDomain(q.QueryRow(ctx, sqlDomain, tenant, domainID))
}

// Domains lists a tenant's domains by name.
func (s *Service) Domains(ctx context.Context, q db.Queryer, tenant string) ([]Domain, error) {
	return scanDomains(q.Query(ctx, sqlDomains, tenant))
}

// DomainCheck is what DNS said about a domain.
type DomainCheck struct {
	Domain Domain
	// Found: the record is there. Unknown: DNS did not answer, which proves neither.
	Found   bool
	Unknown bool
	Detail  string // for the admin
}

// LookupDomain asks DNS for the domain's record. It is slow and so runs outside
// any transaction; RecordDomain keeps the answer.
func (s *Service) LookupDomain(ctx context.Context, r Resolver, d Domain) DomainCheck {
	ctx, cancel := context.WithTimeout(ctx, dnsTimeout)
	defer cancel()
	values, err := r.LookupTXT(ctx, d.TXTName())
	if err != nil {
		var e *net.DNSError
		if errors.As(err, &e) && e.IsNotFound {
			return DomainCheck{Domain: d, Detail: "There is no TXT record at " + d.TXTName() + "."}
		}
		return DomainCheck{Domain: d, Unknown: true, Detail: "DNS did not answer for " + d.TXTName() + ". Try again later."}
	}
	found := slices.ContainsFunc(values, func(v string) bool { return strings.TrimSpace(v) == d.TXTValue })
	if found {
		return DomainCheck{Domain: d, Found: true, Detail: "The record is there."}
	}
	return DomainCheck{Domain: d, Detail: "There is a TXT record at " + d.TXTName() + ", but not with the value that this domain needs."}
}

// RecordDomain keeps the outcome of a check: a domain that is found becomes
// verified, a domain proved by DNS lapses when its record is gone, or a week
// after DNS last showed it.
func (s *Service) RecordDomain(ctx context.Context, a actor.Actor, q db.Queryer, c DomainCheck) (Domain, error) {
	d, err := scanDomain(q.QueryRow(ctx, sqlDomain+q.Dialect().ForUpdate, c.Domain.Tenant, c.Domain.ID))
	if err != nil {
		return Domain{}, err
	}
	now := s.clock.Now()
	d.CheckedAt = now
	if c.Found {
		d.ConfirmedAt = now
	}
	gone := !c.Found && (!c.Unknown || now.Sub(d.ConfirmedAt) >= silenceLapses)
	action := ""
	switch {
	case c.Found && !d.Verified():
		d.VerifiedAt, d.VerifiedBy, action = now, VerifiedByDNS, "domain.verified"
	case gone && d.VerifiedBy == VerifiedByDNS:
		d.VerifiedAt, d.VerifiedBy, action = time.Time{}, "", "domain.lapsed"
	}
	if _, err := q.Exec(ctx, sqlCheckedDomain, d.Tenant, d.ID, db.At(d.VerifiedAt), d.VerifiedBy, db.At(now), db.At(d.ConfirmedAt)); err != nil {
		return Domain{}, err
	}
	if action == "" {
		return d, nil
	}
	if d.Verified() {
		err = s.locateDomain(ctx, q, d)
	} else {
		_, err = q.Exec(ctx, sqlDeleteLocator, d.Tenant, "domain", DomainKey(d.Environment, d.Domain), d.ID)
	}
	if err != nil {
		return Domain{}, err
	}
	a.Environment = d.Environment
	return d, s.record(ctx, a, q, d.Tenant, action, domainTarget(d), nil)
}

// DeleteDomain removes a domain from a tenant. Existing links keep logging in.
func (s *Service) DeleteDomain(ctx context.Context, a actor.Actor, q db.Queryer, tenant, domainID string) error {
	d, err := s.Domain(ctx, q, tenant, domainID)
	if err != nil {
		return err
	}
	err = q.Batch(ctx, []db.Stmt{
		{SQL: sqlDeleteDomain, Args: []any{tenant, d.ID}},
		{SQL: sqlDeleteLocator, Args: []any{tenant, "domain", DomainKey(d.Environment, d.Domain), d.ID}},
	})
	if err != nil {
		return err
	}
	return s.record(ctx, a, q, tenant, "domain.deleted", domainTarget(d), nil)
}

// RecheckDomains looks again at the domains proved by DNS that were last looked
// at a day ago, the longest unchecked first and eight at a time, until none is
// left or the deadline of ctx is near; the next run goes on. It is a job of its
// own and so opens its transactions, one per domain.
func (s *Service) RecheckDomains(ctx context.Context, d db.DB, r Resolver) error {
	before := db.At(s.clock.Now().Add(-recheckAfter))
	var last Domain
	var failed []error
	for !endsSoon(ctx) {
		// Beyond the last: what cannot be recorded does not hold up the rest.
		due, err := scanDomains(d.Query(ctx, sqlDomainsToCheck, before, last.CheckedAt.UnixMicro(), last.ID, recheckBatch))
		if err != nil || len(due) == 0 {
			return errors.Join(append(failed, err)...)
		}
		failed = append(failed, s.recheck(ctx, d, r, due)...)
		last = due[len(due)-1]
	}
	return errors.Join(failed...)
}

func (s *Service) recheck(ctx context.Context, d db.DB, r Resolver, due []Domain) []error {
	errs := make([]error, len(due))
	slots := make(chan struct{}, recheckAtOnce)
	var work sync.WaitGroup
	for i, domain := range due {
		slots <- struct{}{}
		if endsSoon(ctx) {
			break
		}
		work.Go(func() {
			defer func() { <-slots }()
			check := s.LookupDomain(ctx, r, domain)
			if errs[i] = ctx.Err(); errs[i] != nil {
				return // the silence is ours
			}
			errs[i] = d.Tx(ctx, func(q db.Queryer) error {
				_, err := s.RecordDomain(ctx, actor.Actor{Environment: domain.Environment, Kind: actor.System}, q, check)
				return err
			})
			if errors.Is(errs[i], ErrDomainNotFound) {
				errs[i] = nil // deleted meanwhile
			}
		})
	}
	work.Wait()
	return slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}

// endsSoon reports whether ctx leaves no time for another lookup and its record.
func endsSoon(ctx context.Context) bool {
	end, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && time.Until(end) < 2*dnsTimeout
}

func (s *Service) locateDomain(ctx context.Context, q db.Queryer, d Domain) error {
	_, err := q.Exec(ctx, sqlInsertLocator, d.Tenant, "domain", DomainKey(d.Environment, d.Domain), d.Environment, d.ID)
	return err
}

func domainTarget(d Domain) audit.Target {
	return audit.Target{Type: "domain", ID: d.ID, Name: d.Domain}
}

func scanDomain(r db.Row) (Domain, error) {
	var d Domain
	var verified, checked, confirmed, created db.Time
	err := r.Scan(&d.ID, &d.Tenant, &d.Environment, &d.Domain, &d.TXTValue, &verified, &d.VerifiedBy, &checked, &confirmed, &created)
	if errors.Is(err, db.ErrNotFound) {
		return Domain{}, ErrDomainNotFound
	}
	d.VerifiedAt, d.CheckedAt, d.ConfirmedAt, d.CreatedAt = verified.Time, checked.Time, confirmed.Time, created.Time
	return d, err
}

func scanDomains(rows db.Rows, err error) ([]Domain, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Domain
	for rows.Next() {
		d, err := scanDomain(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, rows.Err()
}
