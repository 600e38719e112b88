package webhooks

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// verified reports whether the independent library takes the request.
func verified(t *testing.T, secret string, r request) bool {
	t.Helper()
	wh, err := standardwebhooks.NewWebhookRaw([]byte(secret))
	if strings.HasPrefix(secret, secretPrefix) {
		wh, err = standardwebhooks.NewWebhook(secret)
	}
	if err != nil {
		t.Fatal(err)
	}
	return wh.VerifyIgnoringTimestamp(r.body, r.header) == nil
}

// A change becomes a signed request, whose answer is kept (product 71 and 73;
// product 7.1).
func TestDelivery(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusAccepted)
			_, _ = w.Write([]byte("thank you"))
		})
		acme, other := f.tenant("acme"), f.tenant("other")
		e, secret := f.endpoint(acme.ID, r.URL+"/hook", "user.created", "user.deleted")
		f.happens(acme.ID, "user.created")
		f.happens(acme.ID, "user.updated")  // not subscribed
		f.happens(other.ID, "user.created") // not his
		f.run()

		got := r.requests()
		if len(got) != 1 {
			t.Fatalf("%d requests, want 1", len(got))
		}
		if !verified(t, secret, got[0]) || verified(t, secretPrefix+base64.StdEncoding.EncodeToString(make([]byte, 32)), got[0]) {
			t.Errorf("the signature does not hold: %v", got[0].header)
		}
		wh, _ := standardwebhooks.NewWebhook(secret)
		if err := wh.Verify(got[0].body, got[0].header); err != nil { // the time of the attempt is within its tolerance
			t.Error(err)
		}
		if got[0].header.Get("webhook-timestamp") != strconv.FormatInt(f.c.Now().Unix(), 10) || got[0].header.Get("Content-Type") != "application/json" {
			t.Errorf("headers %v", got[0].header)
		}
		var body struct {
			Type      string    `json:"type"`
			Timestamp time.Time `json:"timestamp"`
			Data      eventData `json:"data"`
		}
		if err := json.Unmarshal(got[0].body, &body); err != nil {
			t.Fatal(err)
		}
		if body.Type != "user.created" || !body.Timestamp.Equal(f.c.Now()) || body.Data.TenantID != acme.ID || body.Data.Action != "user.created" ||
			body.Data.Actor.ID != "key_1" || len(body.Data.Targets) != 1 || body.Data.Targets[0].Name != "Ann" {
			t.Errorf("body %s", got[0].body)
		}
		one := f.only(acme.ID, e.ID)
		if one.Status != Delivered || one.Attempts != 1 || one.Message != got[0].header.Get("webhook-id") || one.LastStatus != 202 || !one.NextAt.IsZero() ||
			len(one.Log) != 1 || one.Log[0].Response != "thank you" || one.Log[0].Error != "" || one.EventID != body.Data.ID {
			t.Errorf("delivery %+v", one)
		}
		if strings.Contains(one.Message, ".") {
			t.Error("a dot in the id")
		}
		if s := f.state(acme.ID, e.ID); !s.LastSuccessAt.Equal(f.c.Now()) || s.Failures != 0 {
			t.Errorf("state %+v", s)
		}
		if n := f.count(`SELECT COUNT(*) FROM outbox`); n != 0 {
			t.Errorf("%d outbox rows are left", n)
		}
	})
}

