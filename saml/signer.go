package saml

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/saml/verify"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// algRSASHA256 is what we sign with (RFC 6931 §2.3.2): every identity provider
// knows it.
const algRSASHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"

// maxDecryptionKeys bounds the keys that one document is tried with: the active
// and the next one, and the two retired last.
const maxDecryptionKeys = 4

var errNoKey = fault.New(fault.Unavailable, "SAML_NO_KEY", "This connection has to sign, and has no key to sign with. Ask your administrator to save its settings again.")

// signer signs messages to one identity provider.
type signer struct {
	key  *rsa.PrivateKey
	cert []byte // DER
}

// signer gives the connection's active key.
func (h *Handler) signer(ctx context.Context, c tenants.SSOConnection) (*signer, error) {
	list, err := h.tenants.SPKeys(ctx, h.db, c.Tenant, c.ID)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 || list[0].State != tenants.SPKeyActive {
		return nil, errNoKey
	}
	key, err := h.tenants.SPPrivateKey(c.Tenant, c.ID, list[0])
	if err != nil {
		return nil, err
	}
	cert, err := list[0].Certificate()
	if err != nil {
		return nil, err
	}
	return &signer{key: key, cert: cert.Raw}, nil
}

// requestSigner is the signer of AuthnRequests; nil where the connection does not
// sign them.
func (h *Handler) requestSigner(ctx context.Context, c tenants.SSOConnection) (*signer, error) {
	if !c.SAML.SignRequests {
		return nil, nil
	}
	return h.signer(ctx, c)
}

// decryptionKeys opens the keys that something may have been encrypted to. A key
// that is next counts: it stands in our metadata. So does a retired one: an
// identity provider may not have read the metadata since.
func (h *Handler) decryptionKeys(ctx context.Context, c tenants.SSOConnection) ([]*rsa.PrivateKey, error) {
	list, err := h.tenants.SPKeys(ctx, h.db, c.Tenant, c.ID)
	if err != nil {
		return nil, err
	}
	var keys []*rsa.PrivateKey
	for _, k := range list[:min(len(list), maxDecryptionKeys)] {
		key, err := h.tenants.SPPrivateKey(c.Tenant, c.ID, k)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// query signs the octets of a query (SAML bindings §3.4.4.1).
func (s *signer) query(octets string) ([]byte, error) {
	sum := sha256.Sum256([]byte(octets))
	return rsa.SignPKCS1v15(rand.Reader, s.key, crypto.SHA256, sum[:])
}

// document signs a message of ours: an enveloped signature after the Issuer, in
// exclusive canonical XML (SAML core §5.4). The certificate goes along, because
// some identity providers choose the key by it.
func (s *signer) document(doc []byte) ([]byte, error) {
	d := etree.NewDocument()
	if err := d.ReadFromBytes(doc); err != nil {
		return nil, err
	}
	sc, err := dsig.NewSigningContext(s.key, [][]byte{s.cert})
	if err != nil {
		return nil, err
	}
	sc.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	if err := sc.SetSignatureMethod(algRSASHA256); err != nil {
		return nil, err
	}
	root := d.Root()
	signature, err := sc.ConstructSignature(root, true)
	if err != nil {
		return nil, err
	}
	issuer := root.SelectElement("Issuer")
	if issuer == nil {
		return nil, errors.New("saml: a message without Issuer cannot be signed")
	}
	root.InsertChildAt(issuer.Index()+1, signature)
	d.WriteSettings.CanonicalText, d.WriteSettings.CanonicalAttrVal = true, true
	return d.WriteToBytes()
}

// trustedKeys turns the stored certificates into keys. A certificate that does
// not parse was refused when it was stored; a key that the verifier refuses is left
// out, so that it stops nobody who signs with another.
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
		if key, err := verify.KeyFromCertificate(cert); err == nil {
			keys = append(keys, key)
		}
	}
	return keys, nil
}
