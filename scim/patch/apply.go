package patch

import (
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/scim/dialect"
	"github.com/gatehouse-id/gatehouse/scim/filter"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// Options tell the engine about the resource.
type Options struct {
	// ID of the resource: clients echo it in the value of a PATCH without path.
	ID string
	// Members loads the members of a group. It is called only for a filter on
	// members that asks for more than ids; nil means that there are none.
	Members func() ([]schema.Member, error)
}

// Apply applies a PATCH request to the current stored document, which stays as
// it is. Errors are fault.Invalid with the scimType as code (RFC 7644 §3.12),
// or those of Options.Members.
func Apply(ix *schema.Index, k schema.Kind, current *schema.Object, r Request, d dialect.Dialect, o Options) (Result, error) {
	e := &engine{ix: ix, k: k, d: d, o: o, doc: current.Clone()}
	for _, op := range r.Operations {
		if err := e.apply(op); err != nil {
			return Result{}, err
		}
	}
	unique(e.doc)
	ix.Finish(k, e.doc)
	if err := ix.CheckRequired(k, current, e.doc, "mutability"); err != nil {
		return Result{}, err
	}
	if _, ok := e.doc.Get("active"); !ok && k == schema.User {
		return Result{}, mutability("active cannot be removed; set it to true or false.", "active")
	}
	if n := size(e.doc); n > MaxDocument && n > size(current) {
		return Result{}, invalidValue("The resource would become larger than 1 MiB.", "")
	}
	res := finish(ix, k, current, e.doc)
	res.Members = e.members.ops()
	res.Password, res.HasPassword = e.password, e.hasPassword
	return res, nil
}

type engine struct {
	ix          *schema.Index
	k           schema.Kind
	d           dialect.Dialect
	o           Options
	doc         *schema.Object
	members     memberSet
	stored      []schema.Member // loaded for member filters
	filters     int             // member filters that needed them
	work        int             // comparisons with elements of lists
	memberWork  int             // comparisons with members
	password    string
	hasPassword bool
}

// target is what a path names.
type target struct {
	path   string
	attr   *schema.Attribute // an attribute, or a sub-attribute without filter
	filter filter.Expr
	sub    *schema.Attribute // the sub-attribute after a filter
}

func mutability(message, field string) *fault.Error {
	return fault.New(fault.Invalid, "mutability", message).In(field)
}

func invalidValue(message, field string) *fault.Error {
	return fault.New(fault.Invalid, "invalidValue", message).In(field)
}

func noTarget(t target) *fault.Error {
	return fault.New(fault.Invalid, "noTarget", "The filter of the path matches nothing.").In(t.path)
}

func (e *engine) apply(op Operation) error {
	if op.Path == "" {
		return e.pathless(op)
	}
	return e.at(op.Op, op.Path, op.Value, op.HasValue)
}

// pathless applies an operation on the resource itself: its value is an object
// of attributes (RFC 7644 §3.5.2.1, §3.5.2.3).
func (e *engine) pathless(op Operation) error {
	if op.Op == OpRemove && (!op.HasValue || !e.d.Allow(dialect.RemovePathless)) {
		return fault.New(fault.Invalid, "noTarget", "A remove operation needs a path.")
	}
	o, ok := op.Value.(*schema.Object)
	if !ok {
		return invalidValue("An operation without a path takes an object of attributes.", "value")
	}
	for key, v := range o.All() {
		hasValue := op.Op != OpRemove || v != nil
		if a := e.ix.Attribute(e.k, key); a != nil {
			if a.Name == "id" && v == e.o.ID && op.Op != OpRemove {
				e.d.Allow(dialect.IgnoreReadOnly) // Okta's rename repeats the id, which is as good as none
				continue
			}
			if err := e.attribute(op.Op, target{path: key, attr: a}, v, hasValue); err != nil {
				return err
			}
			continue
		}
		if strings.ContainsAny(key, ".:[") && !strings.EqualFold(key, e.k.URN()) {
			if _, whole := e.ix.Whole(e.k, key); !whole && !e.d.Allow(dialect.DottedKeys) {
				return invalidPath(key)
			}
		}
		if err := e.at(op.Op, key, v, hasValue); err != nil {
			return err
		}
	}
	return nil
}

func invalidPath(path string) *fault.Error {
	return fault.New(fault.Invalid, "invalidPath", "There is no such attribute.").In(path)
}

// at applies an operation on a path.
func (e *engine) at(op Op, path string, v any, hasValue bool) error {
	p, err := filter.ParsePath(path, e.d)
	if err != nil {
		return err
	}
	f, ok := e.ix.FindName(e.k, p.Attr, e.d)
	switch {
	case !ok:
		if e.d.Allow(dialect.IgnoreUnknownPath) {
			return nil
		}
		return invalidPath(path)
	case f.Attr == nil && p.Filter != nil:
		return invalidPath(path)
	case f.Attr == nil && f.Ext == nil: // the core schema's URI: the resource itself
		if op == OpRemove {
			return fault.New(fault.Invalid, "noTarget", "A resource cannot be removed by PATCH.").In(path)
		}
		return e.pathless(Operation{Op: op, Value: v, HasValue: hasValue})
	case f.Attr == nil:
		return e.extension(op, f.Ext, v)
	}
	t := target{path: path, attr: f.Attr, filter: p.Filter}
	if p.Filter != nil {
		if f.Attr.Parent != nil || !f.Attr.Multi {
			return invalidPath(path)
		}
		if p.Sub != "" {
			if t.sub = f.Attr.Lookup(p.Sub); t.sub == nil {
				if e.d.Allow(dialect.IgnoreUnknownPath) {
					return nil
				}
				return invalidPath(path)
			}
		}
	}
	return e.attribute(op, t, v, hasValue)
}

// extension applies an operation on a whole extension, named by its URI.
func (e *engine) extension(op Op, x *schema.Extension, v any) error {
	if op == OpRemove || v == nil {
		for _, a := range x.Attributes {
			if _, has := e.doc.Object(x.URN).Get(a.Name); has {
				if err := e.attribute(OpRemove, target{path: a.Path, attr: a}, nil, false); err != nil {
					return err
				}
			}
		}
		return nil
	}
	o, ok := v.(*schema.Object)
	if !ok {
		return invalidValue("An extension is an object of its attributes.", x.URN)
	}
	for key, w := range o.All() {
		path := x.URN + ":" + key
		if err := e.at(op, path, w, true); err != nil {
			return err
		}
	}
	return nil
}

// attribute applies an operation on an attribute that is known.
func (e *engine) attribute(op Op, t target, v any, hasValue bool) error {
	top := t.attr.Top()
	switch {
	case top.URN == "" && top.Name == "schemas":
		return nil // follows from the attributes
	case top.Mutability == schema.ReadOnly || t.attr.Mutability == schema.ReadOnly || t.sub != nil && t.sub.Mutability == schema.ReadOnly:
		if e.d.Allow(dialect.IgnoreReadOnly) {
			return nil
		}
		return mutability("The attribute is read-only.", t.path)
	case e.k == schema.Group && top.URN == "" && top.Name == "members":
		return e.memberOp(op, t, v, hasValue)
	case e.k == schema.User && top.URN == "" && top.Name == "password":
		return e.setPassword(op, t, v)
	}
	h := home(e.doc, top.URN, op != OpRemove)
	if h == nil {
		return nil
	}
	switch {
	case t.filter != nil:
		return e.filtered(op, h, t, v)
	case t.attr.Parent != nil && top.Multi:
		return e.everyElement(op, h, t, v)
	case t.attr.Parent != nil:
		return e.subAttribute(op, h, t, v)
	case op == OpRemove:
		return e.remove(h, t, v, hasValue)
	case top.Multi:
		return e.list(op, h, t, v)
	case top.Type == schema.Complex:
		return e.merge(h, t, v)
	}
	w, err := e.ix.Value(top, v, e.d)
	if err != nil {
		return err
	}
	return e.set(h, top, w)
}

// home is the object that holds the attributes of a schema.
func home(doc *schema.Object, urn string, create bool) *schema.Object {
	if urn == "" {
		return doc
	}
	h := doc.Object(urn)
	if h == nil && create {
		h = schema.NewObject(4)
		doc.Set(urn, h)
	}
	return h
}

// set stores v in o, or takes the attribute out when v is nil. An immutable
// attribute takes its first value only (RFC 7644 §3.5.2).
func (e *engine) set(o *schema.Object, a *schema.Attribute, v any) error {
	old, had := o.Get(a.Name)
	if a.Mutability == schema.Immutable && had && !schema.Equal(old, v) {
		return mutability("The attribute cannot be changed once it is set.", a.Path)
	}
	if v == nil {
		o.Delete(a.Name)
		return nil
	}
	o.Set(a.Name, v)
	return nil
}

func (e *engine) setPassword(op Op, t target, v any) error {
	w, err := e.ix.Value(t.attr, v, e.d)
	if s, ok := w.(string); ok && s != "" && op != OpRemove {
		e.password, e.hasPassword = s, true
	}
	return err
}
