package api

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/tenants"
)

func init() {
	maps.Copy(bodies, map[string]object{
		"createAuditEvent":             {"action": "invoice.sent", "actor": object{"id": "u"}},
		"createAuditEvents":            {"events": []object{{"action": "invoice.sent", "actor": object{"id": "u"}}}},
		"exportAuditEvents":            {"format": "csv"},
		"exportEnvironmentAuditEvents": {"format": "csv"},
	})
	maps.Copy(vendorInTenant, map[string]bool{"createAuditEvent": true, "createAuditEvents": true})
	worldSteps = append(worldSteps, func(post func(string, object) object, t string, w map[string]string) {
		w["evt"] = text(post(t+"/audit-events", bodies["createAuditEvent"]), "id")
	})
}

// Product 69: the application's own events, sent by API, among the built-in ones.
func TestCustomAuditEvents(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		at := "/tenants/" + text(f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"}), "id") + "/audit-events"
		f.clock.Advance(time.Minute)
		// As WorkOS's clients send it (product 7.2).
		body := object{
			"action": "invoice.deleted", "occurred_at": f.clock.Now(), "actor": object{"type": "user", "id": "u-1", "name": "Ада"},
			"targets": []object{{"type": "invoice", "id": "i-1", "name": "№ 1"}}, "context": object{"location": "192.0.2.7", "user_agent": "app"},
			"metadata": object{"sum": 5, "nested": object{"a": []int{1}}}, "idempotency_key": "k1",
		}
		one := f.do(201, "POST", at, body)
		if text(one, "source") != "custom" || text(one["context"].(object), "ip") != "192.0.2.7" || text(one["sent_by"].(object), "type") != string(actor.Management) || text(one, "severity") != "info" {
			t.Errorf("%v", one)
		}
		if again := f.do(201, "POST", at, body); text(again, "id") != text(one, "id") {
			t.Errorf("sent again: %v", again)
		}
		if got := f.do(200, "GET", at+"/"+text(one, "id"), nil); text(got, "action") != "invoice.deleted" {
			t.Errorf("%v", got)
		}
		list := data(f.do(200, "GET", at, nil))
		if len(list) != 2 || text(list[0], "action") != "invoice.deleted" || text(list[1], "action") != "tenant.created" {
			t.Errorf("%v", list)
		}
		report := data(f.do(200, "POST", at+":batch", object{"events": []object{
			{"action": "a.b", "actor": object{"id": "u"}}, {"action": "user.created", "actor": object{"id": "u"}}, body,
		}}))
		if len(report) != 3 || report[0]["status"] != "created" || report[1]["status"] != "refused" || text(report[1]["error"].(object), "code") != "reserved_action" ||
			report[2]["status"] != "duplicate" || report[2]["id"] != one["id"] {
			t.Errorf("%v", report)
		}
		f.refused(422, "reserved_action", "POST", at+":batch", object{"all_or_nothing": true, "events": []object{{"action": "c.d", "actor": object{"id": "u"}}, {"action": "user.created", "actor": object{"id": "u"}}}})
		if n := len(data(f.do(200, "GET", at+"?action=c.d", nil))); n != 0 {
			t.Errorf("%d events of a refused batch", n)
		}
		for code, change := range map[string]object{
			"invalid_event": {"occurred_at": f.clock.Now().Add(time.Hour)}, "reserved_action": {"action": "user.created"}, "metadata_too_large": {"metadata": object{"x": strings.Repeat("y", 9000)}},
			"idempotency_key_reused": {"metadata": object{}}, "validation_failed": {"unknown": 1},
		} {
			b := maps.Clone(body)
			maps.Copy(b, change)
			f.refused(422, code, "POST", at, b)
		}
	})
}

