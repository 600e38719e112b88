// Package login holds the sign-in pages.
//
//	GET  /login?flow=…               the home-realm page: e-mail, or the tenant's connections
//	POST /login                      e-mail or chosen connection → 303 to the connection's login
//	GET  /signin/continue/{handle}   proves the browser of a verified answer, finishes the sign-in,
//	                                 sets the session cookie → 303 to the authorization endpoint
//	GET  /logout                     asks
//	POST /logout                     ends the browser's session
//
// No page says whether an account exists: what the home-realm page shows
// depends on the domain of the address alone.
package login
