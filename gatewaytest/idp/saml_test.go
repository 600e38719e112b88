package idp_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	csaml "github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/gatehouse-id/gatehouse/gatewaytest/htmlcheck"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
)

const (
	spEntity = "https://gw.example/saml/sso_1"
	spACS    = "https://gw.example/saml/sso_1/acs"
	spSLO    = "https://gw.example/saml/sso_1/slo"
)

var (
	ada  = idp.Person{ID: "u-ada", Email: "ada@acme.test", FirstName: "Ada", LastName: "Lovelace", Groups: []string{"engineering", "R&D <x>"}}
	ben  = idp.Person{ID: "u-ben", Email: "ben@acme.test", DisplayName: "Ben"}
	rsaK = mustRSA()
)

func mustRSA() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

func newIdP(t *testing.T, c idp.Config) *idp.IdP {
	t.Helper()
	if c.BaseURL == "" {
		c.BaseURL = "https://idp.example/test"
	}
	if c.SAMLKey == nil {
		c.SAMLKey = rsaK
	}
	if c.People == nil {
		c.People = []idp.Person{ada, ben}
	}
	i, err := idp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// crewjamSP is an independent reader of the responses.
func crewjamSP(t *testing.T, i *idp.IdP) *csaml.ServiceProvider {
	t.Helper()
	var md csaml.EntityDescriptor
	if err := xml.Unmarshal(i.Metadata(), &md); err != nil {
		t.Fatal(err)
	}
	return &csaml.ServiceProvider{
		EntityID: spEntity, AcsURL: mustURL(t, spACS), MetadataURL: mustURL(t, spEntity+"/metadata"),
		IDPMetadata: &md, Key: rsaK, Certificate: selfSigned(t, rsaK),
		AuthnNameIDFormat: csaml.EmailAddressNameIDFormat, SignatureMethod: dsig.RSASHA256SignatureMethod,
	}
}

func selfSigned(t *testing.T, key crypto.Signer) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func mustURL(t *testing.T, s string) url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return *u
}

var request = idp.AuthnRequestInfo{ID: "_req1", Issuer: spEntity, ACSURL: spACS}

func parse(t *testing.T, data []byte) *etree.Document {
	t.Helper()
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(data); err != nil {
		t.Fatalf("%v in\n%s", err, data)
	}
	return doc
}

