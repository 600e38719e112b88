// Package saml is the SAML 2.0 service provider, one per connection.
//
//	GET  /saml/{connection}            the entity ID: answers the metadata
//	GET  /saml/{connection}/metadata   SP metadata
//	GET  /saml/{connection}/login      sends the browser to the identity provider
//	POST /saml/{connection}/acs        takes the response; a GET is refused with a page
//
// It owns the table saml_replays. Responses are judged by [verify] alone; what
// it accepted becomes a signin.Identity, kept under a one-time handle in the
// transaction that uses up the request and the assertion, and the browser goes
// on to /signin/continue/{handle}, where its cookie is sent: a cross-site POST
// carries none (SAML bindings §3.5, and RFC 6265bis on SameSite).
package saml
