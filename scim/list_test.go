package scim_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

func userNames(a answer) []string {
	list, _ := a.field("Resources").([]any)
	var names []string
	for _, r := range list {
		o, _ := r.(map[string]any)
		name, _, _ := strings.Cut(fmt.Sprint(o["userName"]), "@")
		names = append(names, name)
	}
	return names
}

func TestPages(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		var want []string
		for i := range 23 {
			body := user(fmt.Sprintf("u%02d@x.example", i))
			body["active"] = i%2 == 0
			body["title"] = fmt.Sprintf("t%d", i%3)
			c.must(201, "POST", "/Users", body)
			want = append(want, fmt.Sprintf("u%02d", i))
		}
		for _, q := range []struct {
			filter string
			keep   func(i int) bool
		}{
			{"", func(int) bool { return true }},
			{"active eq true", func(i int) bool { return i%2 == 0 }},
			{`title eq "t1"`, func(i int) bool { return i%3 == 1 }},
			{`active eq true and title eq "t1"`, func(i int) bool { return i%2 == 0 && i%3 == 1 }},
		} {
			var expect []string
			for i, name := range want {
				if q.keep(i) {
					expect = append(expect, name)
				}
			}
			query := "&filter=" + url.QueryEscape(q.filter)
			if q.filter == "" {
				query = ""
			}
			for _, sortBy := range []string{"", "&sortBy=userName", "&sortBy=name.givenName", "&sortBy=meta.created"} {
				var got []string
				for start := 1; start <= len(expect); start += 5 {
					a := c.must(200, "GET", fmt.Sprintf("/Users?startIndex=%d&count=5%s%s", start, query, sortBy), nil)
					got = append(got, userNames(a)...)
					if a.field("totalResults") != float64(len(expect)) || a.field("startIndex") != float64(start) {
						t.Errorf("%q %q page %d: %v", q.filter, sortBy, start, a)
					}
				}
				if !slices.Equal(got, expect) {
					t.Errorf("%q %q by index: %q, want %q", q.filter, sortBy, got, expect)
				}
				// From the end, where nothing is remembered.
				last := len(expect) - 1
				if a := c.must(200, "GET", fmt.Sprintf("/Users?startIndex=%d&count=7%s%s", last, query, sortBy), nil); !slices.Equal(userNames(a), expect[last-1:]) {
					t.Errorf("%q %q last page: %v", q.filter, sortBy, userNames(a))
				}
				got = nil
				for cursor, pages := "", 0; pages == 0 || cursor != ""; pages++ {
					a := c.must(200, "GET", "/Users?count=4&cursor="+cursor+query+sortBy, nil)
					got = append(got, userNames(a)...)
					cursor, _ = a.field("nextCursor").(string)
					if a.field("totalResults") != float64(len(expect)) || pages > 10 {
						t.Fatalf("%q %q cursor page %d: %v", q.filter, sortBy, pages, a)
					}
				}
				if !slices.Equal(got, expect) {
					t.Errorf("%q %q by cursor: %q, want %q", q.filter, sortBy, got, expect)
				}
			}
			slices.Reverse(expect)
			if a := c.must(200, "GET", "/Users?sortBy=userName&sortOrder=descending"+query, nil); !slices.Equal(userNames(a), expect) {
				t.Errorf("%q descending: %q", q.filter, userNames(a))
			}
		}
	})
}

// Whatever pages were read before, and however long ago, a startIndex means the
// same resource.
func TestPagesInAnyOrder(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		now := clock.NewFake(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC))
		g := newGateway(t, d, options{clock: now})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		c.users(23, "u")
		all := userNames(c.must(200, "GET", "/Users?count=100", nil))
		for n, page := range [][2]int{{1, 5}, {6, 5}, {20, 2}, {9, 3}, {12, 4}, {7, 1}, {8, 100}, {23, 5}, {2, 7}, {9, 3}, {21, 1}, {22, 2}, {5, 18}} {
			start, count := page[0], page[1]
			want := all[start-1 : min(start-1+count, len(all))]
			for _, filter := range []string{"", "&filter=active+eq+true"} {
				a := c.must(200, "GET", fmt.Sprintf("/Users?startIndex=%d&count=%d%s", start, count, filter), nil)
				if !slices.Equal(userNames(a), want) || a.field("totalResults") != 23.0 {
					t.Errorf("%d from %d%s: %q, want %q; %v", count, start, filter, userNames(a), want, a.field("totalResults"))
				}
			}
			if n%4 == 3 {
				now.Advance(anchorsLive / 2)
			}
		}
	})
}

