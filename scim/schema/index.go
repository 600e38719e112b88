package schema

import (
	"slices"
	"strings"
	"sync"

	escim "github.com/elimity-com/scim/schema"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Extension is a schema extension of a resource type.
type Extension struct {
	URN, Name, Description string
	Attributes             []*Attribute

	byName map[string]*Attribute
}

// Lookup finds an attribute of the extension by name in any case.
func (e *Extension) Lookup(name string) *Attribute { return lookup(e.byName, name) }

// resource is a resource type: common and core attributes, and extensions.
type resource struct {
	core       *Extension // attributes of the core schema alone, for /Schemas
	attributes []*Attribute
	byName     map[string]*Attribute
	extensions []*Extension
}

// Index answers every question about attributes. It is immutable and safe for
// concurrent use.
type Index struct {
	user, group resource
	documents   sync.Map // base URL → *documents
	cached      cacheSize
}

// maxCustom bounds the extensions of a tenant, maxAttributes those of one.
const (
	maxCustom     = 32
	maxAttributes = 200
)

// Core is the index without custom extensions, shared by all tenants that have
// none.
var Core = sync.OnceValue(func() *Index {
	ix, err := New()
	if err != nil {
		panic(err) // the definitions of RFC 7643 are compiled in
	}
	return ix
})

// New builds the index of a tenant from the core schemas and its own
// extensions. Errors are fault.Invalid, "invalidSchema".
func New(custom ...Definition) (*Index, error) {
	ix := &Index{
		user:  newResource(escim.CoreUserSchema()),
		group: newResource(escim.CoreGroupSchema()),
	}
	// Identifiers are exact, whatever the sub-attribute that carries them.
	ix.user.byName["groups"].sub["value"].CaseExact = true
	ix.group.byName["members"].sub["value"].CaseExact = true
	// Clients may send a member's display and get none: that is in the user's resource.
	ix.group.byName["members"].sub["display"].Mutability = ReadOnly

	columns := map[string]Column{
		"userName": ColumnUserName, "externalId": ColumnExternalID, "displayName": ColumnDisplayName,
		"id": ColumnID, "active": ColumnActive,
	}
	for _, r := range []*resource{&ix.user, &ix.group} {
		for _, a := range r.attributes {
			a.Column = columns[a.Name]
		}
		meta := r.byName["meta"]
		meta.sub["created"].Column = ColumnCreated
		meta.sub["lastmodified"].Column = ColumnModified
	}
	enterprise := newExtension(escim.ExtensionEnterpriseUser())
	for _, a := range []*Attribute{ix.user.byName["emails"].sub["value"], enterprise.byName["employeenumber"]} {
		a.Value = a.Path
	}
	ix.user.extensions = []*Extension{enterprise}

	if len(custom) > maxCustom {
		return nil, badSchema("A tenant can have 32 extension schemas.")
	}
	for _, d := range custom {
		e, kind, err := d.extension()
		if err != nil {
			return nil, err
		}
		r := ix.kind(kind)
		if ix.extension(User, e.URN) != nil || ix.extension(Group, e.URN) != nil {
			return nil, badSchema("Two schemas have the same id.").In(e.URN)
		}
		r.extensions = append(r.extensions, e)
	}
	return ix, nil
}

func newResource(core escim.Schema) resource {
	own := newExtension(core)
	r := resource{core: own, byName: make(map[string]*Attribute)}
	for _, a := range own.Attributes { // core attributes carry no URN
		clearURN(a)
	}
	for _, c := range escim.CommonAttributes() {
		r.attributes = append(r.attributes, attribute(c, "", nil))
	}
	r.attributes = append(r.attributes, own.Attributes...)
	for _, a := range r.attributes {
		r.byName[strings.ToLower(a.Name)] = a
	}
	return r
}

func clearURN(a *Attribute) {
	a.URN = ""
	a.Path = a.Name
	if a.Parent != nil {
		a.Path = a.Parent.Path + "." + a.Name
	}
	for _, s := range a.Sub {
		clearURN(s)
	}
}

func newExtension(s escim.Schema) *Extension {
	e := &Extension{
		URN: s.ID, Name: s.Name.Value(), Description: s.Description.Value(),
		byName: make(map[string]*Attribute),
	}
	for _, c := range s.Attributes {
		a := attribute(c, s.ID, nil)
		e.Attributes = append(e.Attributes, a)
		e.byName[strings.ToLower(a.Name)] = a
	}
	return e
}

func (ix *Index) kind(k Kind) *resource {
	if k == Group {
		return &ix.group
	}
	return &ix.user
}

func (ix *Index) extension(k Kind, urn string) *Extension {
	for _, e := range ix.kind(k).extensions {
		if len(e.URN) == len(urn) && strings.EqualFold(e.URN, urn) {
			return e
		}
	}
	return nil
}

// Attributes lists the common and core attributes of a kind.
func (ix *Index) Attributes(k Kind) []*Attribute { return slices.Clone(ix.kind(k).attributes) }

// Extensions lists the extensions of a kind, the enterprise one first.
func (ix *Index) Extensions(k Kind) []*Extension { return slices.Clone(ix.kind(k).extensions) }

// Extension finds an extension by URI in any case; nil when there is none.
func (ix *Index) Extension(k Kind, urn string) *Extension { return ix.extension(k, urn) }

// Attribute finds a top-level core or common attribute by name in any case.
func (ix *Index) Attribute(k Kind, name string) *Attribute {
	return lookup(ix.kind(k).byName, name)
}

// Lookup finds an attribute. urn is empty or the core schema's for core and
// common attributes, sub is empty for the attribute itself; all three in any
// case (RFC 7644 §3.10).
func (ix *Index) Lookup(k Kind, urn, name, sub string) (*Attribute, bool) {
	var a *Attribute
	switch {
	case urn == "" || strings.EqualFold(urn, k.URN()):
		a = ix.Attribute(k, name)
	default:
		if e := ix.extension(k, urn); e != nil {
			a = e.Lookup(name)
		}
	}
	if a != nil && sub != "" {
		a = a.Lookup(sub)
	}
	return a, a != nil
}

// Resolve finds an attribute by its path: name, name.sub, urn:name,
// urn:name.sub. The URI of an extension, or of the core schema, alone is found
// by Whole.
func (ix *Index) Resolve(k Kind, path string) (*Attribute, bool) {
	urn, name, sub := SplitPath(path)
	return ix.Lookup(k, urn, name, sub)
}

// Whole tells whether path is the URI of a schema of the kind as a whole: its
// extension, or nil for the core schema.
func (ix *Index) Whole(k Kind, path string) (*Extension, bool) {
	if strings.EqualFold(path, k.URN()) {
		return nil, true
	}
	e := ix.extension(k, path)
	return e, e != nil
}

// SplitPath takes a path apart at its last colon and the first dot after it:
// attribute names hold neither, URIs hold both (RFC 7644 §3.10).
func SplitPath(path string) (urn, name, sub string) {
	if i := strings.LastIndexByte(path, ':'); i >= 0 {
		urn, path = path[:i], path[i+1:]
	}
	name, sub, _ = strings.Cut(path, ".")
	return urn, name, sub
}

func badSchema(message string) *fault.Error {
	return fault.New(fault.Invalid, "invalidSchema", message)
}
