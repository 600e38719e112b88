package schema

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"sync/atomic"
)

// Limits of bulk requests, page sizes and the lifetime of cursors, as the
// ServiceProviderConfig announces them.
const (
	MaxOperations  = 1000
	MaxPayload     = 1 << 20 // bytes
	DefaultPage    = 100
	MaxPage        = 1000
	CursorLifetime = 3600 // seconds
)

// Document is a discovery document, ready to send.
type Document struct {
	JSON []byte
	ETag string // weak entity tag of the content
}

// documents are all discovery documents for one base URL.
type documents struct {
	schemas, types, config Document
	schema                 map[string]Document // by lower-case URI
	typ                    map[string]Document // by name
}

// cacheSize bounds the documents kept; base URLs are few (hosts of environments).
type cacheSize struct{ n atomic.Int32 }

const maxCached = 64

func (ix *Index) documentsFor(baseURL string) *documents {
	baseURL = strings.TrimSuffix(baseURL, "/")
	if d, ok := ix.documents.Load(baseURL); ok {
		return d.(*documents)
	}
	d := ix.render(baseURL)
	if ix.cached.n.Add(1) <= maxCached {
		ix.documents.Store(baseURL, d)
	}
	return d
}

// Schemas is the answer to GET /Schemas (RFC 7644 §4). baseURL is the address
// of the connection's SCIM root, without a slash at the end.
func (ix *Index) Schemas(baseURL string) Document { return ix.documentsFor(baseURL).schemas }

// Schema is one schema by its URI in any case.
func (ix *Index) Schema(baseURL, urn string) (Document, bool) {
	d, ok := ix.documentsFor(baseURL).schema[strings.ToLower(urn)]
	return d, ok
}

// ResourceTypes is the answer to GET /ResourceTypes.
func (ix *Index) ResourceTypes(baseURL string) Document { return ix.documentsFor(baseURL).types }

// ResourceType is one resource type by name.
func (ix *Index) ResourceType(baseURL, name string) (Document, bool) {
	d, ok := ix.documentsFor(baseURL).typ[name]
	return d, ok
}

// ServiceProviderConfig is the answer to GET /ServiceProviderConfig, with the
// pagination part of RFC 9865 §4.
func (ix *Index) ServiceProviderConfig(baseURL string) Document {
	return ix.documentsFor(baseURL).config
}

func (ix *Index) render(baseURL string) *documents {
	d := &documents{schema: make(map[string]Document), typ: make(map[string]Document)}
	var schemas, types []any
	add := func(e *Extension) {
		o := e.document(baseURL)
		schemas = append(schemas, o)
		d.schema[strings.ToLower(e.URN)] = document(o)
	}
	for _, k := range []Kind{User, Group} {
		r := ix.kind(k)
		add(r.core)
		extensions := []any{}
		for _, e := range r.extensions {
			add(e)
			extensions = append(extensions, object("schema", e.URN, "required", false))
		}
		o := object(
			"schemas", []any{ResourceTypeURN}, "id", k.String(), "name", k.String(),
			"endpoint", k.Endpoint(), "description", r.core.Description, "schema", k.URN(),
		)
		if len(extensions) > 0 {
			o.Set("schemaExtensions", extensions)
		}
		o.Set("meta", object("resourceType", "ResourceType", "location", baseURL+"/ResourceTypes/"+k.String()))
		types = append(types, o)
		d.typ[k.String()] = document(o)
	}
	d.schemas, d.types = document(list(schemas)), document(list(types))
	d.config = document(config(baseURL))
	return d
}

func document(o *Object) Document {
	b := o.Bytes()
	sum := sha256.Sum256(b)
	return Document{b, `W/"` + base64.RawURLEncoding.EncodeToString(sum[:9]) + `"`}
}

func list(resources []any) *Object {
	n := number(len(resources))
	return object("schemas", []any{ListResponseURN}, "totalResults", n, "startIndex", number(1), "itemsPerPage", n, "Resources", resources)
}

func number(n int) json.Number { return json.Number(strconv.Itoa(n)) }

// object builds an object from keys and values in turn.
func object(pairs ...any) *Object {
	o := NewObject(len(pairs) / 2)
	for i := 0; i+1 < len(pairs); i += 2 {
		o.Set(pairs[i].(string), pairs[i+1])
	}
	return o
}

func (e *Extension) document(baseURL string) *Object {
	o := object("schemas", []any{SchemaURN}, "id", e.URN, "name", e.Name)
	if e.Description != "" {
		o.Set("description", e.Description)
	}
	o.Set("attributes", definitions(e.Attributes))
	o.Set("meta", object("resourceType", "Schema", "location", baseURL+"/Schemas/"+e.URN))
	return o
}

// definitions renders attribute definitions as RFC 7643 §7 shapes them.
func definitions(attributes []*Attribute) []any {
	var all []any
	for _, a := range attributes {
		o := object("name", a.Name, "type", a.Type.String(), "multiValued", a.Multi)
		if a.Description != "" {
			o.Set("description", a.Description)
		}
		o.Set("required", a.Required)
		if len(a.Canonical) > 0 {
			o.Set("canonicalValues", anys(a.Canonical))
		}
		if a.Type != Complex && a.Type != Boolean {
			o.Set("caseExact", a.CaseExact)
		}
		o.Set("mutability", a.Mutability.String())
		o.Set("returned", a.Returned.String())
		if a.Type != Complex && a.Type != Boolean {
			o.Set("uniqueness", a.Uniqueness)
		}
		if len(a.References) > 0 {
			o.Set("referenceTypes", anys(a.References))
		}
		if len(a.Sub) > 0 {
			o.Set("subAttributes", definitions(a.Sub))
		}
		all = append(all, o)
	}
	return all
}

func anys(list []string) []any {
	all := make([]any, len(list))
	for i, s := range list {
		all[i] = s
	}
	return all
}

// config writes no empty documentationUri or specUri, which scim2-client
// refuses, and always both bulk limits, without which the authentik client
// stops sending PATCH (goauthentik/authentik#25056).
func config(baseURL string) *Object {
	supported := func() *Object { return object("supported", true) }
	return object(
		"schemas", []any{ConfigURN},
		"patch", supported(),
		"bulk", object("supported", true, "maxOperations", number(MaxOperations), "maxPayloadSize", number(MaxPayload)),
		"filter", object("supported", true, "maxResults", number(MaxPage)),
		"changePassword", object("supported", false),
		"sort", supported(),
		"etag", supported(),
		"pagination", object(
			"cursor", true, "index", true, "defaultPaginationMethod", "index",
			"defaultPageSize", number(DefaultPage), "maxPageSize", number(MaxPage), "cursorTimeout", number(CursorLifetime),
		),
		"authenticationSchemes", []any{
			object(
				"type", "oauthbearertoken", "name", "OAuth Bearer Token",
				"description", "A bearer token of this connection in the Authorization header",
				"specUri", "https://www.rfc-editor.org/rfc/rfc6750", "primary", true,
			),
			object(
				"type", "oauth2", "name", "OAuth 2.0 Client Credentials",
				"description", "A short-lived bearer token for the client credentials grant at "+strings.TrimSuffix(baseURL, "/v2")+"/oauth2/token",
				"specUri", "https://www.rfc-editor.org/rfc/rfc6749#section-4.4", "primary", false,
			),
		},
		"meta", object("resourceType", "ServiceProviderConfig", "location", baseURL+"/ServiceProviderConfig"),
	)
}
