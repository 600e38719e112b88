package idp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"math/big"
	"slices"
	"strings"

	"github.com/beevik/etree"
)

const (
	nsDsig    = "http://www.w3.org/2000/09/xmldsig#"
	nsExcC14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
)

// canonical is Exclusive XML Canonicalization 1.0 without comments, of el where
// it stands. It has no limit on the number of elements, other than the library
// that the gateway would use.
func canonical(el *etree.Element) []byte {
	scope := map[string]string{}
	for p := el.Parent(); p != nil; p = p.Parent() {
		for prefix, uri := range declarations(p) {
			if _, nearer := scope[prefix]; !nearer {
				scope[prefix] = uri
			}
		}
	}
	var b strings.Builder
	writeCanonical(&b, el, scope, map[string]string{})
	return []byte(b.String())
}

func declarations(el *etree.Element) map[string]string {
	found := map[string]string{}
	for _, a := range el.Attr {
		switch {
		case a.Space == "xmlns":
			found[a.Key] = a.Value
		case a.Space == "" && a.Key == "xmlns":
			found[""] = a.Value
		}
	}
	return found
}

// writeCanonical writes el. scope holds the namespaces in scope at its parent,
// rendered those that an output ancestor has written.
func writeCanonical(b *strings.Builder, el *etree.Element, scope, rendered map[string]string) {
	scope, rendered = overlay(scope, declarations(el)), overlay(rendered, nil)
	used := []string{el.Space}
	var attrs []etree.Attr
	for _, a := range el.Attr {
		if a.Space == "xmlns" || (a.Space == "" && a.Key == "xmlns") {
			continue
		}
		attrs = append(attrs, a)
		if a.Space != "" && a.Space != "xml" {
			used = append(used, a.Space)
		}
	}
	slices.Sort(used)
	b.WriteString("<" + el.FullTag())
	for _, prefix := range slices.Compact(used) {
		if scope[prefix] == rendered[prefix] {
			continue
		}
		rendered[prefix] = scope[prefix]
		name := "xmlns"
		if prefix != "" {
			name += ":" + prefix
		}
		b.WriteString(" " + name + `="` + attrEscaper.Replace(scope[prefix]) + `"`)
	}
	slices.SortStableFunc(attrs, func(x, y etree.Attr) int {
		if c := strings.Compare(attrNamespace(x, scope), attrNamespace(y, scope)); c != 0 {
			return c
		}
		return strings.Compare(x.Key, y.Key)
	})
	for _, a := range attrs {
		b.WriteString(" " + a.FullKey() + `="` + attrEscaper.Replace(a.Value) + `"`)
	}
	b.WriteString(">")
	for _, child := range el.Child {
		switch c := child.(type) {
		case *etree.Element:
			writeCanonical(b, c, scope, rendered)
		case *etree.CharData:
			b.WriteString(textEscaper.Replace(c.Data))
		case *etree.ProcInst:
			b.WriteString("<?" + strings.TrimSpace(c.Target+" "+c.Inst) + "?>")
		}
	}
	b.WriteString("</" + el.FullTag() + ">")
}

// Exclusive C14N §1.1, Canonical XML 1.0 §2.3.
var (
	attrEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;", "\t", "&#x9;", "\n", "&#xA;", "\r", "&#xD;")
	textEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\r", "&#xD;")
)

func attrNamespace(a etree.Attr, scope map[string]string) string {
	switch a.Space {
	case "":
		return "" // an attribute without prefix is in no namespace
	case "xml":
		return "http://www.w3.org/XML/1998/namespace"
	}
	return scope[a.Space]
}

func overlay(base, over map[string]string) map[string]string {
	m := make(map[string]string, len(base)+len(over))
	for k, v := range base {
		m[k] = v
	}
	for k, v := range over {
		m[k] = v
	}
	return m
}

type signOptions struct {
	key     crypto.Signer
	cert    []byte // DER for KeyInfo; none when nil
	sha1    bool
	derECDS bool
}

