package verify

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	csaml "github.com/crewjam/saml"
)

// oracleDoc is a document that we accept, with what others need to judge it.
type oracleDoc struct {
	name   string // of the case; not unique
	doc    []byte
	idp    identity
	a      *Assertion
	canary bool // everybody must refuse it: the others are asked the right way
}

// verdict is what another implementation makes of a document.
type verdict struct {
	result string // "ok", "refused", "unable": it cannot do what is asked
	reason string
	nameID string // empty: not told
}

var (
	validRSA = sync.OnceValue(func() identity { return certifyValid(rsaIdP()) })
	validEC  = sync.OnceValue(func() identity { return certifyValid(ecIdP()) })
	validSP  = sync.OnceValue(func() identity { return certifyValid(rsaSP()) })
)

// oracleCorpus makes every accepted document of the other tests that is judged
// by the usual settings: the shapes, the forms, the ways to encrypt, and the
// cases of the attack matrix that must pass.
func oracleCorpus(t *testing.T) []oracleDoc {
	var docs []oracleDoc
	add := func(name string, idp identity, doc []byte, p Params) {
		p.DecryptionKeys = decryptionKeys(rsaSP())
		a, r := Verify(doc, p)
		if r.Err != nil {
			t.Fatalf("%s: %v", name, r.Err)
		}
		docs = append(docs, oracleDoc{name: name, doc: doc, idp: idp, a: a})
	}
	for _, idp := range []identity{validRSA(), validEC()} {
		for i := range shapes {
			s := &shapes[i]
			add("shape "+s.name, idp, s.build(idp), params(idp))
			for _, seal := range shapeSealings[s.name] {
				add("encrypted shape "+s.name, idp, s.write(idp, &seal), params(idp))
			}
		}
		for i, f := range acceptedForms(t) {
			e := &env{t: t, mode: modes[i%2], idp: idp}
			add("form "+f.name, idp, []byte(f.after(string(e.sign(fragment(f.before(baseXML)), f.o)))), params(idp))
		}
		for _, mode := range modes[:2] {
			p := params(idp)
			p.AllowInclusiveC14N = true
			for _, alg := range []string{algC14N10, algC14N11} {
				root := fragment(baseXML)
				root.CreateAttr("xmlns:unused", "urn:unused")
				root.CreateAttr("xml:lang", "de")
				o := signing{c14n: alg, transforms: `<ds:Transform Algorithm="` + algEnveloped + `"/><ds:Transform Algorithm="` + alg + `"/>`}
				add("inclusive canonicalization", idp, (&env{t: t, mode: mode, idp: idp}).sign(root, o), p)
			}
		}
	}
	idp := validRSA()
	forms := encryptedForms()
	for i, name := range slices.Sorted(maps.Keys(forms)) {
		add("encrypted: "+name, idp, encryptedDoc(t, modes[i%2], idp, forms[name]), params(idp))
	}
	for _, list := range [][]attack{wrappingAttacks(), signatureAttacks(), contentAttacks(), timeAttacks(), xmlAttacks(), encryptionAttacks()} {
		for _, c := range list {
			for i, enc := range []string{"", "cbc"} {
				e := newEnv(t, modes[i], enc, 1, false)
				e.idp = idp
				doc, want := e.build(c)
				if doc == nil || want != "" || e.p.RequestID != testReq || e.p.Skew != 2*time.Minute {
					continue
				}
				add("case "+c.id+" "+c.name, idp, doc, params(idp))
			}
		}
	}
	for _, mode := range modes[:2] {
		e := &env{t: t, mode: mode, idp: idp}
		doc := e.replace(e.signed(nil), testName+"</saml:NameID>", "admin@acme.example</saml:NameID>")
		docs = append(docs, oracleDoc{name: "changed", doc: doc, idp: idp, a: &Assertion{SignedWhat: mode}, canary: true})
	}
	return docs
}

