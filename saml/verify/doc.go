// Package verify turns the bytes of a SAML Response into an identity, or
// refuses them with a code. Nothing else in Gatehouse may do so. It is pure: no
// storage, no network, no clock.
//
// # Order
//
// A document passes these steps; each refusal has a stable code, listed with
// its meaning in Catalogue.
//
//  1. One scan over the bytes enforces a narrow XML profile and all limits
//     (xml.go). Only then a tree is built (tree.go).
//  2. The shape: root, version, identifiers, where signatures and assertions
//     may be, what a signature may consist of (structure.go, signature.go).
//  3. Every signature that is present is verified with a trusted key (key.go)
//     over exclusive canonical XML (c14n.go). The canonical bytes that were
//     hashed are parsed again with the same parser, and everything after works
//     on that tree only.
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
//   - Names are ASCII. A prefix is never bound to another namespace while it is
//     in force; xmlns="" is refused because it is no absolute URI.
//   - An element has at most one attribute whose name is ID in any case, and an
//     attribute of that name in a namespace is refused.
//   - Only exclusive canonicalization without comments is known, for SignedInfo
//     and content. The transforms are exactly enveloped-signature, then
//     exclusive canonicalization.
//   - Times are UTC with "Z" (SAML core §1.3.3); an offset is legal xs:dateTime
//     but refused, and so is a leap second.
//   - Conditions and SubjectConfirmationData both need NotOnOrAfter; neither may
//     be later than 24 hours after the assertion's IssueInstant. The ten
//     minutes that a response may be old are not extended by the clock skew.
//   - InResponseTo must be on the Response and in SubjectConfirmationData, equal
//     to the request; in an unsolicited response it must be on neither.
//   - A Destination that is present is compared even if the Response is not
//     signed. URLs, entity IDs and audiences are compared character by character.
//   - One AuthnStatement. Success with a second-level status is refused.
//   - A NameID with surrounding white space is refused, not trimmed. Invisible
//     and look-alike characters are kept: it stays the full text.
//   - E-mail addresses under any of the usual names or friendly names must agree
//     (letter case aside), also between different names.
//   - Attribute values are text, or one NameID.
//   - Of a Response that is not signed but holds a signed Assertion, the status,
//     Destination, InResponseTo, Issuer and IssueInstant can only cause a
//     refusal.
//   - A Response without assertion is refused with its status even if it is not
//     signed: identity providers send errors unsigned, and it grants nothing.
//
// A transient NameID is reported as it is; whether it may identify somebody is
// the caller's decision, and so are replay, the stored request, and whether
// unsolicited responses are accepted at all. Encrypted assertions, names and
// attributes are refused with a code of their own, after everything that can be
// checked about them.
package verify
