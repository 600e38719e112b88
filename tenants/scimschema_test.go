package tenants

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

func TestSCIMSchemas(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		a, b := f.tenant(NewTenant{Name: "A"}), f.tenant(NewTenant{Name: "B"})
		var c SCIMConnection
		f.tx(func(q db.Queryer) (err error) {
			c, _, err = f.s.CreateSCIMConnection(ctx, f.admin, q, a.ID, NewSCIMConnection{Name: "Okta"})
			return err
		})
		if c.SchemaVersion != 0 {
			t.Errorf("version %d before any schema", c.SchemaVersion)
		}
		refusal := fault.New(fault.Invalid, "invalid_schema", "No.")
		put := func(tenant string, x SCIMSchema) func(db.Queryer) error {
			return func(q db.Queryer) error {
				_, err := f.s.PutSCIMSchema(ctx, f.admin, q, tenant, x, func(x SCIMSchema) error {
					if x.Name == "refused" {
						return refusal
					}
					return nil
				})
				return err
			}
		}
		one := SCIMSchema{URN: "urn:example:One", Name: "One", ResourceType: "User", Attributes: []SCIMAttribute{{Name: "x", CanonicalValues: []string{"a"}}}}
		version := func() int64 {
			got, err := f.s.SCIMConnection(ctx, d, a.ID, c.ID)
			if err != nil {
				t.Fatal(err)
			}
			return got.SchemaVersion
		}
		f.tx(put(a.ID, one))
		first := version()
		one.Description = "again"
		one.URN = "URN:example:one"
		f.tx(put(a.ID, one))
		if v := version(); first == 0 || v == first {
			t.Errorf("versions %d and %d", first, v)
		}
		got, err := f.s.SCIMSchema(ctx, d, a.ID, "urn:EXAMPLE:one")
		if err != nil || got.Version != 2 || got.Description != "again" || len(got.Attributes) != 1 || got.Attributes[0].CanonicalValues[0] != "a" {
			t.Errorf("%+v, %v", got, err)
		}
		if list, err := f.s.SCIMSchemas(ctx, d, b.ID); err != nil || len(list) != 0 {
			t.Errorf("the neighbour has %v, %v", list, err)
		}
		f.want("schema_not_found", func(q db.Queryer) error { return f.s.DeleteSCIMSchema(ctx, f.admin, q, b.ID, one.URN) })

		f.want("invalid_schema", put(a.ID, SCIMSchema{URN: "urn:example:Two", Name: "refused"}))
		wide := SCIMSchema{URN: "urn:example:Two", Name: "Two", Attributes: []SCIMAttribute{{Name: "c", Type: "complex", SubAttributes: make([]SCIMAttribute, MaxSCIMSchemaAttributes)}}}
		f.want("too_many", put(a.ID, wide))
		long := SCIMSchema{URN: "urn:example:Two", Name: "Two", Attributes: []SCIMAttribute{{Name: "x", Description: strings.Repeat("x", MaxSCIMSchemaSize)}}}
		f.want("too_many", put(a.ID, long))
		for i := range MaxSCIMSchemas - 1 {
			f.tx(put(a.ID, SCIMSchema{URN: fmt.Sprintf("urn:example:more:%d", i), Name: "More"}))
		}
		f.want("too_many", put(a.ID, SCIMSchema{URN: "urn:example:Two", Name: "Two"}))
		f.tx(put(a.ID, one)) // one that is there can still be changed

		before := version()
		f.tx(func(q db.Queryer) error { return f.s.DeleteSCIMSchema(ctx, f.admin, q, a.ID, one.URN) })
		if _, err := f.s.SCIMSchema(ctx, d, a.ID, one.URN); !errors.Is(err, ErrSchemaNotFound) || version() == before {
			t.Errorf("deleted: %v", err)
		}
	})
}

func TestSCIMClientLimits(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ctx := t.Context()
		a, b := f.tenant(NewTenant{Name: "A"}), f.tenant(NewTenant{Name: "B"})
		var c SCIMConnection
		f.tx(func(q db.Queryer) (err error) {
			c, _, err = f.s.CreateSCIMConnection(ctx, f.admin, q, a.ID, NewSCIMConnection{Name: "Ping"})
			return err
		})
		add := func(tenant, name string) func(db.Queryer) error {
			return func(q db.Queryer) error {
				_, _, err := f.s.AddSCIMClient(ctx, f.admin, q, tenant, c.ID, name)
				return err
			}
		}
		f.want("connection_not_found", add(b.ID, ""))
		f.want("invalid_name", add(a.ID, "\x00"))
		for range MaxSCIMClients {
			f.tx(add(a.ID, ""))
		}
		f.want("too_many", add(a.ID, ""))
		list, err := f.s.SCIMClients(ctx, d, a.ID, c.ID)
		if err != nil || len(list) != MaxSCIMClients || len(list[0].Last4) != 4 {
			t.Fatalf("%v, %v", list, err)
		}
		f.want("client_not_found", func(q db.Queryer) error { return f.s.DeleteSCIMClient(ctx, f.admin, q, b.ID, c.ID, list[0].ID) })
		if list, err := f.s.SCIMClients(ctx, d, b.ID, c.ID); err != nil || len(list) != 0 {
			t.Errorf("the neighbour sees %v, %v", list, err)
		}
	})
}
