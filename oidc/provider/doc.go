// Package provider is the OpenID Provider towards the vendor's applications.
// Its issuer is the base URL of the environment, which the request's host names;
// no address comes from a request header. It owns the tables
// pushed_requests, oauth_replays and device_requests.
//
//	GET      /.well-known/openid-configuration         OpenID Connect Discovery §4
//	GET      /.well-known/oauth-authorization-server   RFC 8414 §3
//	GET POST /oauth2/authorize                         RFC 6749 §4.1.1, OpenID Connect Core §3.1.2
//	POST     /oauth2/par                               RFC 9126 §2
//	POST     /oauth2/token                             RFC 6749 §4.1.3, §4.4, §6
//	POST     /oauth2/device_authorization              RFC 8628 §3.1
//	GET POST /oauth2/device                            RFC 8628 §3.3
//	GET POST /oauth2/userinfo                          OpenID Connect Core §5.3
//	GET      /oauth2/jwks                              RFC 7517 §5
//	POST     /oauth2/revoke                            RFC 7009 §2
//	POST     /oauth2/introspect                        RFC 7662 §2
//	GET POST /oauth2/logout                            OpenID Connect RP-Initiated Logout §2
//
// Only the code flow with PKCE S256. An application that cannot do PKCE has
// require_pkce switched off; a challenge that is sent is enforced all the same,
// and a verifier without a challenge is refused (RFC 9700 §2.1.1).
//
// A refresh token is issued when the application asks for the scope
// offline_access, whatever its type; without it the application sends the
// browser to /oauth2/authorize again, where the session answers at once.
//
// Every grant checks the lifecycle of environment, tenant, connection,
// membership and person (signin.Check) and computes the roles anew. Tokens are
// signed after the commit, so that a rolled-back transaction leaves none.
//
// # Answers
//
// A request that names no known client, or an address that the client has not
// registered, ends on an error page and never in a redirect. Every other fault of
// /oauth2/authorize goes to the client, with iss (RFC 9207). A POST from the
// client's site carries no SameSite=Lax cookie, so it is turned into a GET of our
// own first.
package provider
