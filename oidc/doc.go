// Package oidc is what both of our sides share of OpenID Connect and OAuth 2.0:
// names of scopes, errors, token types and events, PKCE (RFC 7636), and the
// documents and keys that others publish, remembered (RFC 7517). It has no route.
//
// It owns the table jwt_templates: what access tokens say beside the claims of every
// token, and for whom (product 2.2). [Templates] keeps them, oidc/provider applies them.
package oidc
