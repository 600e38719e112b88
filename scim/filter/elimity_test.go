package filter

import (
	"encoding/json"
	"testing"

	efilter "github.com/elimity-com/scim/filter"
	escim "github.com/elimity-com/scim/schema"
	"pgregory.net/rapid"

	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// toElimity gives elimity's validator for a filter.
func toElimity(t *rapid.T, e Expr) efilter.Validator {
	v, err := efilter.NewValidator(e.String(), escim.CoreUserSchema(), escim.ExtensionEnterpriseUser())
	if err != nil {
		t.Fatalf("elimity does not read %s: %v", e, err)
	}
	return v
}

// genShared draws expressions that elimity evaluates by the RFC: strings and
// booleans that are there, value paths, connectives. It does not know common
// attributes, absent values in ne, sub-attributes of lists, null and text
// compared with booleans.
func genShared(depth int, inner bool) *rapid.Generator[Expr] {
	return rapid.Custom(func(t *rapid.T) Expr {
		kind := 0
		if depth > 0 {
			kind = rapid.IntRange(0, 5).Draw(t, "kind")
		}
		sub := func() Expr { return genShared(depth-1, inner).Draw(t, "sub") }
		switch {
		case kind == 1:
			return &And{sub(), sub()}
		case kind == 2:
			return &Or{sub(), sub()}
		case kind == 3 && !inner:
			return &Not{sub()}
		case kind >= 4 && !inner:
			c := genShared(0, true).Draw(t, "one")
			if rapid.Bool().Draw(t, "two") {
				return &ValuePath{"emails", &And{c, genShared(0, true).Draw(t, "other")}}
			}
			return &ValuePath{"emails", c}
		}
		if rapid.IntRange(0, 4).Draw(t, "boolean") == 0 {
			path := "active"
			if inner {
				path = "primary"
			}
			return &Compare{path, rapid.SampledFrom([]Op{Eq, Ne}).Draw(t, "op"), rapid.Bool().Draw(t, "value")}
		}
		paths := []string{"userName", "USERNAME", "displayName", "name.familyName", "profileUrl", "urn:ietf:params:scim:schemas:core:2.0:User:userName"}
		if inner {
			paths = []string{"value", "type"}
		}
		return &Compare{
			rapid.SampledFrom(paths).Draw(t, "path"), rapid.SampledFrom([]Op{Eq, Ne, Co, Sw, Ew, Gt, Ge, Lt, Le}).Draw(t, "op"),
			rapid.SampledFrom([]string{"a", "A", "ab", "AB", "abc", "b", "B c", "work"}).Draw(t, "value"),
		}
	})
}

// elimity's validator is the oracle for the part of filters that it has right.
func TestElimityAgrees(t *testing.T) {
	rfc := profile(t, "rfc")
	yes, no := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		word := func(name string) string {
			return rapid.SampledFrom([]string{"a", "A", "ab", "Ab", "abc", "b", "b C", "WORK"}).Draw(t, name)
		}
		doc := schema.NewObject(6)
		doc.Set("userName", word("userName"))
		doc.Set("displayName", word("displayName"))
		doc.Set("profileUrl", word("profileUrl"))
		doc.Set("active", rapid.Bool().Draw(t, "active"))
		name := schema.NewObject(1)
		name.Set("familyName", word("familyName"))
		doc.Set("name", name)
		var emails []any
		for range rapid.IntRange(1, 3).Draw(t, "emails") {
			m := schema.NewObject(3)
			m.Set("value", word("value"))
			m.Set("type", word("type"))
			m.Set("primary", rapid.Bool().Draw(t, "primary"))
			emails = append(emails, m)
		}
		doc.Set("emails", emails)
		var plain map[string]any
		if err := json.Unmarshal(doc.Bytes(), &plain); err != nil {
			t.Fatal(err)
		}

		e := genShared(3, false).Draw(t, "filter")
		b, err := Bind(schema.Core(), schema.User, e, rfc)
		if err != nil {
			t.Fatalf("Bind(%s): %v", e, err)
		}
		want := toElimity(t, e).PassesFilter(plain) == nil
		if got := b.Match(Target{Doc: doc}); got != want {
			t.Fatalf("%s on %s: we say %v, elimity %v", e, doc.Bytes(), got, want)
		}
		if want {
			yes++
		} else {
			no++
		}
	})
	if yes == 0 || no == 0 {
		t.Errorf("%d matches, %d others: the test compares nothing", yes, no)
	}
}
