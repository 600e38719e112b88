package verify

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	_ "crypto/sha1" // only with Params.AllowSHA1Until
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"math/big"
	"strconv"
)

const (
	nsDsig11 = "http://www.w3.org/2009/xmldsig11#"

	minRSABits = 2048
	maxRSABits = 8192
	maxKeys    = 16       // trusted keys tried
	maxNamed   = 8        // keys read out of a KeyInfo
	maxKeyDER  = 32 << 10 // bytes of a certificate in a KeyInfo
	noKey      = "no key"

	maxExp = 1<<31 - 1 // RSA public exponent
)

// Key is a trusted signing key of an identity provider. Trust is the key: the
// dates, issuer and extensions of the certificate it came in do not matter.
type Key struct {
	Public crypto.PublicKey // *rsa.PublicKey or *ecdsa.PublicKey
	SPKI   string           // hex SHA-256 of the DER SubjectPublicKeyInfo
}

// KeyFromCertificate takes the public key out of a certificate. It refuses RSA
// keys under 2048 or over 8192 bits, and anything but RSA and ECDSA on P-256,
// P-384 or P-521.
func KeyFromCertificate(c *x509.Certificate) (Key, error) {
	if c == nil {
		return Key{}, errors.New("verify: no certificate")
	}
	if reason := weakness(c.PublicKey); reason != "" {
		return Key{}, errors.New("verify: " + reason)
	}
	return Key{Public: c.PublicKey, SPKI: fingerprint(c.RawSubjectPublicKeyInfo)}, nil
}

func fingerprint(spki []byte) string {
	h := crypto.SHA256.New()
	h.Write(spki)
	return hex.EncodeToString(h.Sum(nil))
}

// weakness says why a key may not verify signatures; empty if it may.
func weakness(public crypto.PublicKey) string {
	switch k := public.(type) {
	case *rsa.PublicKey:
		if k == nil || k.N == nil {
			return noKey
		}
		if bits := k.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return "RSA key of " + strconv.Itoa(bits) + " bits"
		}
		return ""
	case *ecdsa.PublicKey:
		if k == nil || k.Curve == nil {
			return noKey
		}
		if k.Curve == elliptic.P256() || k.Curve == elliptic.P384() || k.Curve == elliptic.P521() {
			return ""
		}
		return "unknown elliptic curve"
	}
	return "key that is neither RSA nor ECDSA"
}

// verifies checks a signature value over a hash with one key.
func (s *signature) verifies(public crypto.PublicKey, hashed []byte) bool {
	return s.method.verifies(public, hashed, s.value)
}

func (m signatureMethod) verifies(public crypto.PublicKey, hashed, value []byte) bool {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return m.family == familyRSA && k != nil && k.N != nil && rsa.VerifyPKCS1v15(k, m.hash, hashed, value) == nil
	case *ecdsa.PublicKey:
		// r and s as octet strings of the curve's size (RFC 9231 §2.3.6).
		size := curveSize(k)
		if m.family != familyECDSA || size == 0 || len(value) != 2*size {
			return false
		}
		r, t := new(big.Int).SetBytes(value[:size]), new(big.Int).SetBytes(value[size:])
		return ecdsa.Verify(k, hashed, r, t)
	}
	return false
}

// curveSize is the length in bytes of a coordinate; 0 for an unknown curve.
func curveSize(k *ecdsa.PublicKey) int {
	if weakness(k) != "" {
		return 0
	}
	return (k.Curve.Params().BitSize + 7) / 8
}

// checkInfo verifies the signature over SignedInfo and returns the trusted key
// that made it.
func (s *signature) checkInfo(keys []Key) (Key, *Error) {
	info, err := canonical(s.signedInfo, nil, s.infoForm)
	if err != nil {
		return Key{}, err
	}
	h := s.method.hash.New()
	h.Write(info)
	hashed := h.Sum(nil)
	if len(keys) > maxKeys {
		keys = keys[:maxKeys]
	}
	for _, k := range keys {
		weak := weakness(k.Public)
		if weak == "" && s.verifies(k.Public, hashed) {
			return k, nil
		}
		if weak != "" && s.verifies(k.Public, hashed) {
			return Key{}, refuse(CodeSigAlg, "the trusted key is not accepted: "+weak)
		}
	}
	return Key{}, s.whyNot(keys, hashed)
}

// whyNot explains a signature that no trusted key verifies; it can only choose
// between refusals. KeyInfo is read here and nowhere else.
func (s *signature) whyNot(keys []Key, hashed []byte) *Error {
	named := s.namedKeys()
	trusted := false
	for _, k := range named {
		if isTrusted(k, keys) {
			trusted = true
			continue
		}
		if reason := weakness(k); reason != "" {
			return refuse(CodeSigAlg, "signed with a key that is not accepted: "+reason)
		}
		if s.verifies(k, hashed) {
			return refuse(CodeUntrustedKey, "signed with a key that is not one of the identity provider's (fingerprint "+spkiOf(k)+")")
		}
	}
	switch {
	case len(named) > 0 && !trusted:
		return refuse(CodeUntrustedKey, "KeyInfo names a key that is not one of the identity provider's (fingerprint "+spkiOf(named[0])+")")
	case s.madeByOther(keys):
		return refuse(CodeUntrustedKey, "the content is intact, but no trusted key made the signature")
	}
	return refuse(CodeSig, "the signature value does not match SignedInfo")
}

