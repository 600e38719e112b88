package verify

import (
	"strings"
	"testing"

	"github.com/beevik/etree"
)

// attack is one way to be bad. build returns a document and the code it must be
// refused with; an empty code means that the document must be accepted, a nil
// document that the case does not exist in this mode.
type attack struct {
	id, name string
	build    func(e *env) ([]byte, string)
}

// before makes a case that the identity provider itself signs: the content is
// changed first.
func before(code string, change func(root, a *etree.Element)) func(*env) ([]byte, string) {
	return func(e *env) ([]byte, string) { return e.signed(change), code }
}

// after makes a case that changes a signed document.
func after(code string, change func(root, a *etree.Element)) func(*env) ([]byte, string) {
	return func(e *env) ([]byte, string) { return e.tampered(change), code }
}

// with makes a case that is signed in another way.
func with(code string, o func(e *env) signing) func(*env) ([]byte, string) {
	return func(e *env) ([]byte, string) { return e.sign(e.base(), o(e)), code }
}

// swap makes a case by replacing bytes of a signed document.
func swap(code, old, with string) func(*env) ([]byte, string) {
	return func(e *env) ([]byte, string) { return e.replace(e.signed(nil), old, with), code }
}

func TestAttacks(t *testing.T) {
	var cases []attack
	for _, list := range [][]attack{wrappingAttacks(), signatureAttacks(), contentAttacks(), timeAttacks(), xmlAttacks(), encryptionAttacks()} {
		cases = append(cases, list...)
	}
	type cell struct {
		mode, enc string
		keys      int
		ec        bool
	}
	var cells []cell
	for _, mode := range modes {
		for _, keys := range []int{1, 2} {
			for _, ec := range []bool{false, true} {
				for _, enc := range []string{"", "gcm", "cbc"} {
					cells = append(cells, cell{mode, enc, keys, ec})
				}
			}
		}
	}
	most := len(cells)
	if testing.Short() {
		most = 5 // of each case, from another place of the matrix than the case before
	}
	seen := map[string]bool{CodeConfig: true} // TestConfig
	for n, c := range cases {
		t.Run(c.id+" "+c.name, func(t *testing.T) {
			built := 0
			for i := range cells {
				if built == most {
					break
				}
				at := cells[(i+n)%len(cells)]
				e := newEnv(t, at.mode, at.enc, at.keys, at.ec)
				doc, want := e.build(c)
				if doc == nil {
					continue
				}
				built++
				a, r := Verify(doc, e.p)
				judge(t, e, doc, want, a, r)
				if r.Err != nil {
					seen[r.Err.Code] = true
				}
			}
			if built == 0 {
				t.Error("the case was never built")
			}
		})
	}
	for code := range checkOf {
		if strings.HasPrefix(code, "SAML_") && !seen[code] {
			t.Errorf("no attack is refused with %s", code)
		}
	}
}

// newEnv is a cell of the matrix; with two keys, the ones in use come second.
func newEnv(t testing.TB, mode, enc string, keys int, ec bool) *env {
	e := &env{t: t, mode: mode, enc: enc, idp: rsaIdP(), attacker: rsaAttacker()}
	second := rsaSecond()
	if ec {
		e.idp, e.attacker, second = ecIdP(), ecAttacker(), ecSecond()
	}
	e.p = params(e.idp)
	e.p.DecryptionKeys = decryptionKeys(rsaSP())
	if keys == 2 {
		e.p.Keys = params(second, e.idp).Keys
		e.p.DecryptionKeys = decryptionKeys(rsaSP(), rsaSPPrevious())
		if ec {
			e.p.DecryptionKeys = decryptionKeys(rsaSPPrevious(), rsaSP())
		}
	}
	return e
}

// build makes the document of a case, and the code it must be refused with.
func (e *env) build(c attack) ([]byte, string) {
	doc, want := c.build(e)
	if doc == nil || e.skip {
		return nil, ""
	}
	if e.enc == "" {
		return doc, want
	}
	if !strings.Contains(string(doc), "EncryptedAssertion") {
		if e.mode != "assertion" {
			return nil, "" // signed by hand, in plain text
		}
		sealed, ok := sealingOf(e.enc).sealText(string(doc))
		if !ok {
			return nil, ""
		}
		if e.enc == "cbc" {
			want = guarded(e.p, string(doc), sealed, want)
		}
		doc = []byte(sealed)
	}
	return doc, want
}

