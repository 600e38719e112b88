// Package client is the OpenID Connect relying party, one per connection.
//
//	GET /oidc/{connection}/login      sends the browser to the OpenID provider
//	GET /oidc/{connection}/callback   takes the answer
//
// A login is the code flow with PKCE S256, state and nonce (OpenID Connect Core
// §3.1, RFC 9700 §2.1.1). State is bound to the browser by the flow's cookie
// and used up before the code is redeemed; the ID token is judged here, check by
// check, each with its own code, and becomes a signin.Identity. Every address
// that a tenant or its provider names is fetched through safehttp.
package client
