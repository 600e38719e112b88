// Package client is what an application in Go needs beside Gatehouse: the
// management API, access tokens, and webhooks. It imports nothing else of the
// project, and may be copied into an application.
//
// # Management API
//
// A [Client] calls the API with a management key or an API token:
//
//	c, err := client.New("https://id.example.com", os.Getenv("GATEHOUSE_KEY"))
//	tenant, err := c.CreateTenant(ctx, client.NewTenant{Name: "Acme", Key: "acme"})
//	for user, err := range c.Users(ctx, "acme", nil) { … }
//
// The common operations are methods. Every other one is a line with [Get], [Post],
// [Patch], [Put], [Client.Delete] and [List] and a type of your own, or with types
// generated from the OpenAPI document at /api/v1/openapi.json.
//
// Requests that may be sent again are, with growing pauses, when the server asks
// to wait (429, 503) or the connection breaks: reads, and POSTs under an
// Idempotency-Key, which every POST gets by itself. A refusal is an [*Error] with a
// stable code.
//
// # Access tokens
//
// A [Verifier] checks access tokens against the issuer's published keys, and guards
// handlers:
//
//	v, err := client.NewVerifier(client.VerifierConfig{Issuer: "https://id.example.com", Audience: "app_…"})
//	mux.Handle("DELETE /invoices/{id}", v.Protect(client.RequirePermission("invoices.delete"))(handler))
//
// Permissions in a token stand as they are held, wildcards included (invoices.*);
// [Claims.HasPermission] expands them. Key your users by Subject together with
// TenantID, never by e-mail.
//
// A token says what held when it was issued; a change of roles shows in the next
// one. Keep lifetimes short, ten minutes by default, or ask the API.
//
// # Webhooks
//
// [VerifyWebhook] checks a delivery by Standard Webhooks 1.0.0.
package client
