// Package filter reads SCIM filters and PATCH paths (RFC 7644 §3.4.2.2,
// §3.5.2), decides whether a resource matches, and plans the part of a filter
// that SQL can answer.
//
// There is one evaluation semantics: the in-memory matcher (Bound.Match). A
// plan never contradicts it: the SQL condition is a superset of the matching
// resources, and where the plan says Exact, it is the set itself. Whatever a
// client writes reaches the database as a bound parameter only.
//
// Every filter is bounded in length, terms and depth before anything is built
// from it, so that a hostile one is refused in far less than a millisecond.
package filter
