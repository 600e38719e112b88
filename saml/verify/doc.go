// Package verify turns the bytes of a SAML Response into an identity, or
// refuses them with a code. Nothing else in Gatehouse may do so. It judges
// logout messages (VerifyQuery, VerifyLogoutRequest, VerifyLogoutResponse) and
// the signature of metadata (VerifyMetadata) in the same way. It is pure: no
// storage, no network, no clock.
//
// # Order
//
// A document passes these steps; each refusal has a stable code, listed
// with its check in catalogue.go.
//
//  1. One scan over the bytes enforces a narrow XML profile and all limits
//     (xml.go). Only then a tree is built (tree.go).
//  2. The shape: root, version, identifiers, where signatures and assertions
//     may be, what a signature may consist of (structure.go, signature.go).
//  3. Every signature that is present is verified with a trusted key (key.go)
//     over exclusive canonical XML (c14n.go). The canonical bytes that were
//     hashed are parsed again with the same parser, and everything after works
//     on that tree only. An encrypted assertion is decrypted after the Response's
//     signature was verified (decrypt.go), and its plaintext goes through the
//     steps 1 to 3 again; no ID of it may occur outside.
//  4. The values: status, addressing, issuer, confirmation, conditions, times,
//     authentication, NameID, attributes (status.go, statement.go, content.go).
//     All of them are checked even if one fails, so that the report is complete.
//
// The work is linear in the size of the document, which is at most 2 MB.
//
// # Trust
//
// Trust is a set of public keys. The certificate a key came in, its dates and
// its issuer do not matter, and KeyInfo is read only to explain a refusal. At
// least one of Response and Assertion must be signed; if both are, both must
// verify. Encryption counts as no signature.
//
// # Encryption
//
// Content is AES-GCM or AES-CBC, its key RSA-OAEP; one EncryptedKey, whose
// Recipient is us if it has one. Every failure to decrypt is SAML_DECRYPT with
// one detail, after the same work: a random key stands in for one that does not
// open.
//
// AES-CBC is malleable. If the Response is not signed, anybody can change such
// content, and a refusal that depends on what came out tells what was in it
// (Jager and Somorovsky, How to Break XML Encryption, 2011). So whatever is
// wrong up to the assertion's own signature is SAML_DECRYPT as well, with the
// code that it hides in the report for administrators; except where the content
// still has the digest that its signature states, as after a key rollover. In
// the same spirit content of AES-CBC that is no XML is always SAML_DECRYPT. What
// remains is inherent: the Signature element is not covered by itself, so a
// connection that can should ask for GCM (Params.RefuseCBC) or for signed
// responses.
//
// A plaintext uses the namespaces around the encrypted element. If only the
// Response's signature covers it, those are what that signature covers.
//
// SAML_UNTRUSTED_KEY and SAML_SIG only differ in what they tell an
// administrator. The first: KeyInfo names a key that is not trusted, or the
// content is intact and the value well formed but no trusted key made it, as
// after a key rollover. The second: anything changed or malformed. An ECDSA
// value over a changed SignedInfo with a recomputed digest cannot be told from
// another key's and is reported as the first.
//
// # Where the specifications leave room
//
// The stricter reading was taken:
//
//   - Comments and processing instructions are refused anywhere in the document,
//     not only inside the assertion. CDATA sections are read as text, but refused
//     inside a signature, as are comments there, with the code of the signature.
//
//   - Names are ASCII. A prefix is never bound to another namespace while it is
//     in force; xmlns="" is refused because it is no absolute URI.
//
//   - An element has at most one attribute whose name is ID in any case, and an
//     attribute of that name in a namespace is refused.
//
//   - Only exclusive canonicalization without comments is accepted, for SignedInfo
//     and content, and with Params.AllowInclusiveC14N the inclusive ones; xml:base
//     above an element canonicalised by version 1.1 is refused. The transforms are
//     exactly enveloped-signature, then a canonicalization.
//
//   - Times are UTC with "Z" (SAML core §1.3.3); an offset is legal xs:dateTime
//     but refused, and so is a leap second.
//
//   - Conditions and SubjectConfirmationData both need NotOnOrAfter; neither may
//     be later than 24 hours after the assertion's IssueInstant. The ten
//     minutes that a response may be old are not extended by the clock skew.
//
//   - InResponseTo must be on the Response and in SubjectConfirmationData, equal
//     to the request; in an unsolicited response it must be on neither.
//
//   - A Destination that is present is compared even if the Response is not
//     signed. URLs, entity IDs and audiences are compared character by character.
//
//   - One AuthnStatement. Success with a second-level status is refused.
//
//   - A NameID with surrounding white space is refused, not trimmed. Invisible
//     and look-alike characters are kept: it stays the full text.
//
//   - E-mail addresses under any of the usual names or friendly names must agree
//     (letter case aside), also between different names.
//
//   - Attribute values are text, or one NameID.
//
//   - Of a Response that is not signed but holds a signed Assertion, the status,
//     Destination, InResponseTo, Issuer and IssueInstant can only cause a
//     refusal.
//
//   - A Response without assertion is refused with its status even if it is not
//     signed: identity providers send errors unsigned, and it grants nothing.
//
//   - A logout message must be signed, inside or by its query, and its
//     Destination must be there. The query's signature is over the octets as
//     received; a parameter that comes twice is refused.
//
//   - Comments are left out of metadata instead of refused, outside its signature.
//
// A transient NameID is reported as it is; whether it may identify somebody is
// the caller's decision, and so are replay, the stored request, and whether
// unsolicited responses are accepted at all. An EncryptedID is decrypted where it
// names the subject; encrypted attributes are refused with a code of their own,
// after everything that can be checked about them.
package verify
