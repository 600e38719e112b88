package saml_test

import (
	"encoding/base64"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// BenchmarkSAMLLogin is what a known person's login costs the gateway: the flow,
// the AuthnRequest, the ACS with verification, and the last step to the session.
// Making the response, which is the identity provider's work, is left out of the
// time.
func BenchmarkSAMLLogin(b *testing.B) {
	dbtest.Bench(b, func(b *testing.B, d db.DB) {
		w := newWorld(b, d)
		jar, err := cookiejar.New(nil)
		if err != nil {
			b.Fatal(err)
		}
		c := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		follow := func(res *http.Response, err error) string {
			b.Helper()
			if err != nil {
				b.Fatal(err)
			}
			res.Body.Close()
			target, err := res.Location()
			if err != nil || res.StatusCode != http.StatusSeeOther {
				b.Fatalf("status %d, %v", res.StatusCode, err)
			}
			return target.String()
		}
		login := func(timed bool) {
			b.Helper()
			ask := follow(c.Get(follow(c.Get(w.start(w.conn)))))
			if timed {
				b.StopTimer()
			}
			r, err := http.NewRequest(http.MethodGet, ask, nil)
			if err != nil {
				b.Fatal(err)
			}
			info, err := w.idp.ParseRequest(r)
			if err != nil {
				b.Fatal(err)
			}
			form := url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString(w.response(info, ada, idp.SAMLKnobs{}))}}.Encode()
			if timed {
				b.StartTimer()
			}
			handle := follow(c.Post(w.acs(w.conn), "application/x-www-form-urlencoded", strings.NewReader(form)))
			if end := follow(c.Get(handle)); !strings.Contains(end, "/oauth2/authorize?resume=") {
				b.Fatal(end)
			}
		}
		login(false)
		for b.Loop() {
			login(true)
		}
	})
}
