package audit

import (
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// What runs all the time, or for a page, is led by an index: SQLite, which keeps
// no statistics here, says so beforehand.
func TestIndexesLead(t *testing.T) {
	d := dbtest.Open(t, db.SQLite)
	s, err := newSearch(member, Filter{})
	if err != nil {
		t.Fatal(err)
	}
	for statement, index := range map[string]string{
		sqlUnsealedTenants:       "audit_events_recorded (environment_id=? AND recorded_at>?",
		sqlExpired:               "audit_events_recorded (environment_id=? AND recorded_at>?",
		s.page:                   "audit_events_time (tenant_id=? AND occurred_at>? AND (occurred_at,id)<(?,?)",
		s.end:                    "COVERING INDEX audit_events_time",
		sqlListActionNewest:      "audit_events_action (tenant_id=? AND action=?",
		sqlListActorOldest:       "audit_events_actor (tenant_id=? AND actor_id=?",
		sqlListEnvironmentNewest: "audit_events_recorded (environment_id=?",
		sqlStatsSevere:           "COVERING INDEX audit_events_time",
		sqlStatsToday:            "COVERING INDEX audit_events_time",
		sqlTold:                  "audit_events_action (tenant_id=? AND action=?",
	} {
		rows, err := d.Query(t.Context(), "EXPLAIN QUERY PLAN "+statement, make([]any, highest(statement))...)
		if err != nil {
			t.Fatal(err)
		}
		var plan []string
		for rows.Next() {
			var a, b, c int
			var step string
			if err := rows.Scan(&a, &b, &c, &step); err != nil {
				t.Fatal(err)
			}
			plan = append(plan, step)
		}
		rows.Close()
		text := strings.Join(plan, "\n")
		if !strings.Contains(text, index) || strings.Contains(text, "SCAN e USING INDEX") || strings.Contains(text, "TEMP B-TREE FOR ORDER BY") {
			t.Errorf("%s\nis read so:\n%s", statement, text)
		}
	}
}

// highest is the greatest number of a parameter.
func highest(statement string) int {
	for n := 19; n > 0; n-- {
		at := strings.Index(statement, "$"+string(rune('0'+n%10)))
		if n >= 10 {
			at = strings.Index(statement, "$1"+string(rune('0'+n-10)))
		}
		if at >= 0 {
			return n
		}
	}
	return 0
}
