package keys

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

var start = time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)

func newVault(t testing.TB, fill byte) *Vault {
	t.Helper()
	v, err := NewVault([]byte(strings.Repeat(string(fill), MasterSize)))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func environment(t testing.TB, d db.DB, id string) string {
	t.Helper()
	_, err := d.Exec(t.Context(), `INSERT INTO environments (id, name, base_url, is_default, created_at, updated_at) VALUES ($1, $1, '', FALSE, 1, 1)`, id)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestVaultBindsTheRow(t *testing.T) {
	v := newVault(t, 'k')
	sealed, err := v.Seal("sso_connections", "secret", "sso_1", []byte("hush"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(sealed, "hush") {
		t.Fatal("the value is readable")
	}
	plain, err := v.Open("sso_connections", "secret", "sso_1", sealed)
	if err != nil || string(plain) != "hush" {
		t.Fatalf("open: %q, %v", plain, err)
	}
	again, err := v.Seal("sso_connections", "secret", "sso_1", []byte("hush"))
	if err != nil || again == sealed {
		t.Error("two seals of one value are equal", err)
	}
	changed := sealed[:len(sealed)-1] + "A"
	if changed == sealed {
		changed = sealed[:len(sealed)-1] + "B"
	}
	for name, open := range map[string]func() ([]byte, error){
		"another row":    func() ([]byte, error) { return v.Open("sso_connections", "secret", "sso_2", sealed) },
		"another column": func() ([]byte, error) { return v.Open("sso_connections", "settings", "sso_1", sealed) },
		"another table":  func() ([]byte, error) { return v.Open("applications", "secret", "sso_1", sealed) },
		"another master": func() ([]byte, error) { return newVault(t, 'x').Open("sso_connections", "secret", "sso_1", sealed) },
		"changed":        func() ([]byte, error) { return v.Open("sso_connections", "secret", "sso_1", changed) },
		"plain text":     func() ([]byte, error) { return v.Open("sso_connections", "secret", "sso_1", "hush") },
		"empty":          func() ([]byte, error) { return v.Open("sso_connections", "secret", "sso_1", "") },
		"prefix alone":   func() ([]byte, error) { return v.Open("sso_connections", "secret", "sso_1", "1.") },
	} {
		if _, err := open(); !errors.Is(err, ErrOpen) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMasterKeySize(t *testing.T) {
	for _, n := range []int{0, 16, 31, 33} {
		if _, err := NewVault(make([]byte, n)); !errors.Is(err, ErrMasterSize) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestMACTellsPartsApart(t *testing.T) {
	v := newVault(t, 'k')
	seen := map[string]string{}
	for name, mac := range map[string]string{
		"ab c": v.MAC("p", "ab", "c"), "a bc": v.MAC("p", "a", "bc"), "abc": v.MAC("p", "abc"), "abc ": v.MAC("p", "abc", ""),
		"purpose": v.MAC("pa", "bc"), "other key": newVault(t, 'x').MAC("p", "ab", "c"),
	} {
		if len(mac) != 43 {
			t.Errorf("%s: %d characters", name, len(mac))
		}
		if other, ok := seen[mac]; ok {
			t.Errorf("%q and %q have one MAC", name, other)
		}
		seen[mac] = name
	}
	if !Equal(v.MAC("p", "a"), v.MAC("p", "a")) || Equal(v.MAC("p", "a"), v.MAC("p", "b")) {
		t.Error("Equal is wrong")
	}
}

func TestCheckMaster(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		v := newVault(t, 'k')
		for range 2 {
			if err := CheckMaster(t.Context(), d, v, start); err != nil {
				t.Fatal(err)
			}
		}
		if err := CheckMaster(t.Context(), d, newVault(t, 'x'), start); !errors.Is(err, ErrWrongMaster) {
			t.Fatalf("another master key: %v", err)
		}
	})
}

type claims struct {
	Subject string `json:"sub"`
}

func TestSignAndVerify(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		ctx := t.Context()
		ring := NewRing(d, newVault(t, 'k'), clock.NewFake(start))
		env := environment(t, d, "env_a")
		other := environment(t, d, "env_b")
		if _, err := ring.Sign(ctx, env, ES256, "JWT", claims{"u"}); !errors.Is(err, ErrNoKey) {
			t.Fatalf("without keys: %v", err)
		}
		for _, e := range []string{env, other, env} {
			if err := ring.Ensure(ctx, e); err != nil {
				t.Fatal(err)
			}
		}
		set := jwks(t, ring, env)
		if len(set.Keys) != 3 {
			t.Fatalf("%d keys after Ensure twice", len(set.Keys))
		}
		for _, alg := range Algorithms {
			token, err := ring.Sign(ctx, env, alg, "at+jwt", claims{"usr_1"})
			if err != nil {
				t.Fatal(err)
			}
			var got claims
			if err := ring.Verify(ctx, env, token, "at+jwt", &got); err != nil || got.Subject != "usr_1" {
				t.Errorf("%s: %v %v", alg, got, err)
			}
			// An application verifies with nothing but the published set.
			jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := jws.Verify(&set); err != nil {
				t.Errorf("%s by the key set: %v", alg, err)
			}
			bad := map[string]struct{ env, token, typ string }{
				"typ":                 {env, token, "JWT"},
				"typ case":            {env, token, "AT+JWT"},
				"another environment": {other, token, "at+jwt"},
				"no environment":      {"env_none", token, "at+jwt"},
				"empty":               {env, "", "at+jwt"},
				"two parts":           {env, token[:strings.LastIndex(token, ".")], "at+jwt"},
				"no signature":        {env, token[:strings.LastIndex(token, ".")+1], "at+jwt"},
				"large":               {env, token + strings.Repeat("A", MaxToken), "at+jwt"},
				"payload changed":     {env, swapPayload(token, `{"sub":"usr_2"}`), "at+jwt"},
			}
			for name, b := range bad {
				if err := ring.Verify(ctx, b.env, b.token, b.typ, &claims{}); !errors.Is(err, ErrInvalidToken) {
					t.Errorf("%s: %s: %v", alg, name, err)
				}
			}
		}
	})
}

// A header must not choose how it is checked (RFC 8725 §2.1, §3.1).
func TestVerifyRefusesOtherAlgorithms(t *testing.T) {
	d := dbtest.Open(t, db.SQLite)
	ctx := t.Context()
	ring := NewRing(d, newVault(t, 'k'), clock.NewFake(start))
	env := environment(t, d, "env_a")
	if err := ring.Ensure(ctx, env); err != nil {
		t.Fatal(err)
	}
	kids := map[string]string{}
	var es jose.JSONWebKey
	for _, k := range jwks(t, ring, env).Keys {
		kids[k.Algorithm] = k.KeyID
		if k.Algorithm == ES256 {
			es = k
		}
	}
	header := func(h map[string]any) string {
		raw, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(raw) + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"x"}`))
	}
	_, attacker, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(alg jose.SignatureAlgorithm, key any, opts *jose.SignerOptions) string {
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, opts.WithType("JWT"))
		if err != nil {
			t.Fatal(err)
		}
		jws, err := s.Sign([]byte(`{"sub":"x"}`))
		if err != nil {
			t.Fatal(err)
		}
		out, err := jws.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	public, err := es.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{
		"none":                 header(map[string]any{"alg": "none", "typ": "JWT", "kid": kids[ES256]}) + ".",
		"HS256 of the public":  sign(jose.HS256, public, (&jose.SignerOptions{}).WithHeader("kid", kids[ES256])),
		"foreign key, our kid": sign(jose.EdDSA, attacker, (&jose.SignerOptions{}).WithHeader("kid", kids[EdDSA])),
		"kid of another alg":   sign(jose.EdDSA, attacker, (&jose.SignerOptions{}).WithHeader("kid", kids[ES256])),
		"embedded jwk":         sign(jose.EdDSA, attacker, &jose.SignerOptions{EmbedJWK: true}),
		"no kid":               sign(jose.EdDSA, attacker, &jose.SignerOptions{}),
		"crit":                 sign(jose.EdDSA, attacker, (&jose.SignerOptions{}).WithHeader("kid", kids[EdDSA]).WithHeader("crit", []string{"x"}).WithHeader("x", 1)),
	} {
		if err := ring.Verify(ctx, env, token, "JWT", &claims{}); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEnsureOnTwoReplicas(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		env := environment(t, d, "env_a")
		v := newVault(t, 'k')
		c := clock.NewFake(start)
		var wg sync.WaitGroup
		rings := []*Ring{NewRing(d, v, c), NewRing(d, v, c)}
		for _, r := range rings {
			wg.Go(func() {
				if err := r.Ensure(context.WithoutCancel(t.Context()), env); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, r := range rings {
			if n := len(jwks(t, r, env).Keys); n != 3 {
				t.Errorf("%d keys", n)
			}
		}
	})
}

func TestRotationIsSeenByAnotherReplica(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		ctx := t.Context()
		env := environment(t, d, "env_a")
		v := newVault(t, 'k')
		c := clock.NewFake(start)
		one, two := NewRing(d, v, c), NewRing(d, v, c)
		if err := one.Ensure(ctx, env); err != nil {
			t.Fatal(err)
		}
		before, err := two.Sign(ctx, env, ES256, "JWT", claims{"u"})
		if err != nil {
			t.Fatal(err)
		}
		if err := one.Rotate(ctx, env, ES256); err != nil {
			t.Fatal(err)
		}
		after, err := one.Sign(ctx, env, ES256, "JWT", claims{"u"})
		if err != nil {
			t.Fatal(err)
		}
		if kidOf(t, before) == kidOf(t, after) {
			t.Fatal("the key did not change")
		}
		var events int
		const recorded = `SELECT COUNT(*) FROM audit_events WHERE tenant_id = '' AND environment_id = $1 AND action = 'signing_key.rotated' AND targets LIKE '%' || $2 || '%' AND changes LIKE '%' || $3 || '%'`
		if err := d.QueryRow(ctx, recorded, env, kidOf(t, after), kidOf(t, before)).Scan(&events); err != nil || events != 1 {
			t.Errorf("%d events, %v", events, err)
		}
		if err := one.Verify(ctx, env, before, "JWT", &claims{}); err != nil {
			t.Errorf("a token of the retired key: %v", err)
		}
		// Two has the old set; an unknown kid makes it look again.
		c.Advance(reload)
		if err := two.Verify(ctx, env, after, "JWT", &claims{}); err != nil {
			t.Errorf("a token of the new key at the other replica: %v", err)
		}
		if n := len(jwks(t, two, env).Keys); n != 4 {
			t.Errorf("%d keys published, want the retired one too", n)
		}
		c.Advance(publishRetired)
		if n := len(jwks(t, two, env).Keys); n != 3 {
			t.Errorf("%d keys published after a day", n)
		}
		if err := two.Verify(ctx, env, before, "JWT", &claims{}); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("a token of a dropped key: %v", err)
		}
		if err := one.Rotate(ctx, env, "HS256"); err == nil {
			t.Error("rotated to HS256")
		}
	})
}

func TestRotateDue(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		ctx := t.Context()
		env := environment(t, d, "env_a")
		c := clock.NewFake(start)
		ring := NewRing(d, newVault(t, 'k'), c)
		if err := ring.Ensure(ctx, env); err != nil {
			t.Fatal(err)
		}
		token, err := ring.Sign(ctx, env, ES256, "JWT", claims{"u"})
		if err != nil {
			t.Fatal(err)
		}
		first := kidOf(t, token)
		step := func(by time.Duration, wantKeys int, wantFirst bool) {
			t.Helper()
			c.Advance(by)
			for range 2 { // a second run finds nothing to do
				if err := ring.RotateDue(ctx); err != nil {
					t.Fatal(err)
				}
			}
			c.Advance(fresh)
			if n := len(jwks(t, ring, env).Keys); n != wantKeys {
				t.Errorf("%d keys published, want %d", n, wantKeys)
			}
			token, err := ring.Sign(ctx, env, ES256, "JWT", claims{"u"})
			if err != nil {
				t.Fatal(err)
			}
			if got := kidOf(t, token) == first; got != wantFirst {
				t.Errorf("signs with the first key: %v", got)
			}
		}
		step(keyLife-publishNext-2*time.Hour, 3, true)
		step(2*time.Hour, 6, true) // the next ones are published
		step(publishNext-time.Hour, 6, true)
		step(2*time.Hour, 6, false)    // they sign; the first are retired
		step(publishRetired, 3, false) // and gone
		step(publishRetired, 3, false)
	})
}

func TestKidIsTheThumbprint(t *testing.T) {
	d := dbtest.Open(t, db.SQLite)
	env := environment(t, d, "env_a")
	ring := NewRing(d, newVault(t, 'k'), clock.NewFake(start))
	if err := ring.Ensure(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	body, etag, err := ring.JWKS(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(etag, `"`) || strings.Contains(string(body), `"d"`) {
		t.Errorf("etag %s, body %s", etag, body)
	}
	set := jwks(t, ring, env)
	algs := map[string]bool{}
	for _, k := range set.Keys {
		sum, err := k.Thumbprint(crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		if k.KeyID != base64.RawURLEncoding.EncodeToString(sum) || k.Use != "sig" || !k.IsPublic() {
			t.Errorf("key %+v", k)
		}
		algs[k.Algorithm] = true
	}
	if got := slices.Sorted(maps.Keys(algs)); !slices.Equal(got, []string{ES256, EdDSA, RS256}) {
		t.Errorf("algorithms %v", got)
	}
}

// The example of OpenID Connect Core, appendix A.3.
func TestLeftHash(t *testing.T) {
	const token, want = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y", "77QmUPtjPfzWtF2AnpK9RQ"
	if got := LeftHash(RS256, token); got != want {
		t.Errorf("at_hash %s, want %s", got, want)
	}
	if got := LeftHash(EdDSA, token); len(got) != 43 {
		t.Errorf("EdDSA takes half of SHA-512: %s", got)
	}
}

func FuzzVerify(f *testing.F) {
	d := dbtest.Open(f, db.SQLite)
	env := environment(f, d, "env_a")
	ring := NewRing(d, newVault(f, 'k'), clock.NewFake(start))
	if err := ring.Ensure(f.Context(), env); err != nil {
		f.Fatal(err)
	}
	token, err := ring.Sign(f.Context(), env, ES256, "JWT", claims{"u"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add("e30.e30.")
	f.Fuzz(func(t *testing.T, s string) {
		var c claims
		if err := ring.Verify(context.Background(), env, s, "JWT", &c); err == nil && c.Subject != "u" {
			t.Fatalf("accepted %q", s)
		}
	})
}

func BenchmarkSign(b *testing.B) {
	d := dbtest.Open(b, db.SQLite)
	env := environment(b, d, "env_a")
	ring := NewRing(d, newVault(b, 'k'), clock.NewFake(start))
	if err := ring.Ensure(b.Context(), env); err != nil {
		b.Fatal(err)
	}
	for _, alg := range Algorithms {
		b.Run(alg, func(b *testing.B) {
			for b.Loop() {
				if _, err := ring.Sign(b.Context(), env, alg, "at+jwt", claims{"u"}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func jwks(t testing.TB, r *Ring, environment string) jose.JSONWebKeySet {
	t.Helper()
	body, _, err := r.JWKS(context.Background(), environment)
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(body, &set); err != nil {
		t.Fatal(err)
	}
	return set
}

func kidOf(t testing.TB, token string) string {
	t.Helper()
	jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.EdDSA})
	if err != nil {
		t.Fatal(err)
	}
	return jws.Signatures[0].Protected.KeyID
}

func swapPayload(token, payload string) string {
	parts := strings.Split(token, ".")
	parts[1] = base64.RawURLEncoding.EncodeToString([]byte(payload))
	return strings.Join(parts, ".")
}
