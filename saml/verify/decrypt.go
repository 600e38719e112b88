package verify

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/subtle"
	"strings"
)

const maxDecryptionKeys = 4 // of ours, tried one after the other

// errDecrypt is the one refusal of whatever cannot be decrypted. Its cause is
// not told: who could tell a wrong padding from a wrong key or malformed content
// could decrypt what others were sent.
func errDecrypt() *Error {
	return refuse(CodeDecrypt, "the encrypted content is not for this connection's key, in an unknown form, or was changed")
}

// open decrypts with any of our keys. Where none opens the content key, a random
// one takes its place, so that the work is the same; ok tells. The bytes mean
// nothing when ok is false.
func (s *sealed) open(keys []*rsa.PrivateKey) (plain []byte, ok bool) {
	contentKey := make([]byte, s.method.keySize)
	rand.Read(contentKey) //nolint:errcheck // never fails
	opened := 0
	for _, k := range keys[:min(len(keys), maxDecryptionKeys)] {
		if k == nil || k.N == nil || len(s.key) != k.Size() {
			continue
		}
		b, err := k.Decrypt(rand.Reader, s.key, &s.oaep)
		if err == nil && len(b) == len(contentKey) {
			copy(contentKey, b)
			opened = 1
			break
		}
	}
	block, err := aes.NewCipher(contentKey)
	if err != nil {
		return nil, false
	}
	good := 0
	if s.method.gcm {
		plain, good = openGCM(block, s.content)
	} else {
		plain, good = openCBC(block, s.content)
	}
	return plain, opened&good == 1
}

// openGCM: a nonce of 12 bytes, the ciphertext, a tag of 16 (XML Encryption 1.1
// §5.2.4).
func openGCM(block cipher.Block, content []byte) ([]byte, int) {
	const nonce, tag = 12, 16
	aead, err := cipher.NewGCM(block)
	if err != nil || len(content) < nonce+tag {
		return nil, 0
	}
	plain, err := aead.Open(nil, content[:nonce], content[nonce:], nil)
	if err != nil {
		return nil, 0
	}
	return plain, 1
}

// openCBC: an initialization vector, then blocks of which the last byte says how
// many bytes to cut off (XML Encryption 1.1 §5.2.1). A wrong count is found
// out without a branch; what it leaves is parsed like everything else.
func openCBC(block cipher.Block, content []byte) ([]byte, int) {
	if len(content) < 2*aes.BlockSize || len(content)%aes.BlockSize != 0 {
		return nil, 0
	}
	plain := make([]byte, len(content)-aes.BlockSize)
	cipher.NewCBCDecrypter(block, content[:aes.BlockSize]).CryptBlocks(plain, content[aes.BlockSize:])
	count := int(plain[len(plain)-1])
	good := subtle.ConstantTimeLessOrEq(1, count) & subtle.ConstantTimeLessOrEq(count, aes.BlockSize)
	return plain[:len(plain)-subtle.ConstantTimeSelect(good, count, aes.BlockSize)], good
}

// unseal decrypts an element. Reasons that are no secret go into the report;
// everything else is told alike.
func (v *verifier) unseal(n *node) (plain string, s *sealed, ok bool, err *Error) {
	if len(v.p.DecryptionKeys) == 0 {
		return "", nil, false, refuse(CodeNoDecryptionKey, "the "+n.local+" is encrypted, and the connection has no decryption key")
	}
	v.r.pass(checkOf[CodeNoDecryptionKey], "a decryption key", "present")
	s, reason := parseSealed(n, v.p.EntityID)
	if reason == "" && v.p.RefuseCBC && !s.method.gcm {
		reason = "AES-CBC, which the connection refuses"
	}
	if reason != "" {
		v.hint = reason
		return "", nil, false, errDecrypt()
	}
	b, ok := s.open(v.p.DecryptionKeys)
	return string(b), s, ok, nil
}

