package httpx

import "context"

type connectionKey struct{}

// WithConnection remembers in ctx, whose time is bounded, the context that ends
// with the client's connection alone.
func WithConnection(ctx, connection context.Context) context.Context {
	return context.WithValue(ctx, connectionKey{}, connection)
}

// Connection gives the context that ends when the client goes away: for a stream,
// which may take longer than a request has. Where none was remembered it is ctx.
func Connection(ctx context.Context) context.Context {
	if c, ok := ctx.Value(connectionKey{}).(context.Context); ok {
		return c
	}
	return ctx
}
