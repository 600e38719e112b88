package patch

import (
	"strconv"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/scim/dialect"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// MaxOperations bounds the operations of one request.
const MaxOperations = 1000

// Op is the kind of an operation.
type Op uint8

// The operations of RFC 7644 §3.5.2.
const (
	OpAdd Op = iota
	OpRemove
	OpReplace
)

// String is the operation as the RFC writes it.
func (o Op) String() string { return [...]string{"add", "remove", "replace"}[o] }

// Operation is one operation of a request.
type Operation struct {
	Op       Op
	Path     string // empty: the resource itself
	Value    any
	HasValue bool // false when there was no value, or null with remove
}

// Request is a PATCH request.
type Request struct{ Operations []Operation }

// Parse reads the body of a PATCH request: names and operations in any case.
// Errors are fault.Invalid: "invalidSyntax" for its shape, "invalidPath",
// "invalidValue" for an operation without its value, "tooMany" above
// MaxOperations.
func Parse(body *schema.Object, d dialect.Dialect) (Request, error) {
	if err := checkSchemas(body, d); err != nil {
		return Request{}, err
	}
	_, v, ok := body.Fold("Operations")
	list, isList := v.([]any)
	if _, one := v.(*schema.Object); one && d.Allow(dialect.SingleToList) {
		list, isList = []any{v}, true
	}
	switch {
	case !ok || !isList:
		return Request{}, syntax("A PATCH body has a list of Operations.", "Operations")
	case len(list) == 0 && !d.Allow(dialect.EmptyOps):
		return Request{}, syntax("A PATCH body has at least one operation.", "Operations")
	case len(list) > MaxOperations:
		return Request{}, fault.New(fault.Invalid, "tooMany", "A PATCH body has at most 1000 operations.").In("Operations")
	}
	r := Request{make([]Operation, 0, len(list))}
	for i, v := range list {
		op, err := parseOperation(v, d, i)
		if err != nil {
			return Request{}, err
		}
		r.Operations = append(r.Operations, op)
	}
	return r, nil
}

func checkSchemas(body *schema.Object, d dialect.Dialect) error {
	_, v, _ := body.Fold("schemas")
	list, _ := v.([]any)
	if s, ok := v.(string); ok {
		list = []any{s}
	}
	for _, v := range list {
		if s, ok := v.(string); ok && strings.EqualFold(s, schema.PatchOpURN) {
			return nil
		}
	}
	if d.Allow(dialect.MissingSchemas) {
		return nil
	}
	return syntax("schemas does not hold "+schema.PatchOpURN+".", "schemas")
}

func parseOperation(v any, d dialect.Dialect, i int) (Operation, error) {
	var op Operation
	field := "Operations[" + strconv.Itoa(i) + "]"
	o, ok := v.(*schema.Object)
	if !ok {
		return op, syntax("An operation is an object.", field)
	}
	named := false
	for key, v := range o.All() {
		switch {
		case strings.EqualFold(key, "op"):
			s, _ := v.(string)
			if op.Op, named = opNamed(s, d); !named {
				return op, syntax("An operation is add, remove or replace.", field+".op")
			}
		case strings.EqualFold(key, "path"):
			s, ok := v.(string)
			if !ok && v != nil {
				return op, fault.New(fault.Invalid, "invalidPath", "The path of an operation is a string.").In(field + ".path")
			}
			op.Path = strings.TrimSpace(s)
		case strings.EqualFold(key, "value"):
			op.Value, op.HasValue = v, true
		}
	}
	switch {
	case !named:
		return op, syntax("An operation names its op.", field)
	case op.Op != OpRemove && !op.HasValue:
		return op, fault.New(fault.Invalid, "invalidValue", "An add or replace operation has a value.").In(field)
	case op.Op == OpRemove && op.Value == nil:
		op.HasValue = false
	}
	return op, nil
}

func opNamed(s string, d dialect.Dialect) (Op, bool) {
	for op := OpAdd; op <= OpReplace; op++ {
		if name := op.String(); s == name || strings.EqualFold(s, name) && d.Allow(dialect.OpCase) {
			return op, true
		}
	}
	return 0, false
}

func syntax(message, field string) *fault.Error {
	return fault.New(fault.Invalid, "invalidSyntax", message).In(field)
}
