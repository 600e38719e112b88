package scim_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// sqlManyUsers makes $4 resources without people behind them, which lists do not
// look at: users made by requests would take minutes.
const sqlManyUsers = `INSERT INTO scim_resources
(tenant_id, connection_id, id, kind, user_name_key, external_id, active, version, created, modified, doc)
WITH RECURSIVE n(i) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < CAST($4 AS BIGINT))
SELECT $1, $2, 'res_' || SUBSTR(CAST(100000000 + i AS TEXT), 2), 'User', 'u' || i || '@x.example', 'ext-' || i, TRUE, 1, CAST($3 AS BIGINT) + i, CAST($3 AS BIGINT) + i,
 '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"u' || i || '@x.example","active":true,"externalId":"ext-' || i || '"}' FROM n`

// BenchmarkPages reads the first and the last page of 100 among 100,000 users,
// by cursor and by startIndex, after a client has walked through all pages. It
// reports the ratio of the last page's time to the first one's.
func BenchmarkPages(b *testing.B) {
	const users, size = 100_000, 100
	dbtest.Bench(b, func(b *testing.B, d db.DB) {
		c := benchConnection(b, d)
		err := d.Tx(b.Context(), func(q db.Queryer) error {
			if _, err := q.Exec(b.Context(), sqlManyUsers, c.tenant, c.id, time.Now().UnixMicro(), int64(users)); err != nil {
				return err
			}
			_, err := q.Exec(b.Context(), `INSERT INTO counts (tenant_id, connection_id, kind, slot, n) VALUES ($1, $2, 'User', 0, $3)`, c.tenant, c.id, int64(users))
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		walk := map[string]func() (first, last string){
			"cursor": func() (string, string) {
				first := fmt.Sprintf("/Users?count=%d&cursor", size)
				for at := first; ; {
					next, _ := c.must(200, "GET", at, nil).field("nextCursor").(string)
					if next == "" {
						return first, at
					}
					at = first + "=" + next
				}
			},
			"startIndex": func() (first, last string) {
				for start := 1; start <= users; start += size {
					last = fmt.Sprintf("/Users?count=%d&startIndex=%d", size, start)
					if start == 1 {
						first = last
					}
					c.must(200, "GET", last, nil)
				}
				return first, last
			},
		}
		for name, walk := range walk {
			b.Run(name, func(b *testing.B) {
				first, last := walk()
				if list, _ := c.must(200, "GET", last, nil).field("Resources").([]any); len(list) != size {
					b.Fatalf("%d users on the last page", len(list))
				}
				var took [2]time.Duration
				b.ResetTimer()
				for range b.N {
					for i, path := range []string{first, last} {
						start := time.Now()
						if status := c.discard(path); status != 200 {
							b.Fatal(status)
						}
						took[i] += time.Since(start)
					}
				}
				b.ReportMetric(float64(took[0].Microseconds())/float64(b.N)/1000, "first-ms")
				b.ReportMetric(float64(took[1].Microseconds())/float64(b.N)/1000, "last-ms")
				b.ReportMetric(float64(took[1])/float64(took[0]), "last/first")
			})
		}
	})
}
