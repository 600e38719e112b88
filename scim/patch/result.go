package patch

import (
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/scim/dialect"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// Result is the outcome of a request, ready to be stored.
type Result struct {
	// Doc is the new stored document; the current one itself when it does not
	// change.
	Doc *schema.Object
	// Changed tells whether Doc differs from the current document. A request
	// that changes neither it nor members leaves the version as it is
	// (RFC 7644 §3.5.2.1).
	Changed bool
	// Changes is the difference, attribute by attribute.
	Changes []Change
	// Members is what happens to the members of a group; nil when the request
	// says nothing about them.
	Members *MemberOps
	// Password is a new password when HasPassword is set. It is in no document
	// and no change.
	Password    string
	HasPassword bool
}

// Change is one attribute that changed: the whole value of a simple or
// multi-valued attribute, one sub-attribute of a complex one. nil is no value.
// Old and New belong to the documents and are not to be written to.
type Change struct {
	Attr     string // canonical path
	Old, New any
}

// Create turns a POST body into a new document (RFC 7644 §3.3). Errors are
// fault.Invalid with the scimType as code.
func Create(ix *schema.Index, k schema.Kind, body *schema.Object, d dialect.Dialect) (Result, error) {
	b, err := ix.Normalise(body, k, d)
	if err != nil {
		return Result{}, err
	}
	r := Result{Doc: b.Doc, Changed: true, Password: b.Password, HasPassword: b.HasPassword}
	r.Changes = diff(ix, k, nil, b.Doc)
	if len(b.Members) > 0 {
		r.Members = &MemberOps{Replace: true, Add: b.Members}
	}
	return r, nil
}

// Replace turns a PUT body into the successor of the current document
// (RFC 7644 §3.5.1): read-only attributes are ignored, immutable ones must be
// as they are, readWrite ones that the body leaves out are cleared, except
// active and externalId where the dialect keeps them, what the client is not shown
// (schema.Index.CarryHidden), and members of a group, which only a body that lists
// them replaces. Errors are fault.Invalid with
// the scimType as code.
func Replace(ix *schema.Index, k schema.Kind, current, body *schema.Object, d dialect.Dialect) (Result, error) {
	b, err := ix.Normalise(body, k, d)
	if err != nil {
		return Result{}, err
	}
	if active, ok := current.Get("active"); k == schema.User && !b.ActiveSet && ok && d.Allow(dialect.KeepActive) {
		b.Doc.Set("active", active)
	}
	if id, ok := current.Get("externalId"); ok {
		if _, _, said := body.Fold("externalId"); !said && d.Allow(dialect.KeepExternalID) {
			b.Doc.Set("externalId", id)
		}
	}
	if err := keepImmutable(ix, k, current, b.Doc); err != nil {
		return Result{}, err
	}
	ix.CarryUndefined(k, current, b.Doc)
	ix.CarryHidden(k, body, current, b.Doc)
	ix.Finish(k, b.Doc)
	r := finish(ix, k, current, b.Doc)
	r.Password, r.HasPassword = b.Password, b.HasPassword
	if b.HasMembers {
		r.Members = &MemberOps{Replace: true, Add: b.Members}
	}
	return r, nil
}

// keepImmutable carries immutable values over and refuses another value
// (RFC 7644 §3.5.1).
func keepImmutable(ix *schema.Index, k schema.Kind, current, next *schema.Object) error {
	for _, e := range ix.Extensions(k) {
		old := current.Object(e.URN)
		for _, a := range e.Attributes {
			v, had := old.Get(a.Name)
			if a.Mutability != schema.Immutable || !had {
				continue
			}
			if w, given := next.Object(e.URN).Get(a.Name); given && !schema.Equal(v, w) {
				return mutability("The attribute cannot be changed once it is set.", a.Path)
			}
			home(next, e.URN, true).Set(a.Name, v)
		}
	}
	return nil
}

func finish(ix *schema.Index, k schema.Kind, current, next *schema.Object) Result {
	changes := diff(ix, k, current, next)
	if len(changes) == 0 {
		return Result{Doc: current}
	}
	return Result{Doc: next, Changed: true, Changes: changes}
}

// diff lists what differs, in the order of the new document, then what is gone.
// "schemas" follows from the rest and is no change of its own. Values that are
// never returned are hidden: changes are shown to administrators.
func diff(ix *schema.Index, k schema.Kind, old, next *schema.Object) []Change {
	var changes []Change
	each(old, next, func(key string, v, w any) {
		if key == "schemas" {
			return
		}
		if strings.IndexByte(key, ':') < 0 {
			changes = appendChange(changes, key, v, w)
			return
		}
		each(old.Object(key), next.Object(key), func(name string, v, w any) {
			changes = appendChange(changes, key+":"+name, v, w)
		})
	})
	for i, c := range changes {
		if a, ok := ix.Resolve(k, c.Attr); ok {
			changes[i].Old, changes[i].New = hide(a, c.Old), hide(a, c.New)
		}
	}
	return changes
}

// Hidden stands in changes for a value that is never returned.
const Hidden = "***"

// hide replaces what of a value of the attribute is never returned.
func hide(a *schema.Attribute, v any) any {
	switch {
	case v == nil:
		return nil
	case a.Returned == schema.Never || a.Top().Returned == schema.Never:
		return Hidden
	case !slices.ContainsFunc(a.Sub, func(s *schema.Attribute) bool { return s.Returned == schema.Never }):
		return v
	}
	switch v := v.(type) {
	case *schema.Object:
		out := schema.NewObject(v.Len())
		for name, w := range v.All() {
			if s := a.Lookup(name); s != nil {
				w = hide(s, w)
			}
			out.Set(name, w)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = hide(a, v[i])
		}
		return out
	}
	return v
}

// each visits the members of both objects.
func each(old, next *schema.Object, visit func(key string, v, w any)) {
	for key, w := range next.All() {
		v, _ := old.Get(key)
		visit(key, v, w)
	}
	for key, v := range old.All() {
		if _, kept := next.Get(key); !kept {
			visit(key, v, nil)
		}
	}
}

func appendChange(changes []Change, path string, old, next any) []Change {
	a, oldObject := old.(*schema.Object)
	b, newObject := next.(*schema.Object)
	if (oldObject || old == nil) && (newObject || next == nil) {
		each(a, b, func(name string, v, w any) {
			if !schema.Equal(v, w) {
				changes = append(changes, Change{path + "." + name, v, w})
			}
		})
		return changes
	}
	if schema.Equal(old, next) {
		return changes
	}
	return append(changes, Change{path, old, next})
}
