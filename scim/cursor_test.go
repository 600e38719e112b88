package scim_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// Resources that come and go between two pages of a cursor neither hide others nor
// show them twice, whatever the order.
func TestCursorAcrossChanges(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		filters := []string{"", `userName sw "u"`, `locale eq "en"`, `locale eq "en" and groups.display eq "g"`}
		for i, by := range []string{"", "userName", "externalId", "displayName", "id", "active", "meta.created", "meta.lastModified", "title", "name.familyName"} {
			for j, order := range []string{"ascending", "descending"} {
				filter := filters[(i*3+j)%len(filters)]
				c := g.connect(g.tenant("a"), "rfc", "hard")
				ids := map[string]string{}
				var all []string
				for i := range 14 {
					name := fmt.Sprintf("u%02d", i)
					body := map[string]any{"userName": name, "locale": "en", "active": i%3 > 0}
					if i%4 > 0 { // some have no value, and several the same
						body["externalId"], body["displayName"], body["title"] = fmt.Sprint("x", i*7%14), fmt.Sprint("D", i/4), strings.Repeat("t", 300*(i%3+1))
						body["name"] = map[string]any{"familyName": fmt.Sprint("F", i%5)}
					}
					ids[name] = c.must(201, "POST", "/Users", body).id()
					all = append(all, ids[name])
				}
				c.must(201, "POST", "/Groups", map[string]any{"displayName": "g", "members": members(all...)})
				query := "/Users?count=3"
				if by != "" {
					query += "&sortBy=" + by + "&sortOrder=" + order
				}
				if filter != "" {
					query += "&filter=" + url.QueryEscape(filter)
				}
				whole := userNames(c.must(200, "GET", strings.Replace(query, "count=3", "count=100", 1), nil))
				var got, gone []string
				for cursor, pages := "", 0; pages == 0 || cursor != ""; pages++ {
					a := c.must(200, "GET", query+"&cursor="+cursor, nil)
					got = append(got, userNames(a)...)
					cursor, _ = a.field("nextCursor").(string)
					if pages < 2 { // who was shown, the last on the page among them, goes
						for _, name := range got[len(got)-2:] {
							c.must(204, "DELETE", "/Users/"+ids[name], nil)
							gone = append(gone, name)
						}
					}
				}
				if !slices.Equal(got, whole) {
					t.Errorf("sortBy %q %s filter %q: %q, want %q (deleted: %q)", by, order, filter, got, whole, gone)
				}
			}
		}
	})
}
