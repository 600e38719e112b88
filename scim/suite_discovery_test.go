package scim_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// Discovery as a client meets it: every list entry is found by its id and at its
// location, what one document names another has, and nothing else is there.
func TestSuiteDiscovery(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		g.put(c.tenant, everyAttribute("User"))
		g.put(c.tenant, everyAttribute("Group"))
		var urns, referred []string
		for endpoint, kind := range map[string]string{"/Schemas": "Schema", "/ResourceTypes": "ResourceType", "/ServiceProviderConfig": "ServiceProviderConfig"} {
			all := c.must(200, "GET", endpoint, nil)
			list := []any{all.doc}
			if kind != "ServiceProviderConfig" {
				list, _ = all.field("Resources").([]any)
				if all.field("totalResults") != float64(len(list)) || all.field("startIndex") != 1.0 || len(list) < 2 {
					t.Errorf("%s: %v", endpoint, all)
				}
			}
			for _, v := range list {
				o := v.(map[string]any)
				id, _ := o["id"].(string)
				meta, _ := o["meta"].(map[string]any)
				location, _ := meta["location"].(string)
				path, absolute := strings.CutPrefix(location, baseURL+c.base)
				if meta["resourceType"] != kind || !absolute || !slices.Equal(urnsOf(o), []string{"urn:ietf:params:scim:schemas:core:2.0:" + kind}) {
					t.Errorf("%s %s: %v", endpoint, id, o)
				}
				one := c.must(200, "GET", path, nil)
				if fmt.Sprint(one.doc) != fmt.Sprint(v) {
					t.Errorf("%s is not what the list says: %v", path, one)
				}
				if id == "" {
					continue
				}
				if one := c.must(200, "GET", endpoint+"/"+url.PathEscape(id), nil); one.id() != id {
					t.Errorf("%s by id: %v", id, one)
				}
				if kind == "Schema" {
					urns = append(urns, id)
					continue
				}
				referred = append(referred, fmt.Sprint(o["schema"]))
				extensions, _ := o["schemaExtensions"].([]any)
				for _, x := range extensions {
					urn, _ := lookup(x, "$.schema")
					if _, says := lookup(x, "$.required"); !says {
						t.Errorf("%s: %v", id, x)
					}
					referred = append(referred, fmt.Sprint(urn))
				}
				c.must(200, "GET", fmt.Sprint(o["endpoint"]), nil)
			}
		}
		slices.Sort(urns)
		if slices.Sort(referred); !slices.Equal(urns, referred) {
			t.Errorf("schemas %q, resource types use %q", urns, referred)
		}
		for _, path := range []string{
			"/Schemas/urn:ietf:params:scim:schemas:core:2.0:Device", "/Schemas/x", "/Schemas/User", "/ResourceTypes/Device", "/ResourceTypes/urn:x", "/ServiceProviderConfig/x",
			"/Devices", "/Groups/x/y", "/users", "/Schemas/a%2Fb", "/.well-known/x", "/v2/Users", "/Users/%00", "/Groups/%F0%9F%92%A9", "/Schemas/../Groups/x",
		} {
			c.must(404, "GET", path, nil)
		}
		for _, path := range []string{"/Schemas", "/ResourceTypes", "/ServiceProviderConfig", "/Schemas/" + schema.UserURN, "/ResourceTypes/User", "/ServiceProviderConfigs", "/serviceConfiguration"} {
			for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
				if a := c.must(405, method, path, "test"); a.header.Get("Allow") != "GET" {
					t.Errorf("%s %s: Allow %q", method, path, a.header.Get("Allow"))
				}
			}
			c.must(403, "GET", path+searchFor(`id eq "x"`), nil) // RFC 7644 §4
			if a, b := c.must(200, "GET", path+"?sortBy=x&attributes=y&count=1&startIndex=7&cursor", nil), c.must(200, "GET", path+"/", nil); string(a.raw) != string(b.raw) {
				t.Errorf("%s is not the same with parameters", path)
			}
		}
	})
}