// Every way of answering, and what becomes of it (product 7.1).
func TestOutcomes(t *testing.T) {
	var redirected *receiver
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		ok     bool
		status int
		code   string
		wait   time.Duration // until the next attempt
	}{
		{"200", status(200), true, 200, "", 0},
		{"204", status(204), true, 204, "", 0},
		{"299", status(299), true, 299, "", 0},
		{"400", status(400), false, 400, "status", 5 * time.Second},
		{"500", status(500), false, 500, "status", 5 * time.Second},
		{"302 is not followed", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, redirected.URL, http.StatusFound)
		}, false, 302, "fetch_redirect", 5 * time.Second},
		{"307 is not followed", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, redirected.URL, http.StatusTemporaryRedirect)
		}, false, 307, "fetch_redirect", 5 * time.Second},
		{"429 with seconds", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "90")
			w.WriteHeader(429)
		}, false, 429, "status", 90 * time.Second},
		{"502 for too long", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "999999999")
			w.WriteHeader(502)
		}, false, 502, "status", time.Hour},
		{"504 with nonsense", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "-5")
			w.WriteHeader(504)
		}, false, 504, "status", 5 * time.Second},
		{"400 is not asked for a rest", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "90")
			w.WriteHeader(400)
		}, false, 400, "status", 5 * time.Second},
		{"no answer", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, false, 0, "fetch_failed", 5 * time.Second},
		{"never an answer", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, false, 0, "fetch_timeout", 5 * time.Second},
		{"a huge body", func(w http.ResponseWriter, r *http.Request) {
			junk := []byte(strings.Repeat("<\xff\x00", 10_000))
			for r.Context().Err() == nil {
				if _, err := w.Write(junk); err != nil {
					return
				}
			}
		}, true, 200, "", 0},
		{"a body without end", func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte("so"))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, true, 200, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			dbtest.Each(t, func(t *testing.T, d db.DB) {
				f := newFixture(t, d)
				f.timeout = 300 * time.Millisecond
				redirected = newReceiver(t, status(200))
				r := newReceiver(t, c.answer)
				acme := f.tenant("acme")
				e, _ := f.endpoint(acme.ID, r.URL, "user.created")
				f.happens(acme.ID, "user.created")
				f.run()
				one := f.only(acme.ID, e.ID)
				if len(r.requests()) != 1 || len(redirected.requests()) != 0 {
					t.Fatalf("%d requests, %d elsewhere", len(r.requests()), len(redirected.requests()))
				}
				if (one.Status == Delivered) != c.ok || one.LastStatus != c.status || one.LastError != c.code {
					t.Errorf("%s %d %q", one.Status, one.LastStatus, one.LastError)
				}
				if len(one.Log) != 1 || len(one.Log[0].Response) > 3*keptAnswer || strings.Contains(one.Log[0].Response, "\x00") {
					t.Errorf("log %+v", one.Log)
				}
				if c.wait == 0 {
					return
				}
				if one.Status != Pending || !one.NextAt.Equal(f.c.Now().Add(c.wait)) {
					t.Errorf("%s, again in %s, want %s", one.Status, one.NextAt.Sub(f.c.Now()), c.wait)
				}
				f.c.Advance(c.wait - time.Millisecond)
				f.run()
				if len(r.requests()) != 1 {
					t.Error("sent again too early")
				}
				r.answers(status(200))
				f.c.Advance(2 * time.Millisecond)
				f.run()
				ids := r.ids()
				if len(ids) != 2 || ids[0] != ids[1] || f.only(acme.ID, e.ID).Status != Delivered {
					t.Errorf("after the wait: %v, %+v", ids, f.only(acme.ID, e.ID))
				}
				if got := r.requests(); got[0].header.Get("webhook-timestamp") == got[1].header.Get("webhook-timestamp") {
					t.Error("the timestamp is not that of the attempt")
				}
			})
		})
	}
}

// Ten attempts at their times, ±10 %, then none (product 7.1).
func TestSchedule(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		r := newReceiver(t, status(500))
		acme := f.tenant("acme")
		e, _ := f.endpoint(acme.ID, r.URL, "user.created")
		f.happens(acme.ID, "user.created")
		start := f.c.Now()
		var at []time.Duration
		for range 20 {
			f.run()
			one := f.only(acme.ID, e.ID)
			at = append(at, f.c.Now().Sub(start))
			if one.NextAt.IsZero() {
				break
			}
			f.c.Advance(one.NextAt.Sub(f.c.Now()))
		}
		want := []time.Duration{0}
		for _, wait := range schedule {
			want = append(want, want[len(want)-1]+wait)
		}
		if len(at) != 10 || len(want) != 10 {
			t.Fatalf("%d attempts, %d planned", len(at), len(want))
		}
		for i := range at {
			if at[i] != want[i] {
				t.Errorf("attempt %d after %s, want %s", i+1, at[i], want[i])
			}
		}
		if total := want[9]; total != 75*time.Hour+35*time.Minute+5*time.Second {
			t.Errorf("the schedule takes %s", total)
		}
		if one := f.only(acme.ID, e.ID); one.Status != Failed || one.Attempts != 10 || len(r.requests()) != 10 || one.FinishedAt.IsZero() {
			t.Errorf("%+v", one)
		}
		for _, j := range []float64{0, 0.25, 1} {
			f.jitter = func() float64 { return j }
			for n, plain := range schedule {
				d, more := f.wait(n+1, Attempt{Error: codeStatus, Status: 500})
				if want := time.Duration(float64(plain) * (0.9 + 0.2*j)); !more || d < want-time.Microsecond || d > want+time.Microsecond {
					t.Errorf("wait %d is %s, want %s", n+1, d, want)
				}
			}
		}
		for range 1000 {
			if v := random(); v < 0 || v >= 1 {
				t.Fatal(v)
			}
		}
	})
}

