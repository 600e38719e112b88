// Package oidc is what both of our sides share of OpenID Connect and OAuth 2.0:
// names of scopes, errors, token types and events, PKCE (RFC 7636), and the
// documents and keys that others publish, remembered (RFC 7517). It owns no table
// and no route.
package oidc
