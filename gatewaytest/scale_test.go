package gatewaytest_test

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/gatewaytest"
	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// sqlNeighbours fill a store with other tenants, $1 of them with $2 people each
// in the environment $3, as SCIM and a vendor would have made them. They are the
// scale's own, so they may be written past the packages that own the tables.
var sqlNeighbours = []string{
	`INSERT INTO tenants (environment_id, id, key, name, status, created_at, updated_at)
	 SELECT $3, 'ten_' || lpad(t::text, 26, '0'), 'neighbour-' || t, 'Neighbour ' || t, 'active', t, t FROM generate_series(1, $1::int) t WHERE $2 > 0`,
	`INSERT INTO tenant_closure (environment_id, ancestor_id, descendant_id, depth)
	 SELECT $3, 'ten_' || lpad(t::text, 26, '0'), 'ten_' || lpad(t::text, 26, '0'), 0 FROM generate_series(1, $1::int) t WHERE $2 > 0`,
	`INSERT INTO domains (tenant_id, id, environment_id, domain, txt_value, verified_at, verified_by, created_at)
	 SELECT 'ten_' || lpad(t::text, 26, '0'), 'dom_' || lpad(t::text, 26, '0'), $3, 'neighbour-' || t || '.example', 'x', 1, 'management_key', t FROM generate_series(1, $1::int) t WHERE $2 > 0`,
	`INSERT INTO scim_connections (tenant_id, id, environment_id, name, profile, status, delete_mode, created_at, updated_at)
	 SELECT 'ten_' || lpad(t::text, 26, '0'), 'dir_' || lpad(t::text, 26, '0'), $3, 'Directory', 'okta', 'linked', 'soft', t, t FROM generate_series(1, $1::int) t WHERE $2 > 0`,
	`INSERT INTO users (environment_id, id, email, email_key, email_verified, name, created_at, updated_at)
	 SELECT $3, 'usr_' || lpad(n::text, 26, '0'), 'person' || n || '@neighbour-' || n % $1::int || '.example', 'person' || n || '@neighbour-' || n % $1::int || '.example', FALSE, 'Person ' || n, n, n
	 FROM generate_series(1, $1::int * $2::int) n`,
	`INSERT INTO memberships (tenant_id, id, environment_id, user_id, status, managed_by, connection_id, email, email_key, user_name_key, first_name, last_name, scim_resources, scim_active, created_at, updated_at)
	 SELECT 'ten_' || lpad((1 + n % $1::int)::text, 26, '0'), 'mem_' || lpad(n::text, 26, '0'), $3, 'usr_' || lpad(n::text, 26, '0'), 'active', 'scim', 'dir_' || lpad((1 + n % $1::int)::text, 26, '0'),
	   'person' || n || '@x.example', 'person' || n || '@x.example', 'person' || n || '@x.example', 'Person', n::text, 1, 1, n, n
	 FROM generate_series(1, $1::int * $2::int) n`,
	`INSERT INTO membership_sources (tenant_id, membership_id, connection_id, resource_id, external_id, user_name_key, email, email_key, active, created_at)
	 SELECT 'ten_' || lpad((1 + n % $1::int)::text, 26, '0'), 'mem_' || lpad(n::text, 26, '0'), 'dir_' || lpad((1 + n % $1::int)::text, 26, '0'), 'res_' || lpad(n::text, 26, '0'),
	   '00u' || n, 'person' || n || '@x.example', 'person' || n || '@x.example', 'person' || n || '@x.example', TRUE, n
	 FROM generate_series(1, $1::int * $2::int) n WHERE $3 <> ''`,
	`INSERT INTO scim_resources (tenant_id, connection_id, id, kind, membership_id, user_name_key, external_id, active, version, created, modified, doc)
	 SELECT 'ten_' || lpad((1 + n % $1::int)::text, 26, '0'), 'dir_' || lpad((1 + n % $1::int)::text, 26, '0'), 'res_' || lpad(n::text, 26, '0'), 'User', 'mem_' || lpad(n::text, 26, '0'),
	   'person' || n || '@x.example', '00u' || n, TRUE, 1, n, n, '{"userName":"person' || n || '@x.example","externalId":"00u' || n || '","active":true}'
	 FROM generate_series(1, $1::int * $2::int) n WHERE $3 <> ''`,
	`INSERT INTO membership_roles (tenant_id, membership_id, environment_id, role_owner, role_id, created_at)
	 SELECT 'ten_' || lpad((1 + n % $1::int)::text, 26, '0'), 'mem_' || lpad(n::text, 26, '0'), $3, '', r.id, n
	 FROM generate_series(1, $1::int * $2::int) n, (SELECT id FROM roles WHERE environment_id = $3 AND is_default) r`,
}

