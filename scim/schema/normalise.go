package schema

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/scim/dialect"
)

// Limits of values.
const (
	MaxKey      = 1024 // bytes of a value that a column or index holds
	maxElements = 1000 // elements of a multi-valued attribute other than members
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
	return b, ix.CheckRequired(k, b.Doc, "invalidValue")
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
// PATCH took it away (RFC 7644 §3.5.2.2).
func (ix *Index) CheckRequired(k Kind, doc *Object, scimType string) error {
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
		if o := doc.Object(e.URN); o != nil {
			for _, a := range e.Attributes {
				if _, ok := o.Get(a.Name); a.Required && !ok {
					return fault.New(fault.Invalid, scimType, "The extension needs "+a.Name+".").In(a.Path)
				}
			}
		}
	}
	return nil
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

// Value checks a value of attribute a and brings it into stored form: a list
// for a multi-valued attribute. It is nil when the value means unset.
func (ix *Index) Value(a *Attribute, v any, d dialect.Dialect) (any, error) {
	if v == nil {
		return nil, nil
	}
	if !a.Multi {
		return ix.Element(a, v, d)
	}
	list, ok := v.([]any)
	if !ok {
		if v == "" && d.Allow(dialect.EmptyUnsets) {
			return nil, nil
		}
		if !d.Allow(dialect.SingleToList) {
			return nil, invalidValue("The attribute takes a list.", a.Path)
		}
		list = []any{v}
	}
	if len(list) > maxElements {
		return nil, invalidValue("The list is too long.", a.Path)
	}
	out := make([]any, 0, len(list))
	for _, e := range list {
		w, err := ix.Element(a, e, d)
		if err != nil {
			return nil, err
		}
		if w != nil && !Contains(out, w) {
			out = append(out, w)
		}
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, onePrimary(a, out, d)
}

// Contains tells whether an equal value is in the list.
func Contains(list []any, v any) bool {
	for _, w := range list {
		if Equal(v, w) {
			return true
		}
	}
	return false
}

// onePrimary keeps the rule of RFC 7643 §2.4 that one element at most is
// primary.
func onePrimary(a *Attribute, list []any, d dialect.Dialect) error {
	if a.sub["primary"] == nil {
		return nil
	}
	found := false
	for _, v := range list {
		o, _ := v.(*Object)
		if p, _ := o.Bool("primary"); !p {
			continue
		}
		if found {
			if !d.Allow(dialect.OnePrimary) {
				return invalidValue("Only one element can be primary.", a.Path)
			}
			o.Set("primary", false)
		}
		found = true
	}
	return nil
}

// Element checks a single value of attribute a, one element when a is
// multi-valued. It is nil when the value means unset.
func (ix *Index) Element(a *Attribute, v any, d dialect.Dialect) (any, error) {
	if l, ok := v.([]any); ok {
		switch {
		case len(l) == 0 && d.Allow(dialect.ListToSingle):
			return nil, nil
		case len(l) == 1 && d.Allow(dialect.ListToSingle):
			if _, again := l[0].([]any); !again {
				v = l[0]
			}
		}
	}
	if v == nil {
		return nil, nil
	}
	if a.Type == Complex {
		return ix.complex(a, v, d)
	}
	switch {
	case v != "":
	case a.Column != "" && a.Type == String: // a key column holds no empty string
		return nil, nil
	case a.Type != String && d.Allow(dialect.EmptyUnsets):
		return nil, nil
	}
	return simple(a, v, d)
}

func (ix *Index) complex(a *Attribute, v any, d dialect.Dialect) (any, error) {
	value := a.Default()
	o, ok := v.(*Object)
	if !ok {
		if v == "" && d.Allow(dialect.EmptyUnsets) {
			return nil, nil
		}
		switch v.(type) {
		case string, json.Number, bool:
			if value != nil && d.Allow(dialect.StringToComplex) {
				o = NewObject(1)
				o.Set("value", v)
			}
		}
		if o == nil {
			return nil, invalidValue("The attribute takes an object of its sub-attributes.", a.Path)
		}
	}
	out := NewObject(o.Len())
	for key, w := range o.All() {
		s := a.Lookup(key)
		if s == nil {
			if err := unknownAttribute(a.Path+"."+key, d); err != nil {
				return nil, err
			}
			continue
		}
		if s.Mutability == ReadOnly {
			continue
		}
		w, err := ix.Value(s, w, d)
		if err != nil {
			return nil, err
		}
		if w == nil {
			continue
		}
		if _, twice := out.Get(s.Name); twice {
			return nil, duplicate(s.Path)
		}
		out.Set(s.Name, w)
	}
	if value != nil {
		if w, _ := out.Get("value"); w == "" && d.Allow(dialect.EmptyUnsets) {
			return nil, nil
		}
	}
	for _, s := range a.Sub {
		if s.Required && out.index(s.Name) < 0 && out.Len() > 0 {
			return nil, invalidValue("A required sub-attribute is missing.", s.Path)
		}
	}
	if out.Len() == 0 {
		return nil, nil
	}
	return out, nil
}

// simple checks a value of a type other than complex.
func simple(a *Attribute, v any, d dialect.Dialect) (any, error) {
	s, isString := v.(string)
	switch a.Type {
	case Boolean:
		if b, ok := v.(bool); ok {
			return b, nil
		}
		if b, ok := boolean(s); ok && isString && d.Allow(dialect.CoerceBool) {
			return b, nil
		}
		return nil, invalidValue("The attribute takes true or false.", a.Path)
	case Decimal, Integer:
		n, ok := v.(json.Number)
		if !ok && isString && d.Has(dialect.CoerceScalar) {
			dec := decoder{s: s}
			if s != "" && (s[0] == '-' || s[0] >= '0' && s[0] <= '9') {
				m, err := dec.number()
				ok = err == nil && dec.i == len(s) && d.Allow(dialect.CoerceScalar)
				n = m
			}
		}
		if !ok {
			return nil, invalidValue("The attribute takes a number.", a.Path)
		}
		if _, err := n.Int64(); err != nil && a.Type == Integer {
			return nil, invalidValue("The attribute takes a whole number.", a.Path)
		}
		return n, nil
	}
	if !isString {
		switch w := v.(type) {
		case json.Number:
			s, isString = string(w), a.Type == String && d.Allow(dialect.CoerceScalar)
		case bool:
			s, isString = "false", a.Type == String && d.Allow(dialect.CoerceScalar)
			if w {
				s = "true"
			}
		}
		if !isString {
			return nil, invalidValue("The attribute takes a string.", a.Path)
		}
	}
	switch a.Type {
	case DateTime:
		if _, ok := ParseTime(s); !ok {
			return nil, invalidValue("The attribute takes a date and time such as 2026-01-31T12:00:00Z.", a.Path)
		}
	case Binary:
		if !isBase64(s) {
			return nil, invalidValue("The attribute takes base64.", a.Path)
		}
	}
	if len(s) > MaxKey && (a.Column != "" || a.Value != "") {
		return nil, invalidValue("The value is longer than 1024 bytes.", a.Path)
	}
	return s, nil
}

func boolean(s string) (value, ok bool) {
	switch {
	case strings.EqualFold(s, "true"):
		return true, true
	case strings.EqualFold(s, "false"):
		return false, true
	}
	return false, false
}

func isBase64(s string) bool {
	if _, err := base64.StdEncoding.DecodeString(s); err == nil {
		return true
	}
	_, err := base64.RawStdEncoding.DecodeString(s)
	return err == nil
}