// The characteristics of every attribute that is published are complete and
// within RFC 7643 §7, and none of RFC 7643 is missing.
func TestSuiteAttributeCharacteristics(t *testing.T) {
	name, word := regexp.MustCompile(`^[A-Za-z$][A-Za-z0-9_-]*$`), regexp.MustCompile(`^(string|boolean|decimal|integer|dateTime|reference|binary|complex)$`)
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		g.put(c.tenant, everyAttribute("User"))
		raw := c.must(200, "GET", "/Schemas", nil)
		defs, err := resourcesOf[schemaDef](raw.raw)
		if err != nil {
			t.Fatal(err)
		}
		var known []string
		var check func(where string, list []attributeDef)
		check = func(where string, list []attributeDef) {
			seen := map[string]bool{}
			for _, a := range list {
				path := where + a.Name
				known = append(known, path)
				if !name.MatchString(a.Name) || !word.MatchString(a.Type) || seen[strings.ToLower(a.Name)] ||
					!slices.Contains([]string{"readOnly", "readWrite", "immutable", "writeOnly"}, a.Mutability) ||
					!slices.Contains([]string{"always", "never", "default", "request"}, a.Returned) {
					t.Errorf("%s: %+v", path, a)
				}
				seen[strings.ToLower(a.Name)] = true
				if text := a.Type != "complex" && a.Type != "boolean"; text && (a.CaseExact == nil || !slices.Contains([]string{"none", "server", "global"}, a.Uniqueness)) {
					t.Errorf("%s lacks caseExact or uniqueness: %+v", path, a)
				}
				if (a.Type == "reference") != (len(a.ReferenceTypes) > 0) || (a.Type == "complex") != (len(a.SubAttributes) > 0) {
					t.Errorf("%s: %+v", path, a)
				}
				if (a.Type == "reference" || a.Type == "binary") && !*a.CaseExact { // RFC 7643 §2.3.6, §2.3.7
					t.Errorf("%s is not case exact", path)
				}
				if a.Mutability == "writeOnly" && a.Returned != "never" {
					t.Errorf("%s is writeOnly and returned", path)
				}
				for _, r := range a.ReferenceTypes {
					if r != "external" && r != "uri" && r != "User" && r != "Group" {
						t.Errorf("%s refers to %s", path, r)
					}
				}
				check(path+".", a.SubAttributes)
			}
		}
		list, _ := raw.field("Resources").([]any)
		for i, s := range defs {
			o, _ := list[i].(map[string]any)
			if s.Name == "" || s.ID == "" || len(s.Attributes) == 0 {
				t.Errorf("schema %+v", s)
			}
			attributes, _ := o["attributes"].([]any)
			for _, a := range attributes { // present, and not the zero of what we decode into
				for _, key := range []string{"name", "type", "multiValued", "required", "mutability", "returned"} {
					if _, ok := a.(map[string]any)[key]; !ok {
						t.Errorf("%s: %v has no %s", s.ID, a, key)
					}
				}
			}
			check(s.ID+":", s.Attributes)
		}
		for _, want := range []string{
			"userName", "name.formatted", "name.honorificSuffix", "displayName", "nickName", "profileUrl", "title", "userType", "preferredLanguage", "locale", "timezone",
			"active", "password", "emails.primary", "phoneNumbers.type", "ims.display", "photos.value", "addresses.streetAddress", "groups.$ref", "entitlements.value",
			"roles.primary", "x509Certificates.value",
		} {
			if !slices.Contains(known, schema.UserURN+":"+want) {
				t.Errorf("User has no %s", want)
			}
		}
		for _, want := range []string{schema.GroupURN + ":displayName", schema.GroupURN + ":members.$ref", schema.EnterpriseURN + ":manager.displayName", schema.EnterpriseURN + ":costCenter"} {
			if !slices.Contains(known, want) {
				t.Errorf("no %s", want)
			}
		}
	})
}

// What ServiceProviderConfig says is so.
func TestSuiteServiceProviderConfig(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		c := g.connect(g.tenant("a"), "rfc", "soft")
		a := c.must(200, "GET", "/ServiceProviderConfig", nil)
		for _, feature := range []string{"patch", "bulk", "filter", "sort", "etag", "pagination", "changePassword"} {
			o, _ := a.field(feature).(map[string]any)
			if _, ok := o["supported"].(bool); !ok && feature != "pagination" {
				t.Errorf("%s: %v", feature, o)
			}
		}
		get := func(path string) float64 {
			v, _ := lookup(a.doc, path)
			n, ok := v.(float64)
			if !ok {
				t.Errorf("%s: %v", path, v)
			}
			return n
		}
		if page := c.must(200, "GET", "/Users?count=1000000000", nil); page.field("itemsPerPage").(float64) > get("$.filter.maxResults") {
			t.Errorf("a page above the limit: %v", page)
		}
		ops := make([]map[string]any, int(get("$.bulk.maxOperations"))+1)
		for i := range ops {
			ops[i] = map[string]any{"method": "DELETE", "path": "/Users/x"}
		}
		c.must(413, "POST", "/Bulk", map[string]any{"Operations": ops})
		c.must(413, "POST", "/Bulk", `{"a":"`+strings.Repeat("x", int(get("$.bulk.maxPayloadSize")))+`"}`)
		for _, path := range []string{"$.pagination.defaultPageSize", "$.pagination.maxPageSize", "$.pagination.cursorTimeout"} {
			if get(path) < 1 {
				t.Errorf("%s is not positive", path)
			}
		}
		schemes, _ := a.field("authenticationSchemes").([]any)
		primary := 0
		for _, v := range schemes {
			s := v.(map[string]any)
			for _, key := range []string{"type", "name", "description"} {
				if text, _ := s[key].(string); text == "" {
					t.Errorf("scheme %v has no %s", s, key)
				}
			}
			if !slices.Contains([]any{"oauth", "oauth2", "oauthbearertoken", "httpbasic", "httpdigest"}, s["type"]) {
				t.Errorf("scheme %v", s)
			}
			if s["primary"] == true {
				primary++
			}
			if link, ok := s["specUri"].(string); !ok || !strings.HasPrefix(link, "https://") {
				t.Errorf("scheme %v", s)
			}
		}
		if primary != 1 || len(schemes) == 0 {
			t.Errorf("%d primary schemes of %d", primary, len(schemes))
		}
		tag := a.header.Get("ETag")
		for header, want := range map[string]int{tag: 304, strings.TrimPrefix(tag, "W/"): 304, "*": 304, `"x", ` + tag: 304, `"x"`: 200} {
			if got := c.send(t.Context(), http.MethodGet, "/ServiceProviderConfig", map[string]*string{"If-None-Match": &header}, nil); got.status != want {
				t.Errorf("If-None-Match %s: %d", header, got.status)
			}
		}
	})
}
