// Package login holds the sign-in pages.
//
//	GET  /login?flow=…               the home-realm page: e-mail, or the tenant's connections
//	POST /login                      e-mail or chosen connection → 303 to the connection's login
//	GET  /signin/continue/{handle}   proves the browser of a verified answer, finishes the sign-in,
//	                                 sets the session cookie → 303 to the authorization endpoint
//	POST /signin/continue/{handle}   the same, after the person confirmed to change from somebody else's session
//	GET  /login/test?flow=&token=    begins a test login in this browser → 303 to the connection's login
//	GET  /login/test/{flow}          what came of it, for the same browser
//	GET  /login/break-glass/{token}  asks, and uses nothing up
//	POST /login/break-glass/{token}  uses an operator's link up: signs in past SSO enforcement
//	GET  /invitations/{token}        moves an invitation's token from the address to a cookie → 303 to /invitations
//	GET  /join/{token}               the same for an invite link
//	GET  /invitations                says who invites to what, and uses nothing up
//	POST /invitations                begins the sign-in that accepts it, or accepts it for who is signed in
//	GET, POST /login/password        e-mail and password
//	POST /login/passkey              a passkey, which says itself who it is
//	GET, POST /login/switch          the organizations of who is signed in; leads to the application
//	GET  /signin/social/{handle}     goes on with what a connection of the environment verified
//	GET, POST /login/connect         an account of such a connection that nobody has: shall it be connected?
//	GET, POST /login/account         somebody of several organizations chooses
//	GET, POST /login/forgot          mails a link to set a password
//	GET, POST /login/reset/{token}   sets it
//	GET, POST /mfa                   a second factor
//	POST /mfa/key, /mfa/mail         asks for a key, mails a code
//	GET, POST /mfa/enrol             a second factor for who must have one
//	POST /mfa/resume                 goes on after that; where nothing more is asked, a GET of a step offers it
//	GET  /logout                     asks
//	POST /logout                     ends the browser's session, and then those at SAML identity providers
//	GET  /logout/done                says so
//
// No page says whether an account exists: what the home-realm page shows
// depends on the domain of the address alone.
package login
