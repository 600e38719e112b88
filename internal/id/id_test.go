package id

import (
	"testing"
	"time"
)

func TestAgo(t *testing.T) {
	before := Ago(Event, 0)
	made := New(Event)
	if !Valid(Event, before) || before >= made {
		t.Errorf("%s is not before %s", before, made)
	}
	if later := Ago(Event, -time.Minute); later <= made {
		t.Errorf("%s is not after %s", later, made)
	}
	hour, minute := Ago(Event, time.Hour), Ago(Event, time.Minute)
	if zero := Ago(Event, 100*365*24*time.Hour); !Valid(Event, zero) || zero >= hour || hour >= minute || minute >= before {
		t.Errorf("%s %s %s %s do not ascend", zero, hour, minute, before)
	}
}