func make1(t *testing.T, i *idp.IdP, k idp.SAMLKnobs) []byte {
	t.Helper()
	out, err := i.Response(request, ada, k)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// crewjamReads reports what crewjam's SP makes of the response.
func crewjamReads(t *testing.T, i *idp.IdP, response []byte) (*csaml.Assertion, error) {
	t.Helper()
	return crewjamSP(t, i).ParseXMLResponse(response, []string{"_req1"}, mustURL(t, spACS))
}

func privateError(err error) string {
	var invalid *csaml.InvalidResponseError
	if errors.As(err, &invalid) {
		return invalid.PrivateErr.Error()
	}
	return err.Error()
}

func TestResponsesHoldForOthers(t *testing.T) {
	i := newIdP(t, idp.Config{})
	spKey := selfSigned(t, rsaK)
	for name, k := range map[string]idp.SAMLKnobs{
		"assertion signed":   {},
		"response signed":    {Sign: idp.SignResponse},
		"both signed":        {Sign: idp.SignBoth},
		"encrypted gcm":      {EncryptTo: spKey},
		"encrypted cbc":      {EncryptTo: spKey, Encryption: "aes128-cbc", Sign: idp.SignBoth},
		"encrypted cbc 256":  {EncryptTo: spKey, Encryption: "aes256-cbc"},
		"persistent":         {NameIDFormat: "persistent"},
		"session end":        {SessionNotOnOrAfter: time.Now().Add(time.Hour)},
		"attributes mutated": {Mutate: func(doc *etree.Document) { doc.FindElement("//Attribute").CreateAttr("FriendlyName", "a\tb\n<&\"") }},
		"pretty printed":     {Mutate: func(doc *etree.Document) { doc.Indent(2) }},
		"default namespace": {Mutate: func(doc *etree.Document) {
			a := doc.FindElement("//Assertion")
			a.CreateAttr("xmlns", "urn:oasis:names:tc:SAML:2.0:assertion")
			a.Space = ""
			for _, el := range a.FindElements(".//*") {
				el.Space = ""
			}
		}},
	} {
		a, err := crewjamReads(t, i, make1(t, i, k))
		if err != nil {
			t.Errorf("%s: %s", name, privateError(err))
			continue
		}
		want, format := ada.Email, "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
		if k.NameIDFormat == "persistent" {
			want, format = ada.ID, "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
		}
		if got := a.Subject.NameID; strings.TrimSpace(got.Value) != want || got.Format != format {
			t.Errorf("%s: NameID %+v", name, got)
		}
		got := map[string][]string{}
		for _, attr := range a.AttributeStatements[0].Attributes {
			for _, v := range attr.Values {
				got[attr.Name] = append(got[attr.Name], strings.TrimSpace(v.Value))
			}
		}
		for attr, want := range map[string]string{
			"email": ada.Email, "firstName": "Ada", "lastName": "Lovelace", "displayName": "Ada Lovelace", "id": "u-ada", "groups": "engineering|R&D <x>",
		} {
			if s := strings.Join(got[attr], "|"); s != want {
				t.Errorf("%s: attribute %s = %q, want %q", name, attr, s, want)
			}
		}
	}
}

// goxmldsig reads what canonical form and signature say, without the rest of SAML.
func TestSignatureHoldsForGoxmldsig(t *testing.T) {
	i := newIdP(t, idp.Config{})
	ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: i.Certificates()})
	for name, k := range map[string]idp.SAMLKnobs{
		"plain":       {Sign: idp.SignResponse},
		"no key info": {Sign: idp.SignResponse, OmitKeyInfo: true},
		"comment":     {Sign: idp.SignResponse, NameIDComment: true},
		"odd text":    {Sign: idp.SignResponse, NameID: "a\r\n\t<&>\"' ü 😀"},
		"namespaces": {Sign: idp.SignResponse, Mutate: func(doc *etree.Document) {
			v := doc.FindElement("//AttributeValue")
			v.CreateAttr("xmlns:xs", "http://www.w3.org/2001/XMLSchema")
			v.CreateAttr("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance")
			v.CreateAttr("xsi:type", "xs:string")
			v.CreateAttr("a", "1")
		}},
	} {
		if _, err := ctx.Validate(parse(t, make1(t, i, k)).Root()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, k := range map[string]idp.SAMLKnobs{
		"other key":     {Sign: idp.SignResponse, Key: mustRSA()},
		"changed after": {Sign: idp.SignResponse, MutateSigned: func(doc *etree.Document) { doc.FindElement("//NameID").SetText("eve@acme.test") }},
		"unsigned":      {Sign: idp.SignNone},
	} {
		if _, err := ctx.Validate(parse(t, make1(t, i, k)).Root()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// XML Signature wants r||s; goxmldsig reads DER only, so the check is by hand.
func TestECDSA(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := newIdP(t, idp.Config{SAMLKey: key})
	for _, der := range []bool{false, true} {
		doc := parse(t, make1(t, i, idp.SAMLKnobs{ECDSADER: der}))
		info := doc.FindElement("//SignedInfo")
		if got := info.FindElement("./SignatureMethod").SelectAttrValue("Algorithm", ""); got != "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256" {
			t.Errorf("algorithm %s", got)
		}
		sig, err := base64.StdEncoding.DecodeString(doc.FindElement("//SignatureValue").Text())
		if err != nil {
			t.Fatal(err)
		}
		info.CreateAttr("xmlns:ds", dsig.Namespace)
		canonical, err := dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("").Canonicalize(info)
		if err != nil {
			t.Fatal(err)
		}
		digest := sha256.Sum256(canonical)
		if der && !ecdsa.VerifyASN1(&key.PublicKey, digest[:], sig) {
			t.Error("the DER signature does not verify")
		}
		if !der && (len(sig) != 64 || !ecdsa.Verify(&key.PublicKey, digest[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))) {
			t.Error("the r||s signature does not verify")
		}
	}
	if err := i.RotateSAMLKey(true); err != nil {
		t.Fatal(err)
	}
	if certs := i.Certificates(); len(certs) != 2 || certs[0].PublicKeyAlgorithm != x509.ECDSA {
		t.Errorf("after rotation: %d certificates", len(certs))
	}
}

// Each knob makes the fault that it is named for: crewjam refuses it for that
// reason.
func TestKnobsThatOthersRefuse(t *testing.T) {
	i := newIdP(t, idp.Config{})
	for name, c := range map[string]struct {
		k    idp.SAMLKnobs
		want string
	}{
		"audience":       {idp.SAMLKnobs{Audience: "https://other"}, "Audience"},
		"recipient":      {idp.SAMLKnobs{Recipient: "https://other"}, "Recipient"},
		"destination":    {idp.SAMLKnobs{Destination: "https://other", Sign: idp.SignResponse}, "Destination"},
		"issuer":         {idp.SAMLKnobs{Issuer: "https://other"}, "Issuer"},
		"responder":      {idp.SAMLKnobs{ResponseIssuer: "https://other"}, "Issuer"},
		"in response to": {idp.SAMLKnobs{InResponseTo: "_other"}, "InResponseTo"},
		"no in response": {idp.SAMLKnobs{InResponseTo: idp.Omit}, "InResponseTo"},
		"expired":        {idp.SAMLKnobs{TimeShift: -time.Hour}, "expired"},
		"unsigned":       {idp.SAMLKnobs{Sign: idp.SignNone}, "signature"},
		"other key":      {idp.SAMLKnobs{Key: mustRSA()}, "signature"},
		"other cert":     {idp.SAMLKnobs{Key: mustRSA(), KeyCertificate: selfSigned(t, rsaK)}, "signature"},
		"status":         {idp.SAMLKnobs{Status: "Responder", SubStatus: "AuthnFailed"}, "status"},
		"changed":        {idp.SAMLKnobs{MutateSigned: func(d *etree.Document) { d.FindElement("//NameID").SetText("x") }}, "signature"},
	} {
		_, err := crewjamReads(t, i, make1(t, i, c.k))
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if !strings.Contains(strings.ToLower(privateError(err)), strings.ToLower(c.want)) {
			t.Errorf("%s: %s, want a word of %q", name, privateError(err), c.want)
		}
	}
}

// What crewjam does not refuse is looked for in the document.
func TestKnobsInTheDocument(t *testing.T) {
	i := newIdP(t, idp.Config{})
	count := func(k idp.SAMLKnobs, path string) int {
		return len(parse(t, make1(t, i, k)).FindElements(path))
	}
	textOf := func(k idp.SAMLKnobs, path string) string {
		if el := parse(t, make1(t, i, k)).FindElement(path); el != nil {
			return el.Text()
		}
		return ""
	}
	for name, ok := range map[string]bool{
		"extra assertion": count(idp.SAMLKnobs{ExtraAssertion: true}, "/Response/Assertion") == 2,
		"one signature":   count(idp.SAMLKnobs{ExtraAssertion: true}, "//Signature") == 1,
		"two signatures":  count(idp.SAMLKnobs{Sign: idp.SignBoth}, "//Signature") == 2,
		"sha1":            count(idp.SAMLKnobs{SHA1: true}, "//SignatureMethod[@Algorithm='http://www.w3.org/2000/09/xmldsig#rsa-sha1']") == 1,
		"no audience":     count(idp.SAMLKnobs{Audience: idp.Omit}, "//AudienceRestriction") == 0,
		"no name id":      count(idp.SAMLKnobs{NameID: idp.Omit}, "//NameID") == 0,
		"no key info":     count(idp.SAMLKnobs{OmitKeyInfo: true}, "//KeyInfo") == 0,
		"1500 groups":     count(idp.SAMLKnobs{GroupCount: 1500}, "//Attribute[@Name='groups']/AttributeValue") == 1500,
		"overage":         count(idp.SAMLKnobs{EntraOverage: true}, "//Attribute[@Name='http://schemas.microsoft.com/claims/groups.link']") == 1,
		"no groups then":  count(idp.SAMLKnobs{EntraOverage: true}, "//Attribute[@Name='groups']") == 0,
		"two e-mails":     count(idp.SAMLKnobs{DuplicateEmail: "x@y.test"}, "//Attribute[@Name='email']") == 2,
		"renamed":         count(idp.SAMLKnobs{AttributeNames: map[string]string{"email": "mail"}}, "//Attribute[@Name='mail']") == 1,
		"left out":        count(idp.SAMLKnobs{AttributeNames: map[string]string{"email": idp.Omit}}, "//Attribute[@Name='email']") == 0,
		"joined":          textOf(idp.SAMLKnobs{JoinGroups: ","}, "//Attribute[@Name='groups']/AttributeValue") == "engineering,R&D <x>",
		"no assertion":    count(idp.SAMLKnobs{Status: "Responder"}, "//Assertion") == 0,
		"message":         textOf(idp.SAMLKnobs{Status: "Responder", StatusMessage: "no"}, "//StatusMessage") == "no",
		"encrypted":       count(idp.SAMLKnobs{EncryptTo: i.Certificates()[0], Encryption: "aes256-gcm"}, "/Response/EncryptedAssertion/EncryptedData") == 1,
		"no plain then":   count(idp.SAMLKnobs{EncryptTo: i.Certificates()[0]}, "//Assertion") == 0,
	} {
		if !ok {
			t.Errorf("%s: the document does not show it", name)
		}
	}
	commented := string(make1(t, i, idp.SAMLKnobs{NameIDComment: true}))
	if !strings.Contains(commented, "<!--comment-->") {
		t.Error("no comment in the NameID")
	}
	first := make1(t, i, idp.SAMLKnobs{})
	if again := make1(t, i, idp.SAMLKnobs{ReplayLast: true}); string(again) != string(first) {
		t.Error("the replay differs")
	}
	if _, err := i.Response(request, ada, idp.SAMLKnobs{EncryptTo: i.Certificates()[0], Encryption: "des"}); err == nil {
		t.Error("an unknown encryption is no error")
	}
}

func serve(t *testing.T, c idp.Config) (*idp.IdP, *http.Client) {
	t.Helper()
	mux := http.NewServeMux()
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	c.BaseURL = srv.URL + "/idp"
	i := newIdP(t, c)
	mux.Handle("/idp/", i)
	mux.Handle("/idp", i)
	client := srv.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return i, client
}

type answer struct {
	status int
	header http.Header
	body   string
}

func do(t *testing.T, c *http.Client, method, target string, form url.Values) answer {
	t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(t.Context(), method, target, body)
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode/100 != 3 && strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		for _, fault := range htmlcheck.Check(data) {
			t.Errorf("%s %s: %s", method, target, fault)
		}
	}
	return answer{resp.StatusCode, resp.Header, string(data)}
}

func choose(t *testing.T, i *idp.IdP, c *http.Client, page answer, choice url.Values) answer {
	t.Helper()
	if page.status != http.StatusOK {
		t.Fatalf("login page: %d\n%s", page.status, page.body)
	}
	action, fields, err := idp.ReadForm(strings.NewReader(page.body))
	if err != nil {
		t.Fatal(err)
	}
	choice.Set("handle", fields.Get("handle"))
	return do(t, c, "POST", mustBase(t, i)+action, choice)
}

func mustBase(t *testing.T, i *idp.IdP) string {
	t.Helper()
	u := mustURL(t, i.Issuer())
	return u.Scheme + "://" + u.Host
}

func postedResponse(t *testing.T, page answer) (response []byte, fields url.Values) {
	t.Helper()
	action, fields, err := idp.ReadForm(strings.NewReader(page.body))
	if err != nil || action != spACS {
		t.Fatalf("%d: form to %q, %v\n%s", page.status, action, err, page.body)
	}
	response, err = base64.StdEncoding.DecodeString(fields.Get("SAMLResponse"))
	if err != nil {
		t.Fatal(err)
	}
	return response, fields
}

func TestLoginInTheBrowser(t *testing.T) {
	i, c := serve(t, idp.Config{})
	sp := crewjamSP(t, i)
	for _, binding := range []string{csaml.HTTPRedirectBinding, csaml.HTTPPostBinding} {
		req, err := sp.MakeAuthenticationRequest(i.SSOURL(), binding, csaml.HTTPPostBinding)
		if err != nil {
			t.Fatal(err)
		}
		var page answer
		if binding == csaml.HTTPPostBinding {
			_, fields, err := idp.ReadForm(strings.NewReader(string(req.Post("relay"))))
			if err != nil {
				t.Fatal(err)
			}
			page = do(t, c, "POST", i.SSOURL(), fields)
		} else {
			target, err := req.Redirect("relay", sp)
			if err != nil {
				t.Fatal(err)
			}
			page = do(t, c, "GET", target.String(), nil)
		}
		if csp := page.header.Get("Content-Security-Policy"); strings.Contains(csp, "form-action") || !strings.Contains(page.body, "Ada Lovelace") {
			t.Errorf("login page: %s\n%s", csp, page.body)
		}
		response, fields := postedResponse(t, choose(t, i, c, page, url.Values{"person": {ada.ID}}))
		if fields.Get("RelayState") != "relay" {
			t.Errorf("RelayState %q", fields.Get("RelayState"))
		}
		a, err := sp.ParseXMLResponse(response, []string{req.ID}, mustURL(t, spACS))
		if err != nil {
			t.Fatalf("%s: %s", binding, privateError(err))
		}
		if a.Subject.NameID.Value != ada.Email {
			t.Errorf("NameID %q", a.Subject.NameID.Value)
		}
	}
}

func TestSomebodyNewLogsIn(t *testing.T) {
	i, c := serve(t, idp.Config{ServiceProviders: []idp.ServiceProvider{{EntityID: spEntity, ACSURL: spACS}}})
	start := i.Issuer() + "/saml/initiate?RelayState=r&sp=" + url.QueryEscape(spEntity)
	page := do(t, c, "GET", start, nil)
	if bad := choose(t, i, c, page, url.Values{"email": {`<script>"x`}, "groups": {"a"}}); bad.status != http.StatusUnprocessableEntity || !strings.Contains(bad.body, "email-error") {
		t.Errorf("a wrong e-mail: %d", bad.status)
	}
	response, _ := postedResponse(t, choose(t, i, c, page, url.Values{"email": {"new@acme.test"}, "groups": {"ops, ,admins "}}))
	sp := crewjamSP(t, i)
	sp.AllowIDPInitiated = true
	a, err := sp.ParseXMLResponse(response, nil, mustURL(t, spACS))
	if err != nil {
		t.Fatal(privateError(err))
	}
	if a.Subject.NameID.Value != "new@acme.test" {
		t.Errorf("NameID %q", a.Subject.NameID.Value)
	}
	p, ok := i.Person("NEW@acme.test")
	if !ok || strings.Join(p.Groups, "|") != "ops|admins" || p.ID == "" {
		t.Errorf("person %+v", p)
	}
	if again, _ := i.Person(p.ID); again.Email != p.Email {
		t.Error("not found by id")
	}
	i.RemovePerson("new@acme.test")
	if _, ok := i.Person("new@acme.test"); ok {
		t.Error("still there")
	}
	if home := do(t, c, "GET", i.Issuer()+"/", nil); home.status != 200 || !strings.Contains(home.body, i.MetadataURL()) || !strings.Contains(home.body, "ada@acme.test") {
		t.Errorf("home: %d", home.status)
	}
	if home := do(t, c, "GET", i.Issuer(), nil); home.status != 200 {
		t.Errorf("home without slash: %d", home.status)
	}
	if old := do(t, c, "POST", i.Issuer()+"/login", url.Values{"handle": {"no"}, "person": {ada.ID}}); old.status != http.StatusGone {
		t.Errorf("unknown handle: %d", old.status)
	}
}

func TestAutoLogin(t *testing.T) {
	i, c := serve(t, idp.Config{AutoLogin: true})
	sp := crewjamSP(t, i)
	for hint, want := range map[string]string{"": ada.Email, "ben@acme.test": ben.Email, "nobody@acme.test": ada.Email} {
		req, err := sp.MakeAuthenticationRequest(i.SSOURL(), csaml.HTTPRedirectBinding, csaml.HTTPPostBinding)
		if err != nil {
			t.Fatal(err)
		}
		target, err := req.Redirect("", sp)
		if err != nil {
			t.Fatal(err)
		}
		response, fields := postedResponse(t, do(t, c, "GET", target.String()+"&login_hint="+url.QueryEscape(hint), nil))
		if fields.Has("RelayState") {
			t.Error("a RelayState that was not sent")
		}
		if got := parse(t, response).FindElement("//NameID").Text(); got != want {
			t.Errorf("hint %q: %s", hint, got)
		}
	}
}

func TestPassiveRequestIsAnsweredNoPassive(t *testing.T) {
	i, c := serve(t, idp.Config{})
	xml := `<AuthnRequest xmlns="urn:oasis:names:tc:SAML:2.0:protocol" ID="_1" Version="2.0" IsPassive="true" AssertionConsumerServiceURL="` + spACS + `"><Issuer xmlns="urn:oasis:names:tc:SAML:2.0:assertion">x</Issuer></AuthnRequest>`
	response, _ := postedResponse(t, do(t, c, "POST", i.SSOURL(), url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString([]byte(xml))}}))
	if !strings.Contains(string(response), "status:NoPassive") || strings.Contains(string(response), "<saml:Assertion") {
		t.Errorf("%s", response)
	}
}
