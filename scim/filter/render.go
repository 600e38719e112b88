package filter

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Render writes the condition as SQL that SQLite and PostgreSQL both read, for
// a statement in which $1 is the tenant, $2 the connection and r the row of
// scim_resources. Its parameters are numbered from $start; args are their
// values in order. A plan without condition is "TRUE".
func (p Plan) Render(start int) (sql string, args []any) {
	w := writer{next: start}
	w.cond(p.Cond)
	return w.b.String(), w.args
}

type writer struct {
	b    strings.Builder
	args []any
	next int
}

func (w *writer) arg(v any) {
	w.b.WriteByte('$')
	w.b.WriteString(strconv.Itoa(w.next))
	w.args = append(w.args, v)
	w.next++
}

func (w *writer) cond(c *Cond) {
	switch c.Kind {
	case True:
		w.b.WriteString("TRUE")
	case False:
		w.b.WriteString("FALSE")
	case Both, Either:
		w.b.WriteByte('(')
		w.cond(c.X)
		if c.Kind == Both {
			w.b.WriteString(" AND ")
		} else {
			w.b.WriteString(" OR ")
		}
		w.cond(c.Y)
		w.b.WriteByte(')')
	case Neither: // a NULL column makes the condition unknown: that is not a match
		w.b.WriteString("NOT COALESCE(")
		w.cond(c.X)
		w.b.WriteString(", FALSE)")
	case OnColumn:
		w.column(c)
	case OnValue:
		w.b.WriteString("r.id IN (SELECT v.resource_id FROM scim_values v WHERE v.tenant_id = $1 AND v.connection_id = $2 AND v.attr = ")
		w.arg(c.Attr)
		w.b.WriteString(" AND ")
		if s, _ := c.Arg.(string); c.Op == Sw {
			w.prefix("v.value_key", s)
		} else {
			w.b.WriteString("v.value_key = ")
			w.arg(s)
		}
		w.b.WriteByte(')')
	case OnMember:
		w.member(c)
	case OnGroup:
		w.group(c)
	}
}

func (w *writer) column(c *Cond) {
	col := "r." + string(c.Column)
	if c.Arg == nil {
		w.b.WriteString(col + " IS NULL")
		return
	}
	s, _ := c.Arg.(string)
	switch c.Op {
	case Sw:
		w.prefix(col, s)
	case Co:
		w.b.WriteString(col + " LIKE ")
		w.arg("%" + escapeLike(s) + "%")
		w.b.WriteString(" ESCAPE '!'")
	case Ew:
		w.b.WriteString(col + " LIKE ")
		w.arg("%" + escapeLike(s))
		w.b.WriteString(" ESCAPE '!'")
	default:
		w.b.WriteString(col)
		w.b.WriteString(map[Op]string{Eq: " = ", Gt: " > ", Ge: " >= ", Lt: " < ", Le: " <= "}[c.Op])
		w.arg(c.Arg)
	}
}

var likeEscaper = strings.NewReplacer("!", "!!", "%", "!%", "_", "!_")

func escapeLike(s string) string { return likeEscaper.Replace(s) }

// prefix asks for keys that start with s as a range, which an index serves in
// byte order (COLLATE "C", BINARY).
func (w *writer) prefix(col, s string) {
	w.b.WriteString("(" + col + " >= ")
	w.arg(s)
	if end, ok := after(s); ok {
		w.b.WriteString(" AND " + col + " < ")
		w.arg(end)
	}
	w.b.WriteByte(')')
}

// after is the least string above all that start with s: its last character
// that has a successor replaced by that.
func after(s string) (string, bool) {
	for s != "" {
		r, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
		switch {
		case r == utf8.MaxRune:
			continue
		case r == 0xd7ff: // the surrogates are no characters
			return s + "\ue000", true
		}
		return s + string(r+1), true
	}
	return "", false
}

// member asks for groups by a member, which is a user or a group of the same
// connection.
func (w *writer) member(c *Cond) {
	if c.Arg == nil {
		w.b.WriteString("(EXISTS (SELECT 1 FROM group_members g WHERE g.tenant_id = $1 AND g.group_id = r.group_id)" +
			" OR EXISTS (SELECT 1 FROM group_children h WHERE h.tenant_id = $1 AND h.group_id = r.group_id))")
		return
	}
	w.b.WriteString("r.group_id IN (SELECT g.group_id FROM scim_resources m" +
		" JOIN group_members g ON g.tenant_id = m.tenant_id AND g.membership_id = m.membership_id" +
		" WHERE m.tenant_id = $1 AND m.connection_id = $2 AND m.id = ")
	n := w.next
	w.arg(c.Arg)
	w.b.WriteString(" UNION ALL SELECT h.group_id FROM scim_resources m" +
		" JOIN group_children h ON h.tenant_id = m.tenant_id AND h.child_id = m.group_id" +
		" WHERE m.tenant_id = $1 AND m.connection_id = $2 AND m.id = $" + strconv.Itoa(n) + ")")
}

// group asks for users by a group of the same connection that lists them.
func (w *writer) group(c *Cond) {
	w.b.WriteString("r.membership_id IN (SELECT g.membership_id FROM scim_resources m" +
		" JOIN group_members g ON g.tenant_id = m.tenant_id AND g.group_id = m.group_id" +
		" WHERE m.tenant_id = $1 AND m.connection_id = $2")
	if c.Arg != nil {
		w.b.WriteString(" AND m.id = ")
		w.arg(c.Arg)
	}
	w.b.WriteByte(')')
}
