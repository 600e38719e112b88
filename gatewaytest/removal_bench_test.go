package gatewaytest_test

import (
	"context"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

const numbers = `WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < CAST($2 AS BIGINT)) `

// sqlCrowd gives the tenant $1 $2 people of its directory $3 in the environment $4,
// each with a role ($5), a session and a refresh family.
var sqlCrowd = []string{
	numbers + `INSERT INTO users (environment_id, id, email, email_key, email_verified, created_at, updated_at)
	 SELECT $4, 'usr_c' || n, 'c' || n || '@x.example', 'c' || n || '@x.example', FALSE, n, n FROM s WHERE $1 <> '' AND $3 <> '' AND $5 <> ''`,
	numbers + `INSERT INTO memberships (tenant_id, id, environment_id, user_id, status, managed_by, connection_id, email, email_key, user_name_key, first_name, last_name, scim_resources, scim_active, created_at, updated_at)
	 SELECT $1, 'mem_c' || n, $4, 'usr_c' || n, 'active', 'scim', $3, 'c' || n || '@x.example', 'c' || n || '@x.example', 'c' || n || '@x.example', 'Person', 'Number ' || n, 1, 1, n, n FROM s WHERE $5 <> ''`,
	numbers + `INSERT INTO membership_sources (tenant_id, membership_id, connection_id, resource_id, external_id, user_name_key, email, email_key, active, created_at)
	 SELECT $1, 'mem_c' || n, $3, 'res_c' || n, '00u' || n, 'c' || n || '@x.example', 'c' || n || '@x.example', 'c' || n || '@x.example', TRUE, n FROM s WHERE $4 <> '' AND $5 <> ''`,
	numbers + `INSERT INTO scim_resources (tenant_id, connection_id, id, kind, membership_id, user_name_key, external_id, active, version, created, modified, doc)
	 SELECT $1, $3, 'res_c' || n, 'User', 'mem_c' || n, 'c' || n || '@x.example', '00u' || n, TRUE, 1, n, n, '{"userName":"c' || n || '@x.example"}' FROM s WHERE $4 <> '' AND $5 <> ''`,
	numbers + `INSERT INTO scim_values (tenant_id, connection_id, resource_id, attr, value_key)
	 SELECT $1, $3, 'res_c' || n, 'emails.value', 'c' || n || '@x.example' FROM s WHERE $4 <> '' AND $5 <> ''`,
	numbers + `INSERT INTO membership_roles (tenant_id, membership_id, environment_id, role_owner, role_id, created_at)
	 SELECT $1, 'mem_c' || n, $4, '', $5, n FROM s WHERE $3 <> ''`,
	numbers + `INSERT INTO sessions (environment_id, id, hash, user_id, auth_time, created_at, last_seen_at, idle_seconds, expires_at)
	 SELECT $4, 'ses_c' || n, 'h' || n, 'usr_c' || n, n, n, n, 3600, 9000000000000000 FROM s WHERE $1 <> '' AND $3 <> '' AND $5 <> ''`,
	numbers + `INSERT INTO session_tenants (tenant_id, session_id, environment_id, user_id, membership_id, method, auth_time, satisfied_at)
	 SELECT $1, 'ses_c' || n, $4, 'usr_c' || n, 'mem_c' || n, 'saml', n, n FROM s WHERE $3 <> '' AND $5 <> ''`,
	numbers + `INSERT INTO refresh_families (environment_id, id, tenant_id, session_id, user_id, client_id, scope, seq, rotated_at, created_at, idle_expires_at, expires_at)
	 SELECT $4, 'fam_c' || n, $1, 'ses_c' || n, 'usr_c' || n, 'app', 'openid', 1, n, n, 9000000000000000, 9000000000000000 FROM s WHERE $3 <> '' AND $5 <> ''`,
}

// BenchmarkDeleteTenant deletes a tenant of many people with a session each. It
// tells how long the request takes, how long the removal of the rows, and how long
// another writer waits meanwhile at the longest, whose own work is a row.
//
//	GATEHOUSE_SCALE=100000 go test ./gatewaytest -run NONE -bench DeleteTenant -benchtime 1x
func BenchmarkDeleteTenant(b *testing.B) {
	people := 2000
	if s := os.Getenv("GATEHOUSE_SCALE"); s != "" {
		var err error
		if people, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	dbtest.Bench(b, func(b *testing.B, d db.DB) {
		v := newVendor(b, d, "okta")
		for b.Loop() {
			b.StopTimer()
			var made, dir struct{ ID string }
			v.Call(http.MethodPost, "/tenants", object{"name": "Crowd", "key": "crowd"}, &made)
			v.Call(http.MethodPost, "/tenants/crowd/scim-connections", object{"name": "Okta"}, &dir)
			for _, sql := range sqlCrowd {
				if _, err := d.Exec(b.Context(), sql, made.ID, int64(people), dir.ID, v.Main.ID, v.developer); err != nil {
					b.Fatalf("%.90s: %v", sql, err)
				}
			}
			if d.Dialect().Name == db.Postgres {
				if _, err := d.Exec(b.Context(), "ANALYZE"); err != nil {
					b.Fatal(err)
				}
			}
			b.StartTimer()
			start := time.Now()
			v.Call(http.MethodDelete, "/tenants/crowd", nil, nil)
			request := time.Since(start)

			stop, waits := make(chan struct{}), []time.Duration{}
			var other sync.WaitGroup
			other.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(2 * time.Millisecond):
					}
					from := time.Now()
					err := d.Tx(context.WithoutCancel(b.Context()), func(q db.Queryer) error {
						_, err := q.Exec(b.Context(), `UPDATE tenants SET version = version + 1 WHERE environment_id = $1 AND key = 'acme'`, v.Main.ID)
						return err
					})
					if err != nil {
						b.Error(err)
						return
					}
					waits = append(waits, time.Since(from))
				}
			})
			start = time.Now()
			for left := int64(1); left > 0; {
				v.clock.Advance(time.Minute)
				if _, err := v.Jobs.RunDue(b.Context()); err != nil {
					b.Fatal(err)
				}
				if err := d.QueryRow(b.Context(), `SELECT COUNT(*) FROM tenants WHERE id = $1`, made.ID).Scan(&left); err != nil {
					b.Fatal(err)
				}
			}
			removal := time.Since(start)
			close(stop)
			other.Wait()
			slices.Sort(waits)
			b.ReportMetric(float64(request.Microseconds())/1000, "request-ms")
			b.ReportMetric(removal.Seconds(), "removal-s")
			b.ReportMetric(float64(waits[len(waits)/2].Microseconds())/1000, "wait-p50-ms")
			b.ReportMetric(float64(waits[len(waits)-1].Microseconds())/1000, "wait-max-ms")
		}
	})
}