// 410 switches the endpoint off at once; so do five days without a success, and
// people hear of it (product 7.1).
func TestDisabledByItself(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		gone, failing := newReceiver(t, status(410)), newReceiver(t, status(503))
		acme := f.tenant("acme")
		a, _ := f.endpoint(acme.ID, gone.URL, "user.created")
		b, _ := f.endpoint(acme.ID, failing.URL, "user.updated")
		f.happens(acme.ID, "user.created")
		f.run()
		s := f.state(acme.ID, a.ID)
		if s.Active || s.Disabled != Gone || f.only(acme.ID, a.ID).Status != Failed {
			t.Errorf("after 410: %+v", s)
		}
		for range 7 {
			f.happens(acme.ID, "user.updated")
			f.run()
			if s := f.state(acme.ID, b.ID); !s.Active && f.c.Now().Sub(s.FailingSince) < failingFor {
				t.Fatalf("switched off after %s", f.c.Now().Sub(s.FailingSince))
			}
			f.c.Advance(20 * time.Hour)
		}
		s = f.state(acme.ID, b.ID)
		if s.Active || s.Disabled != Failing {
			t.Errorf("after five days: %+v", s)
		}
		if n := f.count(`SELECT COUNT(*) FROM audit_events WHERE tenant_id = $1 AND action = 'webhook.disabled' AND actor_type = 'system'`, acme.ID); n != 2 {
			t.Errorf("%d events", n)
		}
		if n := f.count(`SELECT COUNT(*) FROM jobs WHERE kind = 'mail.send' AND tenant_id = $1 AND payload LIKE '%it@acme.example%'`, acme.ID); n != 2 {
			t.Errorf("%d mails", n)
		}
		// Nothing is gathered for them, and nothing sent.
		if n := f.count(`SELECT COUNT(*) FROM audit_interest WHERE tenant_id = $1`, acme.ID); n != 0 {
			t.Errorf("%d interests are left", n)
		}
		before := len(failing.requests())
		f.happens(acme.ID, "user.updated")
		f.c.Advance(48 * time.Hour)
		f.run()
		if len(failing.requests()) != before || len(gone.requests()) != 1 {
			t.Error("sent to an endpoint that is off")
		}
		// Switched on again, what waited is sent, and failures count anew.
		failing.answers(status(200))
		on := true
		f.tx(func(q db.Queryer) error {
			s, err := f.UpdateEndpoint(t.Context(), f.actor, q, acme.ID, b.ID, EndpointPatch{Active: &on}, nil)
			if s.Disabled != "" || s.Failures != 0 || !s.FailingSince.IsZero() {
				t.Errorf("switched on: %+v", s)
			}
			return err
		})
		waited := f.count(`SELECT COUNT(*) FROM webhook_deliveries WHERE tenant_id = $1 AND endpoint_id = $2 AND status = 'pending'`, acme.ID, b.ID)
		f.run()
		if waited == 0 || len(failing.requests()) != before+waited {
			t.Errorf("%d waited, %d sent", waited, len(failing.requests())-before)
		}
		// A success between failures keeps it on.
		for i := range 8 {
			failing.answers(status(500))
			if i == 4 {
				failing.answers(status(200))
			}
			f.happens(acme.ID, "user.updated")
			f.run()
			f.c.Advance(24 * time.Hour)
		}
		if !f.state(acme.ID, b.ID).Active {
			t.Error("switched off though it answered in between")
		}
	})
}

