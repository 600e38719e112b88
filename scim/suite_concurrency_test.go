package scim_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/scim"
)

// atOnce sends n requests at once and counts their statuses.
func atOnce(n int, send func(i int) answer) map[int]int {
	var mu sync.Mutex
	var wg sync.WaitGroup
	seen := map[int]int{}
	for i := range n {
		wg.Go(func() {
			a := send(i)
			mu.Lock()
			defer mu.Unlock()
			seen[a.status]++
		})
	}
	wg.Wait()
	return seen
}

// Of requests that exclude each other exactly one is served, and each is logged
// once.
func TestSuiteRaces(t *testing.T) {
	const n = 12
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "entra", "hard")
		people := c.users(n, "u")
		group := c.must(201, "POST", "/Groups", map[string]any{"displayName": "once"}).id()
		replace := func(path string, v any) map[string]any {
			return patchOp(map[string]any{"op": "replace", "path": path, "value": v})
		}
		entries := len(c.entries(scim.LogFilter{Limit: 200}))
		for _, race := range []struct {
			name      string
			won, lost int
			send      func(i int) answer
		}{
			{"PATCH of one version of a user", 200, 412, func(i int) answer {
				return c.request("PATCH", "/Users/"+people[0], map[string]string{"If-Match": `W/"1"`}, replace("title", fmt.Sprint(i)))
			}},
			{"PUT of one version of a group", 200, 412, func(i int) answer {
				return c.request("PUT", "/Groups/"+group, map[string]string{"If-Match": `W/"1"`}, map[string]any{"displayName": fmt.Sprint("renamed", i)})
			}},
			{"one userName for many users", 200, 409, func(i int) answer {
				return c.do("PATCH", "/Users/"+people[i], replace("userName", "wanted@x.example"))
			}},
			{"one displayName for many new groups", 201, 409, func(int) answer {
				return c.do("POST", "/Groups", map[string]any{"displayName": "Wanted"})
			}},
			{"DELETE of one user", 204, 404, func(int) answer { return c.do("DELETE", "/Users/"+people[1], nil) }},
			{"DELETE of one group", 204, 404, func(int) answer { return c.do("DELETE", "/Groups/"+group, nil) }},
		} {
			if seen := atOnce(n, race.send); seen[race.won] != 1 || seen[race.lost] != n-1 {
				t.Errorf("%s: %v, want one %d and %d otherwise", race.name, seen, race.won, race.lost)
			}
			entries += n
		}
		if got := len(c.entries(scim.LogFilter{Limit: 200})); got != entries {
			t.Errorf("%d entries of %d requests", got, entries)
		}
		if g.failures.Len() > 0 {
			t.Errorf("logged as our fault: %s", g.failures)
		}
	})
}
