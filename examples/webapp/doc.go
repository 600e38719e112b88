// Package webapp is a sample application that signs people in through Gatehouse:
// the code flow with PKCE, refresh with rotation, and sign-out (OpenID Connect
// Core §3.1, RFC 7636), checks what they may, and takes webhooks. It uses
// golang.org/x/oauth2 and the package client, as an application of a vendor would,
// and shows the tokens that it received.
//
//	GET  /           choose an organization, or the tokens of the session
//	GET  /login      starts; also takes a third-party initiated login (iss, connection)
//	GET  /callback   takes the code
//	POST /refresh    refreshes
//	POST /logout     ends the session here and at Gatehouse
//	GET  /projects   a page for people who hold projects.read
//	GET  /api/projects  the same for programs, by access token
//	POST /webhooks   takes what Gatehouse sends; the first page shows it
//
// Key your users by sub together with tenantId, never by e-mail.
package webapp
