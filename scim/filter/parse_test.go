package filter

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/scim/dialect"
)

func profile(t testing.TB, name string) dialect.Dialect {
	t.Helper()
	p, err := dialect.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return p.Start()
}

func TestParse(t *testing.T) {
	rfc, entra := profile(t, "rfc"), profile(t, "entra")
	goodIn := func(d dialect.Dialect, in, want string) {
		t.Helper()
		e, err := Parse(in, d)
		if err != nil {
			t.Errorf("Parse(%q): %v", in, err)
		} else if got := e.String(); got != want {
			t.Errorf("Parse(%q) = %s, want %s", in, got, want)
		}
	}
	good := func(in, want string) { t.Helper(); goodIn(rfc, in, want) }
	same := func(in string) { t.Helper(); goodIn(rfc, in, in) }
	bad := func(in string) {
		t.Helper()
		if e, err := Parse(in, rfc); fault.CodeOf(err) != "invalidFilter" || fault.KindOf(err) != fault.Invalid {
			t.Errorf("Parse(%.80q) = %v, %v, want invalidFilter", in, e, err)
		}
	}

	// RFC 7644 §3.4.2.2, figure 2
	same(`userName eq "bjensen"`)
	same(`name.familyName co "O'Malley"`)
	same(`urn:ietf:params:scim:schemas:core:2.0:User:userName sw "J"`)
	same(`title pr`)
	same(`meta.lastModified gt "2011-05-13T04:42:34Z"`)
	same(`title pr and userType eq "Employee"`)
	same(`title pr or userType eq "Intern"`)
	same(`schemas eq "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"`)
	same(`userType eq "Employee" and (emails co "example.com" or emails.value co "example.org")`)
	same(`userType ne "Employee" and not (emails co "example.com" or emails.value co "example.org")`)
	good(`userType eq "Employee" and (emails.type eq "work")`, `userType eq "Employee" and emails.type eq "work"`)
	same(`userType eq "Employee" and emails[type eq "work" and value co "@example.com"]`)
	same(`emails[type eq "work" and value co "@example.com"] or ims[type eq "xmpp" and value co "@foo.com"]`)

	good(`a eq 1 or b eq 2 and c eq 3`, `a eq 1 or b eq 2 and c eq 3`) // and binds before or
	good(`(a eq 1 or b eq 2) and c eq 3`, `(a eq 1 or b eq 2) and c eq 3`)
	good(`not(a pr) and b pr`, `not (a pr) and b pr`)
	good(`NOT (a Pr) AND b PR oR c pR`, `not (a pr) and b pr or c pr`)
	good("  a\teq  \"x\"  ", `a eq "x"`) // scim2/filter-parser refuses the spaces
	good(`a eq"x"`, `a eq "x"`)          // RFC 7644 §3.5.2.2, example
	good(`a eq "caf\u00e9 \ud83d\ude00 \"q\" \\"`, `a eq "café 😀 \"q\" \\"`)
	good(`a eq null and b eq -1.5e3 and c eq true and d ne false`, `a eq null and b eq -1.5e3 and c eq true and d ne false`)
	good(`emails[type eq "work"].value eq "a@b"`, `emails[type eq "work" and value eq "a@b"]`) // Entra, scim.md 2.2
	good(`emails[type eq "work" or (primary eq true and value pr)]`, `emails[type eq "work" or primary eq true and value pr]`)
	good(`emails[not (type eq "work")].value pr`, `emails[not (type eq "work") and value pr]`)
	same(`urn:example-org:ext:2.0:User:cost-center eq "x"`) // hyphens and dots in URNs
	same(`urn:x:ext:2.0:User:manager.value eq "x"`)
	good(`(ActiVe eq true) and meta.lastmodified ge "0001-01-03T00:00:00.0000000Z"`, `ActiVe eq true and meta.lastmodified ge "0001-01-03T00:00:00.0000000Z"`)
	good(`active eq True`, `active eq true`)
	same(`not pr`)      // an attribute of that name
	same(`and eq "or"`) // keywords are attributes where an attribute stands
	if e, err := Parse(`externalId eq 'jyoung'`, profile(t, "entra")); fault.CodeOf(err) != "invalidFilter" {
		t.Errorf("single quotes read as %v, %v", e, err)
	}
	goodIn(entra, `externalId eq jyoung`, `externalId eq "jyoung"`)
	goodIn(entra, `(userName sw O)`, `userName sw "O"`)

	bad(``)
	bad(`   `)
	bad(`userName`)                          // Okta SPEC test 2016: a bare word is no filter
	bad(`userName eq`)                       // no value
	bad(`userName eq bjensen`)               // bare word without the rule
	bad(`userName like "x"`)                 // no such operator
	bad(`userName eq "x`)                    // open string
	bad(`userName eq "x" and`)               // nothing after and
	bad(`userName eq "x" title pr`)          // no connective
	bad(`(userName eq "x"`)                  // unbalanced
	bad(`userName eq "x")`)                  // unbalanced
	bad(`not userName eq "x"`)               // not takes parentheses
	bad(`()`)                                //
	bad(`emails[type eq "work"`)             // open bracket
	bad(`emails[]`)                          // empty value filter
	bad(`emails[type eq "work"].`)           // no sub-attribute
	bad(`emails[type eq "work"].a.b eq "x"`) // two levels
	bad(`emails[type eq "work"].value`)      // no operator
	bad(`emails[type eq "work"] eq "x"`)     // comparison without sub-attribute
	bad(`.userName eq "x"`)                  // starts with a dot
	bad(`userName. eq "x"`)                  // ends with a dot
	bad(`userName eq 'x'`)                   // single quotes
	bad(`userName eq "\x"`)                  // bad escape
	bad(`userName eq "\u0000"`)              // NUL
	bad(`userName eq "\ud800"`)              // lone surrogate
	bad("userName eq \"a\x00b\"")            // raw control character
	bad("userName eq \"a\xffb\"")            // not UTF-8
	bad(`userName eq 01`)                    // no JSON number
	bad(`userName eq "x" or or title pr`)    //
	bad(`user name eq "x"`)                  //
	bad(`userName == "x"`)                   //
	bad(`userName eq "x"; drop table users`) //
	bad(`userName eq ` + strings.Repeat("1", 65))
	bad(`a eq "` + strings.Repeat("x", MaxBytes) + `"`)
	bad(strings.Repeat("(", 500) + `a pr` + strings.Repeat(")", 500))
	bad(strings.Repeat("(", MaxDepth+1) + `a pr` + strings.Repeat(")", MaxDepth+1))
	bad(strings.Repeat("not (", MaxDepth+1) + `a pr` + strings.Repeat(")", MaxDepth+1))
	bad(strings.Repeat(`a pr or `, MaxTerms) + `a pr`)
	good(strings.Repeat("(", MaxDepth)+`a pr`+strings.Repeat(")", MaxDepth), `a pr`)
	if _, err := Parse(strings.Repeat(`a pr or `, MaxTerms-1)+`a pr`, rfc); err != nil {
		t.Errorf("a filter of %d terms is refused: %v", MaxTerms, err)
	}
	if got := entra.Fired.Names(); len(got) != 1 || got[0] != "bareWords" {
		t.Errorf("fired %v, want bareWords", got)
	}
}

