package webhooks

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/safehttp"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Every built-in type of product 2.9 is offered and is a name of the audit
// catalogue; its name is one that Standard Webhooks allows.
func TestCatalogue(t *testing.T) {
	for _, key := range offered {
		if _, ok := builtin(key); !ok {
			t.Errorf("%s is no action of the catalogue", key)
		}
	}
	for _, b := range builtins {
		if !keyForm.MatchString(b.Key) || len(b.Key) > maxKey || b.Name == "" || b.Category == "" || !b.Builtin {
			t.Errorf("%+v", b)
		}
		if b.Key != AuditEvent && ofVendor(b.Key) {
			t.Errorf("%s is the vendor's alone", b.Key)
		}
	}
	if b, _ := builtin("sso_connection.created"); b.Name != "SSO connection created" || b.Enabled {
		t.Errorf("%+v", b)
	}
}

// The vendor defines and switches the types; tenants see and subscribe to those
// that he offers, and nothing else is delivered (product 71).
func TestEventTypes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		r := newReceiver(t, nil)
		acme := f.tenant("acme")
		define := func(in NewEventType) (e EventType, err error) {
			err = d.Tx(t.Context(), func(q db.Queryer) (err error) {
				e, err = f.CreateEventType(t.Context(), f.actor, q, in)
				return err
			})
			return e, err
		}
		change := func(key string, p EventTypePatch) (e EventType, err error) {
			err = d.Tx(t.Context(), func(q db.Queryer) (err error) {
				e, err = f.UpdateEventType(t.Context(), f.actor, q, key, p)
				return err
			})
			return e, err
		}
		offers := func(key string) bool {
			t.Helper()
			list, err := f.Offered(t.Context(), d, f.env)
			if err != nil || !slices.IsSortedFunc(list, byKey) {
				t.Fatal(err)
			}
			return slices.ContainsFunc(list, func(e EventType) bool { return e.Key == key })
		}
		if e, err := define(NewEventType{Key: "invoice.paid"}); err != nil || e.Name != "Invoice paid" || e.Category != customCategory || !e.Enabled || e.Builtin {
			t.Fatalf("%+v, %v", e, err)
		}
		if _, err := define(NewEventType{Key: "invoice.drafted", Disabled: true}); err != nil {
			t.Fatal(err)
		}
		for _, bad := range []struct {
			in   NewEventType
			code string
		}{
			{NewEventType{Key: ""}, "invalid_key"},
			{NewEventType{Key: "a-b"}, "invalid_key"},
			{NewEventType{Key: "a..b"}, "invalid_key"},
			{NewEventType{Key: ".a"}, "invalid_key"},
			{NewEventType{Key: "a b"}, "invalid_key"},
			{NewEventType{Key: "a\n"}, "invalid_key"},
			{NewEventType{Key: strings.Repeat("a", maxKey+1)}, "invalid_key"},
			{NewEventType{Key: "invoice.paid"}, "event_type_exists"},
			{NewEventType{Key: "user.created"}, "event_type_exists"},
			{NewEventType{Key: "environment.created"}, "event_type_exists"},
			{NewEventType{Key: AuditEvent}, "event_type_exists"},
			{NewEventType{Key: "x", Name: strings.Repeat("x", maxName+1)}, "invalid_name"},
			{NewEventType{Key: "x", Description: "a\x00b"}, "invalid_description"},
		} {
			_, err := define(bad.in)
			f.wantCode(err, bad.code)
		}
		for key, want := range map[string]bool{"invoice.paid": true, "invoice.drafted": false, "user.created": true, AuditEvent: true, "sso_connection.created": false, "environment.created": false} {
			if offers(key) != want {
				t.Errorf("%s is offered: %v", key, !want)
			}
		}
		for _, key := range []string{"invoice.drafted", "sso_connection.created", "no.such", "environment.created", "*", ""} {
			_, _, err := f.create(acme.ID, NewEndpoint{URL: r.URL, EventTypes: []string{"user.created", key}})
			f.wantCode(err, "unknown_event_type")
		}
		on, off, name := true, false, "Renamed"
		if e, err := change("sso_connection.created", EventTypePatch{Enabled: &on}); err != nil || !e.Enabled || !offers("sso_connection.created") {
			t.Errorf("%+v, %v", e, err)
		}
		_, err := change("user.created", EventTypePatch{Name: &name})
		f.wantCode(err, "builtin_event_type")
		_, err = change("no.such", EventTypePatch{Enabled: &on})
		f.wantCode(err, "event_type_not_found")
		if e, err := change("invoice.drafted", EventTypePatch{Name: &name, Enabled: &on}); err != nil || e.Name != name || !e.Enabled {
			t.Errorf("%+v, %v", e, err)
		}

		// Switched off, a type reaches nobody; the stream of everything still has it.
		e, _ := f.endpoint(acme.ID, r.URL, "user.created", "invoice.paid")
		all, _ := f.endpoint(acme.ID, r.URL, AuditEvent)
		if _, err := change("user.created", EventTypePatch{Enabled: &off}); err != nil || offers("user.created") {
			t.Fatal(err)
		}
		f.happens(acme.ID, "user.created")
		f.run()
		if n := len(f.deliveries(acme.ID, e.ID)); n != 0 {
			t.Errorf("%d deliveries of a type that is off", n)
		}
		list := f.deliveries(acme.ID, all.ID)
		if len(list) != 2 || list[0].EventType != AuditEvent { // its own creation, and user.created
			t.Errorf("audit stream: %+v", list)
		}
		if _, err := change("user.created", EventTypePatch{Enabled: &on}); err != nil {
			t.Fatal(err)
		}
		f.happens(acme.ID, "user.created")
		f.run()
		if n := len(f.deliveries(acme.ID, e.ID)); n != 1 {
			t.Errorf("%d deliveries of a type that is on again", n)
		}

		remove := func(key string) error {
			return d.Tx(t.Context(), func(q db.Queryer) error { return f.DeleteEventType(t.Context(), f.actor, q, key) })
		}
		f.wantCode(remove("user.created"), "builtin_event_type")
		f.wantCode(remove("no.such"), "event_type_not_found")
		if err := remove("invoice.drafted"); err != nil || offers("invoice.drafted") {
			t.Error(err)
		}
	})
}

