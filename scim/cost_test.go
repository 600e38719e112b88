package scim_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// What a request costs does not depend on what the connection has already.
func TestStatementsDoNotGrow(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "entra", "soft")
		group := c.must(201, "POST", "/Groups", map[string]any{"displayName": "g"}).id()
		seq := 0
		fresh := func() string {
			seq++
			return fmt.Sprintf("fresh%d@x.example", seq)
		}
		type cost struct{ statements, trips int64 }
		// measure returns what each request costs; person is in the group.
		measure := func(person string) map[string]cost {
			costs := map[string]cost{}
			run := func(name, method, path string, body any) answer {
				t.Helper()
				ctx, counter := db.Count(t.Context())
				a := c.send(ctx, method, path, nil, encode(t, body))
				if a.status >= 300 {
					t.Fatalf("%s: %v; %s", name, a, g.failures)
				}
				costs[name] = cost{counter.Statements(), counter.RoundTrips()}
				return a
			}
			lookup := "/Users?" + url.Values{"filter": {`userName eq "u0@x.example"`}}.Encode()
			added := run("create", "POST", "/Users", user(fresh())).id()
			run("lookup", "GET", lookup, "")
			run("lookup of nobody", "GET", strings.ReplaceAll(lookup, "u0", "nobody"), "")
			run("user", "GET", "/Users/"+person, "")
			run("group without members", "GET", "/Groups/"+group+"?excludedAttributes=members", "")
			run("group", "GET", "/Groups/"+group, "")
			run("deactivate", "PATCH", "/Users/"+added, patchOp(map[string]any{"op": "Replace", "path": "active", "value": "False"}))
			run("add member", "PATCH", "/Groups/"+group, patchOp(map[string]any{"op": "Add", "path": "members", "value": members(added)}))
			run("remove member", "PATCH", "/Groups/"+group, patchOp(map[string]any{"op": "Remove", "path": `members[value eq "` + added + `"]`}))
			run("page", "GET", "/Users?count=5", "")
			run("page by index", "GET", "/Users?count=5&startIndex=3", "")
			run("page of groups", "GET", "/Groups?count=5&excludedAttributes=members", "")
			return costs
		}
		people := c.users(10, "u")
		add := func(ids []string) {
			c.must(204, "PATCH", "/Groups/"+group, patchOp(map[string]any{"op": "Add", "path": "members", "value": members(ids...)}))
		}
		add(people)
		measure(people[0]) // what is kept per process is read
		few := measure(people[0])
		add(c.users(150, "more"))
		for i := range 30 {
			c.must(201, "POST", "/Groups", map[string]any{"displayName": fmt.Sprint("other", i), "members": members(people[0])})
		}
		for name, many := range measure(people[0]) {
			if many != few[name] {
				t.Errorf("%s: %v statements and round trips, %v before", name, many, few[name])
			}
		}
	})
}

// recorder keeps the text of every statement.
type recorder struct {
	db.DB
	mu    sync.Mutex
	texts []string
}

func (r *recorder) note(sql ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.texts = append(r.texts, sql...)
}

func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() { r.texts = nil }()
	return r.texts
}

func (r *recorder) Query(ctx context.Context, sql string, args ...any) (db.Rows, error) {
	r.note(sql)
	return r.DB.Query(ctx, sql, args...)
}

func (r *recorder) QueryRow(ctx context.Context, sql string, args ...any) db.Row {
	r.note(sql)
	return r.DB.QueryRow(ctx, sql, args...)
}

func (r *recorder) Batch(ctx context.Context, stmts []db.Stmt) error {
	for _, s := range stmts {
		r.note(s.SQL)
	}
	return r.DB.Batch(ctx, stmts)
}

func TestMembersAreLeftAlone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		r := &recorder{DB: d}
		g := newGateway(t, r, options{})
		c := g.connect(g.tenant("a"), "entra", "soft")
		ids := c.users(3, "u")
		group := c.must(201, "POST", "/Groups", map[string]any{"displayName": "g", "members": members(ids...)}).id()
		touches := func(path string) bool {
			r.take()
			c.must(200, "GET", path, nil)
			texts := r.take()
			if len(texts) == 0 {
				t.Fatal("nothing was recorded")
			}
			return slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(s, "group_members") })
		}
		if !touches("/Groups/" + group) {
			t.Error("the members were read without their table")
		}
		for _, path := range []string{
			"/Groups/" + group + "?excludedAttributes=members",
			"/Groups/" + group + "?attributes=displayName",
			"/Groups?excludedAttributes=members",
			"/Groups?filter=displayName+eq+%22g%22&excludedAttributes=members",
		} {
			if touches(path) {
				t.Errorf("%s touches the members", path)
			}
		}
	})
}

