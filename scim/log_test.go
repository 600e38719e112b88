package scim_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/scim"
)

func (c connection) entries(f scim.LogFilter) []scim.Entry {
	c.g.t.Helper()
	if err := c.g.log.Flush(c.g.t.Context()); err != nil {
		c.g.t.Fatal(err)
	}
	list, _, err := c.g.log.List(c.g.t.Context(), c.g.d, c.tenant, c.id, f)
	if err != nil {
		c.g.t.Fatal(err)
	}
	return list
}

func TestProvisioningLog(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c, other := g.connect(g.tenant("a"), "entra", "soft"), g.connect(g.tenant("b"), "entra", "soft")
		body := user("ann@x.example")
		body["password"] = "hunter2"
		id := c.must(201, "POST", "/Users", body).id()
		c.must(409, "POST", "/Users", body)
		c.must(200, "PATCH", "/Users/"+id, patchOp(map[string]any{"op": "Replace", "path": "active", "value": "False"}))
		c.must(200, "PATCH", "/Users/"+id, patchOp(map[string]any{"op": "Replace", "path": "active", "value": "False"}))
		c.must(200, "GET", "/Users/"+id+"?x=1", nil)
		c.must(204, "DELETE", "/Users/"+id, nil)
		type line struct {
			method, path string
			status       int
		}
		var got []line
		list := c.entries(scim.LogFilter{})
		for _, e := range list {
			got = append(got, line{e.Method, strings.ReplaceAll(e.Path, id, "ID"), e.Status})
		}
		want := []line{
			{"DELETE", "/Users/ID", 204},
			{"GET", "/Users/ID?x=1", 200},
			{"PATCH", "/Users/ID", 200},
			{"PATCH", "/Users/ID", 200},
			{"POST", "/Users", 409},
			{"POST", "/Users", 201},
		}
		if !slices.Equal(got, want) {
			t.Fatalf("log %v, want %v", got, want)
		}
		created, refused, changed, idle := list[5], list[4], list[3], list[2]
		if created.Resource != id || !strings.Contains(created.Body, `"password":"(hidden)"`) || created.RequestID == "" {
			t.Errorf("create: %+v", created)
		}
		if !strings.HasPrefix(refused.Detail, "uniqueness") {
			t.Errorf("refusal: %+v", refused)
		}
		if !slices.Contains(changed.Rules, "coerceBool") || len(changed.Changes) != 1 || changed.Changes[0].Attr != "active" ||
			string(changed.Changes[0].Old) != "true" || string(changed.Changes[0].New) != "false" {
			t.Errorf("change: %+v", changed)
		}
		if len(idle.Changes) != 0 {
			t.Errorf("a PATCH that changes nothing: %+v", idle)
		}
		if n := len(c.entries(scim.LogFilter{Failed: true})); n != 1 {
			t.Errorf("%d refusals", n)
		}
		if n := len(c.entries(scim.LogFilter{Resource: id})); n != 5 { // the refused create names no resource of the connection
			t.Errorf("%d entries of the resource", n)
		}
		if n := len(other.entries(scim.LogFilter{})); n != 0 {
			t.Errorf("%d entries of another tenant's connection", n)
		}
		first, next, err := g.log.List(t.Context(), d, c.tenant, c.id, scim.LogFilter{Limit: 4})
		if err != nil || len(first) != 4 || next == "" {
			t.Fatal(len(first), next, err)
		}
		rest, next, err := g.log.List(t.Context(), d, c.tenant, c.id, scim.LogFilter{Limit: 4, Cursor: next})
		if err != nil || len(rest) != 2 || next != "" || rest[1].ID != created.ID {
			t.Errorf("second page: %v %q %v", rest, next, err)
		}
	})
}

func TestLogDropsReadsFirst(t *testing.T) {
	d := dbtest.Open(t, db.SQLite)
	g := newGateway(t, d, options{})
	c := g.connect(g.tenant("a"), "okta", "soft")
	for range 600 {
		c.must(200, "GET", "/Users?count=0", nil)
	}
	for range 5 {
		c.must(404, "GET", "/Users/res_x", nil)
	}
	if n := len(c.entries(scim.LogFilter{Failed: true})); n != 5 {
		t.Errorf("%d of 5 refusals kept", n)
	}
	if !strings.Contains(g.failures.String(), "entries=100\n") {
		t.Errorf("100 of 600 reads were left out: %s", g.failures)
	}
}
