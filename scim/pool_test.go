package scim_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// A request must never hold a connection of the store's pool while it waits for
// another: as many such requests as the pool has connections would stop the
// whole server.
func TestRelatedFiltersShareThePool(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("acme"), "generic", "soft")
		var ids []string
		const people = 130 // more than are held at once
		for i := range people {
			ids = append(ids, c.must(http.StatusCreated, "POST", "/Users", user(fmt.Sprintf("u%d@acme.test", i))).id())
		}
		c.must(http.StatusCreated, "POST", "/Groups", map[string]any{
			"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "displayName": "crew", "members": members(ids[:2]...),
		})
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		var work sync.WaitGroup
		answers := make([]answer, 20)
		for i := range answers {
			work.Go(func() {
				query := url.Values{"filter": {`not (groups.display eq "crew")`}}
				if i%2 == 1 {
					query.Set("sortBy", "userName")
				}
				answers[i] = c.send(ctx, "GET", "/Users?"+query.Encode(), nil, nil)
			})
		}
		work.Wait()
		for _, a := range answers {
			if a.status != http.StatusOK || a.field("totalResults") != float64(people-2) {
				t.Fatalf("%v; %s", a, g.failures)
			}
		}
	})
}
