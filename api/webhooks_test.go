package api

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

func init() {
	maps.Copy(bodies, map[string]object{
		"createEventType": {"key": "walk.walked"}, "updateEventType": {"name": "x"},
		"triggerEvent":  {"event_key": "walk.walked", "tenant_id": "x", "properties": object{"title": "x", "description": "x"}, "channels": object{"webhook": true}},
		"createWebhook": {"url": "https://hooks.example/", "event_types": []string{"user.created"}}, "updateWebhook": {"name": "x"},
		"rotateWebhookSecret": {}, "testWebhook": {}, "replayWebhookDeliveries": {"from": "2026-01-01T00:00:00Z"},
	})
	worldSteps = append(worldSteps, func(post func(string, object) object, t string, w map[string]string) {
		key := "walk." + strings.ReplaceAll(strings.TrimPrefix(t, "/tenants/"), "-", "_")
		w["et"] = text(post("/event-types", object{"key": key}), "key")
		w["w"] = text(post(t+"/webhooks", object{"url": "https://hooks.example/", "event_types": []string{"user.created"}}), "id")
	})
	// A test is accepted, not created, so that post of worldSteps does not serve: any id of the form does,
	// as the walk wants 404.
	worldSteps = append(worldSteps, func(_ func(string, object) object, _ string, w map[string]string) {
		w["dlv"] = "dlv_aaaaaaaaaaaaaaaaaaaaaaaaaa"
	})
}

