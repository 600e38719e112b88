package provider

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// nonced is an application whose proofs must carry a nonce.
func (w *world) nonced() party {
	w.Helper()
	return w.fapi(func(n *tenants.NewApplication) { n.RequireDPoPNonce = true })
}

// A proof without a nonce of ours is sent back with one, and with it accepted: at
// the token endpoint, at PAR and at a resource (RFC 9449 §8, §9).
func TestDPoPNonce(t *testing.T) {
	each(t, func(w *world) {
		p, key := w.nonced(), newKey(t)
		asked := p.push(p.authenticated(p.request()), dpop(p.proof(key, "/oauth2/par")))
		nonce := asked.Header.Get("DPoP-Nonce")
		if asked.StatusCode != 400 || asked.Error != oidc.UseDPoPNonce || nonce == "" || asked.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("PAR without a nonce: %d %s %q", asked.StatusCode, asked.body, nonce)
		}
		if !strings.Contains(asked.Header.Get("Access-Control-Expose-Headers"), "DPoP-Nonce") {
			t.Error("scripts cannot read the nonce")
		}
		code := p.code(p.request(), dpop(p.proof(key, "/oauth2/par", claims{"nonce": nonce})))
		if r := p.redeem(code, dpop(p.proof(key, "/oauth2/token"))); r.StatusCode != 400 || r.Error != oidc.UseDPoPNonce || r.Header.Get("DPoP-Nonce") != nonce {
			t.Fatalf("token without a nonce: %d %s", r.StatusCode, r.body)
		}
		// The code is not used up by that: the client asks again.
		got := p.redeem(code, dpop(p.proof(key, "/oauth2/token", claims{"nonce": nonce})))
		if got.StatusCode != 200 || got.Type != "DPoP" || got.Header.Get("DPoP-Nonce") != "" {
			t.Fatalf("with it: %d %s %v", got.StatusCode, got.body, got.Header)
		}
		sum := sha256.Sum256([]byte(got.Access))
		ath := base64.RawURLEncoding.EncodeToString(sum[:])
		userinfo := func(nonce string) reply {
			c := claims{"htm": "GET", "ath": ath}
			if nonce != "" {
				c["nonce"] = nonce
			}
			r, err := http.NewRequest(http.MethodGet, p.server.URL+"/oauth2/userinfo", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "DPoP "+got.Access)
			r.Header.Set("DPoP", p.proof(key, "/oauth2/userinfo", c))
			return p.do(r)
		}
		if r := userinfo(""); r.StatusCode != 401 || !strings.HasPrefix(r.Header.Get("WWW-Authenticate"), `DPoP error="use_dpop_nonce"`) || r.Header.Get("DPoP-Nonce") == "" {
			t.Errorf("userinfo without a nonce: %d %v", r.StatusCode, r.Header)
		}
		if r := userinfo(nonce); r.StatusCode != 200 {
			t.Errorf("userinfo with it: %d %s", r.StatusCode, r.body)
		}
		// It is another one soon, told beside a good answer; the old one holds for a while.
		w.clock.Advance(2 * time.Minute)
		r := userinfo(nonce)
		next := r.Header.Get("DPoP-Nonce")
		if r.StatusCode != 200 || next == "" || next == nonce {
			t.Errorf("two minutes later: %d, next %q", r.StatusCode, next)
		}
		w.clock.Advance(3 * time.Minute)
		if r := userinfo(nonce); r.StatusCode != 401 || r.Header.Get("DPoP-Nonce") == "" {
			t.Errorf("expired: %d %v", r.StatusCode, r.Header)
		}
		if r := userinfo(next); r.StatusCode != 200 {
			t.Errorf("the next one: %d %s", r.StatusCode, r.body)
		}
	})
}

// Nonces that are nobody's, or another's, and who needs one.
func TestDPoPNonceAttacks(t *testing.T) {
	each(t, func(w *world) {
		p, key := w.nonced(), newKey(t)
		ask := func(c ...claims) tokens {
			return p.token(p.authenticated(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}), dpop(p.proof(key, "/oauth2/token", c...)))
		}
		good := w.h.nonce(w.env)
		minute, mac, _ := strings.Cut(good, ".")
		other := w.env
		other.ID = "env_other"
		v, err := keys.NewVault([]byte(strings.Repeat("x", keys.MasterSize)))
		if err != nil {
			t.Fatal(err)
		}
		now := w.clock.Now().Unix() / 60
		for name, nonce := range map[string]string{
			"made up": "abc", "without its MAC": minute, "with an empty MAC": minute + ".", "another minute's MAC": strconv.FormatInt(now-1, 36) + "." + mac,
			"of another environment": w.h.nonce(other), "of another server": (&Handler{vault: v, clock: w.clock}).nonce(w.env),
			"too old": w.h.nonceOf(w.env, now-nonceHolds), "of the far future": w.h.nonceOf(w.env, now+2), "long": strings.Repeat("1", 5000), "not a number": "!." + mac,
		} {
			if r := ask(claims{"nonce": nonce}); r.StatusCode != 400 || r.Error != oidc.UseDPoPNonce || r.Header.Get("DPoP-Nonce") == "" {
				t.Errorf("%s: %d %s", name, r.StatusCode, r.body)
			}
		}
		for name, nonce := range map[string]string{"good": good, "the oldest": w.h.nonceOf(w.env, now-nonceHolds+1), "of a replica that is ahead": w.h.nonceOf(w.env, now+1)} {
			if r := ask(claims{"nonce": nonce}); r.Error != oidc.InvalidGrant {
				t.Errorf("%s: %s", name, r.body)
			}
		}
		// A nonce is no licence to use a proof twice.
		twice := p.proof(key, "/oauth2/token", claims{"nonce": good})
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}
		if r := p.token(p.authenticated(form), dpop(twice)); r.Error != oidc.InvalidGrant {
			t.Errorf("once: %s", r.body)
		}
		if r := p.token(p.authenticated(form), dpop(twice)); r.Error != oidc.InvalidDPoPProof {
			t.Errorf("twice: %s", r.body)
		}
		// Where none is needed, none is asked for; one that is sent must be good.
		free := w.fapi()
		plain := func(c ...claims) tokens {
			return free.token(free.authenticated(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}), dpop(free.proof(key, "/oauth2/token", c...)))
		}
		if r := plain(); r.Error != oidc.InvalidGrant || r.Header.Get("DPoP-Nonce") != "" {
			t.Errorf("none needed: %s", r.body)
		}
		if r := plain(claims{"nonce": "made up"}); r.Error != oidc.UseDPoPNonce {
			t.Errorf("none needed, a bad one sent: %s", r.body)
		}
		// The environment may ask it of all of its applications, API tokens included.
		w.tx(func(q db.Queryer) error {
			on := true
			_, err := w.tenants.UpdateEnvironment(w.ctx(), w.admin, q, w.env.ID, tenants.EnvironmentPatch{RequireDPoPNonce: &on})
			return err
		})
		w.clock.Advance(11 * time.Second)
		if r := plain(); r.Error != oidc.UseDPoPNonce {
			t.Errorf("asked of all: %s", r.body)
		}
		if r := free.token(url.Values{"grant_type": {"client_credentials"}, "client_id": {"tok_x"}, "client_secret": {"x"}}, dpop(free.proof(key, "/oauth2/token"))); r.Error != oidc.UseDPoPNonce {
			t.Errorf("an API token: %s", r.body)
		}
	})
}
