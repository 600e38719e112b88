package audit

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

func export(t *testing.T, l *Log, a actor.Actor, f Filter, format Format, columns ...string) (string, int64) {
	t.Helper()
	x, err := l.Export(t.Context(), a, cmp.Or(a.Tenant, f.Tenant), f, format, columns)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	var b bytes.Buffer
	n, err := x.Write(t.Context(), func(piece []byte) error { b.Write(piece); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return b.String(), n
}

// Product 70 and section 11 (14): a cell by which a spreadsheet would begin a formula is text.
func TestCSVIsHarmless(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		c := clock.NewFake(start)
		l := NewLog(d, c)
		names := []string{
			"=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "plain", "a,b", `say "hi"`, "two\nlines", "Жанна", "", "a=b", "nul\x00",
			"  =1", "\u00a0+1", "\u200b-1", "\ufeff@x", "＝1+1", " ＠x",
		}
		for i, n := range names {
			e := event("ten_a", "user.updated")
			e.At = start.Add(time.Duration(i) * time.Second)
			e.Actor.Name = n
			e.Targets = []Target{{"user", "usr_2", n}}
			e.Metadata = map[string]any{"note": n, "n": 5.0}
			record(t, d, e)
		}
		c.Advance(time.Hour)
		text, n := export(t, l, member, Filter{Oldest: true}, CSV, "actor_name", "targets", "metadata.note", "metadata.n", "metadata.=x")
		if int(n) != len(names) || !strings.HasPrefix(text, "actor_name,targets,metadata.note,metadata.n,metadata.=x\r\n") {
			t.Errorf("%d events: %q", n, text)
		}
		rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for i, row := range rows[1:] {
			for _, cell := range row {
				if begin := strings.TrimLeft(cell, " \u00a0\u200b\ufeff"); begin != "" && strings.ContainsAny(begin[:1], "=+-@\t\r\n") || strings.HasPrefix(begin, "＝") || strings.HasPrefix(begin, "＠") {
					t.Errorf("%q begins a formula", cell)
				}
			}
			want := strings.NewReplacer("\r", "", "\x00", "\uFFFD").Replace(names[i])
			if got := strings.ReplaceAll(row[0], "'", ""); got != strings.ReplaceAll(want, "'", "") || row[2] != row[0] || row[3] != "5" || row[4] != "" {
				t.Errorf("%q became %q", names[i], row)
			}
		}
		if !strings.Contains(text, "'=cmd|' /C calc'!A0") || harmless("a; =1;b\t+1\n\"@x") != "a;' =1;b\t'+1\n'\"@x" || harmless("Mozilla (X11; Linux; rv:1.0) +x -y") != "Mozilla (X11; Linux; rv:1.0) +x -y" || !strings.Contains(text, `"say ""hi"""`) {
			t.Error(text)
		}
	})
}

// Product 68: the columns are chosen; those of product 2.8 otherwise.
func TestColumns(t *testing.T) {
	if want := []string{"occurred_at", "actor_name", "actor_email", "action", "targets", "severity", "ip", "user_agent", "metadata"}; !slices.Equal(DefaultColumns(), want) {
		t.Errorf("default columns %v", DefaultColumns())
	}
	if err := CheckColumns(Columns()); err != nil {
		t.Error(err)
	}
	for name, list := range map[string][]string{
		"unknown": {"password"}, "double": {"ip", "ip"}, "no key": {"metadata."}, "no UTF-8": {"metadata.\xff"}, "many": make([]string, 41),
	} {
		if err := CheckColumns(list); fault.CodeOf(err) != "invalid_column" {
			t.Errorf("%s: %v", name, err)
		}
	}
	e := Entry{
		ID: "evt_1", Tenant: "ten_a", OccurredAt: start, RecordedAt: start, Action: "user.created", Outcome: Success, Severity: Info,
		Actor:   Who{Type: "user", ID: "usr_1", Name: "Ada", Email: "a@x", Impersonator: &actor.Impersonator{ID: "stf_1", Email: "s@v"}},
		Targets: []Target{{"user", "usr_2", "Grace"}, {"group", "grp_1", ""}}, Context: Where{IP: "::1", UserAgent: "ua", Session: "ses_1", RequestID: "r", Connection: "sso_1", Location: "x"},
		Changes: map[string]Change{"a": {1, 2}}, Metadata: map[string]any{"k": "v"}, Source: "custom", SentBy: &Sender{ID: "key_1"},
	}
	for _, c := range columns {
		if c.cell(&e) == "" {
			t.Errorf("column %s is empty", c.name)
		}
		if v := c.cell(&Entry{}); v != "" && v != instant(time.Time{}) {
			t.Errorf("column %s of nothing: %q", c.name, v)
		}
	}
}