// A filter that the engine does not answer reads the relations of many resources at once.
func TestRelatedFiltersReadInChunks(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "generic", "soft")
		people := c.users(90, "u")
		in := func(group string, ids ...string) string {
			return c.must(201, "POST", "/Groups", map[string]any{"displayName": group, "members": members(ids...)}).id()
		}
		crew := in("crew", people[:3]...)
		in("empty")
		in("outer", crew)
		for i := range 40 {
			in(fmt.Sprint("team", i), people[i], people[i+1])
		}
		for _, f := range []struct {
			path, filter string
			want         float64
		}{
			{"/Users", `not (groups.display eq "crew")`, 87},
			{"/Users", `groups.display ew "ew"`, 3},
			{"/Users", `not (groups.display sw "team") and userName pr`, 49},
			{"/Groups", `not (members.value eq "` + people[0] + `")`, 41},
			{"/Groups", `members[value eq "` + crew + `" and type eq "Group"]`, 1},
			{"/Groups", `members[value eq "` + crew + `" and type eq "User"]`, 0},
			{"/Groups", `not (members.value pr)`, 1},
			{"/Groups", `not (members[value eq "` + people[0] + `" and type eq "User"])`, 41},
		} {
			ctx, counter := db.Count(t.Context())
			a := c.send(ctx, "GET", f.path+"?"+url.Values{"filter": {f.filter}, "excludedAttributes": {"members,groups"}}.Encode(), nil, nil)
			if a.status != http.StatusOK || a.field("totalResults") != f.want {
				t.Errorf("%s: %v, want %v", f.filter, a, f.want)
			}
			if n := counter.Statements(); n > 5 {
				t.Errorf("%s: %d statements for one chunk", f.filter, n)
			}
		}
	})
}

// slowClient asks the store while it is written to.
type slowClient struct {
	*httptest.ResponseRecorder
	d      db.DB
	writes int
	failed error
}

func (s *slowClient) Write(b []byte) (int, error) {
	s.writes++
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.d.Ping(ctx); err != nil && s.failed == nil {
		s.failed = err
	}
	return s.ResponseRecorder.Write(b)
}

// A client that reads slowly must not hold a connection of the store: the pool
// here has one.
func TestSlowClientsHoldNoConnection(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		config := dbtest.Config(t, d.Dialect().Name)
		config.MaxConns = 1
		d, err := db.Open(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(d.Close)
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		const each = 450 // some 64 KiB of members
		ids := c.users(each, "u")
		for n := 0; len(ids) < 2*each; n += 50 {
			var ops []map[string]any
			for i := range 50 {
				ops = append(ops, map[string]any{"method": "POST", "path": "/Groups", "bulkId": fmt.Sprint(i), "data": map[string]any{"displayName": fmt.Sprint("g", n+i)}})
			}
			for _, r := range c.bulk(0, ops...) {
				ids = append(ids, r.id())
			}
		}
		group := c.must(201, "POST", "/Groups", map[string]any{"displayName": "all", "members": members(ids...)}).id()
		r := httptest.NewRequestWithContext(t.Context(), "GET", c.base+"/Groups/"+group, nil)
		r.Host = strings.TrimPrefix(baseURL, "http://")
		r.Header.Set("Authorization", "Bearer "+c.token)
		w := &slowClient{ResponseRecorder: httptest.NewRecorder(), d: d}
		g.handler.ServeHTTP(w, r)
		if w.failed != nil || w.writes < 2 {
			t.Errorf("the store in %d writes: %v", w.writes, w.failed)
		}
		if n := strings.Count(w.Body.String(), `"value"`); w.Code != http.StatusOK || n != len(ids) {
			t.Errorf("%d: %d of %d members", w.Code, n, len(ids))
		}
	})
}
