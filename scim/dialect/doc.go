// Package dialect holds what each SCIM client does differently from the RFCs,
// as a table of named rules, and the profiles that switch them on.
//
// A connection has one profile. Wherever the engine tolerates something that
// RFC 7643 or RFC 7644 does not ask for, it does so under a rule of this
// package: the rule has a name, one line that says what it tolerates and the
// source that shows the client doing it. A rule that decided something is
// recorded by name, so that the provisioning log can tell an administrator why
// a request was read the way it was.
package dialect