// The vendor's application triggers its own events (product 72).
func TestTrigger(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		r := newReceiver(t, nil)
		acme, other := f.tenant("acme"), f.tenant("other")
		f.tx(func(q db.Queryer) error {
			_, err := f.CreateEventType(t.Context(), f.actor, q, NewEventType{Key: "invoice.paid"})
			return err
		})
		e, secret := f.endpoint(acme.ID, r.URL, "invoice.paid")
		f.endpoint(acme.ID, r.URL, "user.created")
		f.endpoint(other.ID, r.URL, "invoice.paid")
		trigger := func(tenant tenants.Tenant, in CustomEvent) (out Triggered, err error) {
			err = d.Tx(t.Context(), func(q db.Queryer) (err error) {
				out, err = f.Trigger(t.Context(), f.actor, q, tenant, in)
				return err
			})
			return out, err
		}
		quiet := f.tenant("quiet")
		if out, err := trigger(quiet, CustomEvent{Key: "invoice.paid", Title: "Paid", Description: "D"}); err != nil || out.Deliveries != 0 || f.count(`SELECT COUNT(*) FROM webhook_messages`) != 0 {
			t.Errorf("kept though nobody subscribes: %+v, %v", out, err)
		}
		out, err := trigger(acme, CustomEvent{Key: "invoice.paid", Title: "Paid", Description: "Invoice 7 was paid.", Properties: map[string]any{"amount": 12.5, "title": "not this"}})
		if err != nil || out.Deliveries != 1 {
			t.Fatal(out, err)
		}
		f.run()
		got := r.requests()
		if len(got) != 1 || !verified(t, secret, got[0]) || got[0].header.Get("webhook-id") != out.ID {
			t.Fatalf("%d requests", len(got))
		}
		var body struct {
			Type string
			Data map[string]any
		}
		if err := json.Unmarshal(got[0].body, &body); err != nil || body.Type != "invoice.paid" || body.Data["title"] != "Paid" ||
			body.Data["description"] != "Invoice 7 was paid." || body.Data["amount"] != 12.5 {
			t.Errorf("%s %v", got[0].body, err)
		}
		if one := f.only(acme.ID, e.ID); one.EventID != "" || one.Kind != kindEvent {
			t.Errorf("%+v", one)
		}
		good := CustomEvent{Key: "invoice.paid", Title: "T", Description: "D"}
		for _, bad := range []struct {
			change func(*CustomEvent)
			code   string
		}{
			{func(e *CustomEvent) { e.Title = "" }, "invalid_title"},
			{func(e *CustomEvent) { e.Title = " \t" }, "invalid_title"},
			{func(e *CustomEvent) { e.Description = "" }, "invalid_description"},
			{func(e *CustomEvent) { e.Key = "user.created" }, "unknown_event_type"},
			{func(e *CustomEvent) { e.Key = AuditEvent }, "unknown_event_type"},
			{func(e *CustomEvent) { e.Key = "no.such" }, "unknown_event_type"},
			{func(e *CustomEvent) { e.Properties = map[string]any{"x": strings.Repeat("y", maxBody)} }, "event_too_large"},
			{func(e *CustomEvent) {
				e.Properties = map[string]any{}
				for i := range maxProperties + 1 {
					e.Properties[fmt.Sprint(i)] = i
				}
			}, "invalid_properties"},
		} {
			in := good
			bad.change(&in)
			_, err := trigger(acme, in)
			f.wantCode(err, bad.code)
		}
		off := false
		f.tx(func(q db.Queryer) error {
			_, err := f.UpdateEventType(t.Context(), f.actor, q, "invoice.paid", EventTypePatch{Enabled: &off})
			return err
		})
		_, err = trigger(acme, good)
		f.wantCode(err, "unknown_event_type")
		if f.run(); len(r.requests()) != 1 {
			t.Error("something that was refused was sent")
		}
	})
}