// Product 67 and 2.8: the tenant's log, its filters and its numbers; the vendor's over all tenants.
func TestAuditLog(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		a, b := text(f.do(201, "POST", "/tenants", object{"name": "A", "key": "a"}), "id"), text(f.do(201, "POST", "/tenants", object{"name": "B", "key": "b"}), "id")
		at := "/tenants/" + a + "/audit-events"
		for i := range 5 {
			f.clock.Advance(time.Second)
			f.do(201, "POST", at, object{"action": "invoice.sent", "actor": object{"id": "u", "email": "u@a.example"}, "severity": []string{"info", "critical"}[i%2]})
		}
		first := f.do(200, "GET", at+"?limit=2", nil)
		cursor := text(first, "next_cursor")
		if second := data(f.do(200, "GET", at+"?limit=2&cursor="+cursor, nil)); len(second) != 2 || second[0]["id"] == data(first)[1]["id"] {
			t.Errorf("%v", second)
		}
		// A cursor serves the list that gave it: neither another tenant's, nor the other order.
		for _, path := range []string{"/tenants/" + b + "/audit-events?cursor=", at + "?order=oldest&cursor=", "/audit-events?cursor="} {
			f.refused(422, "invalid_cursor", "GET", path+cursor, nil)
		}
		for query, want := range map[string]int{
			"action=invoice.*": 5, "severity=critical": 2, "severity=critical,info": 6, "actor=u@a.example": 5, "actor=u": 5, "q=U@A": 5, "source=builtin": 1, "target=" + a: 1,
			"outcome=failure": 0, "order=oldest": 6,
		} {
			list := data(f.do(200, "GET", at+"?"+query, nil))
			if len(list) != want {
				t.Errorf("%s: %d events, want %d", query, len(list), want)
			}
			if query == "order=oldest" && text(list[0], "action") != "tenant.created" {
				t.Errorf("oldest first: %v", list[0])
			}
		}
		f.refused(422, "validation_failed", "GET", at+"?severity=fatal", nil)
		f.refused(422, "invalid_filter", "GET", at+"?q=%ff", nil)
		f.refused(422, "validation_failed", "GET", at+"?limit=201", nil)
		if n := f.do(200, "GET", at+":stats", nil); n["today"] != 6.0 || n["severe_week"] != 2.0 {
			t.Errorf("%v", n)
		}
		// The vendor: everything, one tenant, above tenants.
		for query, want := range map[string]int{"?action=tenant.created": 2, "?tenant_id=" + b: 1, "?tenant_id=" + a: 6, "?above_tenants=true&action=tenant.created": 0} {
			if n := len(data(f.do(200, "GET", "/audit-events"+query, nil))); n != want {
				t.Errorf("%s: %d events, want %d", query, n, want)
			}
		}
		f.refused(422, "invalid_filter", "GET", "/audit-events?above_tenants=true&tenant_id="+a, nil)
		evt := data(f.do(200, "GET", "/tenants/"+b+"/audit-events", nil))[0]["id"].(string)
		f.do(200, "GET", "/audit-events/"+evt+"?tenant_id="+b, nil)
		f.refused(404, "not_found", "GET", "/audit-events/"+evt, nil)
		f.refused(404, "not_found", "GET", at+"/"+evt, nil)
		if list := data(f.do(200, "GET", "/audit-actions", nil)); len(list) != len(audit.Catalogue()) || text(list[0], "description") == "" {
			t.Errorf("%d actions", len(list))
		}
		if list := data(f.do(200, "GET", "/audit-columns", nil)); len(list) != len(audit.Columns()) || list[0]["default"] != true || list[len(list)-1]["default"] != false {
			t.Errorf("columns %v", list)
		}
		// Another environment's vendor sees none of it.
		res := f.sendAs(hostB, f.keys[hostB], "GET", "/api/v1/audit-events", nil)
		if text := must(io.ReadAll(res.Body)); res.StatusCode != 200 || bytes.Contains(text, []byte(a)) {
			t.Errorf("%d %s", res.StatusCode, text)
		}
		// Nor does he leave a trace in it.
		for _, tenant := range []string{a, "ten_x", "a\x00"} {
			if res := f.sendAs(hostB, f.keys[hostB], "POST", "/api/v1/audit-events:export", object{"format": "jsonl", "tenant_id": tenant}); res.StatusCode == 200 && len(must(io.ReadAll(res.Body))) > 0 || res.StatusCode >= 500 {
				t.Errorf("another environment's export of %q: %d", tenant, res.StatusCode)
			}
		}
		var n int
		if err := d.QueryRow(t.Context(), `SELECT COUNT(*) FROM audit_events WHERE action = 'audit.exported' AND tenant_id <> ''`).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d events of another environment in a tenant's log, %v", n, err)
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Product 2.8: a tenant sees who impersonated, unless the environment hides it.
func TestImpersonatorShown(t *testing.T) {
	for _, show := range []bool{true, false} {
		s := scope{actor: actor.Actor{Tenant: "ten_a"}, environment: tenants.Environment{Settings: tenants.EnvironmentSettings{Features: map[tenants.Feature]bool{tenants.FeatureShowImpersonate: show}}}}
		if hidesImpersonator(s) == show {
			t.Errorf("shown %v: hidden %v", show, hidesImpersonator(s))
		}
		s.actor.Tenant = ""
		if hidesImpersonator(s) {
			t.Error("hidden from the vendor")
		}
	}
}

// Product 68 and 70: the download, its columns and its end.
func TestAuditExport(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		a := text(f.do(201, "POST", "/tenants", object{"name": "=A", "key": "a"}), "id")
		at := "/tenants/" + a + "/audit-events"
		f.do(201, "POST", at, object{"action": "invoice.sent", "actor": object{"name": "=1+1"}, "metadata": object{"n": 1}})
		f.clock.Advance(time.Second)
		download := func(path string, body object) (*http.Response, string) {
			t.Helper()
			res := f.send("POST", "/api/v1"+path, body)
			text := must(io.ReadAll(res.Body))
			if res.StatusCode != 200 {
				t.Fatalf("%s: %d %s", path, res.StatusCode, text)
			}
			return res, string(text)
		}
		res, text := download(at+":export", object{"format": "csv", "columns": []string{"actor_name", "action", "targets"}})
		if !strings.HasPrefix(res.Header.Get("Content-Type"), "text/csv") || res.Header.Get("Content-Disposition") != `attachment; filename="`+a+`-audit-2026-03-01.csv"` ||
			res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Trailer") != exportTrailer {
			t.Errorf("%v", res.Header)
		}
		if want := "actor_name,action,targets\r\n'=1+1,invoice.sent,\r\ntest,tenant.created,tenant =A\r\n"; text != want {
			t.Errorf("%q", text)
		}
		if _, text := download(at+":export", object{"format": "jsonl", "filter": object{"action": "invoice.*"}}); strings.Count(text, "\n") != 1 || !strings.Contains(text, `"n":1`) {
			t.Error(text)
		}
		if _, text := download("/audit-events:export", object{"format": "ocsf", "filter": object{"source": "builtin"}}); !strings.Contains(text, `"class_uid":3004`) || strings.Contains(text, "invoice.sent") {
			t.Error(text)
		}
		if _, text := download("/audit-events:export", object{"format": "jsonl", "tenant_id": a, "filter": object{"severity": []string{"critical"}}}); text != "" {
			t.Error(text)
		}
		// The columns of the environment hold where the request names none.
		if _, err := d.Exec(t.Context(), `UPDATE environments SET settings = '{"audit_columns":["action","metadata.n"]}'`); err != nil {
			t.Fatal(err)
		}
		f.clock.Advance(time.Hour) // until the environments are read again
		if _, text := download(at+":export", object{"format": "csv", "filter": object{"action": "invoice.*"}}); text != "action,metadata.n\r\ninvoice.sent,1\r\n" {
			t.Errorf("%q", text)
		}
		f.refused(422, "invalid_column", "POST", at+":export", object{"format": "csv", "columns": []string{"secret"}})
		f.refused(422, "validation_failed", "POST", at+":export", object{"format": "pdf"})
		f.refused(404, "tenant_not_found", "POST", "/tenants/ten_x/audit-events:export", object{"format": "csv"})
		if n := len(data(f.do(200, "GET", at+"?action=audit.exported", nil))); n != 3 {
			t.Errorf("%d exports are told of", n)
		}
		if list := data(f.do(200, "GET", "/audit-events?above_tenants=true&action=audit.exported", nil)); len(list) != 2 || list[0]["metadata"].(object)["filter"].(object)["tenant_id"] != a {
			t.Errorf("exports above tenants: %v", list)
		}
	})
}

