package saml

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"encoding/xml"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/saml/verify"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// MaxMetadata is the greatest size of IdP metadata in bytes.
const MaxMetadata = 1 << 20

const (
	nsMetadata  = "urn:oasis:names:tc:SAML:2.0:metadata"
	nsProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"

	formatEmail       = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
	formatUnspecified = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
	formatPersistent  = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
	formatTransient   = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
)

type entityDescriptor struct {
	XMLName  xml.Name     `xml:"md:EntityDescriptor"`
	NS       string       `xml:"xmlns:md,attr"`
	EntityID string       `xml:"entityID,attr"`
	SP       spDescriptor `xml:"md:SPSSODescriptor"`
}

type spDescriptor struct {
	RequestsSigned   bool     `xml:"AuthnRequestsSigned,attr"`
	AssertionsSigned bool     `xml:"WantAssertionsSigned,attr"`
	Protocols        string   `xml:"protocolSupportEnumeration,attr"`
	NameIDFormats    []string `xml:"md:NameIDFormat"`
	ACS              endpoint `xml:"md:AssertionConsumerService"`
}

type endpoint struct {
	Binding  string `xml:"Binding,attr"`
	Location string `xml:"Location,attr"`
	Index    int    `xml:"index,attr"`
	Default  bool   `xml:"isDefault,attr"`
}

// spMetadata is the document that an IdP's administrator loads (SAML metadata §2.4.4).
func spMetadata(env tenants.Environment, connection string) ([]byte, error) {
	body, err := xml.MarshalIndent(entityDescriptor{
		NS: nsMetadata, EntityID: env.SAMLEntityID(connection),
		SP: spDescriptor{
			AssertionsSigned: true, Protocols: nsProtocol,
			NameIDFormats: []string{formatEmail, formatPersistent, formatUnspecified},
			ACS:           endpoint{Binding: tenants.BindingPOST, Location: env.SAMLACSURL(connection), Default: true},
		},
	}, "", "  ")
	if err != nil {
		return nil, err
	}
	return append([]byte(xml.Header), append(body, '\n')...), nil
}

func badMetadata(code, message string) *fault.Error {
	return fault.New(fault.Invalid, code, message).In("idp_metadata_xml")
}

// ParseIdPMetadata reads an identity provider's metadata: its entity ID, its
// single sign-on address (Redirect before POST) and its signing keys. A key
// without a use serves both purposes (SAML metadata §2.4.1.1). What was valid
// until before now is refused (§2.3.2).
//
// Faults of kind Invalid: metadata_too_large, metadata_not_xml,
// metadata_several_entities, metadata_no_idp, metadata_expired, metadata_no_sso,
// metadata_bad_location, metadata_no_key, certificate_unreadable, certificate_weak_key.
func ParseIdPMetadata(doc []byte, now time.Time) (tenants.SAMLSettings, error) {
	var out tenants.SAMLSettings
	if len(doc) > MaxMetadata {
		return out, badMetadata("metadata_too_large", "The metadata is larger than 1 MiB. Give the metadata of one identity provider.")
	}
	entity, err := oneEntity(doc)
	if err != nil {
		return out, err
	}
	if len(entity.IDPs) != 1 {
		return out, badMetadata("metadata_no_idp", "The metadata does not describe one identity provider. Check that it is the IdP's metadata and not a service provider's.")
	}
	idp := entity.IDPs[0]
	for _, until := range []string{entity.ValidUntil, idp.ValidUntil} {
		if t, err := time.Parse(time.RFC3339, until); until != "" && (err != nil || !now.Before(t)) {
			return out, badMetadata("metadata_expired", "The metadata was valid until "+shown(until)+". Load it again from the identity provider.")
		}
	}
	out.IdPEntityID = strings.TrimSpace(entity.EntityID)
	for _, binding := range []string{tenants.BindingRedirect, tenants.BindingPOST} {
		for _, s := range idp.SSO {
			if s.Binding == binding && out.SSOURL == "" {
				out.SSOURL, out.SSOBinding = strings.TrimSpace(s.Location), binding
			}
		}
	}
	if out.SSOURL == "" {
		return out, badMetadata("metadata_no_sso", "The metadata names no single sign-on address for the Redirect or POST binding.")
	}
	if u, err := url.Parse(out.SSOURL); err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return out, badMetadata("metadata_bad_location", "The single sign-on address in the metadata is not an http or https address.")
	}
	seen := map[string]bool{}
	for _, k := range idp.Keys {
		if k.Use != "" && k.Use != "signing" {
			continue
		}
		for _, c := range k.Certificates {
			key, err := certificateKey([]byte(c))
			if err != nil {
				return out, err
			}
			if !seen[key.SPKI] {
				seen[key.SPKI] = true
				out.Keys = append(out.Keys, key)
			}
		}
	}
	if len(out.Keys) == 0 {
		return out, badMetadata("metadata_no_key", "The metadata holds no signing certificate.")
	}
	return out, nil
}

