package verify

import "crypto"

const maxMetadata = 1 << 20 // bytes of a metadata document

// VerifyMetadata verifies the enveloped signature of an EntityDescriptor (SAML
// metadata §3) by one of the pinned keys and returns the canonical bytes that
// were hashed, which hold no signature and no comments, and Key.SPKI of the key
// that made it. Only those bytes may be read: the rest of the document is not
// verified. Dates are for the caller to judge.
//
// The profile of responses applies, to at most 1 MiB, but comments are left out,
// not refused, outside the signature: administrators put them into metadata,
// and no comment is in what is returned. SHA-1 is refused. The codes begin with
// METADATA_; that of a document without signature is METADATA_UNSIGNED.
func VerifyMetadata(doc []byte, keys []Key) (signed []byte, by string, err *Error) {
	signed, by, err = verifyMetadata(doc, keys)
	if err != nil {
		return nil, "", translate(metadataCodes, err)
	}
	return signed, by, nil
}

func verifyMetadata(doc []byte, keys []Key) ([]byte, string, *Error) {
	root, err := source{text: string(doc), limit: maxMetadata, comments: true}.parse()
	if err != nil {
		return nil, "", err
	}
	if !root.is(nsMetadata, "EntityDescriptor") {
		return nil, "", refuse(CodeRoot, "the root element is "+clip(root.local)+", not an EntityDescriptor")
	}
	found := collect(root, make(map[string]struct{}, 8))
	signatures, err := found.parseSignatures(inMetadata)
	if err != nil {
		return nil, "", err
	}
	if len(signatures) == 0 {
		return nil, "", refuse(CodeUnsigned, "the metadata is not signed")
	}
	s := signatures[0]
	switch {
	case s.parent != root:
		return nil, "", sigStructure("an entity inside another element")
	case s.inclusive():
		return nil, "", refuse(CodeSigTransform, "inclusive canonicalization")
	case s.method.hash == crypto.SHA1 || s.digest == crypto.SHA1:
		return nil, "", refuse(CodeSigAlg, "SHA-1 in the signature of the metadata")
	}
	key, err := s.checkInfo(keys)
	if err != nil {
		return nil, "", err
	}
	content, err := s.checkDigest()
	if err != nil {
		return nil, "", err
	}
	again, err := parse(string(content), maxCanonical)
	if err != nil {
		return nil, "", err
	}
	if !again.is(nsMetadata, "EntityDescriptor") || again.attrOr("ID") != root.attrOr("ID") {
		return nil, "", refuse(CodeSigRef, "the signed content is another element")
	}
	return content, key.SPKI, nil
}