// What subscribers may not see is not sent: hidden events, those of a suspended
// tenant, those of a deleted one, those after an endpoint is gone or off.
func TestNotDelivered(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		r := newReceiver(t, nil)
		acme := f.tenant("acme")
		e, _ := f.endpoint(acme.ID, r.URL, "user.created", "user.updated")
		quiet := func(what string) {
			t.Helper()
			f.run()
			if n := len(r.requests()); n != 0 {
				t.Fatalf("%s: %d sent", what, n)
			}
			if n := f.count(`SELECT COUNT(*) FROM outbox`); n != 0 {
				t.Fatalf("%s: %d outbox rows are left", what, n)
			}
		}
		hidden := f.event(acme.ID, "user.created")
		hidden.Hidden = true
		f.tx(func(q db.Queryer) error { return audit.Record(t.Context(), q, hidden) })
		quiet("hidden")
		// Even with an outbox row, a hidden event goes nowhere.
		if _, err := d.Exec(t.Context(), `INSERT INTO outbox (tenant_id, event_id, created_at) SELECT tenant_id, id, 1 FROM audit_events WHERE tenant_id = $1 AND NOT visible`, acme.ID); err != nil {
			t.Fatal(err)
		}
		quiet("hidden with an outbox row")

		status := func(s string) {
			t.Helper()
			f.tx(func(q db.Queryer) error {
				_, err := f.tenants.UpdateTenant(t.Context(), f.actor, q, acme.ID, tenants.TenantPatch{Status: &s})
				return err
			})
		}
		f.happens(acme.ID, "user.created")
		if _, err := f.Dispatch(t.Context()); err != nil { // it waits …
			t.Fatal(err)
		}
		status(tenants.StatusSuspended) // … when the tenant is suspended
		f.happens(acme.ID, "user.created")
		quiet("suspended")
		status(tenants.StatusActive)
		f.c.Advance(suspendedPause)
		f.run()
		if n := len(r.requests()); n != 1 {
			t.Errorf("resumed: %d sent, want the one from before", n)
		}
		r.mu.Lock()
		r.got = nil
		r.mu.Unlock()

		off := false
		f.happens(acme.ID, "user.created")
		f.tx(func(q db.Queryer) error {
			s, err := f.UpdateEndpoint(t.Context(), f.actor, q, acme.ID, e.ID, EndpointPatch{Active: &off}, nil)
			if s.Disabled != Manual {
				t.Errorf("%+v", s)
			}
			return err
		})
		f.happens(acme.ID, "user.created")
		quiet("off")
		// A test reaches it all the same, and once.
		f.tx(func(q db.Queryer) error {
			_, err := f.Test(t.Context(), f.actor, q, acme.ID, e.ID, "")
			return err
		})
		f.run()
		if n := len(r.requests()); n != 1 {
			t.Errorf("%d tests sent", n)
		}
		r.mu.Lock()
		r.got = nil
		r.mu.Unlock()
		f.tx(func(q db.Queryer) error { return f.DeleteEndpoint(t.Context(), f.actor, q, acme.ID, e.ID, nil) })
		f.happens(acme.ID, "user.created")
		quiet("deleted endpoint")

		f.endpoint(acme.ID, r.URL, "user.created")
		f.happens(acme.ID, "user.created")
		if _, err := f.Dispatch(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.happens(acme.ID, "user.created")
		list, err := f.claim(t.Context())
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		f.tx(func(q db.Queryer) error { return f.tenants.DeleteTenant(t.Context(), f.actor, q, acme.ID) })
		f.work(t.Context(), t.Context(), list[0])
		quiet("deleted tenant")
		if err := f.tenants.Remove(t.Context(), d, f.DropTenant); err != nil {
			t.Fatal(err)
		}
		if n := f.count(`SELECT COUNT(*) FROM webhook_messages`); n != 0 {
			t.Errorf("%d messages are left", n)
		}
	})
}

