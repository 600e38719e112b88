package tenants

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// proved gives the tenant n domains that DNS proved, the oldest check first.
func (f *fixture) proved(tenant string, n int) (list []Domain) {
	f.Helper()
	f.tx(func(q db.Queryer) error {
		for i := range n {
			d, err := f.s.AddDomain(f.Context(), f.user(tenant), q, tenant, fmt.Sprintf("d%d.example", i), false)
			if err != nil {
				return err
			}
			if d, err = f.s.RecordDomain(f.Context(), f.admin, q, DomainCheck{Domain: d, Found: true}); err != nil {
				return err
			}
			list = append(list, d)
		}
		return nil
	})
	return list
}

// lookups counts questions, and how many wait at once; the first eight wait for
// each other.
type lookups struct {
	asked, now, most atomic.Int64
	together         chan struct{}
	answer           func(name string) ([]string, error)
}

func (l *lookups) LookupTXT(ctx context.Context, name string) ([]string, error) {
	n := l.now.Add(1)
	defer l.now.Add(-1)
	for most := l.most.Load(); n > most && !l.most.CompareAndSwap(most, n); most = l.most.Load() {
	}
	if l.asked.Add(1) == 8 {
		close(l.together)
	}
	select {
	case <-l.together:
		return l.answer(name)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// One run looks at all that is due, several at once.
func TestRecheckGoesThroughAll(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		a := f.tenant(NewTenant{Name: "A"})
		values := map[string]string{}
		for _, x := range f.proved(a.ID, 330) {
			values[x.TXTName()] = x.TXTValue
		}
		gone := "_gatehouse-challenge.d300.example"
		l := &lookups{together: make(chan struct{}), answer: func(name string) ([]string, error) {
			if name == gone {
				return nil, &net.DNSError{IsNotFound: true}
			}
			return []string{values[name]}, nil
		}}
		if err := f.s.RecheckDomains(ctx, d, l); err != nil || l.asked.Load() != 0 {
			t.Errorf("%d asked at once, %v", l.asked.Load(), err)
		}
		f.clock.Advance(24*time.Hour + time.Second)
		near, cancel := context.WithTimeout(ctx, dnsTimeout)
		defer cancel()
		if err := f.s.RecheckDomains(near, d, l); err != nil || l.asked.Load() != 0 {
			t.Errorf("%d asked just before the deadline, %v", l.asked.Load(), err)
		}
		if err := f.s.RecheckDomains(ctx, d, l); err != nil {
			t.Fatal(err)
		}
		if l.asked.Load() != 330 || l.most.Load() != 8 {
			t.Errorf("%d asked, %d at once", l.asked.Load(), l.most.Load())
		}
		if n := f.count(`SELECT COUNT(*) FROM domains WHERE verified_at IS NOT NULL`); n != 329 {
			t.Errorf("%d verified", n)
		}
		if err := f.s.RecheckDomains(ctx, d, l); err != nil || l.asked.Load() != 330 {
			t.Errorf("%d asked twice a day, %v", l.asked.Load()-330, err)
		}
	})
}

// DNS that does not answer keeps a domain for a week, and no longer.
func TestDomainLapsesWithoutAnswer(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		a := f.tenant(NewTenant{Name: "A"})
		x := f.proved(a.ID, 1)[0]
		silent := resolver{x.TXTName(): nil}
		check := func(r Resolver) bool {
			f.clock.Advance(24*time.Hour + time.Second)
			if err := f.s.RecheckDomains(ctx, d, r); err != nil {
				t.Fatal(err)
			}
			got, err := f.s.Domain(ctx, d, a.ID, x.ID)
			if err != nil {
				t.Fatal(err)
			}
			return got.Verified()
		}
		for range 4 {
			if !check(silent) {
				t.Fatal("lapsed within the week")
			}
		}
		if !check(resolver{x.TXTName(): {x.TXTValue}}) {
			t.Fatal("lapsed although DNS answered")
		}
		for day := range 6 {
			if !check(silent) {
				t.Fatalf("lapsed on day %d after the last answer", day+1)
			}
		}
		if check(silent) {
			t.Error("verified a week after the last answer")
		}
		if n := f.count(`SELECT COUNT(*) FROM audit_events WHERE tenant_id = $1 AND action = 'domain.lapsed'`, a.ID); n != 1 {
			t.Errorf("%d events", n)
		}
		if n := f.count(`SELECT COUNT(*) FROM locators WHERE kind = 'domain'`); n != 0 {
			t.Error("the domain still leads to the tenant")
		}
	})
}

// A run that is cut short has learned nothing of DNS.
func TestRecheckCutShort(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		a := f.tenant(NewTenant{Name: "A"})
		f.proved(a.ID, 1)
		f.clock.Advance(8 * 24 * time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		l := &lookups{together: make(chan struct{}), answer: func(string) ([]string, error) { return nil, errors.New("never") }}
		go func() {
			for l.asked.Load() == 0 {
				time.Sleep(time.Millisecond)
			}
			cancel()
		}()
		if err := f.s.RecheckDomains(ctx, d, l); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if n := f.count(`SELECT COUNT(*) FROM domains WHERE verified_at IS NOT NULL`); n != 1 {
			t.Error("the domain lapsed")
		}
	})
}
