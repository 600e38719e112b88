package login_test

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/signin"
)

// attackers is how many guess at once: more than may hash and wait together on
// the processors of a large machine.
const attackers = 400

// flood sends wrong passwords for unknown people, as fast as they are answered,
// until the test ends or stop is called; it returns when the first was turned away
// because too many hash.
func flood(t testing.TB, r *rig.Rig, people int) (stop func()) {
	t.Helper()
	browserID := secret.Random()
	anonymous := actor.Actor{Environment: r.Env.ID, Kind: actor.Anonymous, Level: actor.NoLevel}
	next, err := r.Signin.Begin(t.Context(), anonymous, r.DB, signin.Start{Environment: r.Env, BrowserID: browserID, Request: []byte(`{}`)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	stop = func() {
		cancel()
		work.Wait()
	}
	t.Cleanup(stop)
	busy, once := make(chan struct{}), sync.Once{}
	for n := range people {
		work.Go(func() {
			for guess := 0; ctx.Err() == nil; guess++ {
				a := anonymous
				a.IP = netip.AddrFrom4([4]byte{198, 18, byte(n), byte(guess)}) // a net of many addresses: none is slowed down
				_, err := r.Signin.Password(ctx, a, signin.Local{Environment: r.Env, FlowID: next.FlowID, BrowserID: browserID}, fmt.Sprintf("nobody%d.%d@flood.example", n, guess), "wrong")
				if fault.CodeOf(err) == "SIGNIN_BUSY" {
					once.Do(func() { close(busy) })
					time.Sleep(5 * time.Millisecond) // the way to the attacker and back
				}
			}
		})
	}
	select {
	case <-busy:
	case <-t.Context().Done():
		t.Fatal("the flood was too small: nobody was turned away")
	}
	return stop
}

// A flood of wrong passwords starves neither single sign-on nor provisioning, and
// who is turned away by it is told to come again.
//
// It shows too that an unknown account is hashed for as a known one is: all of the
// people of the flood are unknown, and they fill the places of those who hash.
func TestFloodOfPasswords(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		connection := w.SCIMConnection(w.acme)
		stop := flood(t, w.Rig, attackers)
		for n := range 3 {
			if a := arrived(t, browser.New(t).LogIn(w.StartURL("connection", w.saml.ID), ada.ID)); a.Tenant != w.acme {
				t.Errorf("%+v", a)
			}
			w.Provision(w.acme, connection, directory.Profile{UserName: fmt.Sprintf("p%d@acme.example", n), Email: fmt.Sprintf("p%d@acme.example", n), Active: true})
		}
		stop()
		plain := w.Tenant("plain")
		w.member(t, "joe@plain.example", password, plain)
		arrived(t, w.signIn(t, browser.New(t), "joe@plain.example", password)) // afterwards all is as before
	})
}

// How long a login through an identity provider takes while passwords are being
// guessed: compare quiet with flooded.
func BenchmarkSSOUnderFlood(b *testing.B) {
	for _, flooded := range []bool{false, true} {
		name := "quiet"
		if flooded {
			name = "flooded"
		}
		b.Run(name, func(b *testing.B) {
			dbtest.Bench(b, func(b *testing.B, d db.DB) {
				w := &world{Rig: rig.New(b, d)}
				w.idp = w.IdP(idp.Config{People: []idp.Person{ada}})
				w.acme = w.Tenant("acme", "acme.example")
				w.saml = w.SAMLConnection(w.acme, w.idp)
				if flooded {
					flood(b, w.Rig, attackers)
				}
				for b.Loop() {
					if a := rig.Arrive(b, browser.New(b).LogIn(w.StartURL("connection", w.saml.ID), ada.ID)); a.Tenant != w.acme {
						b.Fatalf("%+v", a)
					}
				}
			})
		})
	}
}