// madeByOther reports whether the signature looks like an intact one of a key
// that is not trusted (a rolled key): the content has the digest that
// SignedInfo states, and the value is well formed, but no trusted RSA key opens
// it to a PKCS #1 block, which even a forged or corrupted SignedInfo would
// leave. An IdP's key rollover without KeyInfo is told from tampering by this.
func (s *signature) madeByOther(keys []Key) bool {
	if !s.intact() {
		return false
	}
	plausible := false
	for _, k := range keys {
		switch public := k.Public.(type) {
		case *rsa.PublicKey:
			if s.method.family != familyRSA || weakness(public) != "" || len(s.value) != public.Size() {
				continue
			}
			block := new(big.Int).Exp(new(big.Int).SetBytes(s.value), big.NewInt(int64(public.E)), public.N)
			if bytes.HasPrefix(block.FillBytes(make([]byte, public.Size())), []byte{0, 1, 0xff}) {
				return false
			}
			plausible = true
		case *ecdsa.PublicKey:
			plausible = plausible || s.method.family == familyECDSA && len(s.value) == 2*curveSize(public)
		}
	}
	return plausible
}

// checkDigest hashes the content and returns the very bytes that were hashed.
func (s *signature) checkDigest() ([]byte, *Error) {
	content, err := canonical(s.parent, s.node, s.contentForm)
	if err != nil {
		return nil, err
	}
	if !s.digestMatches(content) {
		return nil, refuse(CodeSig, "the "+s.parent.local+" was changed after it was signed (digest differs)")
	}
	return content, nil
}

// intact reports whether the content has the digest that SignedInfo states,
// whoever made it.
func (s *signature) intact() bool {
	content, err := canonical(s.parent, s.node, s.contentForm)
	return err == nil && s.digestMatches(content)
}

func (s *signature) digestMatches(content []byte) bool {
	h := s.digest.New()
	h.Write(content)
	return bytes.Equal(h.Sum(nil), s.digestValue)
}

func isTrusted(public crypto.PublicKey, keys []Key) bool {
	k, ok := public.(interface{ Equal(crypto.PublicKey) bool })
	if !ok {
		return false
	}
	for i := range keys {
		if weakness(keys[i].Public) != noKey && k.Equal(keys[i].Public) {
			return true
		}
	}
	return false
}

func spkiOf(public crypto.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return "unknown"
	}
	return fingerprint(der)
}

// namedKeys reads the keys a KeyInfo carries, to explain a refusal.
func (s *signature) namedKeys() []crypto.PublicKey {
	if s.keyInfo == nil {
		return nil
	}
	var named []crypto.PublicKey
	for n := s.keyInfo; n != nil && len(named) < maxNamed; n = n.following(s.keyInfo) {
		var public crypto.PublicKey
		switch {
		case n.is(nsDsig, "X509Certificate"):
			if der, ok := leafBytes(n); ok {
				if c, err := x509.ParseCertificate(der); err == nil {
					public = c.PublicKey
				}
			}
		case n.is(nsDsig11, "DEREncodedKeyValue"):
			if der, ok := leafBytes(n); ok {
				if k, err := x509.ParsePKIXPublicKey(der); err == nil {
					public = k
				}
			}
		case n.is(nsDsig, "RSAKeyValue"):
			public = rsaKeyValue(n)
		case n.is(nsDsig11, "ECKeyValue"):
			public = ecKeyValue(n)
		}
		if public != nil {
			named = append(named, public)
		}
	}
	return named
}

func leafBytes(n *node) ([]byte, bool) {
	if n == nil {
		return nil, false
	}
	text, ok := n.leaf()
	if !ok {
		return nil, false
	}
	return decodeBase64(text, maxKeyDER)
}

func rsaKeyValue(n *node) crypto.PublicKey {
	modulus := n.firstElement()
	if modulus == nil || !modulus.is(nsDsig, "Modulus") {
		return nil
	}
	exponent := modulus.nextElement()
	if exponent == nil || !exponent.is(nsDsig, "Exponent") {
		return nil
	}
	m, ok1 := leafBytes(modulus)
	e, ok2 := leafBytes(exponent)
	if !ok1 || !ok2 || len(m) > maxRSABits/8+1 || len(e) > 8 {
		return nil
	}
	exp := new(big.Int).SetBytes(e)
	if !exp.IsInt64() || exp.Int64() < 3 || exp.Int64() > maxExp {
		return nil
	}
	k := &rsa.PublicKey{N: new(big.Int).SetBytes(m), E: int(exp.Int64())}
	if k.N.BitLen() < 16 {
		return nil
	}
	return k
}

var namedCurves = map[string]elliptic.Curve{
	"urn:oid:1.2.840.10045.3.1.7": elliptic.P256(),
	"urn:oid:1.3.132.0.34":        elliptic.P384(),
	"urn:oid:1.3.132.0.35":        elliptic.P521(),
}

func ecKeyValue(n *node) crypto.PublicKey {
	named := n.firstElement()
	if named == nil || !named.is(nsDsig11, "NamedCurve") {
		return nil
	}
	curve, ok := namedCurves[named.attrOr("URI")]
	point := named.nextElement()
	if !ok || point == nil || !point.is(nsDsig11, "PublicKey") {
		return nil
	}
	raw, ok := leafBytes(point)
	if !ok {
		return nil
	}
	k, err := ecdsa.ParseUncompressedPublicKey(curve, raw)
	if err != nil {
		return nil
	}
	return k
}
