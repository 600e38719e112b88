package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

const about = `Environments, tenants, connections, people, roles and policies.

**Credentials**: a management key, a tenant's or a person's API token, or a user's access token, as ` + "`Authorization: Bearer`" + `; keys and API tokens also as ` + "`X-API-KEY`" + `. One of them. The last three reach their own tenant, and those of its sub-accounts that are open to them.

**Errors** are ` + "`application/problem+json`" + ` with a stable ` + "`code`" + `. Everywhere: ` + "`ambiguous_credentials`" + ` (400), ` + "`invalid_credentials`" + ` (401), ` + "`forbidden`" + ` (403), ` + "`not_found`" + ` and codes such as ` + "`tenant_not_found`" + ` (404; another tenant's object is absent, not forbidden), ` + "`conflict`" + ` (409), ` + "`version_mismatch`" + ` (412), ` + "`body_too_large`" + ` (413), ` + "`validation_failed`" + ` (422, with ` + "`errors`" + ` that name the input), ` + "`rate_limited`" + ` and ` + "`too_many_attempts`" + ` (429, with Retry-After), ` + "`internal`" + ` (500), ` + "`try_again`" + ` (503).

**Lists** are pages: give ` + "`next_cursor`" + ` as ` + "`cursor`" + `, or follow Link.

**Changes** refuse fields that nobody knows; a field that is null is as if left out, unless null is among its types. A POST may carry an ` + "`Idempotency-Key`" + `: sent again within 24 hours it takes effect once and gets the same answer. Objects have an ETag; give it as ` + "`If-Match`" + ` to change what you have read and nothing newer.`

// describe adds to the document what is true of every route, and renders it and
// the page once.
func (h *Handler) describe() error {
	doc := h.api.OpenAPI()
	doc.Components.Parameters = map[string]*huma.Param{
		"IdempotencyKey": {
			Name: "Idempotency-Key", In: "header", Description: "Makes the request take effect once, however often it is sent (draft-ietf-httpapi-idempotency-key-header-07): the first answer is kept for 24 hours. For another request: 422 idempotency_key_reused; while the first one runs: 409 request_in_flight. A request that was refused has changed nothing and is judged anew.",
			Schema: &huma.Schema{Type: huma.TypeString, MinLength: new(1), MaxLength: new(maxKey)}, Example: `"8e03978e-40d5-43e8-bc93-6894a57f9324"`,
		},
		"IfMatch": {
			Name: "If-Match", In: "header", Description: "ETags of the versions that may be changed (RFC 9110 §13.1.1); any other: 412 version_mismatch.",
			Schema: &huma.Schema{Type: huma.TypeString}, Example: `"v3"`,
		},
	}
	text := func(about string) *huma.Header {
		return &huma.Header{Description: about, Schema: &huma.Schema{Type: huma.TypeString}}
	}
	doc.Components.Headers = map[string]*huma.Header{
		"ETag":                 text("The version of the object, for If-Match."),
		"Link":                 text(`The next page, as rel="next" (RFC 8288); absent on the last.`),
		"Idempotency-Replayed": text("true when the answer is the one that was kept for the Idempotency-Key."),
		"RateLimit":            text(`What is left: "api";r=573;t=12, requests and seconds until all are there again, of the bucket that ends first ("api" the credential's, "tenant" its tenant's) (draft-ietf-httpapi-ratelimit-headers-10).`),
		"RateLimit-Policy":     text(`What a credential may, and all those of its tenant together: "api";q=600;w=60, "tenant";q=3000;w=60, requests and seconds.`),
		"Retry-After":          text("With 429 and 503: seconds to wait."),
		"WWW-Authenticate":     text("With 401 (RFC 6750 §3)."),
		"X-Request-Id":         text("The request's id, which the log knows."),
	}
	var tags []string
	for _, r := range h.routes {
		op := operationOf(doc, r)
		if !slices.Contains(tags, r.tag()) {
			tags = append(tags, r.tag())
			doc.Tags = append(doc.Tags, &huma.Tag{Name: r.tag()})
		}
		success := op.Responses[strconv.Itoa(r.status)]
		if success == nil {
			return fmt.Errorf("api: %s has no response %d", r.id, r.status)
		}
		head(success, "RateLimit", "RateLimit-Policy", "X-Request-Id")
		if r.tagged {
			head(success, "ETag")
		}
		if r.paged {
			head(success, "Link")
		}
		if r.method == http.MethodPost && !r.unkept {
			op.Parameters = append(op.Parameters, &huma.Param{Ref: "#/components/parameters/IdempotencyKey"})
			head(success, "Idempotency-Replayed")
		}
		if r.versioned(h.routes) {
			op.Parameters = append(op.Parameters, &huma.Param{Ref: "#/components/parameters/IfMatch"})
		}
		if failure := op.Responses["default"]; failure != nil {
			failure.Description = "Refused: the status and the code say why."
			head(failure, "RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate", "X-Request-Id")
		}
	}
	var err error
	if h.spec, err = h.render(doc); err != nil {
		return fmt.Errorf("api: %w", err)
	}
	h.docs = docsPage(h.routes, h.Stylesheet)
	return nil
}

// render encodes the document. An object or a choice that may be null is shown so,
// which the framework does for plain values only; it goes on reading requests by
// its own.
func (h *Handler) render(doc *huma.OpenAPI) ([]byte, error) {
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	var all map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	components, _ := all["components"].(map[string]any)
	schemas, _ := components["schemas"].(map[string]any)
	for name, s := range schemas {
		t := doc.Components.Schemas.TypeFromRef("#/components/schemas/" + name)
		schema, _ := s.(map[string]any)
		properties, _ := schema["properties"].(map[string]any)
		if t == nil || t.Kind() != reflect.Struct || properties == nil {
			continue
		}
		for _, f := range reflect.VisibleFields(t) {
			key, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			property, ok := properties[key].(map[string]any)
			if types, may := property["type"].([]any); may && slices.Contains(types, any("null")) && property["enum"] != nil {
				property["enum"] = append(property["enum"].([]any), nil)
			}
			if !ok || property["$ref"] == nil || f.Type.Kind() != reflect.Pointer || strings.Contains(options, "omitempty") {
				continue
			}
			either := map[string]any{"anyOf": []any{map[string]any{"$ref": property["$ref"]}, map[string]any{"type": "null"}}}
			if about, ok := property["description"]; ok {
				either["description"] = about
			}
			properties[key] = either
		}
	}
	return json.Marshal(all)
}

func head(r *huma.Response, names ...string) {
	if r.Headers == nil {
		r.Headers = map[string]*huma.Header{}
	}
	for _, n := range names {
		r.Headers[n] = &huma.Header{Ref: "#/components/headers/" + n}
	}
}

// versioned reports whether the route changes an object that is shown with an ETag
// at the same address.
func (r route) versioned(all []route) bool {
	switch r.method {
	case http.MethodPatch, http.MethodPut, http.MethodDelete:
		return slices.ContainsFunc(all, func(o route) bool { return o.method == http.MethodGet && o.path == r.path && o.tagged })
	}
	return false
}

func operationOf(doc *huma.OpenAPI, r route) *huma.Operation {
	item := doc.Paths[r.path]
	return map[string]*huma.Operation{
		http.MethodGet: item.Get, http.MethodPost: item.Post, http.MethodPut: item.Put, http.MethodPatch: item.Patch, http.MethodDelete: item.Delete,
	}[r.method]
}
