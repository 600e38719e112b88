package filter

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/scim/dialect"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// Bound is a filter whose attributes are resolved for one resource type. It is
// immutable and safe for concurrent use.
type Bound struct {
	kind schema.Kind
	root *node
}

type nodeKind uint8

const (
	nodeConst nodeKind = iota // truth says which
	nodeAnd
	nodeOr
	nodeNot
	nodeCompare
	nodeElements // a value path: x holds for one element of attr
	nodeExtension
)

// node is one step of evaluation.
type node struct {
	kind  nodeKind
	x, y  *node
	attr  *schema.Attribute // the attribute whose values are compared
	inner bool              // attr is looked up in an element of a value path
	op    Op
	value any       // nil: null
	text  string    // value of a string comparison, folded unless caseExact
	at    time.Time // value of a dateTime comparison
	timed bool      // at counts, not text
	truth bool
	ext   string // URI of an extension that must be present
}

// Bind resolves a filter against the attributes of a kind. It refuses an
// attribute that may never be returned, an operator that its type does not
// have and a value of another type (RFC 7644 §3.4.2.2, §3.12); an unknown
// attribute is refused too, or has no value, as the dialect says. Errors are
// fault.Invalid, "invalidFilter".
func Bind(ix *schema.Index, k schema.Kind, e Expr, d dialect.Dialect) (*Bound, error) {
	b := binder{ix, k, d}
	n, err := b.bind(e, nil)
	if err != nil {
		return nil, err
	}
	return &Bound{k, n}, nil
}

// BindElement resolves the filter of a value path against the sub-attributes of
// parent; its MatchElement selects elements.
func BindElement(ix *schema.Index, k schema.Kind, parent *schema.Attribute, e Expr, d dialect.Dialect) (*Bound, error) {
	b := binder{ix, k, d}
	n, err := b.bind(e, parent)
	if err != nil {
		return nil, err
	}
	return &Bound{k, n}, nil
}

type binder struct {
	ix *schema.Index
	k  schema.Kind
	d  dialect.Dialect
}

func refuse(message, path string) *fault.Error {
	return fault.New(fault.Invalid, "invalidFilter", message).In(path)
}

// bind resolves e; parent is set inside a value path.
func (b *binder) bind(e Expr, parent *schema.Attribute) (*node, error) {
	switch e := e.(type) {
	case *And:
		return b.pair(nodeAnd, e.X, e.Y, parent)
	case *Or:
		return b.pair(nodeOr, e.X, e.Y, parent)
	case *Not:
		x, err := b.bind(e.X, parent)
		return &node{kind: nodeNot, x: x}, err
	case *ValuePath:
		if parent != nil {
			return nil, refuse("A value path cannot stand inside another.", e.Path)
		}
		return b.elements(e)
	case *Compare:
		return b.compare(e, parent)
	}
	return nil, refuse("The filter is empty.", "")
}

func (b *binder) pair(kind nodeKind, ex, ey Expr, parent *schema.Attribute) (*node, error) {
	x, err := b.bind(ex, parent)
	if err != nil {
		return nil, err
	}
	y, err := b.bind(ey, parent)
	return &node{kind: kind, x: x, y: y}, err
}

func (b *binder) elements(e *ValuePath) (*node, error) {
	f, ok := b.ix.FindName(b.k, e.Path, b.d)
	if !ok {
		if b.d.Allow(dialect.UnknownIsAbsent) {
			return &node{kind: nodeConst}, nil
		}
		return nil, refuse("There is no such attribute.", e.Path)
	}
	if f.Attr == nil || f.Attr.Parent != nil {
		return nil, refuse("A value path starts with an attribute.", e.Path)
	}
	if f.Attr.Returned == schema.Never {
		return nil, refuse("The attribute cannot be filtered by.", e.Path)
	}
	x, err := b.bind(e.X, f.Attr)
	return &node{kind: nodeElements, attr: f.Attr, x: x}, err
}

func (b *binder) compare(c *Compare, parent *schema.Attribute) (*node, error) {
	a, err := b.attribute(c, parent)
	if err != nil {
		return nil, err
	}
	if a == nil { // unknown, or a whole schema: constant or presence
		return b.without(c, parent)
	}
	if a.Returned == schema.Never || a.Top().Returned == schema.Never {
		return nil, refuse("The attribute cannot be filtered by.", c.Path)
	}
	n := &node{kind: nodeCompare, attr: a, inner: parent != nil, op: c.Op, value: c.Value}
	if a.Type == schema.Complex && c.Op != Pr && !(c.Value == nil && c.Op <= Ne) {
		if a.Default() == nil {
			return nil, refuse("The attribute is complex; name one of its sub-attributes.", c.Path)
		}
		n.attr = a.Default()
	}
	if err := n.setValue(c, b.d); err != nil {
		return nil, err
	}
	if n.attr.Path == "meta.resourceType" && c.Op <= Ne {
		// RFC 7644 §3.4.2.1: tells the types of a root search apart.
		return &node{kind: nodeConst, truth: (n.text == b.k.String()) == (c.Op == Eq)}, nil
	}
	return n, nil
}

