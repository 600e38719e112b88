package schema

// Keys are the values of the columns of scim_resources, folded where the column
// is. Empty means NULL.
type Keys struct {
	UserName    string
	ExternalID  string
	DisplayName string
	Active      bool // true for groups
}

// KeysOf reads the column values off a stored document.
func KeysOf(k Kind, doc *Object) Keys {
	keys := Keys{
		ExternalID:  doc.String("externalId"),
		DisplayName: Fold(doc.String("displayName")),
		Active:      true,
	}
	if k == User {
		keys.UserName = Fold(doc.String("userName"))
		if active, ok := doc.Bool("active"); ok {
			keys.Active = active
		}
	}
	return keys
}

// ValueRow is one row of scim_values.
type ValueRow struct{ Attr, Key string }

// Values lists the rows of scim_values for a stored document: every value of
// the indexed attributes, and of the one attribute that the connection names
// (canonical path from MatchingPath; empty for none). Values of the latter
// longer than MaxKey are left out; a plan asks only for shorter ones.
func (ix *Index) Values(k Kind, doc *Object, matching string) []ValueRow {
	var rows []ValueRow
	add := func(a *Attribute, v any) {
		key, ok := IndexKey(a, v)
		if !ok || len(key) > MaxKey && a.Value == "" {
			return
		}
		row := ValueRow{a.Path, key}
		for _, r := range rows {
			if r == row {
				return
			}
		}
		rows = append(rows, row)
	}
	for _, a := range ix.indexed(k, matching) {
		home := doc
		if a.URN != "" {
			home = doc.Object(a.URN)
		}
		v, _ := home.Get(a.Top().Name)
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		for _, e := range list {
			if a.Parent != nil {
				o, _ := e.(*Object)
				e, _ = o.Get(a.Name)
			}
			if inner, ok := e.([]any); ok {
				for _, x := range inner {
					add(a, x)
				}
				continue
			}
			add(a, e)
		}
	}
	return rows
}

// indexed lists the attributes that have rows in scim_values.
func (ix *Index) indexed(k Kind, matching string) []*Attribute {
	var all []*Attribute
	if k == User {
		emails, _ := ix.Lookup(k, "", "emails", "value")
		number, _ := ix.Lookup(k, EnterpriseURN, "employeeNumber", "")
		all = append(all, emails, number)
	}
	if matching != "" {
		if a, ok := ix.Resolve(k, matching); ok && a.Column == "" && a.Value == "" && a.Type != Complex {
			all = append(all, a)
		}
	}
	return all
}

// IndexKey is the key under which scim_values holds a value of a: folded unless
// the attribute is caseExact. It is false for what is never indexed.
func IndexKey(a *Attribute, v any) (string, bool) {
	s, ok := v.(string)
	if ok && !a.CaseExact {
		s = Fold(s)
	}
	return s, ok
}