// Product 70: an export streams what the list shows, in pieces that do not grow with the log.
func TestExport(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		c := clock.NewFake(start.Add(time.Hour))
		l := NewLog(d, c)
		each := make([]Target, 3*exportRows+1)
		for i := range each {
			each[i] = Target{"user", fmt.Sprintf("usr_%d", i), "Ян"}
		}
		e := event("ten_a", "user.created")
		e.Actor.Impersonator = actor.Impersonator{ID: "stf_1", Email: "s@vendor.example"}
		stmts, err := EachStmts(e, each)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Batch(t.Context(), stmts); err != nil {
			t.Fatal(err)
		}
		hidden := event("ten_a", "group.created")
		hidden.Hidden = true
		record(t, d, hidden, event("ten_b", "group.created"))

		text, n := export(t, l, member, Filter{NoImpersonator: true}, JSONL)
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		if int(n) != len(each) || len(lines) != len(each) {
			t.Fatalf("%d events, %d lines", n, len(lines))
		}
		seen := map[string]bool{}
		for _, line := range lines {
			var e struct {
				ID      string   `json:"id"`
				Targets []Target `json:"targets"`
				Actor   struct {
					Type         string `json:"type"`
					ID           string `json:"id"`
					Impersonator any    `json:"impersonator"`
				} `json:"actor"`
			}
			if err := json.Unmarshal([]byte(line), &e); err != nil || seen[e.ID] || len(e.Targets) != 1 || e.Targets[0].Name != "Ян" || e.Actor.ID != "usr_1" || e.Actor.Impersonator != nil {
				t.Fatalf("%v: %s", err, line)
			}
			seen[e.ID] = true
		}
		if text, _ := export(t, l, vendor, Filter{Tenant: "ten_a", Action: "group.*"}, JSONL); strings.Count(text, "\n") != 1 || !strings.Contains(text, `"visible_to_tenant":false`) {
			t.Errorf("the vendor: %s", text)
		}
		if _, n := export(t, l, vendor, Filter{Everywhere: true}, OCSF); int(n) != len(each)+2 { // what was recorded before it
			t.Errorf("%d events everywhere", n)
		}
		// The log says that it was exported, by whom and what.
		c.Advance(time.Second)
		told := all(t, l, d, member, Filter{Action: "audit.exported"})
		if len(told) != 2 || told[0].Metadata["format"] != "jsonl" {
			t.Errorf("%+v", told)
		}
		// A failure in the middle comes out, and the reader's going away ends the reading.
		x, err := l.Export(t.Context(), member, "ten_a", Filter{}, CSV, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer x.Close()
		boom, pieces := errors.New("boom"), 0
		_, err = x.Write(t.Context(), func([]byte) error {
			if pieces++; pieces == 2 {
				return boom
			}
			return nil
		})
		if !errors.Is(err, boom) || pieces != 2 {
			t.Errorf("%v after %d pieces", err, pieces)
		}
		ctx, cancel := context.WithCancel(t.Context())
		_, err = x.Write(ctx, func([]byte) error { cancel(); return nil })
		if err == nil {
			t.Error("an export outlives its reader")
		}
	})
}

