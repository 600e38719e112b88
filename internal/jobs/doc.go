// Package jobs runs work outside of requests: deliveries, back-channel logout,
// sealing, retention. It owns the table jobs.
//
// A job is enqueued in the transaction of the change that asks for it, so it
// exists exactly when the change does. Runners of any number of replicas lease
// due jobs; a lease that runs out, because its replica died, is taken by
// another. A handler's context ends before the lease does, so a handler that
// heeds its context never runs beside itself; it may run more than once and
// must bear that.
//
// A failed job is tried again after 5 s, doubling to at most an hour, with
// jitter; after the last attempt it is dropped and logged as an error. A
// graceful stop returns leases, so that another replica goes on at once.
//
// Leases compare clocks of replicas: they must agree to about 10 seconds.
package jobs