func TestParsePath(t *testing.T) {
	rfc := profile(t, "rfc")
	good := func(in, attr, flt, sub string) {
		t.Helper()
		p, err := ParsePath(in, rfc)
		if err != nil {
			t.Errorf("ParsePath(%q): %v", in, err)
			return
		}
		got := ""
		if p.Filter != nil {
			got = p.Filter.String()
		}
		if p.Attr != attr || got != flt || p.Sub != sub {
			t.Errorf("ParsePath(%q) = %q [%s] %q", in, p.Attr, got, p.Sub)
		}
	}
	bad := func(in, code string) {
		t.Helper()
		if p, err := ParsePath(in, rfc); fault.CodeOf(err) != code {
			t.Errorf("ParsePath(%q) = %v, %v, want %s", in, p, err, code)
		}
	}
	// RFC 7644 §3.5.2, figure 8
	good(`members`, `members`, ``, ``)
	good(`name.familyName`, `name.familyName`, ``, ``)
	good(`addresses[type eq "work"]`, `addresses`, `type eq "work"`, ``)
	good(`members[value eq "2819c223"].displayName`, `members`, `value eq "2819c223"`, `displayName`)
	good(`members[value eq"2819c223"]`, `members`, `value eq "2819c223"`, ``)
	good(` emails[type eq "work" and value ew "example.com"] `, `emails`, `type eq "work" and value ew "example.com"`, ``)
	good(`urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value`, `urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value`, ``, ``)
	good(`urn:ietf:params:scim:schemas:extension:enterprise:2.0:User`, `urn:ietf:params:scim:schemas:extension:enterprise:2.0:User`, ``, ``)
	good(`$ref`, `$ref`, ``, ``)

	bad(``, "invalidPath")
	bad(`.a`, "invalidPath")
	bad(`a.`, "invalidPath")
	bad(`a b`, "invalidPath")
	bad(`a[b pr]c`, "invalidPath")
	bad(`a[b pr].`, "invalidPath")
	bad(`a[b pr].c.d`, "invalidPath")
	bad(`a[b pr].c eq 1`, "invalidPath")
	bad(`"a"`, "invalidPath")
	bad(`a[`, "invalidFilter")
	bad(`a[]`, "invalidFilter")
	bad(`a[b]`, "invalidFilter")
	bad(`a[b eq "c]`, "invalidFilter")
	bad(strings.Repeat("a", MaxBytes+1), "invalidFilter")
}

var userPaths = []string{
	"userName", "USERNAME", "displayName", "externalId", "id", "title", "active", "name.familyName", "emails", "emails.value",
	"emails.type", "emails.primary", "meta.created", "meta.lastModified", "groups.value", "urn:ietf:params:scim:schemas:core:2.0:User:userName",
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value", "nosuch",
}