// idpEntity is what is read of metadata. Types of its own, because a library's
// refuse the whole document for an endpoint that nobody asked for.
type idpEntity struct {
	EntityID   string `xml:"entityID,attr"`
	ValidUntil string `xml:"validUntil,attr"`
	IDPs       []struct {
		ValidUntil string `xml:"validUntil,attr"`
		Keys       []struct {
			Use          string   `xml:"use,attr"`
			Certificates []string `xml:"KeyInfo>X509Data>X509Certificate"`
		} `xml:"urn:oasis:names:tc:SAML:2.0:metadata KeyDescriptor"`
		SSO []struct {
			Binding  string `xml:"Binding,attr"`
			Location string `xml:"Location,attr"`
		} `xml:"urn:oasis:names:tc:SAML:2.0:metadata SingleSignOnService"`
	} `xml:"urn:oasis:names:tc:SAML:2.0:metadata IDPSSODescriptor"`
}

func shown(s string) string {
	if len(s) > 40 {
		return s[:40]
	}
	return s
}

func oneEntity(doc []byte) (idpEntity, error) {
	var entity idpEntity
	dec := xml.NewDecoder(bytes.NewReader(doc))
	for {
		tok, err := dec.Token()
		if err != nil {
			return entity, badMetadata("metadata_not_xml", "The metadata is not well-formed XML.").Because(err)
		}
		switch t := tok.(type) {
		case xml.Directive:
			return entity, badMetadata("metadata_not_xml", "The metadata has a document type declaration, which is refused.")
		case xml.StartElement:
			if t.Name.Local == "EntitiesDescriptor" {
				return entity, badMetadata("metadata_several_entities", "The metadata describes a federation. Give the metadata of one identity provider.")
			}
			if t.Name.Space != nsMetadata || t.Name.Local != "EntityDescriptor" {
				return entity, badMetadata("metadata_no_idp", "The document is not SAML metadata.")
			}
			if err := dec.DecodeElement(&entity, &t); err != nil {
				return entity, badMetadata("metadata_not_xml", "The metadata cannot be read.").Because(err)
			}
			if entity.EntityID == "" {
				return entity, badMetadata("metadata_no_idp", "The metadata names no entity ID.")
			}
			return entity, nothingMore(dec)
		}
	}
}

// nothingMore refuses what follows the root element: which of two roots counts
// would be chance.
func nothingMore(dec *xml.Decoder) error {
	for {
		switch tok, err := dec.Token(); t := tok.(type) {
		case nil:
			if err == io.EOF {
				return nil
			}
			return badMetadata("metadata_not_xml", "The metadata is not well-formed XML.").Because(err)
		case xml.StartElement, xml.Directive:
			return badMetadata("metadata_several_entities", "The metadata holds more than one document. Give the metadata of one identity provider.")
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return badMetadata("metadata_not_xml", "The metadata is not well-formed XML.")
			}
		}
	}
}

func certificateKey(data []byte) (tenants.IdPKey, error) {
	bad := fault.New(fault.Invalid, "certificate_unreadable", "A certificate cannot be read. Give it as PEM, as the identity provider's console downloads it.").In("certificates")
	der := data
	if block, _ := pem.Decode(data); block != nil {
		der = block.Bytes
	} else {
		clean := strings.Map(func(r rune) rune {
			if r == ' ' || r == '\t' || r == '\r' || r == '\n' {
				return -1
			}
			return r
		}, string(data))
		var err error
		if der, err = base64.StdEncoding.DecodeString(clean); err != nil {
			return tenants.IdPKey{}, bad.Because(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return tenants.IdPKey{}, bad.Because(err)
	}
	key, err := verify.KeyFromCertificate(cert)
	if err != nil {
		return tenants.IdPKey{}, fault.New(fault.Invalid, "certificate_weak_key", "A certificate's key is not accepted. Use RSA of at least 2048 bits, or ECDSA on P-256, P-384 or P-521.").In("certificates").Because(err)
	}
	return tenants.IdPKey{
		SPKI:           key.SPKI,
		CertificatePEM: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		NotAfter:       cert.NotAfter,
	}, nil
}
