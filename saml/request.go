package saml

import (
	"bytes"
	"compress/flate"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/saml/verify"
	"github.com/gatehouse-id/gatehouse/tenants"
)

type authnRequest struct {
	XMLName     xml.Name      `xml:"samlp:AuthnRequest"`
	NSP         string        `xml:"xmlns:samlp,attr"`
	NSA         string        `xml:"xmlns:saml,attr"`
	ID          string        `xml:"ID,attr"`
	Version     string        `xml:"Version,attr"`
	Issued      string        `xml:"IssueInstant,attr"`
	Destination string        `xml:"Destination,attr"`
	ForceAuthn  bool          `xml:"ForceAuthn,attr,omitempty"`
	Binding     string        `xml:"ProtocolBinding,attr"`
	ACS         string        `xml:"AssertionConsumerServiceURL,attr"`
	Issuer      string        `xml:"saml:Issuer"`
	Policy      *nameIDPolicy `xml:"samlp:NameIDPolicy"`
}

type nameIDPolicy struct {
	Format      string `xml:"Format,attr,omitempty"`
	AllowCreate bool   `xml:"AllowCreate,attr"`
}

// newRequestID makes an AuthnRequest ID: an NCName of 256 random bits.
func newRequestID() string {
	var b [32]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic("saml: no randomness: " + err.Error()) // crypto/rand does not fail on supported systems
	}
	return "_" + hex.EncodeToString(b[:])
}

// buildRequest writes an AuthnRequest (SAML core §3.4.1). NameIDPolicy is sent
// only when the connection asks for a format: AD FS refuses what it cannot give.
func buildRequest(env tenants.Environment, c tenants.SSOConnection, id string, force bool, now time.Time) ([]byte, error) {
	r := authnRequest{
		NSP: nsProtocol, NSA: nsAssertion, ID: id, Version: "2.0", Issued: now.UTC().Format("2006-01-02T15:04:05.000Z"),
		Destination: c.SAML.SSOURL, ForceAuthn: force, Binding: tenants.BindingPOST,
		ACS: env.SAMLACSURL(c.ID), Issuer: env.SAMLEntityID(c.ID),
	}
	if c.SAML.NameIDFormat != "" {
		r.Policy = &nameIDPolicy{Format: c.SAML.NameIDFormat, AllowCreate: true}
	}
	return xml.Marshal(r)
}

// redirectURL puts the request into the query (SAML bindings §3.4.4.1). The
// address may have a query of its own.
func redirectURL(ssoURL string, request []byte, relayState string) (string, error) {
	var buf bytes.Buffer
	w, err := flate.NewWriter(&buf, flate.DefaultCompression)
	if err != nil {
		return "", err
	}
	if _, err := w.Write(request); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	sep := "?"
	if strings.Contains(ssoURL, "?") {
		sep = "&"
	}
	return ssoURL + sep + "SAMLRequest=" + url.QueryEscape(base64.StdEncoding.EncodeToString(buf.Bytes())) +
		"&RelayState=" + url.QueryEscape(relayState), nil
}

// trustedKeys turns the stored certificates into keys. A certificate that does
// not parse was refused when it was stored.
func trustedKeys(list []tenants.IdPKey) ([]verify.Key, error) {
	keys := make([]verify.Key, 0, len(list))
	for _, k := range list {
		block, _ := pem.Decode([]byte(k.CertificatePEM))
		if block == nil {
			return nil, errors.New("saml: a stored certificate is not PEM")
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		key, err := verify.KeyFromCertificate(cert)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}