// TestOracles holds what we accept against other implementations: whatever two
// of them refuse, or any of them reads another NameID from, is an error. Those
// that are installed take part; crewjam/saml always does.
func TestOracles(t *testing.T) {
	docs := oracleCorpus(t)
	if testing.Short() {
		kept := docs[:0]
		for i, d := range docs {
			if i%5 == 0 || d.canary {
				kept = append(kept, d)
			}
		}
		docs = kept
	}
	verdicts := map[string][]verdict{"crewjam": askCrewjam(t, docs)}
	dir := writeCorpus(t, docs)
	now := strconv.FormatInt(testNow.Unix(), 10)
	for name, command := range map[string][]string{
		"xmlsec1": {"sh", "testdata/oracle/xmlsec1.sh", dir},
		"pysaml2": {"/usr/bin/python3", "testdata/oracle/pysaml2.py", dir, now, testACS, testEntity, testReq},
		"lasso":   {"/usr/bin/python3", "testdata/oracle/lasso.py", dir, now, testACS, testEntity, testReq},
	} {
		if !installed(name) {
			t.Logf("%s is not installed", name)
			continue
		}
		start := time.Now()
		verdicts[name] = ask(t, name, command, len(docs))
		t.Logf("%s took %v", name, time.Since(start))
	}
	used := map[string]bool{}
	for i, d := range docs {
		var refused []string
		for name, list := range verdicts {
			v := list[i]
			if d.canary {
				if v.result != "refused" {
					t.Errorf("%s says %q of a changed document", name, v.result)
				}
				continue
			}
			if v.result == "ok" && v.nameID != "" && v.nameID != d.a.NameID.Value {
				t.Errorf("%s: %s reads the NameID %q, we read %q\n%s", d.name, name, v.nameID, d.a.NameID.Value, d.doc)
			}
			if v.result != "refused" {
				continue
			}
			if why := benign(name, d, v.reason); why != "" {
				used[name+": "+why] = true
				continue
			}
			refused = append(refused, name+" ("+v.reason+")")
		}
		if len(refused) > 1 {
			sort.Strings(refused)
			t.Errorf("we accept %q (signed %s, %s), which others refuse: %s", d.name, d.a.SignedWhat, kindOf(d.idp), strings.Join(refused, "; "))
		}
	}
	for name, list := range verdicts {
		count := map[string]int{}
		for _, v := range list {
			count[v.result]++
		}
		t.Logf("%s: %d documents, %v", name, len(list), count)
	}
	t.Logf("known differences met: %d", len(used))
}

// differences are refusals of others that are known, and why they are not ours
// to make.
var differences = []struct{ oracle, kind, names, reason, why string }{
	{"crewjam", "ec", "", "", "goxmldsig takes ECDSA values in DER, where RFC 9231 wants the two numbers"},
	{"lasso", "ec", "", "", "Lasso 2.8 verifies no ECDSA"},
	{"crewjam", "", "encrypted", "algorithm is not implemented", "crewjam/saml knows no AES-192 and AES-256 GCM, and no rsa-oaep"},
	{"crewjam", "", "inclusive canonicalization", "verification error", "goxmldsig leaves inherited namespaces and xml: attributes out of the inclusive form; xmlsec1 has them"},
	{"lasso", "", "inclusive canonicalization", "DsSignatureVerificationFailed", "Lasso takes the assertion out of its document before it is canonicalised"},
	{"pysaml2", "", "inclusive canonicalization", "Invalid document format", "pysaml2's schema has no xml:lang on Response"},
	{"lasso", "", "encrypted", "ProfileMissingAssertion", "xmlsec 1.2 under Lasso knows no other digest than SHA-1 in OAEP, and wants Type"},
	{"pysaml2", "", "encrypted", "'NoneType' object has no attribute", "xmlsec 1.2 under pysaml2 cannot decrypt it: OAEP with another digest than SHA-1, a key beside, no Type"},
	{"pysaml2", "", "encrypted", "Invalid document format", "pysaml2's schema has no MGF in EncryptionMethod"},
	{"lasso", "", "I2 no Issuer of the Response", "ServerProviderNotFound", "Lasso finds the identity provider by the Response's Issuer, which core §3.2.2 makes optional"},
	{"pysaml2", "", "I2 no Issuer of the Response", "MissingKey", "pysaml2 finds the identity provider by the Response's Issuer, which core §3.2.2 makes optional"},
}

func benign(oracle string, d oracleDoc, reason string) string {
	for _, k := range differences {
		if k.oracle == oracle && (k.kind == "" || k.kind == kindOf(d.idp)) && strings.Contains(d.name, k.names) && strings.Contains(reason, k.reason) {
			return k.why
		}
	}
	return ""
}

func installed(name string) bool {
	if _, err := exec.LookPath("xmlsec1"); name == "xmlsec1" {
		return err == nil
	}
	module := map[string]string{"pysaml2": "saml2", "lasso": "lasso"}[name]
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return exec.CommandContext(ctx, "/usr/bin/python3", "-c", "import "+module).Run() == nil
}

