package api

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

func withKey(key string) http.Header { return http.Header{"Idempotency-Key": {key}} }

func body(t *testing.T, res *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A POST under a key takes effect once and has one answer, secrets that are shown
// once included (product 7.3).
func TestIdempotencyKey(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
		const path = "/api/v1/tenants/acme/scim-connections"
		first := f.sendWith(withKey(`"k-1"`), "POST", path, object{"name": "one"})
		text1 := body(t, first)
		if first.StatusCode != 201 || first.Header.Get(replayedHeader) != "" || first.Header.Get("ETag") == "" {
			t.Fatalf("%d %v", first.StatusCode, first.Header)
		}
		again := f.sendWith(withKey("k-1"), "POST", path, object{"name": "one"}) // the bare form is the same key
		text2 := body(t, again)
		if again.StatusCode != 201 || text2 != text1 || again.Header.Get(replayedHeader) != "true" || again.Header.Get("ETag") != first.Header.Get("ETag") ||
			again.Header.Get("Content-Type") != "application/json" || again.Header.Get("X-Request-Id") == first.Header.Get("X-Request-Id") {
			t.Errorf("%d %v %s, want %s", again.StatusCode, again.Header, text2, text1)
		}
		if n := len(data(f.do(200, "GET", "/tenants/acme/scim-connections", nil))); n != 1 {
			t.Errorf("%d connections", n)
		}
		var stored string
		if err := d.QueryRow(t.Context(), `SELECT answer FROM idempotency_keys`).Scan(&stored); err != nil || strings.Contains(stored, "gws_") || !strings.Contains(text1, "gws_") {
			t.Errorf("the stored answer shows the token: %q, %v", stored, err)
		}

		refused := func(status int, code string, header http.Header, method, path string, body any) {
			t.Helper()
			res := f.sendWith(header, method, path, body)
			if p := decodeObject(t, res); res.StatusCode != status || p["code"] != code {
				t.Errorf("%d %v, want %d %s", res.StatusCode, p, status, code)
			}
		}
		refused(422, "idempotency_key_reused", withKey("k-1"), "POST", path, object{"name": "two"})
		refused(422, "idempotency_key_reused", withKey("k-1"), "POST", "/api/v1/tenants", object{"name": "one"})
		for _, bad := range []string{"", `""`, "a b", "a\x7f", strings.Repeat("x", 256), `a"b`} {
			refused(400, "invalid_idempotency_key", withKey(bad), "POST", path, object{"name": "x"})
		}
		refused(400, "invalid_idempotency_key", http.Header{"Idempotency-Key": {"a", "b"}}, "POST", path, object{"name": "x"})

		// What was refused has changed nothing, and the key is free.
		refused(422, "validation_failed", withKey("k-2"), "POST", "/api/v1/tenants", object{})
		refused(409, "key_taken", withKey("k-2"), "POST", "/api/v1/tenants", object{"name": "x", "key": "acme"})
		if res := f.sendWith(withKey("k-2"), "POST", "/api/v1/tenants", object{"name": "x", "key": "second"}); res.StatusCode != 201 {
			t.Errorf("%d: %s", res.StatusCode, body(t, res))
		}

		// Environments and credentials have keys of their own.
		other := http.Header{"Idempotency-Key": {"k-1"}, "Authorization": {"Bearer " + f.keys[hostB]}}
		if res := f.exchange(hostB, other, "POST", "/api/v1/tenants", object{"name": "b"}); res.StatusCode != 201 || res.Header.Get(replayedHeader) != "" {
			t.Errorf("%d", res.StatusCode)
		}
		// A key does not pass by the permission, or the credential.
		if res := f.exchange(hostA, withKey("k-1"), "POST", path, object{"name": "one"}); res.StatusCode != 401 {
			t.Errorf("%d without a credential", res.StatusCode)
		}

		f.clock.Advance(keyLife)
		if res := f.sendWith(withKey("k-1"), "POST", path, object{"name": "a day later"}); res.StatusCode != 201 || res.Header.Get(replayedHeader) != "" {
			t.Errorf("%d after a day", res.StatusCode)
		}
		f.clock.Advance(keyLife + time.Second)
		if err := f.h.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		var n int
		if err := d.QueryRow(t.Context(), `SELECT COUNT(*) FROM idempotency_keys`).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d keys after the purge, %v", n, err)
		}
	})
}