// anchorsLive is how long the end of a page is remembered.
const anchorsLive = 2 * time.Minute

func TestPagesAfterDeletion(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		ids := c.users(6, "u")
		c.must(200, "GET", "/Users?startIndex=1&count=2", nil)
		c.must(204, "DELETE", "/Users/"+ids[0], nil)
		if a := c.must(200, "GET", "/Users?startIndex=3&count=2", nil); !slices.Equal(userNames(a), []string{"u3", "u4"}) || a.field("totalResults") != 5.0 {
			t.Errorf("the third after a deletion: %v", a)
		}
	})
}

func TestSortPlacesMissingValues(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		for name, value := range map[string]string{"a": "x", "b": "", "c": "y"} {
			body := user(name + "@x.example")
			if value != "" {
				body["title"], body["displayName"] = value, value
			}
			c.must(201, "POST", "/Users", body)
		}
		for _, by := range []string{"title", "displayName"} {
			for order, want := range map[string][]string{"ascending": {"a", "c", "b"}, "descending": {"b", "c", "a"}} {
				if a := c.must(200, "GET", "/Users?sortBy="+by+"&sortOrder="+order, nil); !slices.Equal(userNames(a), want) {
					t.Errorf("%s %s: %q, want %q", by, order, userNames(a), want)
				}
			}
		}
	})
}

func TestCursors(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		now := clock.NewFake(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
		g := newGateway(t, d, options{clock: now})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		other := g.connect(c.tenant, "rfc", "soft")
		c.users(3, "u")
		cursor, _ := c.must(200, "GET", "/Users?cursor&count=1", nil).field("nextCursor").(string)
		if cursor == "" || cursor != url.QueryEscape(cursor) {
			t.Fatalf("cursor %q is not for addresses", cursor)
		}
		for name, path := range map[string]string{
			"another filter":   "/Users?count=1&filter=active+eq+true&cursor=" + cursor,
			"another order":    "/Users?count=1&sortBy=userName&cursor=" + cursor,
			"another resource": "/Groups?count=1&cursor=" + cursor,
			"tampered":         "/Users?count=1&cursor=A" + cursor[1:],
			"cut":              "/Users?count=1&cursor=" + cursor[:len(cursor)-1],
			"at the root":      "/?count=1&cursor=",
		} {
			if a := c.do("GET", path, nil); a.status != 400 || a.field("scimType") != "invalidCursor" {
				t.Errorf("%s: %v", name, a)
			}
		}
		if a := other.do("GET", "/Users?count=1&cursor="+cursor, nil); a.status != 400 {
			t.Errorf("another connection: %v", a)
		}
		now.Advance(59 * time.Minute)
		c.must(200, "GET", "/Users?count=1&cursor="+cursor, nil)
		now.Advance(time.Minute)
		if a := c.do("GET", "/Users?count=1&cursor="+cursor, nil); a.status != 400 || a.field("scimType") != "expiredCursor" {
			t.Errorf("expired: %v", a)
		}
	})
}

func TestRootQuery(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "entra", "soft")
		c.users(3, "u")
		for i := range 2 {
			c.must(201, "POST", "/Groups", map[string]any{"displayName": fmt.Sprintf("u-group%d", i)})
		}
		types := func(a answer) (s string) {
			list, _ := a.field("Resources").([]any)
			for _, r := range list {
				kind, _ := lookup(r, "$.meta.resourceType")
				s += fmt.Sprint(kind)[:1]
			}
			return s
		}
		for path, want := range map[string]string{
			"/": "UUUGG", "/?count=4": "UUUG", "/?startIndex=3&count=2": "UG", "/?startIndex=5": "G", "/?count=0": "",
			"/?filter=" + url.QueryEscape(`meta.resourceType eq "Group"`): "GG",
			"/?filter=" + url.QueryEscape(`userName sw "u"`):              "UUU",
			"/?filter=" + url.QueryEscape(`displayName co "group1"`):      "G",
		} {
			if a := c.must(200, "GET", path, nil); types(a) != want {
				t.Errorf("%s: %q, want %q", path, types(a), want)
			}
		}
		if a := c.must(200, "POST", "/.search", map[string]any{"filter": `displayName sw "u-"`, "attributes": []string{"displayName"}}); types(a) != "<<" && a.field("totalResults") != 2.0 {
			t.Errorf(".search: %v", a)
		}
	})
}
