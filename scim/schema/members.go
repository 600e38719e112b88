package schema

import (
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/scim/dialect"
)

// Member is one element of a group's members as a client sends it.
type Member struct {
	Value   string // id of the resource
	Type    string // User, Group or empty, as the client said
	Display string // what the client called it; not authoritative
}

// maxMemberID bounds the id of a member, which is a key.
const maxMemberID = 256

// ParseMembers reads a members value: a list of objects, or what the dialect
// lets stand for it (one object, an id as a string). null and [] are no
// members; an id twice counts once. Errors are fault.Invalid, "invalidValue".
func ParseMembers(v any, d dialect.Dialect) ([]Member, error) {
	if v == nil || v == "" && d.Allow(dialect.EmptyUnsets) {
		return nil, nil
	}
	list, ok := v.([]any)
	if !ok {
		if !d.Allow(dialect.SingleToList) {
			return nil, invalidValue("members takes a list.", "members")
		}
		list = []any{v}
	}
	members := make([]Member, 0, len(list))
	seen := make(map[string]struct{}, len(list))
	for _, e := range list {
		m, err := parseMember(e, d)
		if err != nil {
			return nil, err
		}
		if _, twice := seen[m.Value]; twice {
			continue
		}
		seen[m.Value] = struct{}{}
		members = append(members, m)
	}
	return members, nil
}

func parseMember(v any, d dialect.Dialect) (Member, error) {
	var m Member
	switch v := v.(type) {
	case string:
		if d.Allow(dialect.StringToComplex) {
			m.Value = v
		}
	case *Object:
		var ref string
		for key, w := range v.All() {
			s, isString := w.(string)
			var into *string
			switch strings.ToLower(key) {
			case "value":
				into = &m.Value
			case "type":
				into = &m.Type
			case "display":
				into = &m.Display
			case "$ref":
				into = &ref
			default:
				if err := unknownAttribute("members."+key, d); err != nil {
					return Member{}, err
				}
				continue
			}
			if w != nil && !isString {
				return Member{}, invalidValue("A member's "+key+" is a string.", "members."+key)
			}
			*into = s
		}
		if m.Value == "" && ref != "" && d.Allow(dialect.RefAsValue) {
			ref = strings.TrimSuffix(ref, "/")
			m.Value = ref[strings.LastIndexByte(ref, '/')+1:]
		}
		switch {
		case strings.EqualFold(m.Type, "User"):
			m.Type = "User"
		case strings.EqualFold(m.Type, "Group"):
			m.Type = "Group"
		default: // a hint that says nothing
			m.Type = ""
		}
	}
	if m.Value == "" || len(m.Value) > maxMemberID {
		return Member{}, fault.New(fault.Invalid, "invalidValue", "Each member needs the id of a user or group as its value.").In("members")
	}
	return m, nil
}
