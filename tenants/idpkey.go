package tenants

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

const (
	minRSABits     = 2048
	maxRSABits     = 8192 // as the verifier has it: a key that it refuses would stop all logins
	maxCertificate = 16 * 1024
)

var errCertificate = fault.New(fault.Invalid, "invalid_certificate", "Give an X.509 certificate in PEM.").In("certificates")

// ParseIdPKey reads a certificate in PEM, or its base64 alone as metadata has it,
// and gives its key. RSA keys below 2048 and above 8192 bits are refused (sso 4, step 4); the
// dates of the certificate are not looked at.
func ParseIdPKey(text string) (IdPKey, error) {
	if len(text) > maxCertificate {
		return IdPKey{}, errCertificate
	}
	var der []byte
	if block, rest := pem.Decode([]byte(text)); block != nil {
		if block.Type != "CERTIFICATE" || strings.TrimSpace(string(rest)) != "" {
			return IdPKey{}, errCertificate
		}
		der = block.Bytes
	} else {
		var err error
		if der, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), "")); err != nil {
			return IdPKey{}, errCertificate.Because(err)
		}
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return IdPKey{}, errCertificate.Because(err)
	}
	return IdPKeyOf(c)
}

// IdPKeyOf gives the key of a certificate.
func IdPKeyOf(c *x509.Certificate) (IdPKey, error) {
	weak := fault.New(fault.Invalid, "weak_key", "The certificate's key is not RSA of 2048 to 8192 bits or ECDSA on P-256, P-384 or P-521.").In("certificates")
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < minRSABits || k.N.BitLen() > maxRSABits {
			return IdPKey{}, weak
		}
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() && k.Curve != elliptic.P384() && k.Curve != elliptic.P521() {
			return IdPKey{}, weak
		}
	default:
		return IdPKey{}, weak
	}
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return IdPKey{
		SPKI:           hex.EncodeToString(sum[:]),
		CertificatePEM: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})),
		NotAfter:       c.NotAfter.UTC(),
	}, nil
}