// genExpr draws expressions over the attributes of a user; inner inside a
// value path.
func genExpr(depth int, inner bool) *rapid.Generator[Expr] {
	return rapid.Custom(func(t *rapid.T) Expr {
		kind := 0
		if depth > 0 {
			kind = rapid.IntRange(0, 5).Draw(t, "kind")
		}
		sub := func() Expr { return genExpr(depth-1, inner).Draw(t, "sub") }
		switch kind {
		case 1:
			return &And{sub(), sub()}
		case 2:
			return &Or{sub(), sub()}
		case 3:
			return &Not{sub()}
		case 4:
			if !inner {
				return &ValuePath{rapid.SampledFrom([]string{"emails", "groups"}).Draw(t, "list"), genExpr(depth-1, true).Draw(t, "filter")}
			}
		}
		c := &Compare{Op: Op(rapid.IntRange(0, int(Pr)).Draw(t, "op"))}
		if inner {
			c.Path = rapid.SampledFrom([]string{"value", "type", "display", "primary"}).Draw(t, "path")
		} else {
			c.Path = rapid.SampledFrom(userPaths).Draw(t, "path")
		}
		if c.Op == Pr {
			return c
		}
		c.Value = rapid.OneOf(
			rapid.Map(rapid.SampledFrom(words), func(s string) any { return s }),
			rapid.Map(rapid.SampledFrom(words), func(s string) any { return s }),
			rapid.Map(rapid.Bool(), func(b bool) any { return b }),
			rapid.Map(rapid.IntRange(-3, 3), func(n int) any { b, _ := json.Marshal(n); return json.Number(b) }),
			rapid.Just[any](nil),
		).Draw(t, "value")
		return c
	})
}

// words are few, so that values and filters meet.
var words = []string{
	"", "a", "A", "ab", "AB", "abc", "b", "É", "é", "a%", "a_b", "work", "true", "False", "r1", "r2",
	"2026-01-01T00:00:00Z", "2026-01-01T00:00:00.0000005Z", "2026-01-01T01:00:00+01:00", "2026-01-02T00:00:00.123456Z", "0001-01-01T00:00:00Z",
}

// What String writes reads back as the same expression.
func TestRoundTrip(t *testing.T) {
	rfc := profile(t, "rfc")
	rapid.Check(t, func(t *rapid.T) {
		e := genExpr(4, false).Draw(t, "expr")
		back, err := Parse(e.String(), rfc)
		if err != nil {
			t.Fatalf("Parse(%q): %v", e, err)
		}
		if !equal(e, back) {
			t.Fatalf("%s reads back as %s", e, back)
		}
	})
}

func equal(a, b Expr) bool {
	switch a := a.(type) {
	case *And:
		b, ok := b.(*And)
		return ok && equal(a.X, b.X) && equal(a.Y, b.Y)
	case *Or:
		b, ok := b.(*Or)
		return ok && equal(a.X, b.X) && equal(a.Y, b.Y)
	case *Not:
		b, ok := b.(*Not)
		return ok && equal(a.X, b.X)
	case *ValuePath:
		b, ok := b.(*ValuePath)
		return ok && a.Path == b.Path && equal(a.X, b.X)
	case *Compare:
		b, ok := b.(*Compare)
		return ok && *a == *b
	}
	return false
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`userName eq "bjensen" and not (emails[type eq "work"].value ew "x" or title pr)`,
		`a eq "\ud83d\ude00" or b gt -1.5E+3`, `((((`, `emails[`, `a eq tRue`, `urn:a:b:2.0:User:x.y eq null`,
	} {
		f.Add(s)
	}
	p, _ := dialect.Lookup("entra")
	f.Fuzz(func(t *testing.T, in string) {
		d := p.Start()
		if path, err := ParsePath(in, d); err == nil && path.Filter != nil {
			_ = path.Filter.String()
		}
		e, err := Parse(in, d)
		if err != nil {
			if fault.CodeOf(err) != "invalidFilter" {
				t.Fatalf("Parse(%q) fails with %v", in, err)
			}
			return
		}
		back, err := Parse(e.String(), d)
		if err != nil {
			if len(e.String()) <= MaxBytes && !strings.Contains(err.Error(), "nested") {
				t.Fatalf("%q prints as %q: %v", in, e, err)
			}
			return
		}
		if !equal(e, back) {
			t.Fatalf("%q prints as %q, which reads as %q", in, e, back)
		}
	})
}

func BenchmarkParseSimple(b *testing.B) {
	d := profile(b, "okta")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(`userName eq "test.user@okta.local"`, d); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseHostile(b *testing.B) {
	d := profile(b, "okta")
	for name, s := range map[string]string{
		"parens":  strings.Repeat("(", 2000) + "a pr" + strings.Repeat(")", 2000),
		"orChain": strings.Repeat("a pr or ", 500) + "a pr",
		"long":    `a eq "` + strings.Repeat("x", 4000) + `" and`,
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := Parse(s, d); err == nil {
					b.Fatal("accepted")
				}
			}
		})
	}
}
