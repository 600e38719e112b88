package schema

import (
	"encoding/json"
	"strings"
	"time"

	escim "github.com/elimity-com/scim/schema"
)

// Kind is a type of resource.
type Kind uint8

// The resource types of RFC 7643 §4.
const (
	User Kind = iota + 1
	Group
)

// Schema URIs (RFC 7643 §10.3, RFC 7644 §8.2).
const (
	UserURN           = "urn:ietf:params:scim:schemas:core:2.0:User"
	GroupURN          = "urn:ietf:params:scim:schemas:core:2.0:Group"
	EnterpriseURN     = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	SchemaURN         = "urn:ietf:params:scim:schemas:core:2.0:Schema"
	ResourceTypeURN   = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"
	ConfigURN         = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
	ListResponseURN   = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
	SearchRequestURN  = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
	PatchOpURN        = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
	BulkRequestURN    = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
	BulkResponseURN   = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"
	ErrorURN          = "urn:ietf:params:scim:api:messages:2.0:Error"
	coreExtensionsURN = "urn:ietf:params:scim:"
)

// String is the name as meta.resourceType and scim_resources.kind hold it.
func (k Kind) String() string {
	switch k {
	case User:
		return "User"
	case Group:
		return "Group"
	}
	return ""
}

// URN is the core schema of the kind.
func (k Kind) URN() string {
	if k == Group {
		return GroupURN
	}
	return UserURN
}

// Endpoint is the address of the kind below the base URL.
func (k Kind) Endpoint() string {
	if k == Group {
		return "/Groups"
	}
	return "/Users"
}

// ParseKind reads what String writes.
func ParseKind(s string) (Kind, bool) {
	switch s {
	case "User":
		return User, true
	case "Group":
		return Group, true
	}
	return 0, false
}

// Type is the data type of an attribute (RFC 7643 §2.3).
type Type uint8

// The data types.
const (
	String Type = iota
	Boolean
	Decimal
	Integer
	DateTime
	Reference
	Binary
	Complex
)

var typeNames = [...]string{"string", "boolean", "decimal", "integer", "dateTime", "reference", "binary", "complex"}

// String is the type's name on the wire.
func (t Type) String() string { return typeNames[t] }

// Mutability says when a value can be set (RFC 7643 §7).
type Mutability uint8

// The mutabilities.
const (
	ReadWrite Mutability = iota
	ReadOnly
	Immutable
	WriteOnly
)

var mutabilityNames = [...]string{"readWrite", "readOnly", "immutable", "writeOnly"}

// String is the mutability's name on the wire.
func (m Mutability) String() string { return mutabilityNames[m] }

// Returned says when a value is sent (RFC 7643 §7).
type Returned uint8

// When attributes are returned.
const (
	Default Returned = iota
	Always
	Never
	OnRequest
)

var returnedNames = [...]string{"default", "always", "never", "request"}

// String is the name on the wire.
func (r Returned) String() string { return returnedNames[r] }

// Column names the column of scim_resources that holds an attribute's value.
type Column string

// The columns, each with the attribute that it answers.
const (
	ColumnUserName    Column = "user_name_key"    // userName, folded
	ColumnExternalID  Column = "external_id"      // externalId, as it is
	ColumnDisplayName Column = "display_name_key" // displayName, folded
	ColumnID          Column = "id"               // id
	ColumnActive      Column = "active"           // active
	ColumnCreated     Column = "created"          // meta.created, microseconds
	ColumnModified    Column = "modified"         // meta.lastModified, microseconds
)

// Attribute is one attribute or sub-attribute of a resource type. It is
// immutable.
type Attribute struct {
	Name        string // canonical spelling, e.g. givenName
	URN         string // the extension it belongs to; empty for core and common attributes
	Path        string // canonical path, e.g. name.givenName or urn:…:User:manager.value
	Description string
	Type        Type
	Multi       bool
	CaseExact   bool
	Required    bool
	Mutability  Mutability
	Returned    Returned
	Uniqueness  string   // none, server or global
	Canonical   []string // canonical values, hints only (RFC 7643 §7)
	References  []string // reference types
	Sub         []*Attribute
	Parent      *Attribute // nil for a top-level attribute
	Column      Column     // the column that answers it; empty when none does
	Value       string     // its attr in scim_values; empty when it is not indexed there

	sub map[string]*Attribute
}

