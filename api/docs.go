package api

import (
	"html"
	"slices"
	"strings"
)

// docsPage lists the operations. It needs nothing from anywhere else; tools read
// the OpenAPI document.
func docsPage(routes []route) []byte {
	var b strings.Builder
	b.WriteString(`<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Gatehouse management API</title></head><body><main><h1>Gatehouse management API</h1>
<p>The machine-readable description is <a href="/api/v1/openapi.json">/api/v1/openapi.json</a> (OpenAPI 3.1). All addresses stand below <code>/api/v1</code>.</p>
<h2>Credentials</h2><p>A management key, as <code>Authorization: Bearer …</code> or <code>X-API-KEY: …</code>. <code>gatehouse key create --name …</code> makes one.</p>
<h2 id="errors">Errors</h2><p>Errors are <code>application/problem+json</code> (RFC 9457). <code>code</code> names what went wrong and never changes; <code>errors</code> names the inputs; <code>instance</code> is the request id.</p>
<h2>Lists</h2><p>Lists are <code>{"data":[…],"next_cursor":null}</code>. Give <code>next_cursor</code> as <code>cursor</code> for the next page, and <code>limit</code> (1 to 200) for its size.</p>
`)
	var tags []string
	for _, r := range routes {
		if !slices.Contains(tags, r.tag()) {
			tags = append(tags, r.tag())
		}
	}
	for _, tag := range tags {
		b.WriteString("<h2>" + html.EscapeString(tag) + "</h2><table><thead><tr><th>Operation</th><th>What it does</th><th>Permission</th></tr></thead><tbody>\n")
		for _, r := range routes {
			if r.tag() == tag {
				b.WriteString("<tr><td><code>" + r.method + " " + html.EscapeString(r.path) + "</code></td><td>" + html.EscapeString(r.summary) + "</td><td><code>" + html.EscapeString(r.permission) + "</code></td></tr>\n")
			}
		}
		b.WriteString("</tbody></table>\n")
	}
	b.WriteString("</main></body></html>\n")
	return []byte(b.String())
}
