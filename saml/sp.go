package saml

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/tenants"
)

// Encryption that we read, in the order in which we like it (XML Encryption 1.1
// §5.2, §5.5). CBC stands after GCM and goes where the connection refuses it;
// RSA PKCS #1 v1.5 is never there.
var (
	encryptionGCM = []string{
		"http://www.w3.org/2009/xmlenc11#aes256-gcm",
		"http://www.w3.org/2009/xmlenc11#aes192-gcm",
		"http://www.w3.org/2009/xmlenc11#aes128-gcm",
	}
	encryptionCBC = []string{
		"http://www.w3.org/2001/04/xmlenc#aes256-cbc",
		"http://www.w3.org/2001/04/xmlenc#aes192-cbc",
		"http://www.w3.org/2001/04/xmlenc#aes128-cbc",
	}
	encryptionKeys = []string{
		"http://www.w3.org/2009/xmlenc11#rsa-oaep",
		"http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p",
	}
)

type entityDescriptor struct {
	XMLName  xml.Name     `xml:"md:EntityDescriptor"`
	NS       string       `xml:"xmlns:md,attr"`
	EntityID string       `xml:"entityID,attr"`
	SP       spDescriptor `xml:"md:SPSSODescriptor"`
}

type spDescriptor struct {
	RequestsSigned   bool              `xml:"AuthnRequestsSigned,attr"`
	AssertionsSigned bool              `xml:"WantAssertionsSigned,attr"`
	Protocols        string            `xml:"protocolSupportEnumeration,attr"`
	Keys             []spKeyDescriptor `xml:"md:KeyDescriptor"`
	SLO              []endpoint        `xml:"md:SingleLogoutService"`
	NameIDFormats    []string          `xml:"md:NameIDFormat"`
	ACS              acsEndpoint       `xml:"md:AssertionConsumerService"`
}

type spKeyDescriptor struct {
	Use     string             `xml:"use,attr"`
	Info    keyInfo            `xml:"ds:KeyInfo"`
	Methods []encryptionMethod `xml:"md:EncryptionMethod"`
}

type keyInfo struct {
	NS          string `xml:"xmlns:ds,attr"`
	Certificate string `xml:"ds:X509Data>ds:X509Certificate"`
}

type encryptionMethod struct {
	Algorithm string `xml:"Algorithm,attr"`
}

type endpoint struct {
	Binding  string `xml:"Binding,attr"`
	Location string `xml:"Location,attr"`
}

type acsEndpoint struct {
	endpoint
	Index   int  `xml:"index,attr"`
	Default bool `xml:"isDefault,attr"`
}

// spMetadata is the document that an IdP's administrator loads (SAML metadata
// §2.4.4). It shows the active key and the next one, so that an identity provider
// knows the next before we sign with it. A retired key is not there: we sign with
// it no more, and an identity provider that still found it might encrypt to it for
// ever, so that it could never be deleted; until it reads the metadata again, it
// may do so, because we still decrypt with it.
//
// The document says nothing of a time until which it is valid: some identity
// providers keep it as it was loaded once, and would stop all logins on that day.
func spMetadata(env tenants.Environment, c tenants.SSOConnection, keys []tenants.SPKey) ([]byte, error) {
	sp := spDescriptor{
		RequestsSigned: c.SAML.SignRequests, AssertionsSigned: true, Protocols: nsProtocol,
		NameIDFormats: []string{formatEmail, formatPersistent, formatUnspecified},
		ACS:           acsEndpoint{endpoint: endpoint{tenants.BindingPOST, env.SAMLACSURL(c.ID)}, Default: true},
	}
	for _, use := range []string{"signing", "encryption"} {
		for _, k := range keys {
			if k.State == tenants.SPKeyRetired {
				continue
			}
			cert, err := k.Certificate()
			if err != nil {
				return nil, err
			}
			d := spKeyDescriptor{Use: use, Info: keyInfo{NS: nsDsig, Certificate: base64.StdEncoding.EncodeToString(cert.Raw)}}
			if use == "encryption" {
				d.Methods = encryptionMethods(c.SAML.RefuseCBC)
			}
			sp.Keys = append(sp.Keys, d)
		}
	}
	if len(sp.Keys) > 0 {
		slo := env.SAMLSLOURL(c.ID)
		sp.SLO = []endpoint{{tenants.BindingRedirect, slo}, {tenants.BindingPOST, slo}}
	}
	body, err := xml.MarshalIndent(entityDescriptor{NS: nsMetadata, EntityID: env.SAMLEntityID(c.ID), SP: sp}, "", "  ")
	if err != nil {
		return nil, err
	}
	return append([]byte(xml.Header), append(body, '\n')...), nil
}

func encryptionMethods(refuseCBC bool) (list []encryptionMethod) {
	cbc := encryptionCBC
	if refuseCBC {
		cbc = nil
	}
	for _, algorithm := range slices.Concat(encryptionGCM, cbc, encryptionKeys) {
		list = append(list, encryptionMethod{algorithm})
	}
	return list
}

// metadata serves the document. It changes when a key or a setting does, and must
// be asked for again before it is used again (RFC 9111 §5.2.2.4).
func (h *Handler) metadata(w http.ResponseWriter, r *http.Request, q request) error {
	keys, err := h.tenants.SPKeys(r.Context(), h.db, q.conn.Tenant, q.conn.ID)
	if err != nil {
		return err
	}
	body, err := spMetadata(q.env, q.conn, keys)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	etag := `"` + hex.EncodeToString(sum[:16]) + `"`
	w.Header().Set("ETag", etag)
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	for tag := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
	}
	w.Header().Set("Content-Type", "application/samlmetadata+xml")
	_, err = w.Write(body)
	return err
}
