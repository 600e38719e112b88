// Package client is the OpenID Connect relying party, one per connection, and
// what identity providers ask of us by themselves.
//
//	GET      /oidc/{connection}/login                      sends the browser to the OpenID provider, or begins
//	POST                                                   a login that the provider starts (OpenID Connect Core §4)
//	GET|POST /oidc/{connection}/callback                   takes the answer; POST with response_mode=form_post
//	GET      /oidc/{connection}/jwks                       our keys at the connection, for private_key_jwt
//	POST     /oidc/{connection}/backchannel-logout         takes logout tokens (OpenID Connect Back-Channel Logout)
//	POST     /sso/{connection}/global-token-revocation     takes Global Token Revocation, for SAML connections too
//
// A login is the code flow with PKCE S256, state and nonce (OpenID Connect Core
// §3.1, RFC 9700 §2.1.1). State is bound to the browser by the flow's cookie
// and used up before the code is redeemed; the ID token is judged here, check by
// check, each with its own code, and becomes a signin.Identity. Every address
// that a tenant or its provider names is fetched through safehttp: discovery and
// keys are read and kept here (cache.go), because what they say may be believed
// for as long as they say, and no longer than an outage lasts.
//
// The package owns the table oidc_replays: tokens of providers that count once.
package client
