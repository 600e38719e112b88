package gatewaytest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// A nonce that one replica gave out is good at the other, although neither asked the
// store (RFC 9449 §8).
func TestNonceOfTheOtherReplica(t *testing.T) {
	dbtest.Twice(t, func(t *testing.T, d, d2 db.DB) {
		v := newVendor(t, d, "okta")
		other := v.Replica(d2)
		var robot struct {
			ID     string `json:"client_id"`
			Secret string `json:"client_secret"`
		}
		v.Call(http.MethodPost, "/applications", object{
			"name": "Robot", "type": "service", "require_dpop": true, "tokens": object{"require_dpop_nonce": true},
		}, &robot)
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		ask := func(replica http.Handler, jti, nonce string) *httptest.ResponseRecorder {
			s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, (&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt"))
			if err != nil {
				t.Fatal(err)
			}
			body, err := json.Marshal(object{"jti": jti, "htm": "POST", "htu": v.URL + "/oauth2/token", "iat": v.clock.Now().Unix(), "nonce": nonce})
			if err != nil {
				t.Fatal(err)
			}
			signed, err := s.Sign(body)
			if err != nil {
				t.Fatal(err)
			}
			proof, err := signed.CompactSerialize()
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest(http.MethodPost, v.URL+"/oauth2/token", strings.NewReader(url.Values{"grant_type": {"client_credentials"}}.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("DPoP", proof)
			r.SetBasicAuth(robot.ID, robot.Secret)
			w := httptest.NewRecorder()
			replica.ServeHTTP(w, r)
			return w
		}
		first := ask(v.Handler, "1", "")
		nonce := first.Header().Get("DPoP-Nonce")
		if first.Code != 400 || !strings.Contains(first.Body.String(), "use_dpop_nonce") || nonce == "" {
			t.Fatalf("without a nonce: %d %s", first.Code, first.Body)
		}
		if got := ask(other.Handler, "2", nonce); got.Code != 200 || !strings.Contains(got.Body.String(), `"DPoP"`) {
			t.Errorf("at the other replica: %d %s", got.Code, got.Body)
		}
		// That a proof was used is known to both all the same.
		if got := ask(v.Handler, "2", nonce); got.Code != 400 || !strings.Contains(got.Body.String(), "invalid_dpop_proof") {
			t.Errorf("the same proof at the first: %d %s", got.Code, got.Body)
		}
	})
}
