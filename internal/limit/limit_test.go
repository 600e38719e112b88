package limit

import (
	"testing"
	"time"
)

func TestLeft(t *testing.T) {
	l, now := New(2, 4), time.Unix(1_000_000, 0)
	if n, window := l.Size(); n != 4 || window != 2*time.Second {
		t.Errorf("%d in %v", n, window)
	}
	want := func(key string, events int, full time.Duration) {
		t.Helper()
		if n, d := l.Left(key, now); n != events || d.Round(time.Millisecond) != full {
			t.Errorf("%s: %d, full in %v", key, n, d)
		}
	}
	want("a", 4, 0)
	if err := l.Take("a", now); err != nil {
		t.Fatal(err)
	}
	want("a", 3, 500*time.Millisecond)
	want("b", 4, 0)
	l.Charge("a", now, 10)
	want("a", 0, 5500*time.Millisecond)
	if l.Take("a", now) == nil {
		t.Error("taken from a debt")
	}
	now = now.Add(time.Minute)
	want("a", 4, 0)
}