// Every POST keeps its answer, those too that open their own transaction.
func TestIdempotencyOfOwnTransactions(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
		const path = "/api/v1/tenants/acme/sso-connections"
		b := object{"type": "saml", "name": "x", "idp_metadata_url": "https://idp.example/metadata"}
		first := body(t, f.sendWith(withKey("a"), "POST", path, b))
		again := f.sendWith(withKey("a"), "POST", path, b)
		if body(t, again) != first || again.Header.Get(replayedHeader) != "true" || len(f.fetched) != 1 {
			t.Errorf("%s; asked %v", first, f.fetched)
		}
		user := f.do(201, "POST", "/tenants/acme/users", object{"email": "u@acme.example"})
		none := f.sendWith(withKey("b"), "POST", "/api/v1/tenants/acme/users/"+text(user, "id")+":logout", nil)
		twice := f.sendWith(withKey("b"), "POST", "/api/v1/tenants/acme/users/"+text(user, "id")+":logout", nil)
		if none.StatusCode != twice.StatusCode || twice.Header.Get(replayedHeader) != "true" || body(t, none) != body(t, twice) {
			t.Errorf("%d then %d", none.StatusCode, twice.StatusCode)
		}
	})
}

// The same request twenty times at once: one takes effect, the others get its
// answer or are told to wait.
func TestIdempotencyRace(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		const n = 20
		var wait sync.WaitGroup
		got := make([]*http.Response, n)
		for i := range n {
			wait.Go(func() { got[i] = f.sendWith(withKey("race"), "POST", "/api/v1/tenants", object{"name": "Race"}) })
		}
		wait.Wait()
		answers := map[string]bool{}
		for _, res := range got {
			text := body(t, res)
			switch res.StatusCode {
			case 201:
				answers[text] = true
			case 409:
				if !strings.Contains(text, "request_in_flight") {
					t.Error(text)
				}
			default:
				t.Errorf("%d: %s", res.StatusCode, text)
			}
		}
		if len(answers) != 1 || len(data(f.do(200, "GET", "/tenants", nil))) != 1 {
			t.Errorf("%d different answers", len(answers))
		}
	})
}

// A request that died holds its key for a minute; one that ran longer than that
// and lost it is undone.
func TestIdempotencyLostKey(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		rt := f.routeOf("POST", "/tenants")
		rt.status, rt.maxBody = 201, maxBody
		take := func() (scope, error) {
			r := newRequest("POST", "http://"+hostA+"/api/v1/tenants")
			r.Header = http.Header{"Idempotency-Key": {"k"}, "Authorization": {"Bearer " + f.keys[hostA]}}
			s, err := f.h.admit(http.Header{}, r, rt, "")
			if err != nil {
				t.Fatal(err)
			}
			s.claim, _, err = f.h.claim(t.Context(), s, rt, r)
			return s, err
		}
		slow, err := take()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := take(); !errors.Is(err, errKeyHeld) {
			t.Errorf("a held key: %v", err)
		}
		f.clock.Advance(keyLock)
		second, err := take()
		if err != nil {
			t.Fatalf("the key of a request that died: %v", err)
		}
		insert := func(s scope, name string) error {
			_, err := commit(t.Context(), f.h, s, func(q db.Queryer) (string, error) {
				_, err := q.Exec(t.Context(), `UPDATE environments SET name = $1 WHERE id = $2`, name, f.envs[hostA])
				return name, err
			})
			return err
		}
		if err := insert(slow, "slow"); !errors.Is(err, errKeyHeld) {
			t.Errorf("a request that lost its key: %v", err)
		}
		if err := insert(second, "second"); err != nil {
			t.Error(err)
		}
		f.h.release(t.Context(), slow.claim) // takes nothing from its successor
		f.h.release(t.Context(), second.claim)
		var name string
		if err := d.QueryRow(t.Context(), `SELECT name FROM environments WHERE id = $1`, f.envs[hostA]).Scan(&name); err != nil || name != "second" {
			t.Errorf("%q, %v", name, err)
		}
		var n int
		if err := d.QueryRow(t.Context(), `SELECT COUNT(*) FROM idempotency_keys WHERE answer <> ''`).Scan(&n); err != nil || n != 1 {
			t.Errorf("%d answers, %v", n, err)
		}
	})
}
