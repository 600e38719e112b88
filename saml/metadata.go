package saml

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"encoding/xml"
	"io"
	"net/url"
	"regexp"
	"strconv"
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
	nsDsig      = "http://www.w3.org/2000/09/xmldsig#"

	formatEmail       = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
	formatUnspecified = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
	formatPersistent  = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
	formatTransient   = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
)

func badMetadata(code, message string) *fault.Error {
	return fault.New(fault.Invalid, code, message).In("idp_metadata_xml")
}

// idpMetadata is what is read of an identity provider's metadata.
type idpMetadata struct {
	settings  tenants.SAMLSettings
	sso, slo  []tenants.Endpoint
	readAgain time.Time // zero: the document does not say
}

// ParseIdPMetadata reads an identity provider's metadata: its entity ID, its
// single sign-on and logout addresses (Redirect before POST) and its signing
// keys. A key without a use serves both purposes (SAML metadata §2.4.1.1). What
// was valid until before now is refused (§2.3.2). SignRequests is what the
// provider wants (§2.4.3, WantAuthnRequestsSigned), for the caller to offer.
//
// Faults of kind Invalid: metadata_too_large, metadata_not_xml,
// metadata_several_entities, metadata_no_idp, metadata_expired, metadata_no_sso,
// metadata_bad_location, metadata_no_key, metadata_too_many_keys,
// certificate_unreadable, certificate_weak_key.
func ParseIdPMetadata(doc []byte, now time.Time) (tenants.SAMLSettings, error) {
	m, err := readIdPMetadata(doc, now)
	return m.settings, err
}

func readIdPMetadata(doc []byte, now time.Time) (idpMetadata, error) {
	var out idpMetadata
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
	if out.readAgain, err = lifetime(now, entity.group, entity.validity, idp.validity); err != nil {
		return out, err
	}
	s := &out.settings
	s.IdPEntityID, s.SignRequests = strings.TrimSpace(entity.EntityID), xmlTrue(idp.WantSigned)
	if len(idp.SSO) == 0 || len(usable(idp.SSO, nil)) == 0 {
		return out, badMetadata("metadata_no_sso", "The metadata names no single sign-on address for the Redirect or POST binding.")
	}
	if out.sso = usable(idp.SSO, isAddress); len(out.sso) == 0 || !isAddress(usable(idp.SSO, nil)[0].Location) {
		return out, badMetadata("metadata_bad_location", "The single sign-on address in the metadata is not an http or https address.")
	}
	s.SSOURL, s.SSOBinding = out.sso[0].Location, out.sso[0].Binding
	// Of the other addresses what cannot be used is left out: nobody asked for it.
	if out.slo = usable(idp.SLO, isAddress); len(out.slo) > 0 {
		s.SLOURL, s.SLOResponseURL, s.SLOBinding = out.slo[0].Location, out.slo[0].ResponseURL, out.slo[0].Binding
	}
	s.Keys, err = signingKeys(idp.Keys)
	return out, err
}

const codeWeakKey = "certificate_weak_key"

// maxMetadataKeys is how many keys a connection may have.
const maxMetadataKeys = 16

// signingKeys leaves out keys that are too weak where there are others: an old one
// that the identity provider still publishes shall not keep the new one out.
func signingKeys(descriptors []keyDescriptor) ([]tenants.IdPKey, error) {
	var list []tenants.IdPKey
	var weak error
	seen := map[string]bool{}
	for _, k := range descriptors {
		if k.Use != "" && k.Use != "signing" {
			continue
		}
		for _, c := range k.Certificates {
			key, err := certificateKey([]byte(c))
			if fault.CodeOf(err) == codeWeakKey {
				weak = err
				continue
			}
			if err != nil {
				return nil, err
			}
			if !seen[key.SPKI] {
				seen[key.SPKI] = true
				list = append(list, key)
			}
			if len(list) > maxMetadataKeys {
				return nil, badMetadata("metadata_too_many_keys", "The metadata holds more than 16 signing certificates.")
			}
		}
	}
	if len(list) == 0 && weak != nil {
		return nil, weak
	}
	if len(list) == 0 {
		return nil, badMetadata("metadata_no_key", "The metadata holds no signing certificate.")
	}
	return list, nil
}

// usable gives the addresses of the bindings that we speak, Redirect before POST,
// that pass the check.
func usable(services []service, ok func(string) bool) []tenants.Endpoint {
	var list []tenants.Endpoint
	for _, binding := range []string{tenants.BindingRedirect, tenants.BindingPOST} {
		for _, s := range services {
			e := tenants.Endpoint{Binding: binding, Location: strings.TrimSpace(s.Location), ResponseURL: strings.TrimSpace(s.ResponseLocation)}
			if s.Binding == binding && e.Location != "" && (ok == nil || ok(e.Location) && (e.ResponseURL == "" || ok(e.ResponseURL))) {
				list = append(list, e)
			}
		}
	}
	return list
}

func isAddress(location string) bool {
	u, err := url.Parse(location)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil && len(location) <= maxLocation
}

const maxLocation = 2000 // bytes

func xmlTrue(s string) bool { return s == "true" || s == "1" }

