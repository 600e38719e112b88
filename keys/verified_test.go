package keys

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// A token that is remembered is worth no more than one that is new: not of another
// type or environment, not with anything changed, not when its key is gone.
func TestVerifiedTokensAreRemembered(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		ctx := t.Context()
		env, other := environment(t, d, "env_a"), environment(t, d, "env_b")
		c := clock.NewFake(start)
		ring := NewRing(d, newVault(t, 'k'), c)
		for _, e := range []string{env, other} {
			if err := ring.Ensure(ctx, e); err != nil {
				t.Fatal(err)
			}
		}
		token, err := ring.Sign(ctx, env, ES256, "at+jwt", claims{"u"})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			var got claims
			if err := ring.Verify(ctx, env, token, "at+jwt", &got); err != nil || got != (claims{"u"}) {
				t.Fatalf("%+v %v", got, err)
			}
		}
		cut := strings.LastIndexByte(token, '.')
		for name, err := range map[string]error{
			"another type":        ring.Verify(ctx, env, token, "JWT", &claims{}),
			"another environment": ring.Verify(ctx, other, token, "at+jwt", &claims{}),
			"without a signature": ring.Verify(ctx, env, token[:cut+1], "at+jwt", &claims{}),
			"a longer one":        ring.Verify(ctx, env, token+"A", "at+jwt", &claims{}),
		} {
			if !errors.Is(err, ErrInvalidToken) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := ring.Rotate(ctx, env, ES256); err != nil {
			t.Fatal(err)
		}
		if err := ring.Verify(ctx, env, token, "at+jwt", &claims{}); err != nil {
			t.Errorf("its key is retired: %v", err)
		}
		c.Advance(publishRetired + fresh)
		if err := ring.Verify(ctx, env, token, "at+jwt", &claims{}); !errors.Is(err, ErrInvalidToken) {
			t.Errorf("its key is gone: %v", err)
		}
	})
}

// What is remembered is bounded, and what is asked about stays.
func TestVerifiedTokensAreBounded(t *testing.T) {
	var v verified
	payload := make([]byte, 10<<10)
	wanted := tokenKey("env", "at+jwt", "wanted")
	v.add(wanted, verifiedToken{"k", payload})
	for i := range 2000 {
		v.add(tokenKey("env", "at+jwt", strconv.Itoa(i)), verifiedToken{"k", payload})
		if _, ok := v.find(wanted); !ok {
			t.Fatalf("forgotten after %d", i)
		}
	}
	if n := (len(v.now) + len(v.old)) * len(payload); n > 3*keptVerified {
		t.Errorf("%d bytes", n)
	}
	if _, ok := v.find(tokenKey("env", "at+jwt", "1")); ok {
		t.Error("nothing was forgotten")
	}
}
