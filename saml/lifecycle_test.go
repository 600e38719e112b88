package saml_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/saml"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Z5: a person whom the directory switched off is refused before a row is
// written, and comes in again when he is switched on.
func TestDeprovisioned(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		scim := w.SCIMConnection(w.tenant)
		p := w.Provision(w.tenant, scim, directory.Profile{UserName: ada.Email, Email: ada.Email, FirstName: "Ada", ExternalID: ada.ID, Active: true})
		arrived(t, w.answer(browser.New(t), ada, idp.SAMLKnobs{}))
		w.Deactivate(p)
		if w.live() != "" {
			t.Error("a session goes on")
		}
		before := w.people()
		q := w.answer(browser.New(t), ada, idp.SAMLKnobs{})
		refused(t, q, w.Logins(w.conn)[0].Code)
		l := w.Logins(w.conn)[0]
		if l.Outcome != signin.OutcomeDenied || !strings.HasPrefix(l.Code, "POLICY_") || w.people() != before {
			t.Errorf("%+v, %v then %v", l, before, w.people())
		}
	})
}

// try begins a test login of a connection and gives the page of the ACS's answer
// to the response with the knobs.
func (w *world) try(c tenants.SSOConnection, k idp.SAMLKnobs) (flow string, p browser.Page) {
	w.t.Helper()
	ctx := w.t.Context()
	b := browser.New(w.t.(*testing.T))
	b.Get(w.StartURL("organization", "acme")) // for the browser's cookie
	var link signin.TestLink
	w.Tx(func(q db.Queryer) (err error) {
		link, err = w.Signin.TestStart(ctx, w.Vendor, q, w.Env, c.Tenant, c.ID)
		return err
	})
	u, err := url.Parse(link.URL)
	if err != nil {
		w.t.Fatal(err)
	}
	var path string
	w.Tx(func(q db.Queryer) (err error) {
		path, err = w.Signin.TestOpen(ctx, q, w.Env.ID, link.FlowID, u.Query().Get("token"), b.Cookie(w.URL, "__Host-browser"))
		return err
	})
	undo := b.Stop()
	defer undo()
	target := b.Get(w.URL + path).Header.Get("Location")
	r, err := http.NewRequest(http.MethodGet, target, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req, err := w.idp.ParseRequest(r)
	if err != nil {
		w.t.Fatal(err)
	}
	p = w.post(b, c, w.response(req, ada, k))
	if p.Status == http.StatusSeeOther {
		b.Get(w.URL + p.Header.Get("Location"))
	}
	return link.FlowID, p
}

// A connection that is not active serves tests, which sign nobody in, and nothing
// else; the log of a test shows the answer as it came.
func TestTests(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.SAMLConnection(w.tenant, w.idp, func(n *tenants.NewSSOConnection) { n.Status = tenants.SSODraft })
		flow, p := w.try(c, idp.SAMLKnobs{})
		if p.Status != http.StatusSeeOther || w.people() != [3]int{} {
			t.Fatalf("%v: %s", w.people(), p)
		}
		l := w.logged(c, signin.OutcomeSuccess, "")
		if l.FlowID != flow || l.Purpose != signin.PurposeTest || !strings.Contains(l.Response, ">ada@acme.example<") || !strings.Contains(l.Response, "<ds:SignatureValue>") {
			t.Errorf("%+v", l)
		}
		flow, p = w.try(c, idp.SAMLKnobs{Audience: "https://other.example"})
		if p.Header.Get("Location") != signin.TestPath(flow) { // whose page explains, to the admin's browser alone
			t.Errorf("%s", p)
		}
		if l := w.logged(c, signin.OutcomeFailure, "SAML_AUDIENCE_MISMATCH"); l.FlowID != flow || l.Purpose != signin.PurposeTest || !strings.Contains(l.Response, ">ada@acme.example<") {
			t.Errorf("%+v", l)
		}
		off := tenants.SSODisabled
		w.SetConnection(c, tenants.SSOPatch{Status: &off})
		if _, p = w.try(c, idp.SAMLKnobs{}); p.Status != http.StatusSeeOther {
			t.Errorf("a disabled connection cannot be tried: %s", p)
		}
		if p := browser.New(t).Get(w.start(c)); p.Status != http.StatusBadRequest || !strings.Contains(p.Body, "POLICY_CONNECTION_DISABLED") {
			t.Errorf("%s", p)
		}
	})
}

// The log of a refused login shows the answer's shape and none of its values; that
// of one that held shows what was made of it, and no document.
func TestLoggedResponse(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		arrived(t, w.answer(browser.New(t), ada, idp.SAMLKnobs{}))
		if l := w.logged(w.conn, signin.OutcomeSuccess, ""); l.Response != "" || len(l.Checks) < 30 || len(l.Detail.Claims) == 0 {
			t.Errorf("%+v", l)
		}
		refused(t, w.answer(browser.New(t), ada, idp.SAMLKnobs{Audience: "https://other.example"}), "SAML_AUDIENCE_MISMATCH")
		shown := w.logged(w.conn, signin.OutcomeFailure, "SAML_AUDIENCE_MISMATCH").Response
		hides(t, shown)
		if !strings.Contains(shown, "<saml:Audience>https://other.example</saml:Audience>") {
			t.Errorf("%s", shown)
		}
	})
}

