package tenants

import (
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Product 126: after the last @, lower case, IDNA, exact.
func TestNormaliseDomain(t *testing.T) {
	for in, want := range map[string]string{
		"Acme.COM":          "acme.com",
		"acme.com.":         "acme.com",
		" acme.com ":        "acme.com",
		"münchen.de":        "xn--mnchen-3ya.de",
		"MÜNCHEN.de":        "xn--mnchen-3ya.de",
		"xn--mnchen-3ya.de": "xn--mnchen-3ya.de",
		"straße.de":         "xn--strae-oqa.de",
	} {
		if got, err := NormaliseDomain(in); err != nil || got != want {
			t.Errorf("NormaliseDomain(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "localhost", "127.0.0.1", "a..b", "acme com", "*.acme.com", "acme.com/x", "@acme.com", "-a.com", "a_b.com", "xn--a.com", string(make([]byte, 300))} {
		if got, err := NormaliseDomain(in); err == nil {
			t.Errorf("NormaliseDomain(%q) = %q", in, got)
		}
	}
	if d, err := EmailDomain(`"a@evil.com"@Acme.com`); err != nil || d != "acme.com" {
		t.Errorf("EmailDomain = %q, %v", d, err)
	}
	for _, in := range []string{"", "acme.com", "@acme.com"} {
		if _, err := EmailDomain(in); err == nil {
			t.Errorf("EmailDomain(%q) succeeded", in)
		}
	}
}

func TestDomains(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		a, b := f.tenant(NewTenant{Name: "A"}), f.tenant(NewTenant{Name: "B"})
		add := func(who actor.Actor, tenant, name string, verified bool) (x Domain, code string) {
			code = f.try(func(q db.Queryer) (err error) {
				x, err = f.s.AddDomain(ctx, who, q, tenant, name, verified)
				return err
			})
			return x, code
		}
		for name, want := range map[string]string{
			"gmail.com": "public_mail_domain", "GMX.de": "public_mail_domain", "co.uk": "public_suffix", "nonsense": "invalid_domain",
		} {
			if _, code := add(f.admin, a.ID, name, true); code != want {
				t.Errorf("%s: %q, want %q", name, code, want)
			}
		}
		// Identity rule 4: only a management key vouches; a tenant's admin proves.
		if _, code := add(f.user(a.ID), a.ID, "acme.test", true); code != "verification_required" {
			t.Errorf("a tenant's admin vouched: %q", code)
		}
		one, _ := add(f.user(a.ID), a.ID, "Acme.test", false)
		if one.Verified() || one.TXTName() != "_gatehouse-challenge.acme.test" || len(one.TXTValue) < 40 {
			t.Errorf("%+v", one)
		}
		if _, code := add(f.admin, a.ID, "acme.test", true); code != "domain_exists" {
			t.Errorf("twice: %q", code)
		}
		holders := func() int {
			return int(f.count(`SELECT COUNT(*) FROM locators l JOIN domains d ON d.tenant_id = l.tenant_id AND d.id = l.id AND d.verified_at IS NOT NULL
JOIN tenants t ON t.id = l.tenant_id AND t.status = 'active' WHERE l.kind = 'domain' AND l.key = $1`, DomainKey(f.env.ID, "acme.test")))
		}
		if n := holders(); n != 0 {
			t.Errorf("%d tenants hold an unproved domain", n)
		}
		check := func(r resolver) (x Domain, c DomainCheck) {
			c = f.s.LookupDomain(ctx, r, one)
			f.tx(func(q db.Queryer) (err error) {
				x, err = f.s.RecordDomain(ctx, f.admin, q, c)
				return err
			})
			return x, c
		}
		for name, r := range map[string]resolver{
			"no record":    {},
			"another":      {one.TXTName(): {"v=spf1 -all", one.TXTValue + "x"}},
			"at the apex":  {"acme.test": {one.TXTValue}},
			"no answer":    {one.TXTName(): nil},
			"other domain": {"_gatehouse-challenge.evil.test": {one.TXTValue}},
		} {
			if x, c := check(r); x.Verified() || c.Found || c.Detail == "" {
				t.Errorf("%s: verified %v, %+v", name, x.Verified(), c)
			}
		}
		if x, _ := check(resolver{one.TXTName(): {"other", one.TXTValue}}); !x.Verified() || x.VerifiedBy != VerifiedByDNS {
			t.Errorf("the right record: %+v", x)
		}
		// Several tenants may hold one domain.
		if _, code := add(f.admin, b.ID, "acme.test", true); code != "" {
			t.Errorf("a second tenant: %q", code)
		}
		if n := holders(); n != 2 {
			t.Errorf("%d holders, want 2", n)
		}
		// The value of one tenant proves nothing for another.
		if two, _ := f.s.Domains(ctx, d, b.ID); two[0].TXTValue == one.TXTValue {
			t.Error("two tenants share a challenge")
		}

		// A day later DNS fails, then the record is gone.
		f.clock.Advance(25 * time.Hour)
		if err := f.s.RecheckDomains(ctx, d, resolver{one.TXTName(): nil}); err != nil {
			t.Fatal(err)
		}
		if n := holders(); n != 2 {
			t.Errorf("%d holders after a failure of DNS, want 2", n)
		}
		f.clock.Advance(25 * time.Hour)
		if err := f.s.RecheckDomains(ctx, d, resolver{}); err != nil {
			t.Fatal(err)
		}
		if n := holders(); n != 1 {
			t.Errorf("%d holders after the record went, want the one that the vendor vouched for", n)
		}
		status := StatusSuspended
		f.tx(func(q db.Queryer) error {
			_, err := f.s.UpdateTenant(ctx, f.admin, q, b.ID, TenantPatch{Status: &status})
			return err
		})
		if n := holders(); n != 0 {
			t.Errorf("%d holders, want none: the tenant is suspended", n)
		}
		f.want("domain_not_found", func(q db.Queryer) error { return f.s.DeleteDomain(ctx, f.admin, q, b.ID, one.ID) })
		f.want("", func(q db.Queryer) error { return f.s.DeleteDomain(ctx, f.admin, q, a.ID, one.ID) })
	})
}

func TestPublicMailList(t *testing.T) {
	if len(publicMail) < 80 {
		t.Errorf("%d domains", len(publicMail))
	}
	for d := range publicMail {
		if n, err := NormaliseDomain(d); err != nil || n != d {
			t.Errorf("%q: %q, %v", d, n, err)
		}
	}
	if fault.KindOf(checkClaim("outlook.com")) != fault.Invalid {
		t.Error("outlook.com can be claimed")
	}
}
