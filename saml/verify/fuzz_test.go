package verify

import (
	"reflect"
	"strings"
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
	p := withKeys(params(rsaIdP(), ecIdP()), rsaSP())
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
	for _, mode := range modes {
		for _, s := range []sealing{{}, {method: cbc256, place: "retrieved"}, {method: cbc128, digest: "-"}} {
			seed(encryptedDoc(f, mode, ecIdP(), s))
		}
	}
	for _, seal := range []string{"adfs", "okta", "keycloak", "shibboleth"} {
		for i := range shapes {
			if shapes[i].name == seal {
				seed(shapes[i].write(rsaIdP(), &shapeSealings[seal][0]))
			}
		}
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		Peek(doc) //nolint:errcheck // must not panic
		a, r := Verify(doc, p)
		if r == nil || (a == nil) == (r.Err == nil) {
			t.Fatalf("assertion %v, report %v", a, r)
		}
		if a == nil {
			if checkOf[r.Err.Code] == "" {
				t.Fatalf("code %q has no check", r.Err.Code)
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

// FuzzDecrypted mutates the plaintext of an assertion before it is encrypted: for
// anybody may encrypt for us. Nothing but what the identity provider signed may
// come out.
func FuzzDecrypted(f *testing.F) {
	p := withKeys(params(rsaIdP(), ecIdP()), rsaSP())
	var originals []*Assertion
	for i := range shapes {
		if shapes[i].mode == "response" {
			continue
		}
		root := fragment(strings.TrimPrefix(string(shapes[i].build(ecIdP())), `<?xml version="1.0" encoding="UTF-8"?>`))
		a := child(root, "Assertion")
		plain := standalone(a)
		accepted, r := Verify(unsignedAround(plain, false), p)
		if r.Err != nil {
			f.Fatal(shapes[i].name, r.Err)
		}
		originals = append(originals, accepted)
		f.Add(plain, i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, plain []byte, cbc bool) {
		a, r := Verify(unsignedAround(plain, cbc), p)
		if (a == nil) == (r.Err == nil) {
			t.Fatalf("assertion %v, report %v", a, r)
		}
		if a == nil {
			return
		}
		for _, o := range originals {
			if o.NameID == a.NameID && reflect.DeepEqual(o.Attributes, a.Attributes) {
				return
			}
		}
		t.Fatalf("accepted what nobody signed: %+v %+v", a.NameID, a.Attributes)
	})
}

// unsignedAround encrypts a plaintext and puts it into a Response that is not
// signed.
func unsignedAround(plain []byte, cbc bool) []byte {
	s := sealing{fixed: true}
	if cbc {
		s.method = cbc256
	}
	return []byte(strings.Replace(strings.Replace(baseXML, baseAssertion, "", 1), "</samlp:Response>", s.seal(plain)+"</samlp:Response>", 1))
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
		for _, form := range []canonicalization{{}, {inclusive: true}, {inclusive: true, v11: true}} {
			stable(t, root, form)
		}
	})
}

// stable requires that a canonical form parses to the same canonical form.
func stable(t *testing.T, root *node, form canonicalization) {
	t.Helper()
	first, err := canonical(root, nil, form)
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
	if second, err := canonical(again, nil, form); err != nil || string(second) != string(first) {
		t.Fatalf("canonical form is not stable:\n%s\n%s", first, second)
	}
}