// A tenant's webhooks over the API: made, shown without the secret, tested,
// changed under ETags, rotated, replayed, removed (product 71 to 73; product 2.9
// and 7.1).
func TestWebhooks(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		var got []http.Header
		var sent []string
		var mu sync.Mutex // several requests come at once
		answer := http.StatusOK
		receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, r.Header.Clone())
			body, _ := io.ReadAll(r.Body)
			sent = append(sent, string(body))
			w.WriteHeader(answer)
			_, _ = w.Write([]byte("seen"))
		}))
		t.Cleanup(receiver.Close)
		run := func() {
			t.Helper()
			if err := f.h.Webhooks.RunDue(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
		const at = "/tenants/acme/webhooks"

		// The vendor's side (product 71).
		made := f.do(201, "POST", "/event-types", object{"key": "invoice.paid", "name": "Invoice paid", "category": "Billing"})
		if made["enabled"] != true || made["builtin"] != false {
			t.Errorf("%v", made)
		}
		f.refused(409, "event_type_exists", "POST", "/event-types", object{"key": "invoice.paid"})
		f.refused(422, "validation_failed", "POST", "/event-types", object{"key": "no good"})
		f.refused(409, "builtin_event_type", "DELETE", "/event-types/user.created", nil)
		f.refused(422, "builtin_event_type", "PATCH", "/event-types/user.created", object{"name": "x"})
		f.refused(404, "event_type_not_found", "GET", "/event-types/no.such", nil)
		if f.do(200, "PATCH", "/event-types/user.deleted", object{"enabled": false})["enabled"] != false {
			t.Error("not switched off")
		}
		keys := func(path string) (list []string) {
			t.Helper()
			for _, e := range data(f.do(200, "GET", path, nil)) {
				list = append(list, text(e, "key"))
			}
			return list
		}
		if got := keys("/event-types?category=Billing"); len(got) != 1 || got[0] != "invoice.paid" {
			t.Errorf("of the category: %v", got)
		}
		offered := " " + strings.Join(keys("/tenants/acme/event-types"), " ") + " "
		if strings.Contains(offered, " user.deleted ") || !strings.Contains(offered, " invoice.paid ") || !strings.Contains(offered, " audit.event ") || strings.Contains(offered, " environment.") {
			t.Errorf("offered: %s", offered)
		}

		// The tenant's side (product 73).
		f.refused(422, "unknown_event_type", "POST", at, object{"url": receiver.URL, "event_types": []string{"user.deleted"}})
		f.refused(422, "fetch_refused_url", "POST", at, object{"url": "ftp://hooks.example/", "event_types": []string{"user.created"}})
		f.refused(422, "validation_failed", "POST", at, object{"url": receiver.URL, "event_types": []string{}})
		f.refused(422, "validation_failed", "POST", at, object{"url": receiver.URL, "event_types": []string{"user.created"}, "retries": 3})
		hook := f.do(201, "POST", at, object{"url": receiver.URL, "event_types": []string{"invoice.paid", "user.created"}})
		secret, one := text(hook, "secret"), at+"/"+text(hook, "id")
		if !strings.HasPrefix(secret, "whsec_") || !strings.HasPrefix(text(hook, "id"), "whk_") {
			t.Errorf("%v", hook)
		}
		pasted := f.do(201, "POST", at, object{"url": receiver.URL, "event_types": []string{"user.created"}, "secret": "my-own-secret", "active": false, "name": "Off"})
		if text(pasted, "secret") != "my-own-secret" || text(pasted, "disabled_reason") != "manual" {
			t.Errorf("%v", pasted)
		}
		if a := f.do(201, "POST", at, object{"url": receiver.URL, "event_types": []string{"user.created"}, "signature": "v1a", "active": false}); a["secret"] != nil || len(a["public_keys"].([]any)) != 1 {
			t.Errorf("%v", a)
		}
		for _, path := range []string{at, one} {
			res := f.send("GET", "/api/v1"+path, nil)
			body, _ := io.ReadAll(res.Body)
			if strings.Contains(string(body), secret) || strings.Contains(string(body), "my-own-secret") {
				t.Errorf("%s shows the secret", path)
			}
		}

		// The application triggers an event (product 72).
		event := func(change object) object {
			e := object{"event_key": "invoice.paid", "tenant_id": "acme", "properties": object{"title": "T", "description": "D"}, "channels": object{"webhook": true}}
			maps.Copy(e, change)
			return e
		}
		if sent := f.do(202, "POST", "/events", event(nil)); sent["deliveries"] != 1.0 {
			t.Errorf("%v", sent)
		}
		f.do(202, "POST", "/events", event(object{"channels": object{"webhook": object{"amount": 7, "ledger": json.Number("9007199254740993")}}}))
		f.refused(422, "invalid_title", "POST", "/events", event(object{"properties": object{"description": "D"}}))
		f.refused(422, "invalid_description", "POST", "/events", event(object{"properties": object{"title": "T"}}))
		f.refused(422, "unknown_event_type", "POST", "/events", event(object{"event_key": "invoice.lost"}))
		f.refused(422, "unknown_event_type", "POST", "/events", event(object{"event_key": "user.created"}))
		f.refused(422, "unknown_tenant", "POST", "/events", event(object{"tenant_id": "nobody"}))
		for _, none := range []any{false, nil, "true", 1, []string{}} {
			f.refused(422, "no_channel", "POST", "/events", event(object{"channels": object{"webhook": none}}))
		}
		f.refused(422, "invalid_title", "POST", "/events", event(object{"properties": object{"title": 7, "description": "D"}}))
		f.refused(422, "validation_failed", "POST", "/events", event(object{"channels": object{}}))
		f.do(201, "POST", "/tenants/acme/users", object{"email": "ann@acme.example"})
		run()
		if len(got) != 3 {
			t.Fatalf("%d requests, want 3", len(got))
		}
		list := data(f.do(200, "GET", one+"/deliveries?limit=2", nil))
		if len(list) != 2 || list[0]["status"] != "delivered" || list[0]["event_type"] != "user.created" || list[0]["last_status"] != 200.0 {
			t.Errorf("%v", list)
		}
		page := f.do(200, "GET", one+"/deliveries?limit=2", nil)
		if rest := data(f.do(200, "GET", one+"/deliveries?cursor="+text(page, "next_cursor"), nil)); len(rest) != 1 {
			t.Errorf("%d on the second page", len(rest))
		}
		f.refused(422, "invalid_cursor", "GET", at+"/"+text(pasted, "id")+"/deliveries?cursor="+text(page, "next_cursor"), nil)
		if n := len(data(f.do(200, "GET", one+"/deliveries?event_type=invoice.paid&status=delivered&from=2026-01-01T00:00:00Z", nil))); n != 2 {
			t.Errorf("%d invoices", n)
		}
		detail := f.do(200, "GET", one+"/deliveries/"+text(list[1], "id"), nil)
		log := detail["log"].([]any)[0].(object)
		res := f.send("GET", "/api/v1"+one+"/deliveries/"+text(list[1], "id"), nil)
		if shown, _ := io.ReadAll(res.Body); !strings.Contains(strings.Join(sent, "\n"), `"ledger":9007199254740993`) || !strings.Contains(string(shown), `"ledger":9007199254740993`) {
			t.Errorf("a number of 16 digits is not what was given: %s, %s", sent, shown)
		}
		if log["response"] != "seen" || log["status"] != 200.0 || detail["body"].(object)["type"] != "invoice.paid" {
			t.Errorf("%v", detail)
		}

		// A failure, a replay, a range, a test.
		answer = http.StatusGone
		test := f.do(202, "POST", one+":test", object{"event_type": "user.created"})
		run()
		if after := f.do(200, "GET", one, nil); text(after, "disabled_reason") != "gone" || after["active"] != false {
			t.Errorf("%v", after)
		}
		if d := f.do(200, "GET", one+"/deliveries/"+text(test, "id"), nil); d["status"] != "failed" || d["kind"] != "test" {
			t.Errorf("%v", d)
		}
		f.refused(409, "webhook_inactive", "POST", one+"/deliveries/"+text(list[1], "id")+":replay", nil)
		answer = http.StatusOK
		f.do(200, "PATCH", one, object{"active": true})
		again := f.do(202, "POST", one+"/deliveries/"+text(list[1], "id")+":replay", nil)
		if text(again, "message_id") != text(list[1], "message_id") || text(again, "kind") != "replay" {
			t.Errorf("%v", again)
		}
		if r := f.do(202, "POST", one+"/deliveries:replay", object{"from": "2026-01-01T00:00:00Z", "status": "delivered"}); r["replayed"] != 3.0 || r["next_cursor"] != nil {
			t.Errorf("%v", r)
		}
		run()
		if len(got) != 8 {
			t.Errorf("%d requests, want 8", len(got))
		}
		f.refused(422, "unknown_event_type", "POST", one+":test", object{"event_type": "user.updated"})

		rotated := f.do(200, "POST", one+"/secret:rotate", nil)
		if text(rotated, "secret") == secret || !strings.HasPrefix(text(rotated, "secret"), "whsec_") || rotated["secret_rotates_until"] == nil {
			t.Errorf("%v", rotated)
		}
		f.refused(422, "invalid_secret", "POST", one+"/secret:rotate", object{"secret": "short"})
		if res := f.sendWith(http.Header{"If-Match": {`"v1"`}}, "PATCH", "/api/v1"+one, object{"name": "stale"}); res.StatusCode != http.StatusPreconditionFailed {
			t.Errorf("an old version is changed: %d", res.StatusCode)
		}
		f.do(204, "DELETE", one, nil)
		f.refused(404, "webhook_not_found", "GET", one, nil)
		f.refused(404, "webhook_not_found", "GET", one+"/deliveries", nil)
		f.do(204, "DELETE", "/event-types/invoice.paid", nil)
	})
}
