package api

import (
	"html"
	"slices"
	"strings"
)

// docsPage lists the operations for people; tools read the OpenAPI document.
// stylesheet is the address of the house's look; the page reads without it too.
func docsPage(routes []route, stylesheet string) []byte {
	var b strings.Builder
	b.WriteString(`<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark"><title>Gatehouse management API</title>`)
	if stylesheet != "" {
		b.WriteString(`<link rel="stylesheet" href="` + html.EscapeString(stylesheet) + `">`)
	}
	b.WriteString(`</head><body><main class="main"><div class="head"><div><h1>Management API</h1>
<p>The machine-readable description is <a href="/api/v1/openapi.json">/api/v1/openapi.json</a> (OpenAPI 3.1). All addresses stand below <code>/api/v1</code>.</p></div></div>
<section class="card"><table><tbody>
<tr><th scope="row">Credentials</th><td>One of: a management key, a tenant’s or a person’s API token, as <code>Authorization: Bearer …</code> or <code>X-API-KEY: …</code>; a user’s access token, as <code>Authorization: Bearer …</code>. <code>gatehouse key create --name …</code> makes a management key. API tokens and users reach their own tenant, and those of its sub-accounts that are open to them.</td></tr>
<tr id="errors"><th scope="row">Errors</th><td><code>application/problem+json</code> (RFC 9457). <code>code</code> names what went wrong and never changes; <code>errors</code> names the inputs; <code>instance</code> is the request id. Another tenant’s object is absent: 404.</td></tr>
<tr><th scope="row">Lists</th><td><code>{"data":[…],"next_cursor":null}</code>. Give <code>next_cursor</code> as <code>cursor</code> for the next page, or follow <code>Link: …; rel="next"</code>, and <code>limit</code> (1 to 200) for its size.</td></tr>
<tr><th scope="row">Once</th><td>A POST with an <code>Idempotency-Key</code> takes effect once within 24 hours; sent again it gets the first answer and <code>Idempotency-Replayed: true</code>. What was refused has changed nothing and is judged anew.</td></tr>
<tr><th scope="row">Versions</th><td>Objects that change have an <code>ETag</code>. Give it as <code>If-Match</code> to change that version and none after it (412 <code>version_mismatch</code>).</td></tr>
<tr><th scope="row">Rate</th><td>600 requests a minute for each credential and replica, and 3,000 for all credentials of a tenant together: <code>RateLimit</code> tells what is left, <code>Retry-After</code> when to come back (429). Wrong credentials are limited by address.</td></tr>
</tbody></table></section>
`)
	var tags []string
	for _, r := range routes {
		if !slices.Contains(tags, r.tag()) {
			tags = append(tags, r.tag())
		}
	}
	for _, tag := range tags {
		b.WriteString(`<section class="card"><header><h2>` + html.EscapeString(tag) + `</h2></header><div class="scroll" role="region" tabindex="0" aria-label="` + html.EscapeString(tag) + `"><table><thead><tr><th scope="col">Operation</th><th scope="col">What it does</th><th scope="col">Permission</th></tr></thead><tbody>` + "\n")
		for _, r := range routes {
			if r.tag() == tag {
				b.WriteString("<tr><td><code>" + r.method + " " + html.EscapeString(r.path) + "</code></td><td>" + html.EscapeString(r.summary) + "</td><td><code>" + html.EscapeString(r.permission) + "</code></td></tr>\n")
			}
		}
		b.WriteString("</tbody></table></div></section>\n")
	}
	b.WriteString("</main></body></html>\n")
	return []byte(b.String())
}
