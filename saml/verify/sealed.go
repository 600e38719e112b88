package verify

import (
	"crypto"
	"crypto/rsa"
)

const (
	nsXEnc   = "http://www.w3.org/2001/04/xmlenc#"
	nsXEnc11 = "http://www.w3.org/2009/xmlenc11#"

	typeElement      = nsXEnc + "Element"
	typeEncryptedKey = nsXEnc + "EncryptedKey"

	maxEncryptedKey = maxRSABits/8 + 1 // bytes of a decoded encrypted key
	maxOAEPLabel    = 256              // bytes of OAEPparams
)

// contentMethod is how content is encrypted (XML Encryption 1.1 §5.2).
type contentMethod struct {
	keySize int // bytes
	gcm     bool
}

var contentMethods = map[string]contentMethod{
	nsXEnc + "aes128-cbc":   {16, false},
	nsXEnc + "aes192-cbc":   {24, false},
	nsXEnc + "aes256-cbc":   {32, false},
	nsXEnc11 + "aes128-gcm": {16, true},
	nsXEnc11 + "aes192-gcm": {24, true},
	nsXEnc11 + "aes256-gcm": {32, true},
}

// Hashes and mask generation functions of RSA-OAEP (XML Encryption 1.1 §5.5.2).
// RSA PKCS #1 v1.5 key transport is unknown to the verifier.
var (
	oaepDigests = map[string]crypto.Hash{
		nsDsig + "sha1":   crypto.SHA1,
		nsXEnc + "sha256": crypto.SHA256,
		"http://www.w3.org/2001/04/xmldsig-more#sha384": crypto.SHA384,
		nsXEnc + "sha384": crypto.SHA384,
		nsXEnc + "sha512": crypto.SHA512,
	}
	oaepMasks = map[string]crypto.Hash{
		nsXEnc11 + "mgf1sha1":   crypto.SHA1,
		nsXEnc11 + "mgf1sha256": crypto.SHA256,
		nsXEnc11 + "mgf1sha384": crypto.SHA384,
		nsXEnc11 + "mgf1sha512": crypto.SHA512,
	}
)

// sealed is an encrypted element whose form was checked.
type sealed struct {
	method  contentMethod
	content []byte
	key     []byte // encrypted with our public key
	oaep    rsa.OAEPOptions
}

// parseSealed reads an EncryptedAssertion or EncryptedID (core §2.2.4): one
// EncryptedData and one EncryptedKey, in its KeyInfo or beside it. The reason of
// a failure comes from what everybody can read. An empty recipient stands for
// any.
func parseSealed(n *node, recipient string) (s *sealed, reason string) {
	data := n.firstElement()
	if data == nil || !data.is(nsXEnc, "EncryptedData") || !n.onlyElements() || !onlyAttributes(n) {
		return nil, "no EncryptedData"
	}
	var keys []*node
	for c := data.nextElement(); c != nil; c = c.nextElement() {
		if !c.is(nsXEnc, "EncryptedKey") {
			return nil, "unexpected element " + clip(c.local)
		}
		keys = append(keys, c)
	}
	if t, ok := data.attr("Type"); ok && t != typeElement {
		return nil, "EncryptedData of type " + clip(t)
	}
	beside := len(keys)
	parts, reason := parseEncrypted(data)
	if reason != "" {
		return nil, reason
	}
	retrieved := ""
	if parts.keyInfo != nil {
		for c := parts.keyInfo.firstElement(); c != nil; c = c.nextElement() {
			switch {
			case c.is(nsXEnc, "EncryptedKey"):
				keys = append(keys, c)
			case c.is(nsDsig, "RetrievalMethod"):
				if retrieved != "" || !c.blank() || c.attrOr("URI") == "" {
					return nil, "malformed RetrievalMethod"
				}
				if t, ok := c.attr("Type"); ok && t != typeEncryptedKey {
					return nil, "RetrievalMethod of type " + clip(t)
				}
				retrieved = c.attrOr("URI")
			}
		}
	}
	if len(keys) != 1 {
		return nil, "not exactly one EncryptedKey"
	}
	key := keys[0]
	if retrieved != "" && (beside != 1 || retrieved != "#"+key.attrOr("Id")) {
		return nil, "RetrievalMethod names another element"
	}
	if r, ok := key.attr("Recipient"); ok && recipient != "" && r != recipient {
		return nil, "the key is for the recipient " + clip(r)
	}
	s = &sealed{}
	known := false
	if s.method, known = contentMethods[parts.method.attrOr("Algorithm")]; !known {
		return nil, "content algorithm " + clip(parts.method.attrOr("Algorithm"))
	}
	if s.content, known = decodeBase64(parts.value, maxDocument); !known {
		return nil, "CipherValue is not base64"
	}
	return s, s.parseKey(key, data.attrOr("Id"))
}

