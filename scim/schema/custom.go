package schema

import (
	"regexp"
	"slices"
	"strings"

	escim "github.com/elimity-com/scim/schema"

	"github.com/elimity-com/scim/optional"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Definition is a custom extension of a tenant, in the shape of a resource of
// /Schemas (RFC 7643 §7) with the resource type that it extends.
type Definition struct {
	ID           string // its URI
	Name         string
	Description  string
	ResourceType Kind // User or Group
	Attributes   []AttributeDefinition
}

// AttributeDefinition defines one attribute of an extension. Empty
// characteristics mean the defaults of RFC 7643 §2.2.
type AttributeDefinition struct {
	Name            string
	Type            string // string by default
	Description     string
	MultiValued     bool
	Required        bool
	CaseExact       bool
	Mutability      string
	Returned        string
	Uniqueness      string
	CanonicalValues []string
	ReferenceTypes  []string
	SubAttributes   []AttributeDefinition
}

var (
	urnForm  = regexp.MustCompile(`^urn:[A-Za-z0-9][A-Za-z0-9-]{0,31}(:[A-Za-z0-9._-]+)+$`)
	nameForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`)
)

// ParseDefinition reads and checks a custom extension from JSON. Errors are
// fault.Invalid, "invalidSchema" or "invalidSyntax".
func ParseDefinition(data []byte) (Definition, error) {
	o, err := Decode(data)
	if err != nil {
		return Definition{}, err
	}
	d := Definition{
		ID: o.String("id"), Name: o.String("name"), Description: o.String("description"), ResourceType: User,
	}
	if rt := o.String("resourceType"); rt != "" {
		k, ok := ParseKind(rt)
		if !ok {
			return Definition{}, badSchema("An extension is for User or Group.").In("resourceType")
		}
		d.ResourceType = k
	}
	if d.Attributes, err = parseAttributes(o.List("attributes"), "attributes"); err != nil {
		return Definition{}, err
	}
	if _, _, err := d.extension(); err != nil {
		return Definition{}, err
	}
	return d, nil
}

func parseAttributes(list []any, field string) ([]AttributeDefinition, error) {
	var all []AttributeDefinition
	for _, v := range list {
		o, ok := v.(*Object)
		if !ok {
			return nil, badSchema("An attribute definition is an object.").In(field)
		}
		a := AttributeDefinition{
			Name: o.String("name"), Type: o.String("type"), Description: o.String("description"),
			Mutability: o.String("mutability"), Returned: o.String("returned"), Uniqueness: o.String("uniqueness"),
			CanonicalValues: stringsOf(o.List("canonicalValues")), ReferenceTypes: stringsOf(o.List("referenceTypes")),
		}
		a.MultiValued, _ = o.Bool("multiValued")
		a.Required, _ = o.Bool("required")
		a.CaseExact, _ = o.Bool("caseExact")
		var err error
		if a.SubAttributes, err = parseAttributes(o.List("subAttributes"), field+".subAttributes"); err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}

func stringsOf(list []any) []string {
	var all []string
	for _, v := range list {
		if s, ok := v.(string); ok {
			all = append(all, s)
		}
	}
	return all
}

// extension checks the definition and builds its attributes through elimity's
// constructors, which panic on what is refused here first.
func (d Definition) extension() (*Extension, Kind, error) {
	switch {
	case len(d.ID) > 200 || !urnForm.MatchString(d.ID):
		return nil, 0, badSchema("The id of a schema is a URN of at most 200 characters, such as urn:example:scim:2.0:User.").In("id")
	case strings.HasPrefix(strings.ToLower(d.ID), coreExtensionsURN):
		return nil, 0, badSchema("URNs below urn:ietf:params:scim belong to the standard.").In("id")
	case d.Name == "" || len(d.Name) > 100:
		return nil, 0, badSchema("A schema has a name of at most 100 bytes.").In("name")
	case d.ResourceType != User && d.ResourceType != Group:
		return nil, 0, badSchema("An extension is for User or Group.").In("resourceType")
	case len(d.Attributes) == 0 || len(d.Attributes) > maxAttributes:
		return nil, 0, badSchema("A schema has 1 to 200 attributes.").In("attributes")
	}
	if err := checkAttributes(d.Attributes, false); err != nil {
		return nil, 0, err
	}
	s := escim.Schema{ID: d.ID, Name: optional.NewString(d.Name), Description: optional.NewString(d.Description)}
	for _, a := range d.Attributes {
		if a.Type != "complex" {
			s.Attributes = append(s.Attributes, escim.SimpleCoreAttribute(a.simple()))
			continue
		}
		p := escim.ComplexParams{
			Name: a.Name, Description: optional.NewString(a.Description), MultiValued: a.MultiValued,
			Required: a.Required, Mutability: mutability(a.Mutability), Returned: returned(a.Returned), Uniqueness: uniqueness(a.Uniqueness),
		}
		for _, b := range a.SubAttributes {
			p.SubAttributes = append(p.SubAttributes, b.simple())
		}
		s.Attributes = append(s.Attributes, escim.ComplexCoreAttribute(p))
	}
	return newExtension(s), d.ResourceType, nil
}

func checkAttributes(list []AttributeDefinition, sub bool) error {
	seen := make(map[string]bool)
	for _, a := range list {
		lower := strings.ToLower(a.Name)
		fail := func(message string) error { return badSchema(message).In(a.Name) }
		switch {
		case len(a.Name) > 64 || !nameForm.MatchString(a.Name):
			return fail("The name of an attribute is 1 to 64 letters, digits, hyphens and underscores, a letter first.")
		case seen[lower]:
			return fail("Two attributes have the same name.")
		case !known(a.Type, typeNames[:]):
			return fail("The type of an attribute is one of " + strings.Join(typeNames[:], ", ") + ".")
		case !known(a.Mutability, mutabilityNames[:]):
			return fail("The mutability of an attribute is one of " + strings.Join(mutabilityNames[:], ", ") + ".")
		case !known(a.Returned, returnedNames[:]):
			return fail("Returned is one of " + strings.Join(returnedNames[:], ", ") + ".")
		case !known(a.Uniqueness, []string{"none", "server", "global"}):
			return fail("The uniqueness of an attribute is none, server or global.")
		case a.Mutability == "writeOnly" && a.Returned != "" && a.Returned != "never":
			return fail("A writeOnly attribute is never returned (RFC 7643 §7).")
		case sub && a.Type == "complex":
			return fail("A sub-attribute is not complex (RFC 7643 §2.3.8).")
		case a.Type == "complex" && (len(a.SubAttributes) == 0 || len(a.SubAttributes) > maxAttributes):
			return fail("A complex attribute has 1 to 200 sub-attributes.")
		case a.Type != "complex" && len(a.SubAttributes) > 0:
			return fail("Only complex attributes have sub-attributes.")
		case a.Required && a.Mutability == "readOnly":
			return fail("Nobody could set an attribute that is required and readOnly.")
		case len(a.CanonicalValues) > 100 || len(a.Description) > 1000:
			return fail("The definition of the attribute is too long.")
		}
		seen[lower] = true
		if err := checkAttributes(a.SubAttributes, true); err != nil {
			return err
		}
	}
	return nil
}

func known(s string, names []string) bool {
	if s == "" {
		return true
	}
	for _, n := range names {
		if s == n {
			return true
		}
	}
	return false
}

func (a AttributeDefinition) simple() escim.SimpleParams {
	text, m, r, u := optional.NewString(a.Description), mutability(a.Mutability), returned(a.Returned), uniqueness(a.Uniqueness)
	switch a.Type {
	case "boolean":
		return escim.SimpleBooleanParams(escim.BooleanParams{Name: a.Name, Description: text, MultiValued: a.MultiValued, Required: a.Required, Mutability: m, Returned: r})
	case "dateTime":
		return escim.SimpleDateTimeParams(escim.DateTimeParams{Name: a.Name, Description: text, MultiValued: a.MultiValued, Required: a.Required, Mutability: m, Returned: r})
	case "binary":
		return escim.SimpleBinaryParams(escim.BinaryParams{Name: a.Name, Description: text, MultiValued: a.MultiValued, Required: a.Required, Mutability: m, Returned: r})
	case "decimal", "integer":
		t := escim.AttributeTypeDecimal()
		if a.Type == "integer" {
			t = escim.AttributeTypeInteger()
		}
		return escim.SimpleNumberParams(escim.NumberParams{Name: a.Name, Description: text, MultiValued: a.MultiValued, Required: a.Required, Mutability: m, Returned: r, Uniqueness: u, Type: t})
	case "reference":
		var refs []escim.AttributeReferenceType
		for _, t := range a.ReferenceTypes {
			refs = append(refs, escim.AttributeReferenceType(t))
		}
		return escim.SimpleReferenceParams(escim.ReferenceParams{Name: a.Name, Description: text, MultiValued: a.MultiValued, Required: a.Required, Mutability: m, Returned: r, Uniqueness: u, ReferenceTypes: refs})
	}
	return escim.SimpleStringParams(escim.StringParams{Name: a.Name, Description: text, MultiValued: a.MultiValued, Required: a.Required, CaseExact: a.CaseExact, Mutability: m, Returned: r, Uniqueness: u, CanonicalValues: a.CanonicalValues})
}

func mutability(s string) escim.AttributeMutability {
	switch s {
	case "readOnly":
		return escim.AttributeMutabilityReadOnly()
	case "immutable":
		return escim.AttributeMutabilityImmutable()
	case "writeOnly":
		return escim.AttributeMutabilityWriteOnly()
	}
	return escim.AttributeMutabilityReadWrite()
}

func returned(s string) escim.AttributeReturned {
	switch s {
	case "always":
		return escim.AttributeReturnedAlways()
	case "never":
		return escim.AttributeReturnedNever()
	case "request":
		return escim.AttributeReturnedRequest()
	}
	return escim.AttributeReturnedDefault()
}

func uniqueness(s string) escim.AttributeUniqueness {
	switch s {
	case "server":
		return escim.AttributeUniquenessServer()
	case "global":
		return escim.AttributeUniquenessGlobal()
	}
	return escim.AttributeUniquenessNone()
}

// MatchingPath gives the canonical path of the attribute that a connection
// names as its matching attribute, so that its values are indexed. It must be a
// string or reference that is stored in the resource; a complex attribute
// stands for its "value". Errors are fault.Invalid, "invalidPath".
func (ix *Index) MatchingPath(k Kind, path string) (string, error) {
	a, ok := ix.Resolve(k, path)
	if ok && a.Type == Complex && a.Default() != nil {
		a = a.Default()
	}
	switch {
	case !ok:
		return "", fault.New(fault.Invalid, "invalidPath", "There is no such attribute to match by.").In(path)
	case a.Type != String && a.Type != Reference || a.Returned == Never || a.Related() || a.Top().Name == "meta" || a.Top().Name == "schemas":
		return "", fault.New(fault.Invalid, "invalidPath", "Resources cannot be matched by this attribute.").In(path)
	}
	return a.Path, nil
}

// CarryHidden copies what a client is not shown, or only on request, from a
// document to the successor that a PUT body makes of it, unless the body names it:
// who sends back what he got cannot mean to remove it (RFC 7644 §3.5.1 leaves open
// what an omission means). An extension of which the body drops all that was shown
// goes as a whole.
func (ix *Index) CarryHidden(k Kind, body, from, to *Object) {
	for _, e := range ix.Extensions(k) {
		old := from.Object(e.URN)
		if old == nil {
			continue
		}
		var said *Object
		shown := false
		for key, v := range body.All() {
			if strings.EqualFold(key, e.URN) {
				said, _ = v.(*Object)
				shown = true
			}
		}
		if !shown && slices.ContainsFunc(e.Attributes, func(a *Attribute) bool {
			_, has := old.Get(a.Name)
			return has && !a.hidden()
		}) {
			continue
		}
		for _, a := range e.Attributes {
			v, has := old.Get(a.Name)
			_, _, given := said.Fold(a.Name)
			_, _, dotted := body.Fold(a.Path)
			switch {
			case !has || given && !a.partlyHidden() || dotted:
			case a.hidden():
				if _, done := to.Object(e.URN).Get(a.Name); !done && !given {
					container(to, e.URN).Set(a.Name, v)
				}
			case a.partlyHidden():
				a.carryParts(v, said, to.Object(e.URN))
			}
		}
	}
}

func (a *Attribute) hidden() bool { return a.Returned == Never || a.Returned == OnRequest }

// partlyHidden tells a single value of which a client is shown a part.
func (a *Attribute) partlyHidden() bool {
	return !a.Multi && !a.hidden() && slices.ContainsFunc(a.Sub, (*Attribute).hidden)
}

func (a *Attribute) carryParts(old any, said, to *Object) {
	was, _ := old.(*Object)
	is := to.Object(a.Name)
	_, v, _ := said.Fold(a.Name)
	given, _ := v.(*Object)
	if was == nil || is == nil {
		return
	}
	for _, s := range a.Sub {
		v, had := was.Get(s.Name)
		if _, _, named := given.Fold(s.Name); had && s.hidden() && !named {
			is.Set(s.Name, v)
		}
	}
}
