package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// Whatever stands where an id should, on every route: the request is refused, and
// nothing fails.
func TestHostileAddresses(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		w := f.world(hostA, "acme")
		for _, r := range f.h.routes {
			for _, m := range parameter.FindAllStringSubmatch(r.path, -1) {
				for _, bad := range []string{"%00", "%ff", "%27%22", "..%2f..", "%25s", strings.Repeat("a", 64), "ten_" + strings.Repeat("7", 26)} {
					hostile := map[string]string{}
					for k, v := range w {
						hostile[k] = v
					}
					name := m[1]
					switch {
					case name == "c" && strings.Contains(r.path, "scim-connections"):
						name = "scim"
					case name == "c":
						name = "sso"
					case name == "r" && strings.Contains(r.path, "/requests/"):
						name = "log"
					}
					hostile[name] = bad
					res := f.send(r.method, fill(r, hostile), bodies[r.id])
					if res.StatusCode < 400 && name != "urn" || res.StatusCode >= 500 {
						t.Errorf("%s with %s = %q: %d %s", r.id, name, bad, res.StatusCode, codeOf(res))
					}
				}
			}
			if r.method == http.MethodGet {
				for _, query := range []string{"cursor=%00", "cursor=a.b", "cursor=" + strings.Repeat("a", 2001), "limit=-1", "limit=201", "limit=9999999999999999999999", "q=%00", "q=%ff", "status=%00"} {
					if res := f.send("GET", fill(r, w)+"?"+query, nil); res.StatusCode >= 500 {
						t.Errorf("%s?%s: %d %s", r.id, query, res.StatusCode, codeOf(res))
					}
				}
			}
		}
	})
}