func TestExportRefused(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		l := NewLog(d, clock.NewFake(start))
		for name, c := range map[string]struct {
			f       Filter
			format  Format
			columns []string
		}{
			"format": {Filter{}, "xml", nil}, "column": {Filter{}, CSV, []string{"x"}}, "cursor": {Filter{Cursor: "x"}, CSV, nil}, "filter": {Filter{Search: "\xff"}, CSV, nil},
		} {
			if _, err := l.Export(t.Context(), member, "ten_a", c.f, c.format, c.columns); fault.KindOf(err) != fault.Invalid {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := l.Export(t.Context(), member, "ten_a", Filter{Tenant: "ten_b"}, CSV, nil); fault.KindOf(err) != fault.NotFound {
			t.Errorf("another tenant: %v", err)
		}
		if _, err := l.Export(t.Context(), member, "ten_b", Filter{}, CSV, nil); fault.KindOf(err) != fault.NotFound {
			t.Errorf("recorded with another tenant: %v", err)
		}
		// Nobody keeps the others waiting by exports of his own.
		var open []*Export
		for i := range maxExports {
			a := member
			a.Tenant = fmt.Sprintf("ten_%d", i/maxOwnExports)
			x, err := l.Export(t.Context(), a, a.Tenant, Filter{}, CSV, nil)
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, x)
			if i%maxOwnExports == maxOwnExports-1 {
				if _, err := l.Export(t.Context(), a, a.Tenant, Filter{}, CSV, nil); fault.KindOf(err) != fault.Limited {
					t.Errorf("one of %s too many: %v", a.Tenant, err)
				}
			}
		}
		if _, err := l.Export(t.Context(), member, "ten_a", Filter{}, CSV, nil); fault.KindOf(err) != fault.Limited {
			t.Errorf("one too many: %v", err)
		}
		for _, x := range open {
			x.Close()
			x.Close()
		}
		if len(l.exports) != 0 {
			t.Errorf("after all: %v", l.exports)
		}
		if text, n := export(t, l, member, Filter{From: start.Add(time.Hour)}, CSV); n != 0 || strings.Count(text, "\n") != 1 {
			t.Errorf("an empty export: %q", text)
		}
	})
}

