// Package saml is the SAML 2.0 service provider, one per connection.
//
//	GET  /saml/{connection}            the entity ID: answers the metadata
//	GET  /saml/{connection}/metadata   SP metadata, with both keys during a rotation
//	GET  /saml/{connection}/login      sends the browser to the identity provider
//	POST /saml/{connection}/acs        takes the response; a GET is refused with a page
//	GET  /saml/{connection}/slo        takes logout messages by the Redirect binding
//	POST /saml/{connection}/slo        takes them by the POST binding
//
// It owns the table saml_replays. Messages are judged by [verify] alone; what it
// accepted becomes a signin.Identity, kept under a one-time handle in the
// transaction that uses up the request and the assertion, and the browser goes
// on to /signin/continue/{handle}, where its cookie is sent: a cross-site POST
// carries none (SAML bindings §3.5, and RFC 6265bis on SameSite).
//
// A response that nobody asked for is discarded and a login begun anew, unless
// the connection takes such; then it makes a flow of its own, and the browser is
// sent to an application that is registered, never to an address that the
// response names.
//
// # Logout
//
// A LogoutRequest of the identity provider ends what it names, wherever the
// person's browser is, and needs no cookie; one of ours goes out after the
// session here has ended, so that nothing depends on the answer. Between the
// request and its answer, where the browser goes at last stands in sso_requests,
// under a key that no AuthnRequest can have.
//
// # Keys
//
// The connection's own keys (tenants.SPKey) sign AuthnRequests, where the
// connection asks for it, and all logout messages. What was encrypted to the
// active, the next or a retired key is read.
package saml
