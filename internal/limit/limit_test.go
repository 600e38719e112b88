package limit

import (
	"strconv"
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

// However the keys come, making room is rare: it is a walk through all of them.
func TestRoomForKeys(t *testing.T) {
	l, now := New(1, 1), time.Unix(1_700_000_000, 0)
	for i := range maxKeys {
		at := now
		if i < 10 {
			at = now.Add(-time.Hour) // full again
		}
		_ = l.Take(strconv.Itoa(i), at)
	}
	_ = l.Take("next", now)
	if n := len(l.buckets); n > maxKeys/4*3 {
		t.Errorf("%d keys are left: the next ones walk through all again", n)
	}
	l = New(1, 1)
	for i := range maxKeys {
		_ = l.Take(strconv.Itoa(i), now.Add(-time.Duration(i%2)*time.Hour))
	}
	_ = l.Take("next", now)
	if err := l.Take("0", now); err == nil || len(l.buckets) != maxKeys/2+1 {
		t.Errorf("%d keys; an empty bucket was forgotten: %v", len(l.buckets), err == nil)
	}
}