// For 24 hours after a rotation both secrets sign (product 7.1).
func TestRotation(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		r := newReceiver(t, nil)
		acme := f.tenant("acme")
		e, old, err := f.create(acme.ID, NewEndpoint{URL: r.URL, EventTypes: []string{"user.created"}, Secret: "pasted-secret-without-form"})
		if err != nil || old != "pasted-secret-without-form" {
			t.Fatal(old, err)
		}
		send := func() request {
			t.Helper()
			f.happens(acme.ID, "user.created")
			f.run()
			list := r.requests()
			return list[len(list)-1]
		}
		if q := send(); !verified(t, old, q) || strings.Contains(q.header.Get("webhook-signature"), " ") {
			t.Errorf("before: %v", q.header)
		}
		rotate := func(pasted string) (Endpoint, string) {
			t.Helper()
			var secret string
			f.tx(func(q db.Queryer) (err error) {
				e, secret, err = f.RotateSecret(t.Context(), f.actor, q, acme.ID, e.ID, pasted, nil)
				return err
			})
			return e, secret
		}
		e, fresh := rotate("")
		if !strings.HasPrefix(fresh, secretPrefix) || !e.SecretRotatesUntil.Equal(f.c.Now().Add(Overlap)) {
			t.Errorf("rotated: %q, %+v", fresh, e)
		}
		if q := send(); !verified(t, old, q) || !verified(t, fresh, q) || strings.Count(q.header.Get("webhook-signature"), "v1,") != 2 {
			t.Errorf("during: %v", q.header)
		}
		f.c.Advance(Overlap - time.Second)
		if q := send(); !verified(t, old, q) {
			t.Error("the old secret ended early")
		}
		f.c.Advance(time.Second)
		if q := send(); verified(t, old, q) || !verified(t, fresh, q) {
			t.Errorf("after: %v", q.header)
		}
		if s := f.state(acme.ID, e.ID); !s.SecretRotatesUntil.IsZero() {
			t.Errorf("%+v", s)
		}
		// A replica whose clock is behind the one that made the secret ends it all the same.
		f.c.Advance(-48 * time.Hour)
		rotate("")
		f.c.Advance(72 * time.Hour)
		if q := send(); strings.Contains(q.header.Get("webhook-signature"), " ") {
			t.Errorf("a replaced secret signs for ever: %v", q.header)
		}
		_, fresh = rotate("")
		f.c.Advance(Overlap)
		// Several rotations overlap, five at most.
		for range maxSecrets - 1 {
			rotate("")
		}
		err = d.Tx(t.Context(), func(q db.Queryer) error {
			_, _, err := f.RotateSecret(t.Context(), f.actor, q, acme.ID, e.ID, "", nil)
			return err
		})
		f.wantCode(err, "limit_reached")
		if q := send(); strings.Count(q.header.Get("webhook-signature"), "v1,") != maxSecrets || !verified(t, fresh, q) {
			t.Errorf("many: %v", q.header)
		}
	})
}

// v1a signatures hold under the public key that the endpoint shows.
func TestAsymmetric(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		r := newReceiver(t, nil)
		acme := f.tenant("acme")
		e, secret, err := f.create(acme.ID, NewEndpoint{URL: r.URL, EventTypes: []string{"user.created"}, Signature: Ed25519})
		if err != nil || secret != "" || len(e.PublicKeys) != 1 || !strings.HasPrefix(e.PublicKeys[0], publicPrefix) {
			t.Fatalf("%q %v %v", secret, e.PublicKeys, err)
		}
		f.tx(func(q db.Queryer) error {
			rotated, secret, err := f.RotateSecret(t.Context(), f.actor, q, acme.ID, e.ID, "", nil)
			if secret != "" || len(rotated.PublicKeys) != 2 || rotated.PublicKeys[1] != e.PublicKeys[0] {
				t.Errorf("%q %v", secret, rotated.PublicKeys)
			}
			e = rotated
			return err
		})
		f.happens(acme.ID, "user.created")
		f.run()
		q := r.requests()[0]
		text := q.header.Get("webhook-id") + "." + q.header.Get("webhook-timestamp") + "." + string(q.body)
		for i, one := range strings.Fields(q.header.Get("webhook-signature")) {
			key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(e.PublicKeys[i], publicPrefix))
			signature, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(one, "v1a,"))
			if err != nil || !ed25519.Verify(key, []byte(text), signature) {
				t.Errorf("signature %d: %v", i, err)
			}
		}
		_, _, err = f.create(acme.ID, NewEndpoint{URL: r.URL, EventTypes: []string{"user.created"}, Signature: Ed25519, Secret: "pasted-secret"})
		f.wantCode(err, "invalid_secret")
	})
}

