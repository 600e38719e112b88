package schema

import (
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/scim/dialect"
)

// Limits of values.
const (
	MaxKey      = 1024 // bytes of a value that a column or index holds
	MaxElements = 1000 // elements of a multi-valued attribute other than members
)

// Body is a POST or PUT body in stored form, with what is not stored in it.
type Body struct {
	// Doc has canonical attribute names and "schemas" first, without id, meta,
	// groups, members and password.
	Doc *Object
	// Password is set when HasPassword is.
	Password    string
	HasPassword bool
	// Members is what a group body listed; HasMembers tells [] from absent.
	Members    []Member
	HasMembers bool
	// ActiveSet tells whether the body said active; otherwise Doc has true.
	ActiveSet bool
}

// Normalise checks a POST or PUT body and turns it into stored form: canonical
// names for names in any case, types checked and coerced as the dialect
// allows, read-only attributes left out (RFC 7644 §3.5.1), null and [] taken as
// unset (RFC 7643 §2.5), equal elements of a list merged, one primary at most.
// Errors are fault.Invalid with the scimType as code.
func (ix *Index) Normalise(doc *Object, k Kind, d dialect.Dialect) (Body, error) {
	if err := ix.checkSchemas(doc, k, d); err != nil {
		return Body{}, err
	}
	b := Body{Doc: NewObject(doc.Len() + 1)}
	b.Doc.Set("schemas", nil) // keeps the first place
	for key, v := range doc.All() {
		if err := ix.normaliseMember(&b, key, v, k, d); err != nil {
			return Body{}, err
		}
	}
	if k == User {
		if _, b.ActiveSet = b.Doc.Get("active"); !b.ActiveSet {
			b.Doc.Set("active", true)
		}
	}
	ix.Finish(k, b.Doc)
	return b, ix.CheckRequired(k, nil, b.Doc, "invalidValue")
}

func (ix *Index) normaliseMember(b *Body, key string, v any, k Kind, d dialect.Dialect) error {
	if strings.EqualFold(key, "schemas") {
		return nil
	}
	if a := ix.Attribute(k, key); a != nil {
		return ix.put(b, b.Doc, a, v, k, d)
	}
	f, ok := ix.Find(k, key, d)
	if !ok || f.Attr != nil && !d.Allow(dialect.DottedKeys) {
		return unknownAttribute(key, d)
	}
	switch {
	case f.Attr == nil && f.Ext == nil:
		return unknownAttribute(key, d)
	case f.Attr == nil: // a whole extension
		if v == nil {
			return nil
		}
		o, isObject := v.(*Object)
		if !isObject {
			return invalidValue("An extension is an object of its attributes.", f.Ext.URN)
		}
		for name, w := range o.All() {
			a := f.Ext.Lookup(name)
			if a == nil {
				if err := unknownAttribute(f.Ext.URN+":"+name, d); err != nil {
					return err
				}
				continue
			}
			if err := ix.put(b, container(b.Doc, f.Ext.URN), a, w, k, d); err != nil {
				return err
			}
		}
		return nil
	case f.Attr.Parent == nil:
		return ix.put(b, container(b.Doc, f.Attr.URN), f.Attr, v, k, d)
	case f.Attr.Parent.Multi || f.Attr.Parent.Mutability == ReadOnly:
		return unknownAttribute(key, d)
	}
	// name.givenName as a key
	value, err := ix.Value(f.Attr, v, d)
	if err != nil || value == nil || f.Attr.Mutability == ReadOnly {
		return err
	}
	home := container(b.Doc, f.Attr.URN)
	parent := home.Object(f.Attr.Parent.Name)
	if parent == nil {
		parent = NewObject(2)
		home.Set(f.Attr.Parent.Name, parent)
	}
	parent.Set(f.Attr.Name, value)
	return nil
}

// put stores one top-level value of a body into home.
func (ix *Index) put(b *Body, home *Object, a *Attribute, v any, k Kind, d dialect.Dialect) error {
	switch {
	case a.Mutability == ReadOnly: // RFC 7644 §3.3, §3.5.1: ignored
		return nil
	case k == Group && a.URN == "" && a.Name == "members":
		if b.HasMembers {
			return duplicate(a.Path)
		}
		members, err := ParseMembers(v, d)
		b.Members, b.HasMembers = members, v != nil
		return err
	}
	value, err := ix.Value(a, v, d)
	if err != nil || value == nil {
		return err
	}
	if k == User && a.URN == "" && a.Name == "password" {
		if b.HasPassword {
			return duplicate(a.Path)
		}
		b.Password, b.HasPassword = value.(string), true
		return nil
	}
	if _, twice := home.Get(a.Name); twice {
		return duplicate(a.Path)
	}
	home.Set(a.Name, value)
	return nil
}

