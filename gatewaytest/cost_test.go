package gatewaytest_test

import (
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// A whole login, from the application's request through the identity provider to
// its tokens, takes the same number of statements each time, whoever logged in
// before.
func TestLoginStatements(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		v := newVendor(t, d, "okta")
		var statements, trips atomic.Int64
		inner := v.Handler
		v.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, c := db.Count(r.Context())
			inner.ServeHTTP(w, r.WithContext(ctx))
			statements.Add(c.Statements())
			trips.Add(c.RoundTrips())
		})
		for _, connection := range []string{v.saml, v.oidc} {
			var first [2]int64
			for n := range 6 {
				statements.Store(0)
				trips.Store(0)
				v.LogIn(browser.New(t), v.app, ada.ID, "connection", connection)
				cost := [2]int64{statements.Load(), trips.Load()}
				switch {
				case n == 0: // makes or links her
				case n == 1:
					first = cost
				case cost != first:
					t.Errorf("login %d took %d statements in %d round trips, the one before %d in %d", n+1, cost[0], cost[1], first[0], first[1])
				}
			}
			if first[0] > 60 || first[1] > 40 {
				t.Errorf("a login takes %d statements in %d round trips", first[0], first[1])
			}
			t.Logf("%d statements in %d round trips", first[0], first[1])
		}
	})
}
