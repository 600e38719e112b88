// Package api is the management API: REST under /api/v1, described by an OpenAPI
// 3.1 document at /api/v1/openapi.json and a page at /api/docs.
//
// Every route is registered through read, write or remove. They make it
// impossible to forget a step: the host gives the environment, the one credential
// gives the actor (401), {t} is resolved inside the actor's environment (404 for
// what is not there and for what is somebody else's), the route's permission is
// authorized and a denial recorded (403; the same one once a minute), and only then
// the body is read and validated (422). Writes run in one transaction.
//
//	credentials  Authorization: Bearer, or X-API-KEY: a management key, a tenant's or
//	             personal API token; Bearer alone: a user's access token
//	errors       application/problem+json (RFC 9457) with a stable code
//	lists        {"data":[…],"next_cursor":null}; ?limit= and ?cursor=; Link rel=next
//	once         Idempotency-Key on every POST that does more than ask: commit stores
//	             the answer, encrypted, in the transaction of the change (table
//	             idempotency_keys)
//	versions     ETag of bodies that are tagged; If-Match by scope.match
//	rate         RateLimit, RateLimit-Policy, Retry-After: a bucket per credential,
//	             and one that those of a tenant share; wrong credentials are limited
//	             by address
//
// The actors of a tenant reach its routes, and those of its sub-accounts through
// directory.Enter; routes outside of tenants are the vendor's, whatever a role of a
// tenant covers. A route without a permission serves every credential, and its
// operation decides.
//
// What is true of every route stands in the OpenAPI document by itself (describe);
// tests check every answer against it.
//
// Fields that nobody knows are refused,
// never ignored.
package api
