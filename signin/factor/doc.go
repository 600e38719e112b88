// Package factor is what people prove themselves with here: passwords, one-time
// codes of an authenticator app or by mail, security keys and passkeys, and
// recovery codes; and how often they may try.
//
// Tables: password_history, password_resets, attempts, factors, recovery_codes,
// challenges, remembered_devices; staff_factors and staff_recovery_codes for the
// vendor's people. A password's hash stands on the user, which belongs to directory.
//
// # Guessing
//
// Every try is counted in the database before it is judged, so that tries on many
// replicas at once are all counted; what holds takes the count back. Tries are
// counted by account, known or not, over all factors together, and by address.
// A wait that doubles comes first, the lock of the lockout policy after it
// (product 41); both keep out passwords and codes alone: who comes through his
// organization's identity provider, or is signed in, is not touched.
//
// # Cost
//
// Hashing a password takes 19 MiB and some 25 ms on purpose. Half as many hashes
// run at once as there are processors, and a bounded number wait for them; more
// are turned away before they cost anything, so that a flood of wrong passwords
// cannot take processors, memory or database from single sign-on and provisioning.
package factor
