// Package webapp is a sample application that signs people in through Gatehouse:
// the code flow with PKCE, refresh with rotation, and sign-out (OpenID Connect
// Core §3.1, RFC 7636). It uses golang.org/x/oauth2 and nothing of ours, as an
// application of a vendor would, and shows the tokens that it received.
//
//	GET  /           choose an organization, or the tokens of the session
//	GET  /login      starts; also takes a third-party initiated login (iss, connection)
//	GET  /callback   takes the code
//	POST /refresh    refreshes
//	POST /logout     ends the session here and at Gatehouse
//
// Key your users by sub together with tenantId, never by e-mail.
package webapp