// An export outlasts the server's deadlines, and one that fails in the middle is seen to.
func TestExportOverTheWire(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		a := text(f.do(201, "POST", "/tenants", object{"name": "A", "key": "a"}), "id")
		const events = 12_000
		each := make([]audit.Target, events)
		for i := range each {
			each[i] = audit.Target{Type: "user", ID: fmt.Sprintf("usr_%d", i), Name: strings.Repeat("n", 1000)}
		}
		stmts, err := audit.EachStmts(audit.Event{Environment: f.envs[hostA], Tenant: a, Action: "user.created", At: f.clock.Now()}, each)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Batch(t.Context(), stmts); err != nil {
			t.Fatal(err)
		}
		f.clock.Advance(time.Second)
		server := httptest.NewUnstartedServer(f.conformance.next) // the conformance test holds back what streams
		const deadline = 100 * time.Millisecond
		server.Config.WriteTimeout, server.Config.ReadTimeout = deadline, deadline
		server.Start()
		defer server.Close()
		get := func() *http.Response {
			r := must(http.NewRequestWithContext(t.Context(), "POST", server.URL+"/api/v1/tenants/"+a+"/audit-events:export", strings.NewReader(`{"format":"csv","columns":["targets"]}`)))
			r.Host = hostA
			r.Header.Set("Authorization", "Bearer "+f.keys[hostA])
			r.Header.Set("Content-Type", "application/json")
			return must(server.Client().Do(r))
		}
		res := get()
		begin := must(io.ReadAll(io.LimitReader(res.Body, 1000)))
		time.Sleep(3 * deadline) // the server's deadlines pass while the reader waits
		rest, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatalf("after %d bytes: %v", len(rest), err)
		}
		res.Body.Close()
		rows, err := csv.NewReader(bytes.NewReader(append(begin, rest...))).ReadAll()
		if err != nil || len(rows) != events+2 || res.Trailer.Get(exportTrailer) != strconv.Itoa(events+1) {
			t.Errorf("%d rows, trailer %v, %v", len(rows), res.Trailer, err)
		}
		// An event that cannot be read, far behind: the reader gets an error, not an end.
		if _, err := d.Exec(t.Context(), `UPDATE audit_events SET metadata = 'broken' WHERE tenant_id = $1 AND action = 'tenant.created'`, a); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Exec(t.Context(), `UPDATE audit_events SET occurred_at = 1 WHERE tenant_id = $1 AND action = 'tenant.created'`, a); err != nil {
			t.Fatal(err)
		}
		res = get()
		defer res.Body.Close()
		part, err := io.ReadAll(res.Body)
		if !errors.Is(err, io.ErrUnexpectedEOF) || len(part) == 0 || res.Trailer.Get(exportTrailer) != "" {
			t.Errorf("%d bytes of a broken export, trailer %v, %v", len(part), res.Trailer, err)
		}
	})
}