// guarded is the code of an assertion encrypted with CBC in a Response that is
// not signed: what is wrong before its own signature was verified is not told,
// unless the content has the digest that it states, or is refused outside.
func guarded(p Params, plain, sealed, want string) string {
	if root, err := parse(sealed, maxDocument); err != nil || structureError(root) != nil {
		return want
	}
	_, r := Verify([]byte(plain), p)
	for _, c := range r.Checks {
		if c.OK && c.Name == checkOf[CodeSig] {
			return want
		}
	}
	if root, err := parse(plain, maxDocument); err == nil {
		if l, err := structure(root); err == nil && l.assertionSignature != nil && l.assertionSignature.intact() {
			return want
		}
	}
	return CodeDecrypt
}

func structureError(root *node) *Error {
	_, err := structure(root)
	return err
}

func judge(t *testing.T, e *env, doc []byte, want string, a *Assertion, r *Report) {
	t.Helper()
	got := ""
	if r.Err != nil {
		got = r.Err.Code
	}
	if got != want {
		if len(doc) > 8000 {
			doc = doc[:8000]
		}
		t.Errorf("%s signed, encrypted %q, %d keys: code %q, want %q (%v)\n%s", e.mode, e.enc, len(e.p.Keys), got, want, r.Err, doc)
	}
	if (a == nil) != (want != "") {
		t.Fatalf("%s: assertion %v with code %q", e.mode, a, got)
	}
	if want == "" {
		return
	}
	failed := ""
	for _, c := range r.Checks {
		if !c.OK && failed == "" {
			failed = c.Name
		}
		if runes(c.Expected) > 200 || runes(c.Actual) > 200 {
			t.Errorf("check %s is not cut", c.Name)
		}
	}
	if failed != checkOf[want] {
		t.Errorf("%s: first failed check %q, want %q", e.mode, failed, checkOf[want])
	}
}

func TestConfig(t *testing.T) {
	e := &env{t: t, mode: "both", idp: rsaIdP()}
	doc := e.signed(nil)
	for name, change := range map[string]func(*Params){
		"no ACS":        func(p *Params) { p.ACS = "" },
		"no entity ID":  func(p *Params) { p.EntityID = "" },
		"no IdP":        func(p *Params) { p.IdPEntityID = "" },
		"no keys":       func(p *Params) { p.Keys = nil },
		"negative skew": func(p *Params) { p.Skew = -1 },
		"large skew":    func(p *Params) { p.Skew = maxSkew + 1 },
		"no time":       func(p *Params) { p.Now = zeroTime },
		"no request":    func(p *Params) { p.RequestID = "" },
		"both":          func(p *Params) { p.Unsolicited = true },
		"zero":          func(p *Params) { *p = Params{} },
	} {
		p := params(rsaIdP())
		change(&p)
		if a, r := Verify(doc, p); a != nil || r.Err == nil || r.Err.Code != CodeConfig {
			t.Errorf("%s: %v", name, r.Err)
		}
	}
}

// TestChecks: every code has a check, and an accepted response passes them all.
func TestChecks(t *testing.T) {
	checks := map[string]bool{}
	for code, name := range checkOf {
		if name == "" {
			t.Errorf("%s has no check", code)
		}
		if strings.HasPrefix(code, "SAML_") {
			checks[name] = true
		}
	}
	if len(checkOf) < 80 || len(checks) < 35 {
		t.Errorf("%d codes, %d checks of responses", len(checkOf), len(checks))
	}
	e := &env{t: t, mode: "both", idp: rsaIdP()}
	_, r := Verify(e.signed(nil), params(rsaIdP()))
	passed := map[string]bool{}
	for _, c := range r.Checks {
		if !checks[c.Name] || !c.OK {
			t.Errorf("check %+v", c)
		}
		passed[c.Name] = true
	}
	for name := range checks {
		if name != "times.present" && name != "times.format" && !passed[name] {
			t.Errorf("check %s is not reported for an accepted response", name)
		}
	}
}
