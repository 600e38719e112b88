package idp

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// maxMessage bounds an inflated SAML message in bytes.
const maxMessage = 256 << 10

type authnRequestXML struct {
	XMLName      xml.Name `xml:"urn:oasis:names:tc:SAML:2.0:protocol AuthnRequest"`
	ID           string   `xml:",attr"`
	Version      string   `xml:",attr"`
	Destination  string   `xml:",attr"`
	ACSURL       string   `xml:"AssertionConsumerServiceURL,attr"`
	ForceAuthn   string   `xml:",attr"`
	IsPassive    string   `xml:",attr"`
	Issuer       string   `xml:"urn:oasis:names:tc:SAML:2.0:assertion Issuer"`
	NameIDPolicy struct {
		Format string `xml:",attr"`
	} `xml:"urn:oasis:names:tc:SAML:2.0:protocol NameIDPolicy"`
	Context struct {
		ClassRefs []string `xml:"urn:oasis:names:tc:SAML:2.0:assertion AuthnContextClassRef"`
	} `xml:"urn:oasis:names:tc:SAML:2.0:protocol RequestedAuthnContext"`
	Subject struct {
		NameID string `xml:"urn:oasis:names:tc:SAML:2.0:assertion NameID"`
	} `xml:"urn:oasis:names:tc:SAML:2.0:assertion Subject"`
}

// ParseRequest reads the AuthnRequest of a Redirect (GET) or POST binding and
// checks what an identity provider checks: version, destination, a registered
// service provider and its address, its signature if one is required.
func (i *IdP) ParseRequest(r *http.Request) (AuthnRequestInfo, error) {
	message, relayState, err := readMessage(r, "SAMLRequest")
	if err != nil {
		return AuthnRequestInfo{}, err
	}
	var x authnRequestXML
	if err := xml.Unmarshal(message, &x); err != nil {
		return AuthnRequestInfo{}, fmt.Errorf("not an AuthnRequest: %w", err)
	}
	info := AuthnRequestInfo{
		ID: x.ID, Issuer: strings.TrimSpace(x.Issuer), ACSURL: x.ACSURL, RelayState: relayState,
		NameIDFormat: x.NameIDPolicy.Format, LoginHint: strings.TrimSpace(x.Subject.NameID),
		ForceAuthn: isTrue(x.ForceAuthn), IsPassive: isTrue(x.IsPassive),
	}
	if len(x.Context.ClassRefs) > 0 {
		info.AuthnContext = strings.TrimSpace(x.Context.ClassRefs[0])
	}
	if info.LoginHint == "" {
		info.LoginHint = r.FormValue("login_hint") // as Entra and Okta take it
	}
	switch {
	case x.Version != "2.0":
		return info, fmt.Errorf("version %q", x.Version)
	case x.ID == "" || info.Issuer == "":
		return info, errors.New("the request has no ID or no Issuer")
	case x.Destination != "" && x.Destination != i.SSOURL():
		return info, fmt.Errorf("the Destination is %s, not %s", x.Destination, i.SSOURL())
	}
	sp, known, anybody := i.provider(info.Issuer)
	if !known && !anybody {
		return info, fmt.Errorf("no service provider is registered with the entity ID %s", info.Issuer)
	}
	if known {
		if info.ACSURL == "" {
			info.ACSURL = sp.ACSURL
		}
		if info.ACSURL != sp.ACSURL {
			return info, fmt.Errorf("%s is not the registered address %s", info.ACSURL, sp.ACSURL)
		}
		if sp.SigningCertificate != nil {
			if err := i.verifyMessage(r, "SAMLRequest", message, sp.SigningCertificate); err != nil {
				return info, fmt.Errorf("signature of the request: %w", err)
			}
		}
	}
	return info, checkWebURL(info.ACSURL)
}

func isTrue(s string) bool { return s == "true" || s == "1" }

func checkWebURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("%q is not an absolute http(s) address", s)
	}
	return nil
}

// readMessage decodes the SAML message of either binding (bindings §3.4.4.1,
// §3.5.4).
func readMessage(r *http.Request, parameter string) (message []byte, relayState string, err error) {
	values := r.URL.Query()
	if r.Method == http.MethodPost {
		if err := r.ParseForm(); err != nil {
			return nil, "", err
		}
		values = r.PostForm
	}
	if len(values[parameter]) != 1 || len(values["RelayState"]) > 1 {
		return nil, "", fmt.Errorf("there must be one %s and at most one RelayState", parameter)
	}
	data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(values.Get(parameter)), ""))
	if err != nil {
		return nil, "", fmt.Errorf("%s is not base64: %w", parameter, err)
	}
	if r.Method != http.MethodPost {
		if data, err = io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data)), maxMessage+1)); err != nil {
			return nil, "", fmt.Errorf("%s does not inflate: %w", parameter, err)
		}
	}
	if len(data) > maxMessage {
		return nil, "", fmt.Errorf("%s is larger than %d bytes", parameter, maxMessage)
	}
	return data, values.Get("RelayState"), nil
}

func (i *IdP) verifyMessage(r *http.Request, parameter string, message []byte, cert *x509.Certificate) error {
	if r.Method != http.MethodPost {
		return VerifyQuery(r.URL.RawQuery, parameter, cert)
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(message); err != nil {
		return err
	}
	ctx := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{cert}})
	ctx.Clock = dsig.NewFakeClockAt(i.clock.Now())
	_, err := ctx.Validate(doc.Root())
	return err
}

// VerifyQuery checks the signature of the Redirect binding over the octets of
// the query as sent (bindings §3.4.4.1).
func VerifyQuery(rawQuery, parameter string, cert *x509.Certificate) error {
	raw := map[string]string{}
	for part := range strings.SplitSeq(rawQuery, "&") {
		name, value, _ := strings.Cut(part, "=")
		if _, twice := raw[name]; twice {
			return fmt.Errorf("%s is given twice", name)
		}
		raw[name] = value
	}
	if raw["Signature"] == "" || raw["SigAlg"] == "" {
		return errors.New("the request is not signed")
	}
	signed := parameter + "=" + raw[parameter]
	if relay, ok := raw["RelayState"]; ok {
		signed += "&RelayState=" + relay
	}
	signed += "&SigAlg=" + raw["SigAlg"]
	algorithm, err := url.QueryUnescape(raw["SigAlg"])
	if err != nil {
		return err
	}
	encoded, err := url.QueryUnescape(raw["Signature"])
	if err != nil {
		return err
	}
	sig, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return err
	}
	digest := crypto.SHA256.New()
	digest.Write([]byte(signed))
	switch key := cert.PublicKey.(type) {
	case *rsa.PublicKey:
		if algorithm != "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256" {
			return fmt.Errorf("algorithm %s", algorithm)
		}
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest.Sum(nil), sig)
	case *ecdsa.PublicKey:
		half := len(sig) / 2
		if algorithm == "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256" &&
			ecdsa.Verify(key, digest.Sum(nil), new(big.Int).SetBytes(sig[:half]), new(big.Int).SetBytes(sig[half:])) {
			return nil
		}
	}
	return errors.New("the signature is wrong")
}
