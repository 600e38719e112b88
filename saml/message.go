package saml

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/xml"
	"time"

	"github.com/gatehouse-id/gatehouse/tenants"
)

// message is what every message of ours to an identity provider carries
// (SAML core §3.2.1, §3.2.2).
type message struct {
	NSP          string `xml:"xmlns:samlp,attr"`
	NSA          string `xml:"xmlns:saml,attr"`
	ID           string `xml:"ID,attr"`
	Version      string `xml:"Version,attr"`
	Issued       string `xml:"IssueInstant,attr"`
	Destination  string `xml:"Destination,attr"`
	InResponseTo string `xml:"InResponseTo,attr,omitempty"`
	NotOnOrAfter string `xml:"NotOnOrAfter,attr,omitempty"`
}

type authnRequest struct {
	XMLName xml.Name `xml:"samlp:AuthnRequest"`
	message
	ForceAuthn bool          `xml:"ForceAuthn,attr,omitempty"`
	Binding    string        `xml:"ProtocolBinding,attr"`
	ACS        string        `xml:"AssertionConsumerServiceURL,attr"`
	Issuer     string        `xml:"saml:Issuer"`
	Policy     *nameIDPolicy `xml:"samlp:NameIDPolicy"`
	Context    *authnContext `xml:"samlp:RequestedAuthnContext"`
}

type nameIDPolicy struct {
	Format      string `xml:"Format,attr,omitempty"`
	AllowCreate bool   `xml:"AllowCreate,attr"`
}

type authnContext struct {
	Comparison string   `xml:"Comparison,attr"`
	Classes    []string `xml:"saml:AuthnContextClassRef"`
}

type logoutRequest struct {
	XMLName xml.Name `xml:"samlp:LogoutRequest"`
	message
	Issuer       string     `xml:"saml:Issuer"`
	NameID       nameIDText `xml:"saml:NameID"`
	SessionIndex string     `xml:"samlp:SessionIndex,omitempty"`
}

type nameIDText struct {
	Format          string `xml:"Format,attr,omitempty"`
	NameQualifier   string `xml:"NameQualifier,attr,omitempty"`
	SPNameQualifier string `xml:"SPNameQualifier,attr,omitempty"`
	Value           string `xml:",chardata"`
}

type logoutResponse struct {
	XMLName xml.Name `xml:"samlp:LogoutResponse"`
	message
	Issuer string     `xml:"saml:Issuer"`
	Code   statusCode `xml:"samlp:Status>samlp:StatusCode"`
}

type statusCode struct {
	Value string      `xml:"Value,attr"`
	Sub   *statusCode `xml:"samlp:StatusCode"`
}

// newRequestID makes the ID of a message: an NCName of 256 random bits.
func newRequestID() string {
	var b [32]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic("saml: no randomness: " + err.Error()) // crypto/rand does not fail on supported systems
	}
	return "_" + hex.EncodeToString(b[:])
}

func newMessage(id, destination string, now time.Time) message {
	return message{NSP: nsProtocol, NSA: nsAssertion, ID: id, Version: "2.0", Issued: stamp(now), Destination: destination}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// buildRequest writes an AuthnRequest (SAML core §3.4.1). NameIDPolicy is sent
// only when the connection asks for a format: AD FS refuses what it cannot give.
// A transient name is never asked for: it could name nobody twice, and would be
// refused when it comes. Contexts are compared exactly, the default, because
// identity providers do not agree on an order of their own (§3.3.2.2.1).
func buildRequest(env tenants.Environment, c tenants.SSOConnection, id string, force bool, now time.Time) ([]byte, error) {
	r := authnRequest{
		message: newMessage(id, c.SAML.SSOURL, now), ForceAuthn: force || c.SAML.ForceAuthn,
		Binding: tenants.BindingPOST, ACS: env.SAMLACSURL(c.ID), Issuer: env.SAMLEntityID(c.ID),
	}
	if f := c.SAML.NameIDFormat; f != "" && f != formatTransient {
		r.Policy = &nameIDPolicy{Format: f, AllowCreate: true}
	}
	if len(c.SAML.AuthnContexts) > 0 {
		r.Context = &authnContext{Comparison: "exact", Classes: c.SAML.AuthnContexts}
	}
	return xml.Marshal(r)
}

// logoutLifetime is how long an identity provider may take a LogoutRequest of ours.
const logoutLifetime = 5 * time.Minute

// buildLogoutRequest writes a LogoutRequest (SAML core §3.7.1). The NameID is the
// one that the identity provider gave, qualifiers and all, and an empty index
// names every session of the person.
func buildLogoutRequest(env tenants.Environment, c tenants.SSOConnection, id string, name nameIDText, index string, now time.Time) ([]byte, error) {
	r := logoutRequest{message: newMessage(id, c.SAML.SLOURL, now), Issuer: env.SAMLEntityID(c.ID), NameID: name, SessionIndex: index}
	r.NotOnOrAfter = stamp(now.Add(logoutLifetime))
	return xml.Marshal(r)
}

// buildLogoutResponse writes the answer to a LogoutRequest (SAML core §3.7.2).
func buildLogoutResponse(env tenants.Environment, c tenants.SSOConnection, inResponseTo string, code statusCode, now time.Time) ([]byte, error) {
	r := logoutResponse{message: newMessage(newRequestID(), logoutResponseURL(c.SAML), now), Issuer: env.SAMLEntityID(c.ID), Code: code}
	r.InResponseTo = inResponseTo
	return xml.Marshal(r)
}

// logoutResponseURL is where answers to logout requests go (SAML metadata §2.2.2).
func logoutResponseURL(s *tenants.SAMLSettings) string {
	if s.SLOResponseURL != "" {
		return s.SLOResponseURL
	}
	return s.SLOURL
}