// The form of product 73: name, address, secret, events.
func TestEndpointRules(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		acme, other := f.tenant("acme"), f.tenant("other")
		f.fetch = NewFetch(false)
		good := NewEndpoint{URL: "https://hooks.example:8443/x?y=1", EventTypes: []string{"user.updated", "user.created", "user.created"}}
		e, secret, err := f.create(acme.ID, good)
		if err != nil || e.Name != "hooks.example:8443" || !slices.Equal(e.EventTypes, []string{"user.created", "user.updated"}) || !strings.HasPrefix(secret, secretPrefix) || !e.Active {
			t.Fatalf("%+v %q %v", e, secret, err)
		}
		for _, bad := range []struct {
			change func(*NewEndpoint)
			code   string
		}{
			{func(e *NewEndpoint) { e.URL = "http://hooks.example/" }, safehttp.CodeURL},
			{func(e *NewEndpoint) { e.URL = "https://hooks.example:22/" }, safehttp.CodeURL},
			{func(e *NewEndpoint) { e.URL = "https://user:pass@hooks.example/" }, safehttp.CodeURL},
			{func(e *NewEndpoint) { e.URL = "https://127.0.0.1/" }, safehttp.CodeAddress},
			{func(e *NewEndpoint) { e.URL = "https://[::ffff:10.0.0.1]/" }, safehttp.CodeAddress},
			{func(e *NewEndpoint) { e.URL = "https://169.254.169.254/latest" }, safehttp.CodeAddress},
			{func(e *NewEndpoint) { e.URL = "https://2130706433/" }, safehttp.CodeAddress},
			{func(e *NewEndpoint) { e.URL = "https://hooks.example/#x" }, "invalid_url"},
			{func(e *NewEndpoint) { e.URL = "https://hooks.example/" + strings.Repeat("x", maxURL) }, "invalid_url"},
			{func(e *NewEndpoint) { e.URL = "" }, "invalid_name"},
			{func(e *NewEndpoint) { e.Name = "a\x01b" }, "invalid_name"},
			{func(e *NewEndpoint) { e.EventTypes = nil }, "invalid_event_types"},
			{func(e *NewEndpoint) { e.EventTypes = make([]string, maxSubscriptions+1) }, "invalid_event_types"},
			{func(e *NewEndpoint) { e.Secret = "short" }, "invalid_secret"},
			{func(e *NewEndpoint) { e.Secret = "with a space in it" }, "invalid_secret"},
			{func(e *NewEndpoint) { e.Secret = "whsec_not base64" }, "invalid_secret"},
			{func(e *NewEndpoint) { e.Secret = "whsec_dG9vIHNob3J0" }, "invalid_secret"},
			{func(e *NewEndpoint) { e.Secret = strings.Repeat("x", maxPasted+1) }, "invalid_secret"},
			{func(e *NewEndpoint) { e.Signature = "v2" }, "invalid_signature"},
		} {
			in := good
			bad.change(&in)
			_, _, err := f.create(acme.ID, in)
			f.wantCode(err, bad.code)
		}
		// Another tenant's endpoint is not there.
		mine := e.ID
		for name, do := range map[string]func(q db.Queryer) error{
			"get": func(q db.Queryer) error { _, err := f.Endpoint(t.Context(), q, other.ID, mine); return err },
			"update": func(q db.Queryer) error {
				_, err := f.UpdateEndpoint(t.Context(), f.actor, q, other.ID, mine, EndpointPatch{}, nil)
				return err
			},
			"delete": func(q db.Queryer) error { return f.DeleteEndpoint(t.Context(), f.actor, q, other.ID, mine, nil) },
			"rotate": func(q db.Queryer) error {
				_, _, err := f.RotateSecret(t.Context(), f.actor, q, other.ID, mine, "", nil)
				return err
			},
			"test": func(q db.Queryer) error { _, err := f.Test(t.Context(), f.actor, q, other.ID, mine, ""); return err },
			"list": func(q db.Queryer) error {
				_, _, err := f.Deliveries(t.Context(), q, other.ID, mine, DeliveryFilter{})
				return err
			},
			"replay": func(q db.Queryer) error {
				_, err := f.Replay(t.Context(), f.actor, q, other.ID, mine, "dlv_x")
				return err
			},
			"range": func(q db.Queryer) error {
				_, _, err := f.ReplayRange(t.Context(), f.actor, q, other.ID, mine, DeliveryFilter{})
				return err
			},
		} {
			t.Run(name, func(t *testing.T) { f.wantCode(d.Tx(t.Context(), do), "webhook_not_found") })
		}
		// A change of the version that was read.
		name := "n"
		err = d.Tx(t.Context(), func(q db.Queryer) error {
			_, err := f.UpdateEndpoint(t.Context(), f.actor, q, acme.ID, mine, EndpointPatch{Name: &name}, func(v int64) error {
				if v != 1 {
					t.Errorf("version %d", v)
				}
				return errInactive
			})
			return err
		})
		f.wantCode(err, "webhook_inactive")
		// A subscription that the vendor has switched off since may stay, but not come back.
		off := false
		f.tx(func(q db.Queryer) error {
			_, err := f.UpdateEventType(t.Context(), f.actor, q, "user.created", EventTypePatch{Enabled: &off})
			return err
		})
		update := func(types ...string) error {
			return d.Tx(t.Context(), func(q db.Queryer) error {
				_, err := f.UpdateEndpoint(t.Context(), f.actor, q, acme.ID, mine, EndpointPatch{EventTypes: types}, nil)
				return err
			})
		}
		if err := update("user.created", "user.deleted"); err != nil {
			t.Error(err)
		}
		if err := update("user.deleted"); err != nil {
			t.Error(err)
		}
		f.wantCode(update("user.created"), "unknown_event_type")
		if got := f.count(`SELECT COUNT(*) FROM audit_interest WHERE tenant_id = $1 AND action = 'user.deleted'`, acme.ID); got != 1 || f.count(`SELECT COUNT(*) FROM audit_interest`) != 1 {
			t.Error("the interest is not that of the subscription")
		}
	})
}

