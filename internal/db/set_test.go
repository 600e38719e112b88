package db_test

import (
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

func TestSet(t *testing.T) {
	values := []string{"1", "1", "x\"y", "é\x1f\\", "", "nul\x00", "not\xffutf8", "1\x00"}
	const want = 5 // one twice, two with NUL
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		if n := number(t, d, `SELECT COUNT(*) FROM json_each($1)`, db.Set(values)); n != want {
			t.Errorf("%d values, want %d", n, want)
		}
		for _, v := range []string{"1", "x\"y", "é\x1f\\", ""} {
			if n := number(t, d, `SELECT COUNT(*) FROM json_each($1) WHERE key = $2`, db.Set(values), v); n != 1 {
				t.Errorf("%q is found %d times", v, n)
			}
		}
		if n := number(t, d, `SELECT COUNT(*) FROM json_each($1)`, db.Set(nil)); n != 0 {
			t.Errorf("the empty set has %d values", n)
		}
	})
}