// lifetime refuses what is no longer valid, and tells when to read again: half
// the way to the end of validity, or when the cache duration is over.
func lifetime(now time.Time, parts ...validity) (time.Time, error) {
	var again time.Time
	sooner := func(t time.Time) {
		if again.IsZero() || t.Before(again) {
			again = t
		}
	}
	for _, p := range parts {
		if p.ValidUntil != "" {
			until, err := time.Parse(time.RFC3339, p.ValidUntil)
			if err != nil || !now.Before(until) {
				return again, badMetadata("metadata_expired", "The metadata was valid until "+shown(p.ValidUntil)+". Load it again from the identity provider.")
			}
			sooner(now.Add(until.Sub(now) / 2))
		}
		if d, ok := xmlDuration(p.CacheDuration); ok {
			sooner(now.Add(d))
		}
	}
	return again, nil
}

var durationForm = regexp.MustCompile(`^P(?:([0-9]{1,4})Y)?(?:([0-9]{1,5})M)?(?:([0-9]{1,6})D)?(?:T(?:([0-9]{1,7})H)?(?:([0-9]{1,8})M)?(?:([0-9]{1,9})(?:\.[0-9]{1,9})?S)?)?$`)

// xmlDuration reads an xs:duration, with months of 30 days: it only says when to
// look again.
func xmlDuration(s string) (time.Duration, bool) {
	m := durationForm.FindStringSubmatch(s)
	if m == nil {
		return 0, false
	}
	const day = 24 * time.Hour
	var d time.Duration
	for i, unit := range []time.Duration{365 * day, 30 * day, day, time.Hour, time.Minute, time.Second} {
		n, _ := strconv.Atoi(m[i+1]) // digits, or none
		if n > int(100*365*day/unit) {
			return 0, false
		}
		d += time.Duration(n) * unit
	}
	return d, d > 0
}

// The types are our own, because a library's refuse the whole document for an
// endpoint that nobody asked for.
type (
	validity struct {
		ValidUntil    string `xml:"validUntil,attr"`
		CacheDuration string `xml:"cacheDuration,attr"`
	}
	idpEntity struct {
		validity
		group    validity  // of the group that it came in
		EntityID string    `xml:"entityID,attr"`
		IDPs     []idpRole `xml:"urn:oasis:names:tc:SAML:2.0:metadata IDPSSODescriptor"`
	}
	idpRole struct {
		validity
		WantSigned string          `xml:"WantAuthnRequestsSigned,attr"`
		Keys       []keyDescriptor `xml:"urn:oasis:names:tc:SAML:2.0:metadata KeyDescriptor"`
		SSO        []service       `xml:"urn:oasis:names:tc:SAML:2.0:metadata SingleSignOnService"`
		SLO        []service       `xml:"urn:oasis:names:tc:SAML:2.0:metadata SingleLogoutService"`
	}
	keyDescriptor struct {
		Use          string   `xml:"use,attr"`
		Certificates []string `xml:"KeyInfo>X509Data>X509Certificate"`
	}
	service struct {
		Binding          string `xml:"Binding,attr"`
		Location         string `xml:"Location,attr"`
		ResponseLocation string `xml:"ResponseLocation,attr"`
	}
	// entities is a group of entities (SAML metadata §2.3.1).
	entities struct {
		validity
		Entities []idpEntity `xml:"urn:oasis:names:tc:SAML:2.0:metadata EntityDescriptor"`
		Groups   []struct{}  `xml:"urn:oasis:names:tc:SAML:2.0:metadata EntitiesDescriptor"`
	}
)

func shown(s string) string {
	if len(s) > 40 {
		return s[:40]
	}
	return s
}

// oneEntity reads the one entity of a document. Some identity providers wrap
// theirs in a group; a group of several is a federation's, and which of them is
// meant would be a guess.
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
			switch {
			case t.Name.Space == nsMetadata && t.Name.Local == "EntityDescriptor":
				err = dec.DecodeElement(&entity, &t)
			case t.Name.Space == nsMetadata && t.Name.Local == "EntitiesDescriptor":
				var group entities
				if err = dec.DecodeElement(&group, &t); err == nil {
					if len(group.Entities) != 1 || len(group.Groups) > 0 {
						return entity, badMetadata("metadata_several_entities", "The metadata describes a federation. Give the metadata of one identity provider.")
					}
					entity, entity.group = group.Entities[0], group.validity
				}
			default:
				return entity, badMetadata("metadata_no_idp", "The document is not SAML metadata.")
			}
			if err != nil {
				return entity, badMetadata("metadata_not_xml", "The metadata cannot be read.").Because(err)
			}
			if strings.TrimSpace(entity.EntityID) == "" {
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
		return tenants.IdPKey{}, fault.New(fault.Invalid, codeWeakKey, "A certificate's key is not accepted. Use RSA of 2048 to 8192 bits, or ECDSA on P-256, P-384 or P-521.").In("certificates").Because(err)
	}
	return tenants.IdPKey{
		SPKI:           key.SPKI,
		CertificatePEM: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		NotAfter:       cert.NotAfter,
	}, nil
}
