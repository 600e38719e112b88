// Package schema knows what SCIM resources look like: the JSON document model,
// the core schemas of RFC 7643 with a tenant's own extensions, the index that
// finds an attribute by any of its names, the checks that turn a client's body
// into the stored form, and the discovery documents of RFC 7644 §4.
//
// The definitions come from elimity-com/scim/schema, which has the texts and
// characteristics of RFC 7643 right; its validator serves as an oracle in
// tests. An Index is built once per tenant and schema version, is immutable and
// is shared by all requests.
//
// The package executes no SQL: it names the columns and indexed values that
// answer an attribute, folds their keys and leaves the statements to package
// scim.
package schema
