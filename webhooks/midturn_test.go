package webhooks

import (
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// What people change while a request is on its way stands when the turn ends: an
// endpoint that was switched on again, or given another address, begins anew.
func TestChangedInMidTurn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		r, moved := newReceiver(t, nil), newReceiver(t, nil)
		acme := f.tenant("acme")
		on, off := true, false
		change := func(e Endpoint, p EndpointPatch) {
			t.Helper()
			f.tx(func(q db.Queryer) error {
				_, err := f.UpdateEndpoint(t.Context(), f.actor, q, acme.ID, e.ID, p, nil)
				return err
			})
		}
		// begin gives an endpoint that has failed for six days, and the turn that has it.
		begin := func() (Endpoint, lane) {
			t.Helper()
			e, _ := f.endpoint(acme.ID, r.URL, "user.created")
			f.backlog(acme.ID, e.ID, 1)
			_, err := d.Exec(t.Context(), `UPDATE webhook_queues SET failures = 30, failing_since = $3, leased_until = $4, lease_owner = 'x' WHERE tenant_id = $1 AND endpoint_id = $2`,
				acme.ID, e.ID, db.At(f.c.Now().Add(-6*24*time.Hour)), db.At(f.c.Now().Add(time.Minute)))
			if err != nil {
				t.Fatal(err)
			}
			return f.state(acme.ID, e.ID), lane{tenant: acme.ID, endpoint: e.ID, owner: "x", started: f.c.Now()}
		}
		end := func(e Endpoint, l lane, tu turn) Endpoint {
			t.Helper()
			if err := f.release(t.Context(), l, e, tu); err != nil {
				t.Fatal(err)
			}
			return f.state(acme.ID, e.ID)
		}
		failed := Attempt{N: 1, At: f.c.Now(), Status: 500, Error: codeStatus}

		e, l := begin()
		change(e, EndpointPatch{Active: &off})
		change(e, EndpointPatch{Active: &on})
		if s := end(e, l, turn{}); s.Failures != 0 || !s.FailingSince.IsZero() {
			t.Errorf("after a test, the failures from before are back: %+v", s)
		}
		e, l = begin()
		change(e, EndpointPatch{Active: &off})
		change(e, EndpointPatch{Active: &on})
		if s := end(e, l, turn{attempts: []Attempt{failed}}); !s.Active || s.Failures != 1 || !s.FailingSince.Equal(failed.At) {
			t.Errorf("switched off for failures from before: %+v", s)
		}
		e, l = begin()
		change(e, EndpointPatch{URL: &moved.URL})
		gone := failed
		gone.Status = 410
		if s := end(e, l, turn{attempts: []Attempt{gone}, gone: true, unreachable: true, rest: time.Hour}); !s.Active || s.Failures != 0 {
			t.Errorf("judged by the address it had: %+v", s)
		}
		if f.run(); len(moved.requests()) != 1 {
			t.Error("the new address waits for the rest that the old one asked for")
		}
		// Without a change between, six days are enough.
		e, l = begin()
		if s := end(e, l, turn{attempts: []Attempt{failed}}); s.Active || s.Disabled != Failing {
			t.Errorf("still on: %+v", s)
		}
	})
}

// Another address ends the rest of the one before, and its failures.
func TestNewAddress(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		down, up := newReceiver(t, status(503)), newReceiver(t, nil)
		acme := f.tenant("acme")
		e, _ := f.endpoint(acme.ID, down.URL, "user.created")
		f.happens(acme.ID, "user.created")
		f.run()
		f.tx(func(q db.Queryer) error {
			e, err := f.UpdateEndpoint(t.Context(), f.actor, q, acme.ID, e.ID, EndpointPatch{URL: &up.URL}, nil)
			if e.Failures != 0 || !e.FailingSince.IsZero() {
				t.Errorf("%+v", e)
			}
			return err
		})
		f.happens(acme.ID, "user.created")
		if f.run(); len(up.requests()) != 1 {
			t.Errorf("%d requests to the new address", len(up.requests()))
		}
	})
}
