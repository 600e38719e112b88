package patch

import (
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/scim/dialect"
	"github.com/gatehouse-id/gatehouse/scim/filter"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// MemberOps is what a request does to the members of a group: with Replace the
// membership becomes Add; otherwise it becomes (members without Remove) with
// Add. No id is in both lists and none is twice in one.
type MemberOps struct {
	Replace bool
	Add     []schema.Member
	Remove  []string
}

// memberSet composes the operations of one request in their order.
type memberSet struct {
	touched bool
	replace bool
	add     []schema.Member
	added   map[string]int // id → index in add + 1
	remove  []string
	removed map[string]int // id → index in remove + 1
}

func (s *memberSet) insert(m schema.Member) {
	s.touched = true
	if i := s.removed[m.Value]; i > 0 {
		s.remove[i-1] = ""
		delete(s.removed, m.Value)
	}
	if s.added == nil {
		s.added = make(map[string]int)
	}
	if s.added[m.Value] > 0 {
		return
	}
	s.add = append(s.add, m)
	s.added[m.Value] = len(s.add)
}

func (s *memberSet) delete(id string) {
	s.touched = true
	if i := s.added[id]; i > 0 {
		s.add[i-1].Value = ""
		delete(s.added, id)
	}
	if s.replace || s.removed[id] > 0 {
		return
	}
	if s.removed == nil {
		s.removed = make(map[string]int)
	}
	s.remove = append(s.remove, id)
	s.removed[id] = len(s.remove)
}

func (s *memberSet) clear() { *s = memberSet{touched: true, replace: true} }

// ops is the composed result; nil when nothing was said about members.
func (s *memberSet) ops() *MemberOps {
	if !s.touched {
		return nil
	}
	o := &MemberOps{Replace: s.replace}
	for _, m := range s.add {
		if m.Value != "" {
			o.Add = append(o.Add, m)
		}
	}
	for _, id := range s.remove {
		if id != "" {
			o.Remove = append(o.Remove, id)
		}
	}
	return o
}

// effective is the membership in the middle of a request.
func (s *memberSet) effective(stored []schema.Member) []schema.Member {
	var all []schema.Member
	if !s.replace {
		for _, m := range stored {
			if s.removed[m.Value] == 0 && s.added[m.Value] == 0 {
				all = append(all, m)
			}
		}
	}
	for _, m := range s.add {
		if m.Value != "" {
			all = append(all, m)
		}
	}
	return all
}

// memberOp applies an operation on the members of a group.
func (e *engine) memberOp(op Op, t target, v any, hasValue bool) error {
	switch {
	case op == OpRemove && t.sub != nil && t.sub.Name == "value" && e.d.Allow(dialect.RemoveByValue): // a member is its value
	case t.attr.Parent != nil || t.sub != nil:
		// The sub-attributes of a member are immutable (RFC 7643 §4.2).
		if e.d.Allow(dialect.IgnoreReadOnly) {
			return nil
		}
		return mutability("What a member is cannot be changed; remove it and add another.", "members")
	}
	switch {
	case t.filter != nil:
		return e.memberFilterOp(op, t, v)
	case op == OpRemove && !hasValue:
		e.members.clear()
		return nil
	}
	members, err := schema.ParseMembers(v, e.d)
	if err != nil {
		return err
	}
	switch op {
	case OpReplace:
		e.members.clear()
		fallthrough
	case OpAdd:
		for _, m := range members {
			e.members.insert(m)
		}
	case OpRemove: // only those named: azure-docs#30826
		e.d.Allow(dialect.RemoveByValue)
		for _, m := range members {
			e.members.delete(m.Value)
		}
	}
	e.members.touched = true
	return nil
}

func (e *engine) memberFilterOp(op Op, t target, v any) error {
	ids, byID := memberIDs(nil, t.filter)
	if !byID {
		matched, err := e.matchMembers(t)
		if err != nil {
			return err
		}
		ids = matched
	}
	switch op {
	case OpRemove:
		for _, id := range ids {
			e.members.delete(id)
		}
	case OpAdd:
		for _, id := range ids {
			e.members.insert(schema.Member{Value: id})
		}
	case OpReplace:
		members, err := schema.ParseMembers(v, e.d)
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			return noTarget(t)
		}
		for _, id := range ids {
			e.members.delete(id)
		}
		for _, m := range members {
			e.members.insert(m)
		}
	}
	e.members.touched = true
	return nil
}

// memberIDs reads the ids off a filter that is nothing but value eq "id",
// several of them joined by or.
func memberIDs(ids []string, x filter.Expr) ([]string, bool) {
	switch x := x.(type) {
	case *filter.Compare:
		id, isString := x.Value.(string)
		return append(ids, id), isString && x.Op == filter.Eq && strings.EqualFold(x.Path, "value")
	case *filter.Or:
		ids, ok := memberIDs(ids, x.X)
		if !ok {
			return nil, false
		}
		return memberIDs(ids, x.Y)
	}
	return nil, false
}

// maxMemberFilters bounds how often one request walks the members.
const maxMemberFilters = 8

// matchMembers selects members by a filter on more than their ids; only here
// the list is loaded.
func (e *engine) matchMembers(t target) ([]string, error) {
	b, err := filter.BindElement(e.ix, e.k, t.attr, t.filter, e.d)
	if err != nil {
		return nil, err
	}
	if e.filters++; e.filters > maxMemberFilters {
		return nil, fault.New(fault.Invalid, "tooMany", "A request selects members by more than their ids at most 8 times.").In("members")
	}
	if e.filters == 1 && e.o.Members != nil {
		if e.stored, err = e.o.Members(); err != nil {
			return nil, err
		}
	}
	members := e.members.effective(e.stored)
	if e.memberWork += len(members) * terms(t.filter); e.memberWork > maxMemberWork {
		return nil, tooMuch()
	}
	var ids []string
	for _, m := range members {
		o := schema.NewObject(3)
		o.Set("value", m.Value)
		if m.Type != "" {
			o.Set("type", m.Type)
		}
		if m.Display != "" {
			o.Set("display", m.Display)
		}
		if b.MatchElement(o) {
			ids = append(ids, m.Value)
		}
	}
	return ids, nil
}
