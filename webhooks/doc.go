// Package webhooks tells applications of tenants what happened: the catalogue of
// event types that the vendor offers (product 71), the endpoints that a tenant
// subscribes with (73), events of the vendor's own application (72), and their
// delivery by Standard Webhooks 1.0.0 with a log.
//
// Tables: event_types, webhook_endpoints, webhook_secrets, webhook_queues,
// webhook_messages, webhook_deliveries, webhook_attempts. It fills
// audit_interest and empties the outbox through operations of audit.
//
// # From a change to a request
//
//	audit.Record     writes the event, and an outbox row where somebody subscribes,
//	                 in the transaction of the change
//	dispatch         one transaction: claims outbox rows, of each tenant a part, writes
//	                 one message per event and type and one delivery per endpoint, makes
//	                 the endpoints' queues due
//	claim            leases queues that are due to one replica
//	lane             sends due deliveries of one queue, outside of any transaction,
//	                 writes each attempt down, and gives the queue back
//
// A message's id is the webhook-id of every request that carries it, so that a
// receiver knows a repetition. A replica that dies takes its leases with it; when
// they have run out another one sends what it finds undelivered: at least once, in
// no promised order.
//
// A queue is one endpoint's, and one replica works on it at a time, a few requests
// at once. A turn is short, and the queue then goes behind the others: whoever has
// ten thousand deliveries waiting delays nobody who has one. Endpoints that are
// slow or do not answer have lanes of their own, and one tenant never has more than a
// part of either.
package webhooks
