package filter

import (
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// Op is a comparison operator.
type Op uint8

// The operators of RFC 7644 §3.4.2.2, table 3.
const (
	Eq Op = iota
	Ne
	Co
	Sw
	Ew
	Gt
	Ge
	Lt
	Le
	Pr
)

var opNames = [...]string{"eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "pr"}

// String is the operator as filters write it.
func (o Op) String() string { return opNames[o] }

// Expr is a filter expression: *And, *Or, *Not, *Compare or *ValuePath. Its
// String is a filter that reads back as the same expression.
type Expr interface {
	String() string
	append(dst []byte, parent byte) []byte
}

// And is a conjunction.
type And struct{ X, Y Expr }

// Or is a disjunction; it binds less than And.
type Or struct{ X, Y Expr }

// Not is a negation.
type Not struct{ X Expr }

// Compare compares an attribute with a value. Value is string, json.Number,
// bool or nil (null), and nil with Pr.
type Compare struct {
	Path  string // as written, with URI prefix and sub-attribute if any
	Op    Op
	Value any
}

// ValuePath selects elements of an attribute by a filter on their
// sub-attributes; it holds when one element matches. The form
// path[filter].sub op value, which Entra sends and the grammar of RFC 7644
// lacks, reads as path[filter and sub op value].
type ValuePath struct {
	Path string
	X    Expr
}

// Contexts in which an expression is printed.
const (
	inOr  = '|'
	inAnd = '&'
	inAny = 0
)

func (e *And) append(dst []byte, parent byte) []byte {
	if parent == inAnd {
		dst = append(dst, '(')
	}
	dst = e.X.append(dst, left(e.X))
	dst = append(dst, " and "...)
	dst = e.Y.append(dst, inAnd)
	if parent == inAnd {
		dst = append(dst, ')')
	}
	return dst
}

// left lets a conjunction stand unparenthesised on the left of another.
func left(x Expr) byte {
	if _, ok := x.(*And); ok {
		return inAny
	}
	return inAnd
}

func (e *Or) append(dst []byte, parent byte) []byte {
	if parent != inAny {
		dst = append(dst, '(')
	}
	dst = e.X.append(dst, inAny)
	dst = append(dst, " or "...)
	dst = e.Y.append(dst, inOr)
	if parent != inAny {
		dst = append(dst, ')')
	}
	return dst
}

func (e *Not) append(dst []byte, _ byte) []byte {
	dst = append(dst, "not ("...)
	dst = e.X.append(dst, inAny)
	return append(dst, ')')
}

func (e *Compare) append(dst []byte, _ byte) []byte {
	dst = append(dst, e.Path...)
	dst = append(dst, ' ')
	dst = append(dst, e.Op.String()...)
	if e.Op == Pr {
		return dst
	}
	dst = append(dst, ' ')
	return schema.AppendJSON(dst, e.Value)
}

func (e *ValuePath) append(dst []byte, _ byte) []byte {
	dst = append(dst, e.Path...)
	dst = append(dst, '[')
	dst = e.X.append(dst, inAny)
	return append(dst, ']')
}

// String implements Expr.
func (e *And) String() string { return string(e.append(nil, inAny)) }

// String implements Expr.
func (e *Or) String() string { return string(e.append(nil, inAny)) }

// String implements Expr.
func (e *Not) String() string { return string(e.append(nil, inAny)) }

// String implements Expr.
func (e *Compare) String() string { return string(e.append(nil, inAny)) }

// String implements Expr.
func (e *ValuePath) String() string { return string(e.append(nil, inAny)) }