// Product 7.2: every action of the catalogue has a class and an activity of OCSF.
func TestOCSF(t *testing.T) {
	for action := range catalogue {
		e := Entry{ID: "evt_1", Tenant: "ten_a", Action: action, Outcome: Denied, Severity: High, OccurredAt: start, RecordedAt: start, Actor: Who{Type: "user", ID: "usr_1"}}
		o := ocsf(&e)
		noun, _, _ := strings.Cut(action, ".")
		class := ocsfClasses[o.ClassUID]
		_, known := ocsfActivities[o.ClassUID][o.ActivityID]
		if class == "" || !known && o.ActivityID != activityOther || o.TypeUID != o.ClassUID*100+o.ActivityID || o.CategoryUID != 3 || o.ActivityName == "" {
			t.Errorf("%s: %+v", action, o)
		}
		switch { // what each class requires
		case o.ClassUID == classEntity && o.Entity == nil,
			o.ClassUID == classGroup && o.Group == nil,
			o.ClassUID == classUserAccess && (o.User == nil || len(o.Privileges) == 0),
			(o.ClassUID == classAccount || o.ClassUID == classAuthenticate || o.ClassUID == classAuthorize) && o.User == nil:
			t.Errorf("%s lacks its subject: %+v", action, o)
		}
		// Changes to people and sign-ins are not entities.
		if (noun == "user" || noun == "membership" || noun == "login") && o.ClassUID == classEntity {
			t.Errorf("%s is managed as an entity", action)
		}
	}
	for _, list := range []map[string][2]int{ocsfActions} {
		for action, at := range list {
			if _, ok := catalogue[action]; !ok || ocsfActivities[at[0]][at[1]] == "" {
				t.Errorf("%s is mapped to %v", action, at)
			}
		}
	}
	for class, verbs := range ocsfVerbs {
		for verb, activity := range verbs {
			if ocsfActivities[class][activity] == "" {
				t.Errorf("class %d: %s is %d", class, verb, activity)
			}
		}
	}
	for action, want := range map[string]int{
		"user.created": 300101, "user.locked": 300109, "password.changed": 300103, "mfa.enrolled": 300110, "login.succeeded": 300201, "session.ended": 300202,
		"impersonation.started": 300301, "sso_connection.created": 300401, "tenant.suspended": 300412, "role.assigned": 300501, "role.unassigned": 300502,
		"group.member_added": 300603, "group.created": 300606, "invoice.deleted": 300404, "invoice.line.deleted": 300404, "invoice.exploded": 300499,
	} {
		if class, activity := ocsfOf(action); class*100+activity != want {
			t.Errorf("%s: %d, want %d", action, class*100+activity, want)
		}
	}
	e := Entry{
		ID: "evt_1", Tenant: "ten_a", Action: "membership.roles_updated", Outcome: Success, Severity: Info, OccurredAt: start, RecordedAt: start,
		Actor:   Who{Type: "user", ID: "usr_1", Name: "Ada", Email: "a@x", Impersonator: &actor.Impersonator{Email: "s@v"}},
		Targets: []Target{{"user", "usr_2", "Grace"}, {"role", "rol_1", "Admin"}}, Context: Where{IP: "192.0.2.1", UserAgent: "ua", Session: "ses_1"},
	}
	text, err := json.Marshal(ocsf(&e))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"activity_id":1,"activity_name":"Assign Privileges","category_uid":3,"category_name":"Identity \u0026 Access Management","class_uid":3005,` +
		`"class_name":"User Access Management","type_uid":300501,"type_name":"User Access Management: Assign Privileges","time":1777888800000,` +
		`"severity_id":1,"severity":"Informational","status_id":1,"status":"Success","message":"Membership roles updated",` +
		`"metadata":{"version":"1.3.0","uid":"evt_1","event_code":"membership.roles_updated","logged_time":1777888800000,"tenant_uid":"ten_a","product":{"name":"Gatehouse","vendor_name":"Gatehouse"}},` +
		`"actor":{"user":{"uid":"usr_1","name":"Ada","email_addr":"a@x","type_id":1,"type":"User"},"session":{"uid":"ses_1"},"invoked_by":"s@v"},` +
		`"src_endpoint":{"ip":"192.0.2.1"},"http_request":{"user_agent":"ua"},"user":{"uid":"usr_2","name":"Grace","type_id":1,"type":"User"},` +
		`"privileges":["role:rol_1"],"session":{"uid":"ses_1"},"unmapped":{"outcome":"success","source":"","targets":[{"type":"user","id":"usr_2","name":"Grace"},{"type":"role","id":"rol_1","name":"Admin"}]}}`
	if string(text) != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
}

// Product 67: user management, authentication and settings are all in the catalogue, and described.
func TestCatalogue(t *testing.T) {
	list := Catalogue()
	if len(list) != len(catalogue) {
		t.Fatalf("%d actions", len(list))
	}
	for i, a := range list {
		if a.Description == "" || a.Severity == "" || i > 0 && list[i-1].Name >= a.Name {
			t.Errorf("%+v", a)
		}
	}
	if got := describe("sso_connection.created"); got != "SSO connection created" {
		t.Error(got)
	}
	// Product 2.9: what others let subscribe to has a name here.
	for _, name := range []string{
		"login.succeeded", "login.failed", "mfa.enrolled", "mfa.removed", "user.created", "user.signed_up", "user.activated", "user.deleted", "user.updated",
		"invitation.created", "membership.removed", "invite_link.used", "password.changed", "password.reset_requested", "membership.access_given",
		"membership.access_updated", "membership.access_made_permanent", "application.assigned", "application.unassigned", "plan.assigned", "plan.unassigned",
		"user_api_token.created", "user_api_token.deleted", "tenant_api_token.created", "tenant_api_token.deleted", "tenant.created", "tenant.updated", "tenant.deleted",
		"group.created", "group.updated", "group.deleted", "group.member_added", "group.member_removed", "group.roles_updated", "domain.restricted",
	} {
		if _, ok := catalogue[name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
}
