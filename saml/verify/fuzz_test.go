package verify

import (
	"reflect"
	"testing"
)

// FuzzVerify mutates accepted documents. Whatever is accepted must say what the
// identity provider signed: the same NameID, attributes and session, under the
// same key.
func FuzzVerify(f *testing.F) {
	type original struct {
		nameID     NameID
		attributes []Attribute
	}
	var originals []original
	p := params(rsaIdP(), ecIdP())
	seed := func(doc []byte) {
		a, r := Verify(doc, p)
		if r.Err != nil {
			f.Fatal(r.Err)
		}
		originals = append(originals, original{a.NameID, a.Attributes})
		f.Add(doc)
	}
	for i := range shapes {
		seed(shapes[i].build(rsaIdP()))
	}
	for _, mode := range modes {
		e := &env{t: f, mode: mode, idp: ecIdP()}
		seed(e.signed(nil))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		Peek(doc) //nolint:errcheck // must not panic
		a, r := Verify(doc, p)
		if r == nil || (a == nil) == (r.Err == nil) {
			t.Fatalf("assertion %v, report %v", a, r)
		}
		if a == nil {
			if _, ok := Explain(r.Err.Code); !ok {
				t.Fatalf("code %q is not in the catalogue", r.Err.Code)
			}
			return
		}
		for _, o := range originals {
			if o.nameID == a.NameID && reflect.DeepEqual(o.attributes, a.Attributes) {
				return
			}
		}
		t.Fatalf("accepted what nobody signed: %+v %+v", a.NameID, a.Attributes)
	})
}

// FuzzCanonical: what parses has a canonical form that parses to the same
// canonical form.
func FuzzCanonical(f *testing.F) {
	for i := range shapes {
		f.Add(string(shapes[i].build(ecIdP())))
	}
	f.Add("<a xmlns='u:1' b='&#9;&#10;&#13;\"&lt;'>&#13;<![CDATA[<&>]]>&gt;<b xmlns:x='u:2' x:c='' xml:lang='de'/></a>")
	f.Fuzz(func(t *testing.T, doc string) {
		root, err := parse(doc, maxDocument)
		if err != nil {
			return
		}
		first, err := canonical(root, nil, nil)
		if err != nil {
			return
		}
		again, err := parse(string(first), maxCanonical)
		if err != nil {
			if err.Code == CodeLimit {
				return
			}
			t.Fatalf("the canonical form does not parse: %v\n%s", err, first)
		}
		if second, err := canonical(again, nil, nil); err != nil || string(second) != string(first) {
			t.Fatalf("canonical form is not stable:\n%s\n%s", first, second)
		}
	})
}
