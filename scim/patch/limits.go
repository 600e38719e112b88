package patch

import (
	"encoding/json"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/scim/filter"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// Limits of what one request may cost, whatever its length: operations multiply
// with the elements that they look at.
const (
	// MaxDocument is the size in bytes that a PATCH may bring a document to: an
	// operation on all elements repeats its value.
	MaxDocument = schema.MaxPayload
	// maxWork bounds the comparisons with elements of lists: far more than a list
	// of 1000 elements needs, and some tens of milliseconds.
	maxWork = 1 << 19
	// maxMemberWork bounds those with members, of which a group may have a million.
	maxMemberWork = 1 << 21
)

func tooMuch() *fault.Error {
	return fault.New(fault.Invalid, "tooMany", "The operations select among too many elements; send fewer of them in one request.").In("Operations")
}

// spend counts n comparisons before they are made.
func (e *engine) spend(n int) error {
	if e.work += n; e.work > maxWork {
		return tooMuch()
	}
	return nil
}

// terms is the number of comparisons in a filter.
func terms(x filter.Expr) int {
	switch x := x.(type) {
	case *filter.And:
		return terms(x.X) + terms(x.Y)
	case *filter.Or:
		return terms(x.X) + terms(x.Y)
	case *filter.Not:
		return terms(x.X)
	case *filter.ValuePath:
		return terms(x.X)
	}
	return 1
}

// size is about the length of a value as JSON; escapes are left out.
func size(v any) int {
	n := 5
	switch v := v.(type) {
	case *schema.Object:
		for key, w := range v.All() {
			n += len(key) + 4 + size(w)
		}
	case []any:
		for _, w := range v {
			n += 1 + size(w)
		}
	case string:
		n = len(v) + 2
	case json.Number:
		n = len(v)
	}
	return n
}
