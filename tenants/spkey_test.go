package tenants

import (
	"crypto/rsa"
	"crypto/x509"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

type spFixture struct {
	*fixture
	tenant string
	conn   SSOConnection
}

func newSPFixture(t *testing.T, d db.DB) *spFixture {
	f := newFixture(t, d)
	tenant := f.fixtureTenant()
	return &spFixture{fixture: f, tenant: tenant, conn: f.samlConnection(tenant)}
}

func (f *fixture) fixtureTenant() string {
	return f.tenant(NewTenant{Name: "Acme", Key: "acme"}).ID
}

func (f *fixture) samlConnection(tenant string) (c SSOConnection) {
	f.Helper()
	f.tx(func(q db.Queryer) (err error) {
		c, err = f.s.CreateSSOConnection(f.Context(), f.admin, q, tenant, NewSSOConnection{Type: SAML, Name: "IdP", SAML: f.saml()})
		return err
	})
	return c
}

func (f *spFixture) states() string {
	f.Helper()
	list, err := f.s.SPKeys(f.Context(), f.d, f.tenant, f.conn.ID)
	if err != nil {
		f.Fatal(err)
	}
	var states []string
	for _, k := range list {
		states = append(states, k.State)
	}
	return strings.Join(states, " ")
}

func (f *spFixture) ensure() (k SPKey) {
	f.Helper()
	f.tx(func(q db.Queryer) (err error) {
		k, err = f.s.EnsureSPKey(f.Context(), f.admin, q, f.tenant, f.conn.ID)
		return err
	})
	return k
}

func (f *spFixture) rotate() (k SPKey) {
	f.Helper()
	f.tx(func(q db.Queryer) (err error) {
		k, err = f.s.RotateSPKey(f.Context(), f.admin, q, f.tenant, f.conn.ID)
		return err
	})
	return k
}

// A key of ours lives next, active, retired, and goes; one is active at a time.
func TestSPKeyRotation(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newSPFixture(t, d)
		if got := f.states(); got != "" {
			t.Fatalf("a new connection has keys: %s", got)
		}
		first := f.ensure()
		if again := f.ensure(); again.ID != first.ID || f.states() != "active" {
			t.Errorf("a second key: %s, %s", again.ID, f.states())
		}
		second := f.rotate()
		if second.State != SPKeyNext || !second.ActivatedAt.IsZero() || f.states() != "active next" {
			t.Errorf("%+v, %s", second, f.states())
		}
		f.want("sp_key_pending", func(q db.Queryer) error {
			_, err := f.s.RotateSPKey(t.Context(), f.admin, q, f.tenant, f.conn.ID)
			return err
		})
		activate := func(id string) func(db.Queryer) error {
			return func(q db.Queryer) error { return f.s.ActivateSPKey(t.Context(), f.admin, q, f.tenant, f.conn.ID, id) }
		}
		remove := func(id string) func(db.Queryer) error {
			return func(q db.Queryer) error { return f.s.DeleteSPKey(t.Context(), f.admin, q, f.tenant, f.conn.ID, id) }
		}
		f.want("sp_key_not_next", activate(first.ID))
		f.want("sp_key_active", remove(first.ID))
		f.tx(activate(second.ID))
		if f.states() != "active retired" {
			t.Errorf("after activation: %s", f.states())
		}
		list, err := f.s.SPKeys(t.Context(), d, f.tenant, f.conn.ID)
		if err != nil || list[0].ID != second.ID || !list[0].ActivatedAt.Equal(start) || !list[1].RetiredAt.Equal(start) {
			t.Errorf("%+v, %v", list, err)
		}
		f.want("sp_key_not_next", activate(first.ID))
		f.tx(remove(first.ID))
		f.want("sp_key_not_found", remove(first.ID))
		f.want("sp_key_not_found", activate("key_nobody"))
		if f.states() != "active" {
			t.Errorf("after deletion: %s", f.states())
		}
		if n := f.count(`SELECT COUNT(*) FROM audit_events WHERE tenant_id = $1 AND action IN ('sso_sp_key.created', 'sso_sp_key.activated', 'sso_sp_key.deleted')`, f.tenant); n != 4 {
			t.Errorf("%d events", n)
		}
		if n := f.count(`SELECT COUNT(*) FROM sso_sp_keys WHERE private_key NOT LIKE '1.%' OR private_key LIKE '%PRIVATE%'`); n != 0 {
			t.Error("a private key is stored in the open")
		}
	})
}

// The first key that an admin asks for is active: there is nothing to overlap with.
func TestSPKeyFirstRotation(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newSPFixture(t, d)
		if k := f.rotate(); k.State != SPKeyActive || !k.ActivatedAt.Equal(start) {
			t.Errorf("%+v", k)
		}
	})
}