// attribute finds what a comparison is about; nil for an unknown attribute that
// the dialect takes as absent, and for a schema as a whole.
func (b *binder) attribute(c *Compare, parent *schema.Attribute) (*schema.Attribute, error) {
	if parent != nil {
		if a := parent.Lookup(c.Path); a != nil {
			return a, nil
		}
		if parent.Type != schema.Complex && strings.EqualFold(c.Path, "value") {
			return parent, nil // an element of a simple multi-valued attribute
		}
	} else if f, ok := b.ix.FindName(b.k, c.Path, b.d); ok {
		return f.Attr, nil
	}
	if b.d.Allow(dialect.UnknownIsAbsent) {
		return nil, nil
	}
	return nil, refuse("There is no such attribute.", c.Path)
}

// without is a comparison with what has no value: null equals null and differs
// from everything else.
func (b *binder) without(c *Compare, parent *schema.Attribute) (*node, error) {
	if parent == nil {
		if f, ok := b.ix.FindName(b.k, c.Path, b.d); ok {
			switch {
			case c.Op != Pr:
				return nil, refuse("A schema can only be tested for its presence.", c.Path)
			case f.Ext == nil:
				return &node{kind: nodeConst, truth: true}, nil
			}
			return &node{kind: nodeExtension, ext: f.Ext.URN}, nil
		}
	}
	return &node{kind: nodeConst, truth: (c.Op == Eq && c.Value == nil) || (c.Op == Ne && c.Value != nil)}, nil
}

// setValue checks operator and value against the type of the attribute.
func (n *node) setValue(c *Compare, d dialect.Dialect) error {
	if c.Op == Pr {
		return nil
	}
	if c.Value == nil {
		if c.Op > Ne {
			return refuse("null can only be compared with eq and ne.", c.Path)
		}
		return nil
	}
	equality := c.Op <= Ne
	s, isString := c.Value.(string)
	switch n.attr.Type {
	case schema.Boolean:
		if !equality { // RFC 7644 §3.4.2.2: ordering booleans fails with invalidFilter
			return refuse("A boolean can only be compared with eq and ne.", c.Path)
		}
		switch {
		case isString && strings.EqualFold(s, "true") && d.Allow(dialect.CoerceBool):
			n.value = true
		case isString && strings.EqualFold(s, "false") && d.Allow(dialect.CoerceBool):
			n.value = false
		default:
			if _, ok := c.Value.(bool); !ok {
				return refuse("The attribute is compared with true or false.", c.Path)
			}
		}
		return nil
	case schema.Decimal, schema.Integer:
		if c.Op == Co || c.Op == Sw || c.Op == Ew {
			return refuse("A number has no text to search.", c.Path)
		}
		if isString && isNumber(s) && d.Allow(dialect.CoerceScalar) {
			n.value = json.Number(s)
			return nil
		}
		if _, ok := c.Value.(json.Number); !ok {
			return refuse("The attribute is compared with a number.", c.Path)
		}
		return nil
	}
	if !isString {
		switch v := c.Value.(type) {
		case json.Number:
			s, isString = string(v), d.Allow(dialect.CoerceScalar)
		case bool:
			s, isString = "false", d.Allow(dialect.CoerceScalar)
			if v {
				s = "true"
			}
		}
		if !isString {
			return refuse("The attribute is compared with a quoted string.", c.Path)
		}
	}
	n.value = s
	switch n.attr.Type {
	case schema.Binary:
		if !equality {
			return refuse("A binary value can only be compared with eq and ne.", c.Path)
		}
	case schema.DateTime:
		if c.Op == Co || c.Op == Sw || c.Op == Ew {
			break
		}
		t, ok := schema.ParseTime(s)
		if !ok {
			return refuse("The attribute is compared with a date and time such as 2026-01-31T12:00:00Z.", c.Path)
		}
		n.at, n.timed = t, true
		return nil
	}
	n.text = s
	if !n.attr.CaseExact {
		n.text = schema.Fold(s)
	}
	return nil
}