// Secrets are in no list, no log, no event, and not readable in the store.
func TestSecretsStaySecret(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		r := newReceiver(t, status(500))
		acme := f.tenant("acme")
		e, secret := f.endpoint(acme.ID, r.URL+"/?token=querysecret", "user.created", AuditEvent)
		f.happens(acme.ID, "user.created")
		f.run()
		list, err := f.Endpoints(t.Context(), d, acme.ID)
		if err != nil {
			t.Fatal(err)
		}
		shown, _ := json.Marshal(struct {
			L []Endpoint
			D []Delivery
		}{list, f.deliveries(acme.ID, e.ID)})
		for _, q := range r.requests() {
			shown = append(shown, q.body...)
		}
		var stored string
		rows, err := d.Query(t.Context(), `SELECT secret FROM webhook_secrets WHERE tenant_id = $1
UNION ALL SELECT changes || metadata || targets FROM audit_events WHERE tenant_id = $1 UNION ALL SELECT body FROM webhook_messages WHERE tenant_id = $1`, acme.ID)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var s string
			if err := rows.Scan(&s); err != nil {
				t.Fatal(err)
			}
			stored += s
		}
		raw, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, secretPrefix))
		for _, part := range []string{secret, strings.TrimPrefix(secret, secretPrefix), string(raw)} {
			if strings.Contains(string(shown), part) || strings.Contains(stored, part) || strings.Contains(f.log.String(), part) {
				t.Errorf("the secret shows")
			}
		}
		if strings.Contains(stored, "querysecret") || strings.Contains(f.log.String(), "querysecret") {
			t.Error("the query of the address is in the audit log")
		}
		// A secret is bound to its row: that of another endpoint does not open.
		b, _ := f.endpoint(acme.ID, r.URL, "user.created")
		if _, err := d.Exec(t.Context(), `UPDATE webhook_secrets SET secret = (SELECT s.secret FROM webhook_secrets s WHERE s.tenant_id = $1 AND s.endpoint_id = $2)
WHERE tenant_id = $1 AND endpoint_id = $3`, acme.ID, e.ID, b.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Endpoint(t.Context(), d, acme.ID, b.ID); err == nil {
			t.Error("a secret opens in another row")
		}
	})
}

// Who impersonated the actor is sent where the environment shows it to tenants
// (product 2.8).
func TestImpersonator(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		r := newReceiver(t, nil)
		acme := f.tenant("acme")
		f.endpoint(acme.ID, r.URL, "user.created")
		send := func() string {
			t.Helper()
			e := f.event(acme.ID, "user.created")
			e.Actor.Impersonator = actor.Impersonator{ID: "stf_1", Email: "support@vendor.example"}
			f.tx(func(q db.Queryer) error { return audit.Record(t.Context(), q, e) })
			f.run()
			list := r.requests()
			return string(list[len(list)-1].body)
		}
		if body := send(); !strings.Contains(body, `"impersonator":{"id":"stf_1","email":"support@vendor.example"}`) {
			t.Errorf("%s", body)
		}
		if _, err := d.Exec(t.Context(), `UPDATE environments SET settings = '{"features":{"show_impersonation":false}}'`); err != nil {
			t.Fatal(err)
		}
		if body := send(); strings.Contains(body, "stf_1") || strings.Contains(body, "support@") {
			t.Errorf("%s", body)
		}
	})
}

// What a message carries stays below 20 kB and says what is left out.
func TestBodySize(t *testing.T) {
	long := strings.Repeat("ä", 500)
	e := audit.Entry{ID: "evt_1", Tenant: "ten_1", Action: "user.updated", Metadata: map[string]any{"a": "b"}, Changes: map[string]audit.Change{}}
	for i := range 30 {
		e.Changes["f"+strconv.Itoa(i)] = audit.Change{From: long, To: long}
	}
	check := func(truncated ...string) {
		t.Helper()
		m, err := eventMessage(e, e.Action)
		if err != nil || len(m.body) >= maxBody {
			t.Fatalf("%d bytes, %v", len(m.body), err)
		}
		var body struct{ Data eventData }
		if err := json.Unmarshal([]byte(m.body), &body); err != nil || strings.Join(body.Data.Truncated, " ") != strings.Join(truncated, " ") || body.Data.ID != "evt_1" {
			t.Errorf("%v %v, want %v", err, body.Data.Truncated, truncated)
		}
	}
	check("changes")
	for i := range 100 {
		e.Targets = append(e.Targets, audit.Target{Type: "user", ID: strconv.Itoa(i), Name: long})
	}
	check("changes", "metadata", "targets")
	e.Targets, e.Changes, e.Metadata = e.Targets[:1], nil, map[string]any{"long": strings.Repeat("x", 30_000)}
	check("changes", "metadata")
	e.Metadata = nil
	check()
}