// resolver answers each query of a name with the next of its addresses.
type resolver struct {
	mu      sync.Mutex
	answers []string
}

func (n *resolver) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		for {
			var size [2]byte
			if _, err := io.ReadFull(server, size[:]); err != nil {
				return
			}
			text := make([]byte, binary.BigEndian.Uint16(size[:]))
			if _, err := io.ReadFull(server, text); err != nil {
				return
			}
			var q dnsmessage.Message
			if q.Unpack(text) != nil {
				return
			}
			a := dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true, RecursionAvailable: true}, Questions: q.Questions}
			n.mu.Lock()
			if q.Questions[0].Type == dnsmessage.TypeA {
				a.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Questions[0].Name, Class: dnsmessage.ClassINET},
					Body:   &dnsmessage.AResource{A: netip.MustParseAddr(n.answers[0]).As4()},
				}}
				if len(n.answers) > 1 {
					n.answers = n.answers[1:]
				}
			}
			n.mu.Unlock()
			out, err := a.Pack()
			if err != nil {
				return
			}
			binary.BigEndian.PutUint16(size[:], uint16(len(out)))
			if _, err := server.Write(append(size[:], out...)); err != nil {
				return
			}
		}
	}()
	return client, nil
}

// A name that is harmless when the endpoint is made and leads to this machine when
// it is dialled (DNS rebinding) is refused at every attempt, and the log does not
// say where it led.
func TestRebinding(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		names := &resolver{answers: []string{"127.0.0.1", "169.254.169.254", "10.1.2.3"}}
		f.fetch = safehttp.New(safehttp.Options{
			Timeout: time.Second, MaxBody: maxAnswer, Ports: []int{443, 8443}, Resolver: &net.Resolver{PreferGo: true, Dial: names.dial},
		})
		acme := f.tenant("acme")
		e, _ := f.endpoint(acme.ID, "https://rebind.example/", "user.created")
		f.happens(acme.ID, "user.created")
		for range 3 {
			f.run()
			one := f.only(acme.ID, e.ID)
			f.c.Advance(one.NextAt.Sub(f.c.Now()))
		}
		one := f.only(acme.ID, e.ID)
		if len(one.Log) != 3 {
			t.Fatalf("%d attempts", len(one.Log))
		}
		for _, a := range one.Log {
			if a.Error != safehttp.CodeAddress || a.Status != 0 || a.Response != "" {
				t.Errorf("%+v", a)
			}
		}
		shown, _ := json.Marshal(one)
		if strings.Contains(string(shown), "169.254") || strings.Contains(string(shown), "10.1.2.3") {
			t.Error("the log shows an inner address")
		}
	})
}

// Keys of the other scheme are no shared secrets: pasted as one, they would sign in
// a form that the receiver does not expect.
func TestPastedKeys(t *testing.T) {
	seed, err := newSecret(Ed25519, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		seed, publicKey(seed), "whsk_pasted-by-mistake",
		"whsec_" + strings.Repeat("QUFB", 8) + "\n", "whsec_" + strings.Repeat("QUFB\r\n", 8), // decoding passes over line breaks
	} {
		if got, err := newSecret(HMAC, bad); fault.CodeOf(err) != "invalid_secret" {
			t.Errorf("%q is taken: %q, %v", bad, got, err)
		}
	}
	if _, err := newSecret(HMAC, "whsec_"+strings.Repeat("QUFB", 8)); err != nil {
		t.Error(err)
	}
}
