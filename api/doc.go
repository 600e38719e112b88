// Package api is the management API: REST under /api/v1, described by an OpenAPI
// 3.1 document at /api/v1/openapi.json and a page at /api/docs.
//
// Every route is registered through read, write or remove. They make it
// impossible to forget a step: the host gives the environment, the credential
// gives the actor (401), {t} is resolved inside the actor's environment (404 for
// what is not there and for what is somebody else's), the route's permission is
// authorized and a denial recorded (403), and only then the body is read and
// validated (422). Writes run in one transaction.
//
//	credentials  Authorization: Bearer <management key>, or X-API-KEY: <management key>
//	errors       application/problem+json (RFC 9457) with a stable code
//	lists        {"data":[…],"next_cursor":null}; ?limit= and ?cursor=
//
// Fields that a later version serves are refused with the code not_supported,
// never ignored; so are fields that nobody knows.
package api
