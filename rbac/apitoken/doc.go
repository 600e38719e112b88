// Package apitoken owns the tokens by which programs act in a tenant: tenant
// tokens, and personal tokens of the tenant's people (product 2.3, 7.4).
//
// Tables: api_tokens, api_token_roles, api_token_permissions. A locator of tenants
// leads from a token's id to its tenant.
//
// Each is of one of two kinds. A client-credentials token is a client id and a
// secret, exchanged for a short-lived access token at the token endpoint
// (Exchange). An access token is one secret that is sent as it is (Authenticate).
//
// What a token may do is computed anew at each use. A tenant token has roles, or
// single permissions; it dies with the last of them, not with its author. A
// personal token has the roles of its person in that tenant and dies with the
// membership; it sleeps while the person could not log in, such as disabled, past
// a guest's access period, or with the tenant suspended (product 129).
//
// The level rule holds at creation and deletion (product 121): nobody makes or
// takes a token with a stronger role than his own.
package apitoken
