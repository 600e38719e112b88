// Package scim is the SCIM 2.0 service provider (RFC 7643, RFC 7644, RFC 9865).
//
// Routes, below /scim/{connection}/v2:
//
//	GET POST                 /Users /Groups
//	GET PUT PATCH DELETE     /Users/{id} /Groups/{id}
//	GET POST                 /  (root query)  /.search /Users/.search /Groups/.search
//	POST                     /Bulk
//	GET                      /ServiceProviderConfig (and two legacy names) /ResourceTypes /Schemas
//	GET                      /Me  a person's access token: the own resource; 501 for a connection's
//
// and beside it POST /scim/{connection}/oauth2/token, the client credentials grant
// of RFC 6749 §4.4, for clients that take no token by hand.
//
// A connection belongs to one tenant, a bearer token to one connection; ids of
// other connections do not exist. Every request passes Handler.handle: token →
// connection → actor, rate limit, the operation, the mapping of its failure, and
// the provisioning log.
//
// # Storage
//
// Tables: scim_resources, scim_values, scim_requests, counts. A resource is its
// document as JSON text beside the columns that are searched; members of groups
// are rows of package directory. A filter becomes an indexed superset condition
// in SQL and, where that is not exact, one matcher on documents streamed in the
// order of pages. A write is one transaction of a search or lock and one batch.
//
// # Decisions where the RFCs leave room
//
//   - A member id that is no resource of the connection is refused
//     (400 invalidValue); removing one that is not a member changes nothing.
//   - PATCH of a group answers 204 unless attributes are asked for, so that its
//     cost does not grow with the group (RFC 7644 §3.5.2).
//   - A tenant's own schemas are extensions of all its connections. Values of one
//     that was removed or changed stay stored, out of answers and filters.
//   - A paused connection and a suspended tenant answer 403 to a good token.
//   - A password that a client sends is not kept: it would be the person's own in
//     every tenant (design, identity rule 1). ServiceProviderConfig says so.
//   - members carry value, $ref and type; display is left to the user's resource.
//   - DELETE takes the person out of the connection's groups (RFC 7644 §3.6).
package scim
