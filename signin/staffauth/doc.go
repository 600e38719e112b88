// Package staffauth is how the vendor's people sign in to the back office: by a
// password and a second factor, by a passkey that verifies its holder, or through
// the vendor's own OpenID provider.
//
// Tables: staff_credentials, staff_links, staff_flows, staff_sso, staff_identities.
// People and their sessions belong to rbac/staff; factors, tries and the places
// for hashing to signin/factor, which serves people of tenants alike.
//
// A sign-in is a flow of one browser, found by a cookie. What its person has
// proved stands on it, and the next question follows from that:
//
//	nothing             → password, passkey, or the provider
//	a link              → a password of his own, then a second factor
//	password, provider  → a second factor that he has
//	provider, no factor → a second factor is set up
//	two factors         → a session (rbac/staff)
//
// A password alone leads nowhere: who has no second factor needs a link from an
// admin, because whoever found out the password could set one up as well. No
// answer tells whether an account exists.
package staffauth