func TestSPKeyMaterial(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newSPFixture(t, d)
		made := f.ensure()
		list, err := f.s.SPKeys(t.Context(), d, f.tenant, f.conn.ID)
		if err != nil || len(list) != 1 {
			t.Fatalf("%d keys, %v", len(list), err)
		}
		k := list[0]
		cert, err := k.Certificate()
		if err != nil {
			t.Fatal(err)
		}
		public, ok := cert.PublicKey.(*rsa.PublicKey)
		if !ok || public.N.BitLen() != 2048 || cert.Subject.CommonName != f.conn.ID || !cert.NotAfter.Equal(start.AddDate(3, 0, 0)) ||
			!k.NotAfter.Equal(cert.NotAfter) || !made.NotAfter.Equal(k.NotAfter) || !cert.NotBefore.Before(start) {
			t.Errorf("certificate %v to %v of %q", cert.NotBefore, cert.NotAfter, cert.Subject)
		}
		if err := cert.CheckSignature(x509.SHA256WithRSA, cert.RawTBSCertificate, cert.Signature); err != nil {
			t.Errorf("self-signature: %v", err)
		}
		key, err := f.s.SPPrivateKey(f.tenant, f.conn.ID, k)
		if err != nil || !key.PublicKey.Equal(public) {
			t.Fatalf("the private key is another's: %v", err)
		}
		if again, err := f.s.SPPrivateKey(f.tenant, f.conn.ID, k); err != nil || again != key {
			t.Errorf("the opened key is not remembered: %v", err)
		}
		// The sealed key opens at its own row alone, also after it was opened.
		for _, at := range [][2]string{{"ten_other", f.conn.ID}, {f.tenant, "sso_other"}} {
			if _, err := f.s.SPPrivateKey(at[0], at[1], k); err == nil {
				t.Errorf("the key of %s opened at %v", f.conn.ID, at)
			}
		}
		moved := k
		moved.ID = "key_other"
		if _, err := f.s.SPPrivateKey(f.tenant, f.conn.ID, moved); err == nil {
			t.Error("the key opened under another id")
		}
	})
}

// Another tenant's keys are not there.
func TestSPKeysOfOtherTenants(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newSPFixture(t, d)
		f.ensure()
		next := f.rotate()
		other := f.fixture.tenant(NewTenant{Name: "Globex", Key: "globex"}).ID
		theirs := f.user(other)
		for name, do := range map[string]func(actor.Actor, db.Queryer) error{
			"ensure": func(a actor.Actor, q db.Queryer) error {
				_, err := f.s.EnsureSPKey(t.Context(), a, q, other, f.conn.ID)
				return err
			},
			"rotate": func(a actor.Actor, q db.Queryer) error {
				_, err := f.s.RotateSPKey(t.Context(), a, q, other, f.conn.ID)
				return err
			},
			"activate": func(a actor.Actor, q db.Queryer) error {
				return f.s.ActivateSPKey(t.Context(), a, q, other, f.conn.ID, next.ID)
			},
			"delete": func(a actor.Actor, q db.Queryer) error {
				return f.s.DeleteSPKey(t.Context(), a, q, other, f.conn.ID, next.ID)
			},
		} {
			if err := d.Tx(t.Context(), func(q db.Queryer) error { return do(theirs, q) }); fault.KindOf(err) != fault.NotFound {
				t.Errorf("%s: %v", name, err)
			}
		}
		if list, err := f.s.SPKeys(t.Context(), d, other, f.conn.ID); err != nil || len(list) != 0 {
			t.Errorf("%d keys, %v", len(list), err)
		}
		if f.states() != "active next" {
			t.Errorf("states %s", f.states())
		}
	})
}

func TestSPKeyLimit(t *testing.T) {
	d := dbtest.Open(t, db.SQLite)
	f := newSPFixture(t, d)
	k := f.ensure()
	for i := range MaxSPKeys - 1 {
		f.tx(func(q db.Queryer) error {
			_, err := q.Exec(t.Context(), `INSERT INTO sso_sp_keys (tenant_id, connection_id, id, state, certificate, private_key, not_after, created_at)
VALUES ($1, $2, $3, 'retired', '', '', 1, 1)`, f.tenant, f.conn.ID, k.ID+string(rune('a'+i)))
			return err
		})
	}
	f.want("too_many", func(q db.Queryer) error {
		_, err := f.s.RotateSPKey(t.Context(), f.admin, q, f.tenant, f.conn.ID)
		return err
	})
	if got := strings.Fields(f.states()); len(got) != MaxSPKeys || slices.Contains(got, SPKeyNext) {
		t.Errorf("%q", got)
	}
}

// A pair that was made before the transaction is the one that it uses, once.
func TestReadySPKey(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newSPFixture(t, d)
		for range 2 { // one is enough
			if err := f.s.ReadySPKey(); err != nil {
				t.Fatal(err)
			}
		}
		if len(f.s.spare) != 1 {
			t.Fatalf("%d pairs wait", len(f.s.spare))
		}
		pair := f.s.spare[0]
		k := f.ensure()
		key, err := f.s.SPPrivateKey(f.tenant, f.conn.ID, k)
		if err != nil || !key.Equal(pair) || len(f.s.spare) != 0 {
			t.Errorf("another pair was used: %v, %d left", err, len(f.s.spare))
		}
		next, err := f.s.SPPrivateKey(f.tenant, f.conn.ID, f.rotate())
		if err != nil || next.Equal(pair) {
			t.Errorf("one pair for two keys: %v", err)
		}
	})
}

// SAML_NO_KEY tells administrators to save the settings: that makes the key.
func TestMissingSPKeyIsMade(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newSPFixture(t, d)
		save := func() {
			t.Helper()
			in := *f.saml()
			in.SignRequests = true
			f.tx(func(q db.Queryer) error {
				_, err := f.s.UpdateSSOConnection(t.Context(), f.admin, q, f.tenant, f.conn.ID, SSOPatch{SAML: &in})
				return err
			})
		}
		save()
		if _, err := d.Exec(t.Context(), `DELETE FROM sso_sp_keys WHERE tenant_id = $1`, f.tenant); err != nil {
			t.Fatal(err)
		}
		save()
		if got := f.states(); got != SPKeyActive {
			t.Errorf("keys: %q", got)
		}
	})
}
