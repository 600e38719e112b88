// Package sessions holds who is signed in where: sessions, authorization codes
// and families of refresh tokens.
//
// It owns sessions, session_tenants, session_clients, auth_codes and
// refresh_families.
//
// A session belongs to a person in an environment and lists the tenants that it
// has satisfied, and how: a login through tenant A's connection proves the person
// for A only (design, identity rule 6). Its times are the strictest of those
// tenants (rule 7). [Service.End] strikes a tenant from sessions, revokes the
// refresh families of that tenant and marks the applications that have to be
// told; a session without tenants ends.
//
// # Refusals that must commit
//
// Redeeming a code twice and presenting a refresh token that was already
// rotated revoke what was made from them (RFC 9700 §4.5, §4.14.2). Were the
// refusal an error, the transaction would roll the revocation back. So
// [Service.ConsumeCode] and [Service.Rotate] return it as a value, in Refused:
// the caller commits and then answers with it. An error means that nothing was
// decided.
//
// # Refresh tokens
//
// A token is gwr_<family>_<seq>_<MAC>. The family is one row with the current
// seq, so a rotation is one UPDATE, and the MAC tells a genuine old token, whose
// reuse revokes the family, from a forged one, which revokes nothing. For thirty
// seconds the token before answers with the same successor: clients that lose an
// answer or refresh in two tabs are not thrown out.
package sessions
