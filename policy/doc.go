// Package policy owns the security rules of environments and tenants: second
// factors, addresses, e-mail domains, sessions, lockout, passwords and SSO
// enforcement (product 40 to 53, 125 to 127).
//
// Table: policies (one JSON body per environment or tenant and kind).
//
// Evaluate is pure: it takes everything that a decision needs as a value and
// gives the decision with the checks that led to it. Put validates a body with
// the rules that bind at save.
package policy
