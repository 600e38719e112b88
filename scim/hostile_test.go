package scim_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// What is made to cost the server is refused by its size or shape, with the
// scimType that says why, and nothing of it is carried out.
func TestHostileRequests(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		id := c.must(201, "POST", "/Users", user("ann@x.example")).id()
		group := c.must(201, "POST", "/Groups", map[string]any{"displayName": "g"}).id()
		filters := map[string]string{
			"nested parentheses":  strings.Repeat("(", 1000) + `userName eq "a"` + strings.Repeat(")", 1000),
			"nested not":          strings.Repeat("not (", 200) + `userName eq "a"` + strings.Repeat(")", 200),
			"or-chain":            strings.Repeat(`id pr or `, 300) + "id pr",
			"over 4 KiB":          `userName eq "` + strings.Repeat("a", 4096) + `"`,
			"unclosed":            strings.Repeat(`emails[type eq "`, 20),
			"unfinished escape":   `userName eq "\u00`,
			"operator without":    `userName eq`,
			"boolean ordered":     `active gt true`,
			"control character":   "userName eq \"\x00\"",
			"path within a path":  `emails[value[type eq "x"] eq "y"]`,
			"password":            `password sw "a"`,
			"statement":           `userName eq "a"; DROP TABLE users`,
			"no attribute before": `eq "a"`,
		}
		for name, f := range filters {
			a := c.do("GET", "/Users?filter="+url.QueryEscape(f), nil)
			if a.status != 400 || a.field("scimType") != "invalidFilter" {
				t.Errorf("filter, %s: %.300s", name, a)
			}
		}
		many := make([]map[string]any, 1001)
		for i := range many {
			many[i] = map[string]any{"op": "replace", "path": "title", "value": fmt.Sprint(i)}
		}
		byFilter := make([]map[string]any, 9)
		for i := range byFilter {
			byFilter[i] = map[string]any{"op": "remove", "path": fmt.Sprintf(`members[display eq "%d"]`, i)}
		}
		for name, x := range map[string]struct {
			path     string
			ops      []map[string]any
			scimType string
		}{
			"path over its size":   {"/Users/" + id, []map[string]any{{"op": "replace", "path": "title" + strings.Repeat("x", 5000), "value": "x"}}, ""},
			"nested path filter":   {"/Users/" + id, []map[string]any{{"op": "remove", "path": "emails[" + strings.Repeat("(", 500) + `type eq "x"` + strings.Repeat(")", 500) + "]"}}, "invalidFilter"},
			"no such attribute":    {"/Users/" + id, []map[string]any{{"op": "replace", "path": "emails.nothing.deeper", "value": "x"}}, "invalidPath"},
			"read-only":            {"/Users/" + id, []map[string]any{{"op": "replace", "path": "meta.created", "value": "2020-01-01T00:00:00Z"}}, "mutability"},
			"the group's own list": {"/Users/" + id, []map[string]any{{"op": "add", "path": "groups", "value": members(group)}}, "mutability"},
			"too many operations":  {"/Users/" + id, many, "tooMany"},
			"too many filters":     {"/Groups/" + group, byFilter, "tooMany"},
			"half of it good":      {"/Users/" + id, []map[string]any{{"op": "replace", "path": "title", "value": "half"}, {"op": "replace", "path": "active", "value": []any{}}}, "invalidValue"},
		} {
			a := c.do("PATCH", x.path, patchOp(x.ops...))
			if a.status < 400 || a.status > 413 || x.scimType != "" && a.field("scimType") != x.scimType {
				t.Errorf("PATCH, %s: %.300s", name, a)
			}
		}
		ring := make([]map[string]any, 300) // a circle through all operations
		for i := range ring {
			ring[i] = map[string]any{"method": "POST", "path": "/Groups", "bulkId": fmt.Sprint(i), "data": map[string]any{
				"displayName": fmt.Sprint("ring", i), "members": members(fmt.Sprintf("bulkId:%d", (i+1)%len(ring))),
			}}
		}
		// Groups that contain each other are refused where the circle, or the chain's length, would be stored.
		refused := 0
		for _, r := range c.bulk(0, ring...) {
			if strings.HasPrefix(r.status, "4") {
				refused++
			} else if r.status != "201" {
				t.Errorf("ring: %+v", r)
			}
		}
		if refused == 0 {
			t.Error("a ring of 300 groups was stored")
		}
		if a := c.must(200, "GET", "/Users/"+id, nil); a.header.Get("ETag") != `W/"1"` {
			t.Errorf("changed by what was refused: %v", a)
		}
		if g.failures.Len() > 0 {
			t.Error(g.failures)
		}
	})
}
