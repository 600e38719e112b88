// Package idp is a test identity provider: one handler that speaks SAML 2.0 and
// OpenID Connect for a list of people. `gatehouse demo` runs it; tests drive it
// through its knobs, with which it misbehaves in the ways that a relying party
// must notice.
//
// Routes, below the path of the base URL:
//
//	GET      /                                   people, addresses, IdP-initiated links
//	GET      /saml/metadata                      metadata with the signing certificates
//	GET POST /saml/sso                           AuthnRequest by Redirect or POST binding
//	GET POST /saml/slo                           LogoutRequest and LogoutResponse, Redirect binding
//	GET      /saml/initiate?sp=&RelayState=      IdP-initiated login
//	GET      /.well-known/openid-configuration   discovery
//	GET      /oidc/jwks
//	GET POST /oidc/authorize                     code flow, PKCE S256
//	POST     /oidc/token
//	GET POST /oidc/userinfo
//	POST     /login                              the choice of a person, for both
//	GET      /assets/…
//
// Anybody may log in as anybody: it is for tests and demonstrations. Signing
// and encryption are written here and not taken from the gateway, so that a
// mistake there does not cancel out.
package idp