// container is the object that holds the attributes of a schema: the document
// itself, or the member of an extension, made when it is not there.
func container(doc *Object, urn string) *Object {
	if urn == "" {
		return doc
	}
	o := doc.Object(urn)
	if o == nil {
		o = NewObject(4)
		doc.Set(urn, o)
	}
	return o
}

// Finish drops empty extensions and sets "schemas" to the core schema and the
// extensions that the document uses.
func (ix *Index) Finish(k Kind, doc *Object) {
	schemas := []any{k.URN()}
	for _, e := range ix.kind(k).extensions {
		v, ok := doc.Get(e.URN)
		if !ok {
			continue
		}
		if o, isObject := v.(*Object); !isObject || o.Len() == 0 {
			doc.Delete(e.URN)
			continue
		}
		schemas = append(schemas, e.URN)
	}
	if doc.index("schemas") == 0 {
		doc.Set("schemas", schemas)
	} else {
		doc.Prepend("schemas", schemas)
	}
}

// CheckRequired refuses a document without a required attribute, under the
// given scimType: invalidValue where it never had one, mutability where a
// PATCH took it away (RFC 7644 §3.5.2.2). An attribute of an extension that was
// missing before, because the tenant requires it since, is not the fault of a
// PATCH: before is the document as it was, or nil.
func (ix *Index) CheckRequired(k Kind, before, doc *Object, scimType string) error {
	r := ix.kind(k)
	for _, a := range r.core.Attributes {
		if !a.Required {
			continue
		}
		v, ok := doc.Get(a.Name)
		if s, isString := v.(string); !ok || isString && strings.TrimSpace(s) == "" {
			return fault.New(fault.Invalid, scimType, "A "+strings.ToLower(k.String())+" needs a "+a.Name+".").In(a.Name)
		}
	}
	for _, e := range r.extensions {
		if o := doc.Object(e.URN); e.uses(o) {
			old := before.Object(e.URN)
			for _, a := range e.Attributes {
				_, had := old.Get(a.Name)
				if _, ok := o.Get(a.Name); a.Required && !ok && (had || !e.uses(old)) {
					return fault.New(fault.Invalid, scimType, "The extension needs "+a.Name+".").In(a.Path)
				}
				if err := a.checkParts(old, o, scimType); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// checkParts refuses a complex value without a required sub-attribute, where a
// request changed it. It looks at the result of the request, because a PATCH may
// name a part of the value alone.
func (a *Attribute) checkParts(old, o *Object, scimType string) error {
	v, ok := o.Get(a.Name)
	if !ok || len(a.Sub) == 0 {
		return nil
	}
	before, _ := old.Get(a.Name)
	if Equal(before, v) {
		return nil
	}
	list, multi := v.([]any)
	if !multi {
		list = []any{v}
	}
	was, _ := before.(*Object)
	for _, v := range list {
		part, _ := v.(*Object)
		for _, s := range a.Sub {
			if _, has := part.Get(s.Name); has || !s.Required {
				continue
			}
			if _, had := was.Get(s.Name); !had {
				scimType = "invalidValue"
			}
			return fault.New(fault.Invalid, scimType, "A required sub-attribute is missing.").In(s.Path)
		}
	}
	return nil
}

// uses tells whether o holds any attribute of the extension. It may hold others,
// which an earlier definition had.
func (e *Extension) uses(o *Object) bool {
	for _, a := range e.Attributes {
		if _, ok := o.Get(a.Name); ok {
			return true
		}
	}
	return false
}

// CarryUndefined copies the values of extensions and their attributes that are
// stored but not defined now from one document to its successor: what a client
// cannot see it cannot mean to remove.
func (ix *Index) CarryUndefined(k Kind, from, to *Object) {
	for urn, v := range from.All() {
		if strings.IndexByte(urn, ':') < 0 {
			continue
		}
		e := ix.extension(k, urn)
		if e == nil {
			to.Set(urn, v)
			continue
		}
		for name, w := range from.Object(urn).All() {
			if e.Lookup(name) == nil {
				container(to, urn).Set(name, w)
			}
		}
	}
}

// legacy are schema URIs of SCIM 1 and of drafts (goauthentik/authentik#11249).
var legacy = map[string]string{
	"urn:scim:schemas:core:1.0":                         "",
	"urn:scim:schemas:core:2.0":                         "",
	"urn:scim:schemas:core:2.0:user":                    "",
	"urn:scim:schemas:core:2.0:group":                   "",
	"urn:scim:schemas:extension:enterprise:1.0":         EnterpriseURN,
	"urn:scim:schemas:extension:enterprise:2.0":         EnterpriseURN,
	"urn:scim:schemas:extension:enterprise:2.0:user":    EnterpriseURN,
	"urn:ietf:params:scim:schemas:extension:enterprise": EnterpriseURN,
}

// modern maps a legacy schema URI; "" is the core schema.
func modern(urn string, d dialect.Dialect) (string, bool) {
	m, ok := legacy[strings.ToLower(urn)]
	return m, ok && d.Allow(dialect.LegacyURNs)
}

// Found is what a path names: an attribute, a whole extension, or with neither
// the resource itself (the bare URI of the core schema).
type Found struct {
	Attr *Attribute
	Ext  *Extension
}

// Find resolves a path with any URI prefix, those of older SCIM versions
// included where the dialect knows them.
func (ix *Index) Find(k Kind, path string, d dialect.Dialect) (Found, bool) {
	if a, ok := ix.Resolve(k, path); ok {
		return Found{Attr: a}, true
	}
	if strings.IndexByte(path, ':') < 0 {
		return Found{}, false
	}
	if e, ok := ix.Whole(k, path); ok {
		return Found{Ext: e}, true
	}
	if m, ok := modern(path, d); ok {
		return Found{Ext: ix.extension(k, m)}, true
	}
	urn, name, sub := SplitPath(path)
	if m, ok := modern(urn, d); ok {
		a, ok := ix.Lookup(k, m, name, sub)
		return Found{Attr: a}, ok
	}
	return Found{}, false
}

// FindName is Find for filters and PATCH paths, where an attribute of the
// enterprise extension is known by its bare name too if the dialect says so.
func (ix *Index) FindName(k Kind, path string, d dialect.Dialect) (Found, bool) {
	f, ok := ix.Find(k, path, d)
	if ok || k != User || strings.IndexByte(path, ':') >= 0 {
		return f, ok
	}
	_, name, sub := SplitPath(path)
	a, ok := ix.Lookup(k, EnterpriseURN, name, sub)
	if !ok || !d.Allow(dialect.BareExtensionNames) {
		return Found{}, false
	}
	return Found{Attr: a}, true
}

func (ix *Index) checkSchemas(doc *Object, k Kind, d dialect.Dialect) error {
	_, v, ok := doc.Fold("schemas")
	list, isList := v.([]any)
	if s, isString := v.(string); isString {
		list, isList = []any{s}, d.Allow(dialect.SingleToList)
	}
	if ok && v != nil && !isList {
		return invalidValue("schemas is a list of schema URIs.", "schemas")
	}
	core := false
	for _, v := range list {
		s, isString := v.(string)
		if !isString {
			return invalidValue("schemas is a list of schema URIs.", "schemas")
		}
		if e, whole := ix.Whole(k, s); whole {
			core = core || e == nil
			continue
		}
		if m, old := modern(s, d); old {
			core = core || m == ""
			continue
		}
		for _, other := range []Kind{User, Group} {
			if strings.EqualFold(s, other.URN()) {
				return invalidValue("The body is of another resource type than the address.", "schemas")
			}
		}
		if !d.Allow(dialect.IgnoreUnknown) {
			return invalidValue("The body names a schema that is not defined here.", "schemas")
		}
	}
	if !core && !d.Allow(dialect.MissingSchemas) {
		return invalidValue("schemas does not hold "+k.URN()+".", "schemas")
	}
	return nil
}

func unknownAttribute(path string, d dialect.Dialect) error {
	if d.Allow(dialect.IgnoreUnknown) {
		return nil
	}
	return invalidValue("There is no such attribute.", path)
}

func invalidValue(message, field string) *fault.Error {
	return fault.New(fault.Invalid, "invalidValue", message).In(field)
}

func duplicate(field string) *fault.Error {
	return syntax("An attribute stands twice in the body.").In(field)
}