func ask(t *testing.T, name string, command []string, n int) []verdict {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, command[0], command[1:]...).Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, err.(*exec.ExitError).Stderr)
	}
	list := make([]verdict, n)
	for _, line := range strings.Split(strings.TrimSuffix(string(out), "\n"), "\n") {
		f := strings.Split(line, "\t")
		i, err := strconv.Atoi(f[0])
		if err != nil || len(f) != 4 || i >= n {
			t.Fatalf("%s says %q", name, line)
		}
		list[i] = verdict{f[1], f[2], f[3]}
	}
	for i, v := range list {
		if v.result == "" {
			t.Fatalf("%s says nothing about document %d", name, i)
		}
	}
	return list
}

func kindOf(i identity) string {
	if i.cert.PublicKeyAlgorithm == x509.RSA {
		return "rsa"
	}
	return "ec"
}

// writeCorpus writes the documents, keys and metadata for the other
// implementations.
func writeCorpus(t *testing.T, docs []oracleDoc) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var list strings.Builder
	for i, d := range docs {
		elements := map[string]string{"assertion": "Assertion", "response": "Response", "both": "Response Assertion"}[d.a.SignedWhat]
		state := "plain"
		if d.a.Encrypted {
			state = "sealed"
		}
		list.WriteString(strconv.Itoa(i) + "\t" + kindOf(d.idp) + "\t" + elements + "\t" + state + "\n")
		write(strconv.Itoa(i)+".xml", d.doc)
	}
	write("list.txt", []byte(list.String()))
	crt := func(i identity) []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw}) }
	descriptor := func(i identity, use string) string {
		return `<md:KeyDescriptor use="` + use + `">` + strings.Replace(i.keyInfo(), "<ds:KeyInfo>", `<ds:KeyInfo xmlns:ds="`+nsDsig+`">`, 1) + `</md:KeyDescriptor>`
	}
	for kind, i := range map[string]identity{"rsa": validRSA(), "ec": validEC()} {
		write(kind+".crt", crt(i))
		write("idp-"+kind+".xml", []byte(`<md:EntityDescriptor xmlns:md="`+nsMetadata+`" entityID="`+testIdP+`"><md:IDPSSODescriptor protocolSupportEnumeration="`+nsProtocol+`">`+descriptor(i, "signing")+
			`<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://idp.example/sso"/></md:IDPSSODescriptor></md:EntityDescriptor>`))
	}
	write("sp.crt", crt(validSP()))
	write("sp.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(validSP().signer))}))
	write("sp.xml", []byte(`<md:EntityDescriptor xmlns:md="`+nsMetadata+`" entityID="`+testEntity+`"><md:SPSSODescriptor protocolSupportEnumeration="`+nsProtocol+`">`+descriptor(validSP(), "signing")+descriptor(validSP(), "encryption")+
		`<md:AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="`+testACS+`" index="0"/></md:SPSSODescriptor></md:EntityDescriptor>`))
	return dir
}

// askCrewjam asks crewjam/saml, which runs in this process and panics on some
// input.
func askCrewjam(t *testing.T, docs []oracleDoc) []verdict {
	t.Helper()
	csaml.TimeNow = func() time.Time { return testNow }
	csaml.MaxIssueDelay, csaml.MaxClockSkew = 10*time.Minute, 2*time.Minute
	list := make([]verdict, len(docs))
	for i, d := range docs {
		sp := crewjamSP(d.idp)
		list[i] = func() (v verdict) {
			defer func() {
				if p := recover(); p != nil {
					v = verdict{result: "unable", reason: "panic"}
				}
			}()
			a, err := sp.ParseXMLResponse(d.doc, []string{testReq}, sp.AcsURL)
			if err != nil {
				return verdict{result: "refused", reason: err.(*csaml.InvalidResponseError).PrivateErr.Error()}
			}
			return verdict{result: "ok", nameID: a.Subject.NameID.Value}
		}()
	}
	return list
}

func crewjamSP(idp identity) *csaml.ServiceProvider {
	return &csaml.ServiceProvider{
		EntityID: testEntity, AcsURL: *must(url.Parse(testACS)), Key: rsaSP().signer, Certificate: rsaSP().cert,
		IDPMetadata: &csaml.EntityDescriptor{EntityID: testIdP, IDPSSODescriptors: []csaml.IDPSSODescriptor{{
			SSODescriptor: csaml.SSODescriptor{RoleDescriptor: csaml.RoleDescriptor{KeyDescriptors: []csaml.KeyDescriptor{{
				Use:     "signing",
				KeyInfo: csaml.KeyInfo{X509Data: csaml.X509Data{X509Certificates: []csaml.X509Certificate{{Data: base64.StdEncoding.EncodeToString(idp.cert.Raw)}}}},
			}}}},
		}}},
	}
}