// Fits tells whether a stored value has the attribute's shape. One stored under
// an earlier definition may have another.
func (a *Attribute) Fits(v any) bool {
	list, ok := v.([]any)
	if ok != a.Multi {
		return false
	}
	if !ok {
		list = []any{v}
	}
	for _, e := range list {
		switch e.(type) {
		case *Object:
			ok = a.Type == Complex
		case bool:
			ok = a.Type == Boolean
		case json.Number:
			ok = a.Type == Decimal || a.Type == Integer
		case string:
			ok = a.Type != Complex && a.Type != Boolean && a.Type != Decimal && a.Type != Integer
		default:
			ok = false
		}
		if !ok {
			return false
		}
	}
	return true
}

// Lookup finds a sub-attribute by name in any case; nil when there is none.
func (a *Attribute) Lookup(name string) *Attribute { return lookup(a.sub, name) }

// Default is the sub-attribute that stands for a complex attribute in a filter
// ("value", RFC 7643 §2.4); nil when it has none.
func (a *Attribute) Default() *Attribute { return a.sub["value"] }

// Top is the top-level attribute that a belongs to.
func (a *Attribute) Top() *Attribute {
	if a.Parent != nil {
		return a.Parent
	}
	return a
}

// Related tells whether the value lives in other rows than the resource's own:
// members of a group, groups of a user.
func (a *Attribute) Related() bool {
	t := a.Top()
	return t.URN == "" && (t.Name == "members" || t.Name == "groups") && t.Type == Complex
}

func lookup(m map[string]*Attribute, name string) *Attribute {
	var buf [64]byte
	if len(name) > len(buf) {
		return m[strings.ToLower(name)]
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		buf[i] = c
	}
	return m[string(buf[:len(name)])]
}

// attribute converts elimity's definition.
func attribute(c escim.CoreAttribute, urn string, parent *Attribute) *Attribute {
	a := &Attribute{
		Name: c.Name(), URN: urn, Path: c.Name(), Description: c.Description(), Parent: parent,
		Multi: c.MultiValued(), CaseExact: c.CaseExact(), Required: c.Required(),
		Uniqueness: c.Uniqueness(), Canonical: c.CanonicalValues(),
		Type:       Type(indexOf(typeNames[:], c.AttributeType())),
		Mutability: Mutability(indexOf(mutabilityNames[:], c.Mutability())),
		Returned:   Returned(indexOf(returnedNames[:], c.Returned())),
	}
	// What clients may only write is not returned (RFC 7643 §7), and neither are
	// the parts of what is not.
	if a.Mutability == WriteOnly || parent != nil && parent.Returned == Never {
		a.Returned = Never
	}
	for _, r := range c.ReferenceTypes() {
		a.References = append(a.References, string(r))
	}
	switch {
	case parent != nil:
		a.Path = parent.Path + "." + a.Name
	case urn != "":
		a.Path = urn + ":" + a.Name
	}
	if c.HasSubAttributes() {
		a.sub = make(map[string]*Attribute)
		for _, s := range c.SubAttributes() {
			b := attribute(s, urn, a)
			a.Sub = append(a.Sub, b)
			a.sub[strings.ToLower(b.Name)] = b
		}
	}
	return a
}

func indexOf(names []string, name string) int {
	for i, n := range names {
		if n == name {
			return i
		}
	}
	return 0
}

// Fold is the case folding of every key that is compared without case:
// user_name_key, display_name_key, scim_values.value_key, and filters on
// attributes that are not caseExact.
func Fold(s string) string { return strings.ToLower(s) }

// FormatTime writes meta.created and meta.lastModified: UTC, as exact as the
// columns (microseconds), so that a filter on the text and one on the column
// agree.
func FormatTime(t time.Time) string {
	return t.UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano)
}

// ParseTime reads an xsd:dateTime (RFC 7643 §2.3.5) with any number of
// fraction digits; a missing zone is UTC, and 24:00:00 is not accepted.
func ParseTime(s string) (time.Time, bool) {
	if len(s) < 19 || len(s) > 64 {
		return time.Time{}, false
	}
	for _, layout := range [...]string{time.RFC3339, "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
