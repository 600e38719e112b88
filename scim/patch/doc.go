// Package patch applies PATCH, PUT and POST to a resource document (RFC 7644
// §3.3, §3.5.1, §3.5.2).
//
// A request is parsed, each operation is normalised by the rules of the
// connection's dialect and applied to a copy of the document, the result is
// validated once, and the difference becomes the change set of events and log.
// The operations of a request are one unit: either all of them count or the
// stored document stays as it was (RFC 7644 §3.5.2).
//
// Members of a group never enter the document. Operations on them come out as
// ids to add and to remove, so that a change costs the same in a group of ten
// and of a hundred thousand, and concurrent requests do not overwrite each
// other's lists.
package patch
