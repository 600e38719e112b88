package filter

import (
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// CondKind says what a condition asks.
type CondKind uint8

// The conditions that SQL answers.
const (
	True     CondKind = iota // everything
	False                    // nothing
	Both                     // X and Y
	Either                   // X or Y
	Neither                  // not X
	OnColumn                 // Column Op Arg; Eq with a nil Arg is IS NULL
	OnValue                  // a value of Attr in scim_values: Op is Eq or Sw
	OnMember                 // the group has the member of id Arg; any member without Arg
	OnGroup                  // the user is a direct member of the group of id Arg; of any without Arg
)

// Cond is a condition on a row of scim_resources, without SQL text: every
// value that came from a client is in Arg.
type Cond struct {
	Kind   CondKind
	X, Y   *Cond
	Column schema.Column
	Attr   string
	Op     Op
	Arg    any // string, int64 (microseconds), bool or nil
}

// Options of a plan.
type Options struct {
	// Matching is the canonical path of the attribute that the connection has
	// indexed besides the usual ones; empty for none.
	Matching string
}

// Plan is a filter divided between SQL and the matcher.
type Plan struct {
	// Cond holds for every matching resource.
	Cond *Cond
	// Exact says that Cond holds for no other.
	Exact bool
	// Residual decides on the resources for which Cond holds; nil when Exact.
	Residual *Bound
	// NeedsRelated lists what Residual asks Target.Related for.
	NeedsRelated []string
}

var (
	condTrue  = &Cond{Kind: True}
	condFalse = &Cond{Kind: False}
)

// Plan divides the filter. A nil Bound plans to everything.
func (b *Bound) Plan(o Options) Plan {
	if b == nil {
		return Plan{Cond: condTrue, Exact: true}
	}
	c, rest := planner{b.kind, o.Matching}.plan(b.root, false)
	p := Plan{Cond: c, Exact: rest == nil}
	if rest != nil {
		p.Residual = &Bound{b.kind, rest}
		rest.related(&p.NeedsRelated)
	}
	return p
}

func (n *node) related(names *[]string) {
	if n == nil {
		return
	}
	if n.attr != nil && !n.inner && n.attr.Related() && !slices.Contains(*names, n.attr.Top().Name) {
		*names = append(*names, n.attr.Top().Name)
	}
	n.x.related(names)
	n.y.related(names)
}

type planner struct {
	kind     schema.Kind
	matching string
}

// plan gives the condition of n, negated if asked, and what remains to be
// matched; nothing remains when the condition is exact.
func (p planner) plan(n *node, negate bool) (*Cond, *node) {
	switch n.kind {
	case nodeConst:
		if n.truth != negate {
			return condTrue, nil
		}
		return condFalse, nil
	case nodeNot:
		return p.plan(n.x, !negate)
	case nodeAnd, nodeOr:
		x, restX := p.plan(n.x, negate)
		y, restY := p.plan(n.y, negate)
		if (n.kind == nodeAnd) != negate {
			return both(x, y), conjunction(restX, restY)
		}
		if restX == nil && restY == nil {
			return either(x, y), nil
		}
		return either(x, y), negated(n, negate)
	}
	c, exact := p.leaf(n)
	switch {
	case !negate && exact:
		return c, nil
	case !negate:
		return c, n
	case exact:
		return neither(c), nil
	}
	return condTrue, negated(n, true)
}

func negated(n *node, negate bool) *node {
	if negate {
		return &node{kind: nodeNot, x: n}
	}
	return n
}

func conjunction(x, y *node) *node {
	switch {
	case x == nil:
		return y
	case y == nil:
		return x
	}
	return &node{kind: nodeAnd, x: x, y: y}
}

func both(x, y *Cond) *Cond {
	switch {
	case x.Kind == False || y.Kind == True:
		return x
	case y.Kind == False || x.Kind == True:
		return y
	}
	return &Cond{Kind: Both, X: x, Y: y}
}

func either(x, y *Cond) *Cond {
	switch {
	case x.Kind == True || y.Kind == False:
		return x
	case y.Kind == True || x.Kind == False:
		return y
	}
	return &Cond{Kind: Either, X: x, Y: y}
}

func neither(x *Cond) *Cond {
	switch x.Kind {
	case True:
		return condFalse
	case False:
		return condTrue
	}
	return &Cond{Kind: Neither, X: x}
}

// leaf plans a comparison or value path.
func (p planner) leaf(n *node) (c *Cond, exact bool) {
	switch {
	case n.kind == nodeElements:
		return p.elements(n)
	case n.kind != nodeCompare || n.inner:
		return condTrue, false
	case n.attr.Related():
		return p.relation(n)
	case n.attr.Column != "":
		return onColumn(n)
	}
	return p.onValue(n)
}

// relation plans comparisons with the ids of members and groups.
func (p planner) relation(n *node) (*Cond, bool) {
	kind := OnMember
	if p.kind == schema.User {
		kind = OnGroup
	}
	switch {
	case n.attr.Parent != nil && n.attr.Name != "value":
		return condTrue, false
	case n.op == Pr, n.op == Ne && n.value == nil:
		return &Cond{Kind: kind}, true
	case n.op == Eq && n.value == nil:
		return neither(&Cond{Kind: kind}), true
	case n.op == Eq:
		return &Cond{Kind: kind, Arg: n.text}, true
	}
	return condTrue, false
}

// elements plans a value path by the parts of its filter that speak of "value"
// alone; the rest must hold in the same element and is left to the matcher.
func (p planner) elements(n *node) (*Cond, bool) {
	value := n.attr.Default()
	if value == nil {
		return condTrue, false
	}
	var walk func(x *node) (*Cond, bool)
	walk = func(x *node) (*Cond, bool) {
		switch {
		case x.kind == nodeConst && !x.truth:
			return condFalse, true
		case x.kind == nodeAnd:
			a, _ := walk(x.x)
			b, _ := walk(x.y)
			return both(a, b), false
		case x.kind == nodeOr:
			a, exactA := walk(x.x)
			b, exactB := walk(x.y)
			return either(a, b), exactA && exactB
		case x.kind != nodeCompare || x.attr != value || x.op != Eq && x.op != Sw || x.value == nil:
			return condTrue, false
		}
		outer := *x
		outer.inner = false
		return p.leaf(&outer)
	}
	return walk(n.x)
}

func (p planner) onValue(n *node) (*Cond, bool) {
	usual := n.attr.Value != ""
	if !usual && n.attr.Path != p.matching || n.value == nil || len(n.text) > schema.MaxKey ||
		n.attr.Type != schema.String && n.attr.Type != schema.Reference {
		return condTrue, false
	}
	switch {
	case n.op == Eq, n.op == Sw && usual && n.text != "":
		return &Cond{Kind: OnValue, Attr: n.attr.Path, Op: n.op, Arg: n.text}, true
	}
	return condTrue, false
}

func onColumn(n *node) (*Cond, bool) {
	col := n.attr.Column
	c := &Cond{Kind: OnColumn, Column: col, Op: n.op}
	switch col {
	case schema.ColumnActive:
		b, ok := n.value.(bool)
		if !ok || n.op > Ne {
			return condTrue, false
		}
		c.Op, c.Arg = Eq, b == (n.op == Eq)
		return c, true
	case schema.ColumnCreated, schema.ColumnModified:
		return onTime(n, c)
	}
	switch {
	case n.op == Pr, n.op == Ne && n.value == nil:
		return neither(&Cond{Kind: OnColumn, Column: col, Op: Eq}), true
	case n.op == Eq && n.value == nil:
		return &Cond{Kind: OnColumn, Column: col, Op: Eq}, true
	case n.op == Ne:
		return neither(&Cond{Kind: OnColumn, Column: col, Op: Eq, Arg: n.text}), true
	}
	c.Arg = n.text
	if n.text == "" && (n.op == Co || n.op == Sw || n.op == Ew || n.op == Ge) { // whatever is there
		return neither(&Cond{Kind: OnColumn, Column: col, Op: Eq}), true
	}
	// SQLite's LIKE ignores the case of ASCII: on an exact column it finds more.
	folded := col == schema.ColumnUserName || col == schema.ColumnDisplayName
	return c, folded || n.op != Co && n.op != Ew
}

// onTime plans a comparison with a time. The columns hold whole microseconds;
// the filter's value may be finer.
func onTime(n *node, c *Cond) (*Cond, bool) {
	if !n.timed {
		return condTrue, false
	}
	us := n.at.UnixMicro()
	whole := n.at.Nanosecond()%int(time.Microsecond) == 0
	switch n.op {
	case Eq, Ne:
		if !whole {
			if n.op == Eq {
				return condFalse, true
			}
			return condTrue, true
		}
		c.Op, c.Arg = Eq, us
		if n.op == Ne {
			return neither(c), true
		}
		return c, true
	case Ge, Lt: // against the next whole microsecond
		if !whole {
			us++
		}
	case Gt, Le:
	default:
		return condTrue, false
	}
	c.Arg = us
	return c, true
}
