package factor

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// A flood of wrong tries from one network address makes that address wait, and
// nobody else: neither another address, nor a browser behind the same one in which
// the account has signed in before. A browser is known for its own accounts alone,
// and the account's own count holds everybody up.
func TestFloodFromOneAddress(t *testing.T) {
	each(t, func(w world) {
		ada, grace := Typed("ada@acme.example"), Typed("grace@acme.example")
		try := func(a Account, from Origin) (Try, bool) {
			t.Helper()
			got, err := w.CountFrom(w.ctx(), w.env.ID, a, from, Lock{})
			if err != nil && fault.CodeOf(err) != "SIGNIN_TOO_MANY_ATTEMPTS" {
				t.Fatal(err)
			}
			return got, err == nil
		}
		held := func(got Try) {
			w.tx(func(q db.Queryer) error { return q.Batch(w.ctx(), w.HeldStmts(got)) })
		}
		usual := Origin{IP: here, Browser: "the browser in which ada signs in each day"}
		first, ok := try(ada, usual)
		if !ok {
			t.Fatal("the first try waits")
		}
		held(first)
		for i := 0; ; i++ {
			if _, ok := try(Typed(fmt.Sprintf("victim%d@acme.example", i)), Origin{IP: here}); !ok {
				break
			}
			if i > freeAddressTries {
				t.Fatal("nothing stops a flood")
			}
		}
		for name, x := range map[string]struct {
			account Account
			from    Origin
			want    bool
		}{
			"the same address":                        {grace, Origin{IP: here}, false},
			"a browser that nobody knows":             {ada, Origin{IP: here, Browser: "another"}, false},
			"a browser that is known for another":     {grace, usual, false},
			"the usual browser":                       {ada, usual, true},
			"another address":                         {grace, Origin{IP: netip.MustParseAddr("198.51.100.7")}, true},
			"the usual browser, at another address":   {ada, Origin{IP: netip.MustParseAddr("198.51.100.8"), Browser: usual.Browser}, true},
			"an address that is not known to anybody": {grace, Origin{}, true},
		} {
			got, ok := try(x.account, x.from)
			if ok != x.want {
				t.Errorf("%s: judged %t, want %t", name, ok, x.want)
			}
			if ok {
				held(got)
			}
		}
		// Being known spares nobody the wait of his own account.
		for range freeTries + 1 {
			try(ada, usual)
		}
		if _, ok := try(ada, usual); ok {
			t.Error("a known browser guesses without end")
		}
		// Nor does it last for ever.
		w.fake.Advance(knownFor)
		if err := w.Purge(w.ctx()); err != nil {
			t.Fatal(err)
		}
		for i := range freeAddressTries + 1 {
			try(Typed(fmt.Sprintf("later%d@acme.example", i)), Origin{IP: here})
		}
		if _, ok := try(ada, usual); ok {
			t.Error("the browser is known for ever")
		}
	})
}

// An office of many people mistypes now and then, for ever: its address never has to
// wait. Whoever tries one password with many accounts comes to one in addressPace.
func TestAddressPaysOffInTime(t *testing.T) {
	each(t, func(w world) {
		n := 0
		try := func() error {
			n++
			_, err := w.Count(w.ctx(), w.env.ID, Typed(fmt.Sprintf("person%d@acme.example", n)), here, Lock{})
			return err
		}
		for range 4 * freeAddressTries {
			if err := try(); err != nil {
				t.Fatalf("mistake %d in the office: %v", n, err)
			}
			w.fake.Advance(addressPace)
		}
		began, through := w.fake.Now(), 0
		for w.fake.Now().Before(began.Add(time.Hour)) {
			err := try()
			if err == nil {
				through++
				continue
			}
			f, _ := fault.From(err)
			if f == nil || f.RetryAfter <= 0 || f.RetryAfter > maxAddressDelay {
				t.Fatal(err)
			}
			w.fake.Advance(f.RetryAfter)
		}
		if most := freeAddressTries + 10 + int(time.Hour/addressPace); through > most || through < most/2 {
			t.Errorf("%d guesses of an hour were judged, want at most %d", through, most)
		}
	})
}