// algorithms names what the options sign with.
func (o signOptions) algorithms() (hash crypto.Hash, signature, digest string, err error) {
	_, isRSA := o.key.(*rsa.PrivateKey)
	switch {
	case isRSA && o.sha1:
		return crypto.SHA1, nsDsig + "rsa-sha1", nsDsig + "sha1", nil
	case isRSA:
		return crypto.SHA256, "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", "http://www.w3.org/2001/04/xmlenc#sha256", nil
	}
	if _, ok := o.key.(*ecdsa.PrivateKey); !ok {
		return 0, "", "", errors.New("idp: a SAML key is RSA or ECDSA")
	}
	if o.sha1 {
		return crypto.SHA1, "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha1", nsDsig + "sha1", nil
	}
	return crypto.SHA256, "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256", "http://www.w3.org/2001/04/xmlenc#sha256", nil
}

func (o signOptions) sign(data []byte) ([]byte, error) {
	hash, _, _, err := o.algorithms()
	if err != nil {
		return nil, err
	}
	h := hash.New()
	h.Write(data)
	sig, err := o.key.Sign(rand.Reader, h.Sum(nil), hash)
	key, isECDSA := o.key.(*ecdsa.PrivateKey)
	if err != nil || !isECDSA || o.derECDS {
		return sig, err
	}
	return rawECDSA(sig, key)
}

// rawECDSA turns a DER signature into r||s (XML Signature 1.1 §6.4.3).
func rawECDSA(der []byte, key *ecdsa.PrivateKey) ([]byte, error) {
	var v struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &v); err != nil {
		return nil, err
	}
	size := (key.Curve.Params().BitSize + 7) / 8
	out := make([]byte, 2*size)
	v.R.FillBytes(out[:size])
	v.S.FillBytes(out[size:])
	return out, nil
}

// signElement puts an enveloped signature of el after its Issuer.
func signElement(el *etree.Element, o signOptions) error {
	hash, signatureMethod, digestMethod, err := o.algorithms()
	if err != nil {
		return err
	}
	digest := hash.New()
	digest.Write(canonical(el))

	sig := etree.NewElement("ds:Signature")
	sig.CreateAttr("xmlns:ds", nsDsig)
	info := sig.CreateElement("ds:SignedInfo")
	info.CreateElement("ds:CanonicalizationMethod").CreateAttr("Algorithm", nsExcC14N)
	info.CreateElement("ds:SignatureMethod").CreateAttr("Algorithm", signatureMethod)
	ref := info.CreateElement("ds:Reference")
	ref.CreateAttr("URI", "#"+el.SelectAttrValue("ID", ""))
	transforms := ref.CreateElement("ds:Transforms")
	transforms.CreateElement("ds:Transform").CreateAttr("Algorithm", nsDsig+"enveloped-signature")
	transforms.CreateElement("ds:Transform").CreateAttr("Algorithm", nsExcC14N)
	ref.CreateElement("ds:DigestMethod").CreateAttr("Algorithm", digestMethod)
	ref.CreateElement("ds:DigestValue").SetText(base64.StdEncoding.EncodeToString(digest.Sum(nil)))

	at := 0
	if issuer := el.SelectElement("Issuer"); issuer != nil {
		at = issuer.Index() + 1
	}
	el.InsertChildAt(at, sig)
	value, err := o.sign(canonical(info))
	if err != nil {
		return err
	}
	sig.CreateElement("ds:SignatureValue").SetText(base64.StdEncoding.EncodeToString(value))
	if o.cert != nil {
		data := sig.CreateElement("ds:KeyInfo").CreateElement("ds:X509Data")
		data.CreateElement("ds:X509Certificate").SetText(base64.StdEncoding.EncodeToString(o.cert))
	}
	return nil
}

// serialize writes the document so that parsing it gives back what was signed.
func serialize(doc *etree.Document) ([]byte, error) {
	doc.WriteSettings.CanonicalText = true
	doc.WriteSettings.CanonicalAttrVal = true
	return doc.WriteToBytes()
}
