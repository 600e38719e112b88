// Package oidc is the vocabulary that OpenID Connect and OAuth 2.0 share on
// both of our sides: names of scopes, errors, token types and events, and PKCE
// (RFC 7636). It owns no table and no route.
package oidc