// decrypt opens the encrypted assertion. A Response signature was verified
// before; the element is then taken from what was verified.
//
// Without one, AES-CBC lets anybody change the content, and a refusal that told
// how the changed content was malformed would let them read the original. So
// every refusal up to the assertion's own signature becomes errDecrypt, unless
// the content still has the digest that it states itself.
func (v *verifier) decrypt(l *layout, out *verified) *Error {
	n := l.encrypted
	if out.responseSigned {
		n = out.encrypted
	}
	plain, s, ok, err := v.unseal(n)
	if err != nil {
		return err
	}
	inner, parseErr := parseDecrypted(plain, l.encrypted, l.ids)
	if !ok {
		return errDecrypt()
	}
	guarded := !s.method.gcm && !out.responseSigned
	if parseErr != nil {
		// Malformed content is what a wrong key or a changed block leaves of CBC.
		return v.guard(guarded || !s.method.gcm && parseErr.Code == CodeXMLProfile, nil, parseErr)
	}
	if inner.signature == nil {
		if !out.responseSigned {
			return v.guard(guarded, nil, refuse(CodeUnsigned, "neither the Response nor the encrypted Assertion is signed"))
		}
		// Only what was signed may give the content its namespaces.
		if inner, err = parseDecrypted(plain, n, out.ids); err != nil {
			return err
		}
		if inner.signature != nil {
			return sigStructure("a Signature by the signed namespaces alone")
		}
		v.r.pass(checkOf[CodeDecrypt], "content for our key", "decrypted")
		out.assertion = inner.assertion
		return nil
	}
	tree, by, err := v.signature(inner.signature)
	if err != nil {
		return v.guard(guarded, inner.signature, err)
	}
	v.r.pass(checkOf[CodeDecrypt], "content for our key", "decrypted")
	out.assertion, out.by, out.what = tree, by, "assertion"
	if out.responseSigned {
		out.what = "both"
	}
	return nil
}

// guard hides an error about decrypted content that anybody could have changed.
func (v *verifier) guard(guarded bool, s *signature, err *Error) *Error {
	if !guarded || s != nil && s.intact() {
		return err
	}
	v.hint = "decrypted, and then refused with " + err.Code
	return errDecrypt()
}

// decrypted is the plaintext of an encrypted assertion, its form checked.
type decrypted struct {
	assertion *node
	signature *signature // nil where absent
}

// parseDecrypted does with the plaintext what parse and structure do with a
// document: an Assertion, signed or not, whose identifiers occur nowhere else.
// The namespaces in force are those around the encrypted element within; ids are
// those of the document.
func parseDecrypted(plain string, within *node, ids map[string]struct{}) (*decrypted, *Error) {
	root, err := source{text: plain, limit: maxDocument, within: within}.parse()
	if err != nil {
		return nil, err
	}
	if !root.is(nsAssertion, "Assertion") {
		return nil, refuse(CodeStructure, "the decrypted element is "+clip(root.local)+", not an Assertion")
	}
	found := collect(root, ids)
	signatures, err := found.parseSignatures(inResponse)
	if err != nil {
		return nil, err
	}
	if found.assertions != 1 || found.responses != 0 {
		return nil, refuse(CodeStructure, "an assertion or Response inside the decrypted Assertion")
	}
	if version := root.attrOr("Version"); version != "2.0" {
		return nil, refuse(CodeVersion, "Assertion has Version "+clip(version))
	}
	if err := checkID(root); err != nil {
		return nil, err
	}
	d := &decrypted{assertion: root}
	if len(signatures) > 0 {
		d.signature = signatures[0] // checkPlace: no other fits in
	}
	return d, nil
}

// decryptID opens an EncryptedID; it stands in content that was verified.
func (v *verifier) decryptID(n *node) (*node, *Error) {
	plain, _, ok, err := v.unseal(n)
	if err != nil {
		return nil, err
	}
	id, err := source{text: strings.TrimSpace(plain), limit: maxDocument, within: n}.parse()
	if !ok || err != nil || !id.is(nsAssertion, "NameID") {
		return nil, errDecrypt()
	}
	v.r.pass(checkOf[CodeDecrypt], "content for our key", "decrypted")
	return id, nil
}