func hides(t *testing.T, shown string) {
	t.Helper()
	for _, part := range []string{"<saml:NameID", "<saml:AttributeValue", `Name="email"`, "[redacted]", "<ds:SignatureMethod", "</samlp:Response>", "<saml:Issuer>http"} {
		if !strings.Contains(shown, part) {
			t.Errorf("%s is not there: %s", part, shown)
		}
	}
	for _, secret := range []string{"ada@acme.example", "Byron", "engineering", "00u1"} {
		if strings.Contains(shown, secret) {
			t.Errorf("%s is there: %s", secret, shown)
		}
	}
}

// What anybody may send does not break the log: no NUL, no broken UTF-8, 64 KiB.
func TestLoggedGarbage(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for name, k := range map[string]struct{ doc, code string }{
			"NUL":     {"<a>x\x00y</a>", "SAML_XML_PROFILE"},
			"UTF-8":   {"<a>\xff\xfe</a>", "SAML_XML_PROFILE"},
			"cut off": {"<a b='ada@acme", "SAML_XML_PROFILE"},
			"large":   {`<a b="` + strings.Repeat("é", 100_000) + `">ada@acme.example</a>`, ""},
			"depth":   {strings.Repeat("<a>", 30_000), ""},
		} {
			p := w.post(browser.New(t), w.conn, []byte(k.doc))
			if p.Status < 400 || p.Status > 499 {
				t.Fatalf("%s: %s", name, p)
			}
			l := w.Logins(w.conn)[0]
			if k.code != "" && l.Code != k.code || len(l.Response) > 4<<10 || strings.Contains(l.Response, "ada@acme") {
				t.Errorf("%s: %s, %d bytes", name, l.Code, len(l.Response))
			}
		}
	})
}

// FuzzShownResponse: what the log keeps of any document can be stored, and holds
// nothing from inside of an attribute's value.
func FuzzShownResponse(f *testing.F) {
	for _, s := range []string{
		"", "<", "x", "</a>", "<a>\x00</a>", "<a b='&#0;'>", "<!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>", "<a><![CDATA[x]]><!-- x --><?x y?></a>",
		"<saml:NameID>x<b>y</b></saml:NameID>", "<a>\xed\xa0\x80</a>", "<Issuer>i</Issuer>", "<a:b:c xmlns=''/>",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, full := range []bool{false, true} {
			got := saml.ShownResponse([]byte(s), full)
			if len(got) > 64<<10 || !utf8.ValidString(got) || strings.Contains(got, "\x00") {
				t.Errorf("%q", got)
			}
		}
		const secret = "k8s3cr3tv4lue"
		got := saml.ShownResponse([]byte("<saml:AttributeValue>"+secret+"</saml:AttributeValue>"+s), false)
		if strings.Contains(got, secret) && !strings.Contains(s, secret) {
			t.Errorf("%q", got)
		}
	})
}

// A login costs the same number of statements whoever logs in, after however many
// others, and with however many groups.
func TestStatementsOfLogin(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		type cost struct{ statements, roundTrips int64 }
		login := func(p idp.Person, k idp.SAMLKnobs) (total cost) {
			w.Counted = func(r *http.Request, c *db.Counter) {
				total.statements += c.Statements()
				total.roundTrips += c.RoundTrips()
			}
			defer func() { w.Counted = nil }()
			arrived(t, w.answer(browser.New(t), p, k))
			return total
		}
		login(ada, idp.SAMLKnobs{})
		base := login(ada, idp.SAMLKnobs{})
		for range 3 {
			login(bob, idp.SAMLKnobs{})
			if again := login(ada, idp.SAMLKnobs{}); again != base {
				t.Errorf("a further login: %+v, then %+v", base, again)
			}
		}
		login(ada, idp.SAMLKnobs{GroupCount: 5})
		few := login(ada, idp.SAMLKnobs{GroupCount: 5})
		many := login(ada, idp.SAMLKnobs{GroupCount: 1500})
		if many.statements-few.statements > 2 || many.roundTrips-few.roundTrips > 2 { // new groups are stored in a fixed number
			t.Errorf("5 groups: %+v; 1,500 groups: %+v", few, many)
		}
		same := login(ada, idp.SAMLKnobs{GroupCount: 1500})
		if same != few {
			t.Errorf("5 known groups: %+v; 1,500 known groups: %+v", few, same)
		}
		if base.statements > maxStatements {
			t.Errorf("%+v, more than %d", base, maxStatements)
		}
	})
}

// maxStatements is what a whole login of a known person may cost: the flow, the
// question, the answer, and the session. A rise is decided upon, not found later.
const maxStatements = 40
