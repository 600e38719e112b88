package scim_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// PostgreSQL stores no NUL and takes none as an argument: a request with one is
// answered on both engines, and not as a defect of ours.
func TestNUL(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		c.must(201, "POST", "/Users", user("ann@x.example"))
		for _, f := range []string{`userName eq "ann@x.example\u0000"`, `externalId sw "\u0000"`, `groups.value eq "\u0000"`, `emails.value eq "\u0000"`, `emails[value co "\u0000"]`} {
			c.must(400, "GET", "/Users?filter="+url.QueryEscape(f), nil)
		}
		c.must(400, "GET", "/Users?filter="+url.QueryEscape("userName eq \"\x00\""), nil)
		c.must(400, "POST", "/Users", user("nul\x00@x.example"))
		c.must(400, "POST", "/Groups", map[string]any{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "displayName": "a\x1fb"})
		group := c.must(201, "POST", "/Groups", map[string]any{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "displayName": "G"})
		for _, path := range []string{"/Users/%00", "/Users/%FF", "/Groups/" + group.id() + "%00"} {
			for _, method := range []string{"GET", "DELETE"} {
				if a := c.do(method, path, nil); a.status != 400 && a.status != 404 {
					t.Errorf("%s %s: %d", method, path, a.status)
				}
			}
		}
		if a := c.do("GET", "/Users?cursor="+url.QueryEscape(strings.Repeat("\x00", 4)), nil); a.status != 400 {
			t.Errorf("cursor: %d", a.status)
		}
	})
}