// encryptedParts are the children of an EncryptedData or EncryptedKey.
type encryptedParts struct {
	method, keyInfo *node
	value           string // of the CipherData
	references      *node
}

func parseEncrypted(n *node) (p encryptedParts, reason string) {
	if !n.onlyElements() {
		return p, "character data in " + n.local
	}
	seen := false
	for c := n.firstElement(); c != nil; c = c.nextElement() {
		switch {
		case c.is(nsXEnc, "EncryptionMethod") && p.method == nil && p.keyInfo == nil && !seen:
			p.method = c
		case c.is(nsDsig, "KeyInfo") && p.keyInfo == nil && !seen:
			p.keyInfo = c
		case c.is(nsXEnc, "CipherData") && !seen:
			value := c.firstElement()
			if value == nil || !value.is(nsXEnc, "CipherValue") || value.nextElement() != nil || !c.onlyElements() {
				return p, "no CipherValue" // a CipherReference would have to be fetched
			}
			if p.value, seen = value.leaf(); !seen {
				return p, "unexpected element in CipherValue"
			}
		case c.is(nsXEnc, "ReferenceList") && n.local == "EncryptedKey" && seen && p.references == nil:
			p.references = c
		case c.is(nsXEnc, "CarriedKeyName") && n.local == "EncryptedKey" && seen:
		default:
			return p, "unexpected element " + clip(c.local) + " in " + n.local
		}
	}
	if p.method == nil || !seen {
		return p, n.local + " has no EncryptionMethod or no CipherData"
	}
	return p, ""
}

// parseKey reads the EncryptedKey of the content whose Id is data. KeyInfo in it
// names one of our keys; all are tried anyway.
func (s *sealed) parseKey(key *node, data string) (reason string) {
	parts, reason := parseEncrypted(key)
	if reason != "" {
		return reason
	}
	if parts.references != nil {
		for c := parts.references.firstElement(); c != nil; c = c.nextElement() {
			if !c.is(nsXEnc, "DataReference") || c.attrOr("URI") != "#"+data {
				return "the key is for another EncryptedData"
			}
		}
	}
	s.oaep = rsa.OAEPOptions{Hash: crypto.SHA1, MGFHash: crypto.SHA1}
	switch alg := parts.method.attrOr("Algorithm"); alg {
	case nsXEnc + "rsa-oaep-mgf1p", nsXEnc11 + "rsa-oaep":
	default:
		return "key transport algorithm " + clip(alg)
	}
	for c := parts.method.firstElement(); c != nil; c = c.nextElement() {
		known := true
		switch {
		case c.is(nsDsig, "DigestMethod"):
			s.oaep.Hash, known = oaepDigests[c.attrOr("Algorithm")]
		case c.is(nsXEnc11, "MGF"):
			s.oaep.MGFHash, known = oaepMasks[c.attrOr("Algorithm")]
			// rsa-oaep-mgf1p has no other mask (XML Encryption 1.1 §5.5.2).
			known = known && (s.oaep.MGFHash == crypto.SHA1 || parts.method.attrOr("Algorithm") == nsXEnc11+"rsa-oaep")
		case c.is(nsXEnc, "OAEPparams"):
			text, _ := c.leaf()
			s.oaep.Label, known = decodeBase64(text, maxOAEPLabel)
		case c.is(nsXEnc, "KeySize"):
		default:
			known = false
		}
		if !known {
			return "parameter " + clip(c.local) + " of the key transport"
		}
	}
	ok := false
	if s.key, ok = decodeBase64(parts.value, maxEncryptedKey); !ok {
		return "the CipherValue of the EncryptedKey is not base64"
	}
	return ""
}
