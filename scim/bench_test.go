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

// BenchmarkGroupSize compares groups of 10 and of 100,000: what a new member costs,
// and the group without its members.
func BenchmarkGroupSize(b *testing.B) {
	const large = 100_000
	dbtest.Bench(b, func(b *testing.B, d db.DB) {
		c := benchConnection(b, d)
		groups := map[int]string{10: c.group(10), large: c.group(large)}
		one := c.fill(1, "one")[0]
		change := func(op string) map[string]any {
			return patchOp(map[string]any{"op": op, "path": "members", "value": members(one)})
		}
		for _, size := range []int{10, large} {
			path := "/Groups/" + groups[size]
			b.Run(fmt.Sprint("add/", size), func(b *testing.B) {
				for range b.N {
					c.must(204, "PATCH", path, change("Add"))
					b.StopTimer()
					c.must(204, "PATCH", path, change("Remove"))
					b.StartTimer()
				}
			})
			b.Run(fmt.Sprint("remove/", size), func(b *testing.B) {
				for range b.N {
					b.StopTimer()
					c.must(204, "PATCH", path, change("Add"))
					b.StartTimer()
					c.must(204, "PATCH", path, change("Remove"))
				}
			})
			b.Run(fmt.Sprint("without/", size), func(b *testing.B) {
				for range b.N {
					if status := c.discard(path + "?excludedAttributes=members"); status != 200 {
						b.Fatal(status)
					}
				}
			})
			b.Run(fmt.Sprint("members/", size), func(b *testing.B) {
				for range b.N {
					if status := c.discard(path); status != 200 {
						b.Fatal(status)
					}
				}
			})
		}
	})
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
		b.ResetTimer()
		for range b.N {
			if status := c.discard("/Groups/" + group); status != 200 {
				b.Fatal(status)
			}
		}
	})
}

// BenchmarkThousandMembers moves 1,000 people in one request; replace brings 1,000
// and sends 1,000 others away.
func BenchmarkThousandMembers(b *testing.B) {
	op := func(op string, ids []string) map[string]any {
		return patchOp(map[string]any{"op": op, "path": "members", "value": members(ids...)})
	}
	for _, name := range []string{"add", "remove", "replace"} {
		b.Run(name, func(b *testing.B) {
			dbtest.Bench(b, func(b *testing.B, d db.DB) {
				c := benchConnection(b, d)
				ids, others := c.fill(1000, "u"), c.fill(1000, "v")
				c.analyze()
				b.ReportAllocs()
				b.ResetTimer()
				for i := range b.N {
					b.StopTimer()
					group := c.must(201, "POST", "/Groups", map[string]any{"displayName": fmt.Sprint("g", i)}).id()
					if name != "add" {
						c.must(204, "PATCH", "/Groups/"+group, op("Add", ids))
					}
					change := op("Add", ids)
					switch name {
					case "remove":
						change = op("Remove", ids)
					case "replace":
						change = op("Replace", others)
					}
					b.StartTimer()
					c.must(204, "PATCH", "/Groups/"+group, change)
				}
			})
		})
	}
}
