package api

import (
	"net/http"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// A key is not taken from a request that is about to commit, however late: the
// one that comes then waits for it, and gets its answer.
func TestIdempotencyTakenWhileCommitting(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		rt := f.routeOf("POST", "/tenants")
		rt.status, rt.maxBody = 201, maxBody
		take := func() (scope, *answer, error) {
			r := newRequest("POST", "http://"+hostA+"/api/v1/tenants")
			r.Header = http.Header{"Idempotency-Key": {"k"}, "Authorization": {"Bearer " + f.keys[hostA]}}
			s, err := f.h.admit(http.Header{}, r, rt, "")
			if err != nil {
				return s, nil, err
			}
			var stored *answer
			s.claim, stored, err = f.h.claim(t.Context(), s, rt, r)
			return s, stored, err
		}
		late, _, err := take()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := commit(t.Context(), f.h, late, func(db.Queryer) (string, error) { return "first", nil }); err != nil {
			t.Fatal(err)
		}
		// The second read the row before the first committed: no answer yet, and locked
		// in the past.
		f.clock.Advance(keyLock)
		now := f.clock.Now()
		n, err := d.Exec(t.Context(), sqlTakeKey, late.claim.environment, late.claim.subject, "k", late.claim.id, "clm_second", "", db.At(now.Add(keyLock)), db.At(now.Add(keyLife)), "")
		if err != nil || n != 0 {
			t.Errorf("%d keys with an answer were taken over, %v", n, err)
		}
		if _, stored, err := take(); err != nil || stored == nil || string(stored.Body) != "\"first\"\n" {
			t.Errorf("%+v, %v", stored, err)
		}
	})
}

// A vendor's person who acts as somebody, and one who comes from a parent, have
// keys of their own: what was answered to the person himself is not theirs.
func TestIdempotencySubjects(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range []actor.Actor{
		{Kind: actor.User, Subject: "usr_1", Tenant: "ten_1"},
		{Kind: actor.User, Subject: "usr_1", Tenant: "ten_2"},
		{Kind: actor.User, Subject: "usr_1", Tenant: "ten_1", Home: "ten_2"},
		{Kind: actor.User, Subject: "usr_1", Tenant: "ten_1", Impersonator: actor.Impersonator{ID: "stf_1"}},
		{Kind: actor.APIToken, Subject: "usr_1", Tenant: "ten_1"},
	} {
		if s := subjectOf(a); seen[s] {
			t.Errorf("%+v shares %q", a, s)
		} else {
			seen[s] = true
		}
	}
}

// A POST that only asks keeps nothing: whoever may ask could fill the store.
func TestIdempotencyOfQuestions(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		w := f.world(hostA, "acme")
		for _, q := range []struct {
			path string
			body object
		}{
			{"/entitlements:check", bodies["checkEntitlement"]},
			{"/entitlements:check-batch", bodies["checkEntitlements"]},
			{"/tenants/" + w["t"] + "/group-role-mappings:preview", bodies["previewGroupRoleMappings"]},
		} {
			for range 2 {
				res := f.sendWith(withKey("q"), "POST", "/api/v1"+q.path, q.body)
				if res.Header.Get(replayedHeader) != "" {
					t.Errorf("%s is replayed", q.path)
				}
			}
		}
		var n int
		if err := d.QueryRow(t.Context(), `SELECT COUNT(*) FROM idempotency_keys`).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d keys, %v", n, err)
		}
	})
}
