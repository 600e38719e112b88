package tenants

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/sessions"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

type fixture struct {
	*testing.T
	d     db.DB
	s     *Service
	clock *clock.Fake
	env   Environment
	admin actor.Actor
}

func newFixture(t *testing.T, d db.DB) *fixture {
	t.Helper()
	v, err := keys.NewVault(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	c := clock.NewFake(start)
	f := &fixture{T: t, d: d, s: New(v, sessions.New(v, c), c, Options{}), clock: c}
	f.tx(func(q db.Queryer) (err error) {
		f.env, err = f.s.EnsureDefault(t.Context(), q, "https://id.example.com")
		return err
	})
	f.admin = actor.Actor{Environment: f.env.ID, Kind: actor.Management, Subject: "key_1"}
	return f
}

func (f *fixture) tx(do func(db.Queryer) error) {
	f.Helper()
	if err := f.d.Tx(f.Context(), do); err != nil {
		f.Fatal(err)
	}
}

// try runs an operation in a transaction and gives the code of its failure.
func (f *fixture) try(do func(db.Queryer) error) string {
	f.Helper()
	err := f.d.Tx(f.Context(), do)
	if err != nil && fault.CodeOf(err) == "" {
		f.Fatal(err)
	}
	return fault.CodeOf(err)
}

func (f *fixture) want(code string, do func(db.Queryer) error) {
	f.Helper()
	if got := f.try(do); got != code {
		f.Errorf("code = %q, want %q", got, code)
	}
}

func (f *fixture) tenant(in NewTenant) (t Tenant) {
	f.Helper()
	f.tx(func(q db.Queryer) (err error) {
		t, err = f.s.CreateTenant(f.Context(), f.admin, q, in)
		return err
	})
	return t
}

// removal is a run of the job that drops deleted tenants.
func (f *fixture) removal(steps ...Removal) {
	f.Helper()
	if err := f.s.Remove(f.Context(), f.d, steps...); err != nil {
		f.Fatal(err)
	}
}

// user is an actor of the tenant.
func (f *fixture) user(tenant string) actor.Actor {
	return actor.Actor{Environment: f.env.ID, Tenant: tenant, Kind: actor.User, Subject: "usr_1"}
}

func (f *fixture) count(sql string, args ...any) (n int64) {
	f.Helper()
	if err := f.d.QueryRow(f.Context(), sql, args...).Scan(&n); err != nil {
		f.Fatal(err)
	}
	return n
}

// resolver answers from a map; a nil entry is a server failure.
type resolver map[string][]string

func (r resolver) LookupTXT(_ context.Context, name string) ([]string, error) {
	values, ok := r[name]
	switch {
	case !ok:
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	case values == nil:
		return nil, errors.New("server misbehaving")
	}
	return values, nil
}

func certificate(t *testing.T, bits int, notAfter time.Time) string {
	t.Helper()
	var public, private any
	if bits == 0 {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		public, private = &k.PublicKey, k
	} else {
		t.Setenv("GODEBUG", "rsa1024min=0")
		k, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Fatal(err)
		}
		public, private = &k.PublicKey, k
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "idp"}, NotBefore: notAfter.AddDate(-5, 0, 0), NotAfter: notAfter}
	der, err := x509.CreateCertificate(rand.Reader, c, c, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// foreignCertificate is of an RSA key that nobody has.
func foreignCertificate(t *testing.T, bits int) string {
	t.Helper()
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits)-1)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "idp"}, NotBefore: start, NotAfter: start.AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}, signer)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func (f *fixture) key(notAfter time.Time) IdPKey {
	f.Helper()
	k, err := ParseIdPKey(certificate(f.T, 0, notAfter))
	if err != nil {
		f.Fatal(err)
	}
	return k
}

func (f *fixture) saml() *SAMLSettings {
	return &SAMLSettings{
		IdPEntityID: "https://idp.example/entity", SSOURL: "https://idp.example/sso", ClockSkew: DefaultClockSkew,
		Keys: []IdPKey{f.key(start.AddDate(1, 0, 0))},
	}
}
