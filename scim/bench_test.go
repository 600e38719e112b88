package scim_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// Each benchmark sends whole requests through the HTTP handler, eight at a time
// where clients would.

func benchConnection(b *testing.B, d db.DB) connection {
	g := newGateway(b, d, options{})
	return g.connect(g.tenant("bench"), "entra", "soft")
}

// fill makes n users through bulk requests and returns their ids.
func (c connection) fill(n int, prefix string) []string {
	c.g.t.Helper()
	var ids []string
	for len(ids) < n {
		var ops []map[string]any
		for i := range min(1000, n-len(ids)) {
			ops = append(ops, map[string]any{
				"method": "POST", "path": "/Users", "bulkId": fmt.Sprint(i), "data": user(fmt.Sprintf("%s%d@x.example", prefix, len(ids)+i)),
			})
		}
		for _, r := range c.bulk(0, ops...) {
			if r.status != "201" {
				c.g.t.Fatal(r)
			}
			ids = append(ids, r.id())
		}
	}
	return ids
}

func (c connection) group(size int) string {
	c.g.t.Helper()
	group := c.must(201, "POST", "/Groups", map[string]any{"displayName": fmt.Sprintf("g%d", size)}).id()
	for ids := c.fill(size, fmt.Sprintf("g%d-", size)); len(ids) > 0; {
		n := min(1000, len(ids))
		c.must(204, "PATCH", "/Groups/"+group, patchOp(map[string]any{"op": "Add", "path": "members", "value": members(ids[:n]...)}))
		ids = ids[n:]
	}
	c.analyze()
	return group
}

// analyze gives the planner what it knows of a store that has been there for more
// than a minute.
func (c connection) analyze() {
	c.g.t.Helper()
	for _, table := range []string{"scim_resources", "memberships", "group_members"} {
		if _, err := c.g.d.Exec(c.g.t.Context(), "ANALYZE "+table); err != nil {
			c.g.t.Fatal(err)
		}
	}
}

func parallel(b *testing.B, op func(i int) answer) {
	b.SetParallelism(4)
	b.ReportAllocs()
	b.ResetTimer()
	var next atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if a := op(int(next.Add(1) - 1)); a.status >= 300 {
				b.Errorf("%v", a)
				return
			}
		}
	})
}

func BenchmarkCreate(b *testing.B) {
	dbtest.Bench(b, func(b *testing.B, d db.DB) {
		c := benchConnection(b, d)
		parallel(b, func(i int) answer { return c.do("POST", "/Users", user(fmt.Sprintf("u%d@x.example", i))) })
	})
}

func BenchmarkLookup(b *testing.B) {
	dbtest.Bench(b, func(b *testing.B, d db.DB) {
		c := benchConnection(b, d)
		c.fill(2000, "u")
		parallel(b, func(i int) answer {
			return c.do("GET", fmt.Sprintf("/Users?filter=userName+eq+%%22U%d@x.example%%22", i%4000), nil)
		})
	})
}

func BenchmarkDeactivate(b *testing.B) {
	off := patchOp(map[string]any{"op": "Replace", "path": "active", "value": "False"})
	dbtest.Bench(b, func(b *testing.B, d db.DB) {
		c := benchConnection(b, d)
		ids := c.fill(b.N, "u")
		parallel(b, func(i int) answer { return c.do("PATCH", "/Users/"+ids[i], off) })
	})
}

func BenchmarkAddMember(b *testing.B) {
	for _, size := range []int{10, 10_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			dbtest.Bench(b, func(b *testing.B, d db.DB) {
				c := benchConnection(b, d)
				group := c.group(size)
				ids := c.fill(b.N, "u")
				parallel(b, func(i int) answer {
					return c.do("PATCH", "/Groups/"+group, patchOp(map[string]any{"op": "Add", "path": "members", "value": members(ids[i])}))
				})
			})
		})
	}
}

// nobody does not keep the answer, as a network would not.
type nobody struct {
	header http.Header
	status int
}

func (n *nobody) Header() http.Header         { return n.header }
func (n *nobody) Write(b []byte) (int, error) { return len(b), nil }
func (n *nobody) WriteHeader(status int)      { n.status = status }

func (c connection) discard(path string) (status int) {
	r := httptest.NewRequestWithContext(c.g.t.Context(), "GET", c.base+path, nil)
	r.Host = strings.TrimPrefix(baseURL, "http://")
	r.Host = "gatehouse.test"
	r.Header.Set("Authorization", "Bearer "+c.token)
	w := &nobody{header: http.Header{}}
	c.g.handler.ServeHTTP(w, r)
	return w.status
}

func BenchmarkReadGroup(b *testing.B) {
	dbtest.Bench(b, func(b *testing.B, d db.DB) {
		c := benchConnection(b, d)
		group := c.group(10_000)
		for name, path := range map[string]string{"members": "", "without": "?excludedAttributes=members"} {
			b.Run(name, func(b *testing.B) {
				for range b.N {
					if status := c.discard("/Groups/" + group + path); status != 200 {
						b.Fatal(status)
					}
				}
			})
		}
	})
}

func BenchmarkAddThousandMembers(b *testing.B) {
	dbtest.Bench(b, func(b *testing.B, d db.DB) {
		c := benchConnection(b, d)
		ids := c.fill(1000, "u")
		c.analyze()
		add := patchOp(map[string]any{"op": "Add", "path": "members", "value": members(ids...)})
		b.ResetTimer()
		for i := range b.N {
			b.StopTimer()
			group := c.must(201, "POST", "/Groups", map[string]any{"displayName": fmt.Sprint("g", i)}).id()
			b.StartTimer()
			c.must(204, "PATCH", "/Groups/"+group, add)
		}
	})
}
