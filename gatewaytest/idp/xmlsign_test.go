package idp

import (
	"testing"

	"github.com/beevik/etree"
)

// Worked by hand from Exclusive XML Canonicalization §3: namespaces where they
// are visibly used and not before, attributes by namespace name, no comments.
func TestCanonical(t *testing.T) {
	for name, c := range map[string]struct{ in, path, want string }{
		"used namespaces only": {
			`<a:r xmlns:a="urn:a" xmlns:b="urn:b" xmlns:c="urn:c"><b:x c:k="1"/></a:r>`, "/r",
			`<a:r xmlns:a="urn:a"><b:x xmlns:b="urn:b" xmlns:c="urn:c" c:k="1"></b:x></a:r>`,
		},
		"from the ancestors": {
			`<a:r xmlns:a="urn:a" xmlns:b="urn:b"><a:x><b:y/></a:x></a:r>`, "/r/x",
			`<a:x xmlns:a="urn:a"><b:y xmlns:b="urn:b"></b:y></a:x>`,
		},
		"attributes": {
			`<r xmlns:z="urn:1" xmlns:a="urn:2" a:k="4" z:k="3" y="2" b="1" xml:lang="en"/>`, "/r",
			`<r xmlns:a="urn:2" xmlns:z="urn:1" b="1" y="2" xml:lang="en" z:k="3" a:k="4"></r>`,
		},
		"text": {
			"<r a=\"&quot;&#9;&#10;&#13;&lt;&gt;&amp;'\">&lt;&gt;&amp;\"&#13;<!-- c --><![CDATA[<x>]]><?p  i?></r>", "/r",
			"<r a=\"&quot;&#x9;&#xA;&#xD;&lt;>&amp;'\">&lt;&gt;&amp;\"&#xD;&lt;x&gt;<?p i?></r>",
		},
		"default namespace": {
			`<r xmlns="urn:a"><x xmlns=""><y xmlns="urn:a"/></x><z/></r>`, "/r",
			`<r xmlns="urn:a"><x xmlns=""><y xmlns="urn:a"></y></x><z></z></r>`,
		},
		"prefix bound anew": {
			`<p:r xmlns:p="urn:a"><p:x xmlns:p="urn:b"/><p:y/></p:r>`, "/r",
			`<p:r xmlns:p="urn:a"><p:x xmlns:p="urn:b"></p:x><p:y></p:y></p:r>`,
		},
	} {
		doc := etree.NewDocument()
		if err := doc.ReadFromString(c.in); err != nil {
			t.Fatal(err)
		}
		if got := string(canonical(doc.FindElement(c.path))); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}