// neighbours fills the vendor's store.
func neighbours(b *testing.B, v *vendor, tenants, people int) {
	b.Helper()
	for _, sql := range sqlNeighbours {
		if _, err := v.DB.Exec(b.Context(), sql, tenants, people, v.Main.ID); err != nil {
			b.Fatalf("%.60s: %v", sql, err)
		}
	}
	if _, err := v.DB.Exec(b.Context(), "ANALYZE"); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkScale compares what a login, a SCIM lookup, a page of users and an
// audit page cost among many tenants with what they cost among ten, in one run
// and in turns. The large store takes minutes to fill, so its size is asked for:
//
//	GATEHOUSE_SCALE=10000x100 go test ./gatewaytest -run NONE -bench Scale -benchtime 300x
//
// Milliseconds are medians; many/few is their ratio.
func BenchmarkScale(b *testing.B) {
	tenants, people := 200, 20
	if s := os.Getenv("GATEHOUSE_SCALE"); s != "" {
		if _, err := fmt.Sscanf(s, "%dx%d", &tenants, &people); err != nil {
			b.Fatal(err)
		}
	}
	if os.Getenv("GATEHOUSE_TEST_DATABASE_URL") == "" {
		b.Skip("needs PostgreSQL: GATEHOUSE_TEST_DATABASE_URL")
	}
	type store struct {
		*vendor
		okta   gatewaytest.Okta
		tokens gatewaytest.Tokens
	}
	var stores [2]store // few, many
	for i, size := range [][2]int{{10, 100}, {tenants, people}} {
		v := newVendor(b, dbtest.Open(b, db.Postgres), "okta")
		neighbours(b, v, size[0], size[1])
		o := gatewaytest.NewOkta(b, v.scimURL, v.scimToken)
		for n := range 100 {
			o.CreateUser(gatewaytest.Provisioned{
				ExternalID: "x" + strconv.Itoa(n), UserName: fmt.Sprintf("user%d@acme.example", n), Email: fmt.Sprintf("user%d@acme.example", n),
			})
		}
		stores[i] = store{vendor: v, okta: o}
	}
	works := []struct {
		name string
		do   func(s *store, n int)
	}{
		{"login", func(s *store, _ int) {
			s.tokens = s.LogIn(browser.New(b), s.app, ada.ID, "connection", s.saml)
		}},
		{"refresh", func(s *store, _ int) { s.tokens = s.Refresh(s.app, s.tokens.RefreshToken) }},
		{"scim-lookup", func(s *store, n int) {
			s.okta.Do(http.MethodGet, fmt.Sprintf("/Users?filter=userName+eq+%%22user%d@acme.example%%22", n%100), nil)
		}},
		{"scim-create", func(s *store, n int) {
			s.okta.CreateUser(gatewaytest.Provisioned{ExternalID: fmt.Sprintf("b%d", n), UserName: fmt.Sprintf("b%d@acme.example", n), Email: fmt.Sprintf("b%d@acme.example", n)})
		}},
		{"user-list", func(s *store, _ int) { s.Call(http.MethodGet, "/tenants/acme/users?limit=50", nil, nil) }},
		{"tenant-list", func(s *store, _ int) { s.Call(http.MethodGet, "/tenants?limit=10", nil, nil) }},
		{"audit-list", func(s *store, _ int) { s.Call(http.MethodGet, "/tenants/acme/audit-events?limit=50", nil, nil) }},
	}
	for _, w := range works {
		b.Run(w.name, func(b *testing.B) {
			var taken [2][]time.Duration
			for n := range 20 { // connections and prepared statements
				for i := range stores {
					w.do(&stores[i], 1_000_000+n)
				}
			}
			n := 0
			for b.Loop() {
				for i := range stores {
					start := time.Now()
					w.do(&stores[i], n)
					taken[i] = append(taken[i], time.Since(start))
				}
				n++
			}
			var median [2]float64
			for i, t := range taken {
				slices.Sort(t)
				median[i] = float64(t[len(t)/2].Microseconds()) / 1000
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median[0], "few-ms")
			b.ReportMetric(median[1], "many-ms")
			b.ReportMetric(median[1]/median[0], "many/few")
		})
	}
}
