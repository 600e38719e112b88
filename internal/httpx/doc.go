// Package httpx is what every surface does to a request before and after its
// own work: who asks (request id, address, user agent), the access log, the
// end of a panic, reading a bounded body, headers of pages, JSON out.
//
// Order in the router: Identify, AccessLog, Recover, then routes, which bound
// their bodies themselves.
// AccessLog logs the pattern of the route and never the path, because paths
// carry one-time secrets (/setup/{token}); it must stand inside a chi router
// to learn the pattern.
//
// The tenant is never here: it travels in actor.Actor. The context carries
// Info for logs alone.
package httpx
