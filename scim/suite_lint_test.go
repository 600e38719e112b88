package scim_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// shapes are JSON Schemas of the resource types, made of what /Schemas says: the
// answers of every test of this package are held against them.
type shapes map[string]*jsonschema.Schema // by resource type; "Part" of a projection

var coreShapes = sync.OnceValues(func() (shapes, error) {
	return newShapes(schema.Core().Schemas("").JSON, schema.Core().ResourceTypes("").JSON)
})

type (
	attributeDef struct {
		Name, Type, Description, Mutability, Returned, Uniqueness string
		MultiValued, Required                                     bool
		CaseExact                                                 *bool
		CanonicalValues, ReferenceTypes                           []string
		SubAttributes                                             []attributeDef
	}
	schemaDef struct {
		ID, Name, Description string
		Schemas               []string
		Attributes            []attributeDef
		Meta                  map[string]string
	}
	typeDef struct {
		ID, Name, Endpoint, Schema string
		SchemaExtensions           []struct {
			Schema   string
			Required bool
		}
	}
)

func resourcesOf[T any](raw []byte) (list []T, err error) {
	var l struct{ Resources []T }
	err = json.Unmarshal(raw, &l)
	return l.Resources, err
}

func newShapes(schemas, types []byte) (shapes, error) {
	defs, err := resourcesOf[schemaDef](schemas)
	if err != nil {
		return nil, err
	}
	kinds, err := resourcesOf[typeDef](types)
	if err != nil {
		return nil, err
	}
	find := func(urn string) []attributeDef {
		i := slices.IndexFunc(defs, func(d schemaDef) bool { return d.ID == urn })
		if i < 0 {
			err = fmt.Errorf("no schema %s", urn)
			return nil
		}
		return defs[i].Attributes
	}
	all := shapes{}
	for _, k := range kinds {
		for _, part := range []string{"", "Part"} {
			doc := objectShape(find(k.Schema), part == "")
			props := doc["properties"].(map[string]any)
			for _, x := range k.SchemaExtensions {
				props[x.Schema] = objectShape(find(x.Schema), part == "")
			}
			text := map[string]any{"type": "string", "minLength": 1}
			props["schemas"] = map[string]any{"type": "array", "items": text, "minItems": 1, "uniqueItems": true}
			props["id"], props["externalId"] = text, text
			stamp := map[string]any{"type": "string", "format": "date-time"}
			meta := map[string]any{
				"resourceType": map[string]any{"const": k.Name}, "created": stamp, "lastModified": stamp,
				"location": map[string]any{"type": "string", "format": "uri"}, "version": map[string]any{"type": "string", "pattern": `^W/"[^"]+"$`},
			}
			props["meta"] = map[string]any{"type": "object", "properties": meta, "additionalProperties": false}
			required := []any{"schemas", "id"}
			if part == "" {
				required = append(required, "meta")
				props["meta"].(map[string]any)["required"] = []any{"resourceType", "created", "lastModified", "location", "version"}
			}
			own, _ := doc["required"].([]any)
			doc["required"] = append(own, required...)
			// Extensions that a test defines for its tenant.
			doc["patternProperties"] = map[string]any{"^urn:example:": map[string]any{"type": "object", "minProperties": 1}}
			if err != nil {
				return nil, err
			}
			c := jsonschema.NewCompiler()
			c.DefaultDraft(jsonschema.Draft2020)
			c.AssertFormat()
			encoded, err := json.Marshal(doc)
			if err != nil {
				return nil, err
			}
			loaded, err := jsonschema.UnmarshalJSON(bytes.NewReader(encoded))
			if err != nil {
				return nil, err
			}
			if err := c.AddResource("mem:///r", loaded); err != nil {
				return nil, err
			}
			if all[k.Name+part], err = c.Compile("mem:///r"); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

func objectShape(list []attributeDef, whole bool) map[string]any {
	props, required := map[string]any{}, []any{}
	for _, a := range list {
		if a.Returned == "never" {
			continue // must not be there
		}
		if a.Required && whole && a.Returned != "request" {
			required = append(required, a.Name)
		}
		var s map[string]any
		switch a.Type {
		case "complex":
			s = objectShape(a.SubAttributes, whole)
			s["minProperties"] = 1
		case "boolean", "integer":
			s = map[string]any{"type": a.Type}
		case "decimal":
			s = map[string]any{"type": "number"}
		case "dateTime":
			s = map[string]any{"type": "string", "format": "date-time"}
		default:
			s = map[string]any{"type": "string"}
		}
		if a.MultiValued {
			s = map[string]any{"type": "array", "items": s, "minItems": 1}
		}
		props[a.Name] = s
	}
	return map[string]any{"type": "object", "properties": props, "required": required, "additionalProperties": false}
}

// lint holds an answer against what the RFCs say of every answer.
func (c connection) lint(method, path string, a answer) []string {
	if !strings.HasSuffix(c.base, "/v2") {
		return nil
	}
	s, err := coreShapes()
	if err != nil {
		return []string{err.Error()}
	}
	return s.lint(c, method, path, a)
}

func (s shapes) lint(c connection, method, path string, a answer) (problems []string) {
	report := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if a.status == 204 || a.status == 304 {
		if len(a.raw) > 0 {
			report("%d with a body", a.status)
		}
		return problems
	}
	if got := a.header.Get("Content-Type"); got != "application/scim+json" {
		report("Content-Type %q", got)
	}
	if method == http.MethodHead && len(a.raw) == 0 {
		return problems
	}
	if _, err := schema.Decode(a.raw); err != nil && len(a.raw) < schema.MaxPayload {
		report("not JSON that we would take ourselves: %v", err)
	}
	if a.status >= 400 {
		return append(problems, lintError(a)...)
	}
	doc, _ := a.doc.(map[string]any)
	whole := !strings.Contains(strings.ToLower(path), "attributes=") && !strings.Contains(path, ".search")
	kind := urnsOf(doc)
	if len(kind) == 0 {
		return append(problems, "no schemas")
	}
	switch kind[0] {
	case schema.ListResponseURN:
		list, ok := doc["Resources"].([]any)
		total, hasTotal := doc["totalResults"].(float64)
		per, hasPer := doc["itemsPerPage"].(float64)
		if !ok || !hasTotal || !hasPer || int(per) != len(list) || total < per {
			report("list of %d: totalResults %v, itemsPerPage %v", len(list), doc["totalResults"], doc["itemsPerPage"])
		}
		for _, r := range list {
			o, _ := r.(map[string]any)
			problems = append(problems, s.resource(c, o, whole)...)
		}
	case schema.UserURN, schema.GroupURN:
		problems = append(problems, s.resource(c, doc, whole)...)
		meta, _ := doc["meta"].(map[string]any)
		if version, ok := meta["version"]; ok && version != a.header.Get("ETag") {
			report("version %v, ETag %q", version, a.header.Get("ETag"))
		}
		location := a.header.Get("Location")
		if there, ok := meta["location"]; ok && there != location || location == "" {
			report("location %v, Location %q", there, location)
		}
		if a.header.Get("ETag") == "" {
			report("no ETag")
		}
	case schema.SchemaURN, schema.ResourceTypeURN, schema.ConfigURN:
		if a.header.Get("ETag") == "" {
			report("no ETag")
		}
	case schema.BulkResponseURN:
	default:
		report("schemas %v", kind)
	}
	return problems
}

func urnsOf(doc map[string]any) (urns []string) {
	list, _ := doc["schemas"].([]any)
	for _, v := range list {
		s, _ := v.(string)
		urns = append(urns, s)
	}
	return urns
}

// resource checks one resource, alone or in a list.
func (s shapes) resource(c connection, doc map[string]any, whole bool) (problems []string) {
	report := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	urns := urnsOf(doc)
	name := ""
	for urn, n := range map[string]string{
		schema.UserURN: "User", schema.GroupURN: "Group", schema.SchemaURN: "", schema.ResourceTypeURN: "",
	} {
		if slices.Contains(urns, urn) {
			name = n
			if n == "" {
				return nil // discovery has tests of its own
			}
		}
	}
	shape := s[name]
	if !whole {
		shape = s[name+"Part"]
	}
	if shape == nil {
		return []string{fmt.Sprintf("schemas %v are no resource type's", urns)}
	}
	if err := shape.Validate(doc); err != nil {
		report("%v", err)
	}
	// RFC 7643 §3: the schemas of the attributes that are there.
	used := []string{}
	for key := range doc {
		if strings.Contains(key, ":") {
			used = append(used, key)
		}
	}
	slices.Sort(used)
	listed := slices.Clone(urns[min(1, len(urns)):])
	slices.Sort(listed)
	if !slices.Equal(used, listed) {
		report("schemas %v, extensions %v", urns, used)
	}
	meta, ok := doc["meta"].(map[string]any)
	if !ok {
		return problems
	}
	created, hasCreated := meta["created"].(string)
	modified, hasModified := meta["lastModified"].(string)
	if hasCreated && hasModified {
		from, err1 := time.Parse(time.RFC3339Nano, created)
		to, err2 := time.Parse(time.RFC3339Nano, modified)
		if err1 != nil || err2 != nil || to.Before(from) {
			report("created %s, lastModified %s", created, modified)
		}
	}
	id, _ := doc["id"].(string)
	if location, ok := meta["location"]; ok && location != baseURL+c.base+"/"+name+"s/"+id {
		report("location %v of %s %s", location, name, id)
	}
	for key, v := range doc {
		list, _ := v.([]any)
		primaries := 0
		for _, e := range list {
			if o, ok := e.(map[string]any); ok && o["primary"] == true {
				primaries++
			}
		}
		if primaries > 1 {
			report("%d primary %s", primaries, key)
		}
	}
	return problems
}

// errorTypes is the table of RFC 7644 §3.12 with the three of RFC 9865 §2.1.
var errorTypes = []any{
	"invalidFilter", "tooMany", "uniqueness", "mutability", "invalidSyntax", "invalidPath", "noTarget", "invalidValue", "invalidVers", "sensitive",
	"invalidCursor", "expiredCursor", "invalidCount",
}

func lintError(a answer) (problems []string) {
	report := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	doc, _ := a.doc.(map[string]any)
	if urns := urnsOf(doc); !slices.Equal(urns, []string{schema.ErrorURN}) {
		report("schemas %v of an error", urns)
	}
	if doc["status"] != fmt.Sprint(a.status) {
		report("status %#v of a %d", doc["status"], a.status)
	}
	if detail, _ := doc["detail"].(string); len(detail) < 10 {
		report("detail %q", detail)
	}
	scimType, has := doc["scimType"]
	switch {
	case has && !slices.Contains(errorTypes, scimType):
		report("scimType %v is not in the table", scimType)
	case a.status == 400 && !has:
		report("a 400 without scimType")
	case has && a.status != 400 && a.status != 409 && a.status != 413:
		report("scimType %v with %d", scimType, a.status)
	}
	for key := range doc {
		if !slices.Contains([]string{"schemas", "status", "scimType", "detail"}, key) {
			report("an error with %s", key)
		}
	}
	return problems
}

// A checker that nothing fails says nothing.
func TestLintFinds(t *testing.T) {
	c := connection{base: "/scim/x/v2"}
	good := `{"schemas":["` + schema.UserURN + `"],"id":"res_1","userName":"ann","active":true,"meta":{"resourceType":"User","created":"2026-01-01T00:00:00Z",` +
		`"lastModified":"2026-01-01T00:00:00Z","location":"` + baseURL + `/scim/x/v2/Users/res_1","version":"W/\"1\""}}`
	s, err := coreShapes()
	if err != nil {
		t.Fatal(err)
	}
	check := func(body string) []string {
		a := answer{status: 200, header: http.Header{"Content-Type": {"application/scim+json"}, "Etag": {`W/"1"`}, "Location": {baseURL + "/scim/x/v2/Users/res_1"}}, raw: []byte(body)}
		_ = json.Unmarshal(a.raw, &a.doc)
		return s.lint(c, "GET", "/Users/res_1", a)
	}
	if p := check(good); p != nil {
		t.Errorf("a good answer: %q", p)
	}
	for why, edit := range map[string][2]string{
		"unknown attribute":     {`"active"`, `"alive"`},
		"wrong type":            {`true`, `"true"`},
		"password":              {`"active":true`, `"password":"x"`},
		"empty list":            {`"active":true`, `"emails":[]`},
		"null":                  {`"active":true`, `"title":null`},
		"no required attribute": {`"userName":"ann",`, ``},
		"schema not used":       {`User"]`, `User","` + schema.EnterpriseURN + `"]`},
		"schema not listed":     {`"active":true`, `"` + schema.EnterpriseURN + `":{"division":"d"}`},
		"relative location":     {baseURL, ``},
		"another version":       {`W/\"1\"`, `W/\"2\"`},
		"modified before":       {`"lastModified":"2026`, `"lastModified":"2025`},
		"two primaries":         {`"active":true`, `"emails":[{"primary":true},{"primary":true}]`},
		"a key twice":           {`"active":true`, `"active":true,"active":true`},
	} {
		if !strings.Contains(good, edit[0]) || check(strings.Replace(good, edit[0], edit[1], 1)) == nil {
			t.Errorf("%s is not found", why)
		}
	}
}
