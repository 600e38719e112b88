package audit

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// fill writes n events of a tenant, 1,000 in each second up to start, of which
// one in a thousand batches is critical.
func fill(b *testing.B, d db.DB, n int) {
	b.Helper()
	each := make([]Target, eachSize)
	batches := n / eachSize
	for i := range batches {
		for j := range each {
			each[j] = Target{Type: "user", ID: fmt.Sprintf("usr_%d", i*eachSize+j), Name: "Somebody With A Name"}
		}
		e := event("ten_a", []string{"login.succeeded", "user.updated", "group.member_added"}[i%3])
		e.At = start.Add(time.Duration(i-batches) * time.Second)
		e.Actor.Subject = fmt.Sprintf("usr_%d", i%100)
		e.Metadata = map[string]any{"connection": "sso_1", "method": "saml"}
		if i == 0 {
			e.Severity = Critical // the oldest are the rare ones
		}
		stmts, err := EachStmts(e, each)
		if err != nil {
			b.Fatal(err)
		}
		if err := d.Batch(b.Context(), stmts); err != nil {
			b.Fatal(err)
		}
	}
	if d.Dialect().Name == db.Postgres { // as its own daemon would have
		if _, err := d.Exec(b.Context(), `VACUUM ANALYZE audit_events`); err != nil {
			b.Fatal(err)
		}
	}
}

// A page costs the same in a log of 10,000 and of 1,000,000 events; an export
// takes time by the event and memory by the piece: heap-MB is its growth at most.
func BenchmarkLog(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dbtest.Bench(b, func(b *testing.B, d db.DB) {
				fill(b, d, n)
				l := NewLog(d, clock.NewFake(start))
				deep := Filter{To: start.Add(-5 * time.Second)}
				for _, c := range []struct {
					name string
					f    Filter
				}{
					{"first", Filter{}},
					{"deep", deep},
					{"oldest", Filter{Oldest: true}},
					{"action", Filter{Action: "user.updated"}},
					{"actor", Filter{Actor: "usr_7"}},
					{"rare-severity", Filter{Severities: []Severity{Error}}},
					{"text-miss", Filter{Search: "nowhere to be found"}},
				} {
					b.Run(c.name, func(b *testing.B) {
						for b.Loop() {
							if _, _, err := l.List(b.Context(), d, member, c.f); err != nil {
								b.Fatal(err)
							}
						}
					})
				}
				b.Run("everywhere", func(b *testing.B) {
					for b.Loop() {
						if _, _, err := l.List(b.Context(), d, vendor, Filter{Everywhere: true}); err != nil {
							b.Fatal(err)
						}
					}
				})
				b.Run("stats", func(b *testing.B) {
					for b.Loop() {
						if _, err := l.Stats(b.Context(), d, member, "ten_a"); err != nil {
							b.Fatal(err)
						}
					}
				})
				for _, format := range []Format{CSV, OCSF} {
					b.Run("export-"+string(format), func(b *testing.B) {
						var peak, base runtime.MemStats
						var events, size int64
						runtime.GC()
						runtime.ReadMemStats(&base)
						for b.Loop() {
							x, err := l.Export(b.Context(), member, "ten_a", Filter{To: start}, format, nil)
							if err != nil {
								b.Fatal(err)
							}
							events, err = x.Write(b.Context(), func(p []byte) error {
								size += int64(len(p))
								var m runtime.MemStats
								if runtime.ReadMemStats(&m); m.HeapInuse > peak.HeapInuse {
									peak = m
								}
								return nil
							})
							x.Close()
							if err != nil || events != int64(n) {
								b.Fatal(events, err)
							}
						}
						b.ReportMetric(float64(events)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
						b.ReportMetric(float64(int64(peak.HeapInuse)-int64(base.HeapInuse))/(1<<20), "heap-MB")
					})
				}
			})
		})
	}
}
