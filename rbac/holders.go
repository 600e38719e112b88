package rbac

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// What a role can stand on, in the order of lists.
const (
	HolderUser       = "user"
	HolderGroup      = "group"
	HolderConnection = "connection" // as a default of everybody who comes through it
	HolderMapping    = "mapping"    // of a group's name
)

// Holder is something of a tenant that a role was given to.
type Holder struct {
	Tenant string
	Kind   string
	ID     string // usr_…, grp_…, sso_…; of a mapping the connection, or empty
	Name   string // e-mail of a user, otherwise the name
}

const maxHolders = 200

var heldBy = []struct{ kind, sql string }{
	{HolderUser, sqlHeldByUsers}, {HolderGroup, sqlHeldByGroups}, {HolderConnection, sqlHeldByConnections}, {HolderMapping, sqlHeldByMappings},
}

// RoleHolders lists what a role was given to, by kind, tenant and id; with a
// tenant, in that one only. The cursor is the one of the page before; a page has
// up to 200 (50 with limit 0). People who have the role through a group or a
// mapping are not named themselves.
//
// Fault: invalid_cursor.
func (s *Service) RoleHolders(ctx context.Context, q db.Queryer, r Role, tenant, cursor string, limit int) (list []Holder, next string, err error) {
	if limit <= 0 {
		limit = 50
	}
	limit = min(limit, maxHolders)
	from, to := tenant, tenant
	if tenant == "" {
		to = "~" // behind every id
	}
	at := [4]string{heldBy[0].kind} // kind, tenant, and the key of the holder
	if cursor != "" {
		if json.Unmarshal([]byte(cursor), &at) != nil {
			return nil, "", fault.New(fault.Invalid, "invalid_cursor", "The cursor is not one that this list returned.").In("cursor")
		}
	}
	begin := max(slices.IndexFunc(heldBy, func(h struct{ kind, sql string }) bool { return h.kind == at[0] }), 0)
	for i, h := range heldBy[begin:] {
		if i > 0 {
			at = [4]string{h.kind}
		}
		last, more, err := scanHolders(q.Query(ctx, h.sql, r.Environment, r.Owner, r.ID, from, to, at[1], at[2], at[3], limit-len(list)+1))(h.kind, limit-len(list), &list)
		if err != nil {
			return nil, "", fmt.Errorf("rbac: holders: %w", err)
		}
		if more {
			text, err := json.Marshal(last)
			return list, string(text), err
		}
	}
	return list, "", nil
}

func scanHolders(rows db.Rows, err error) func(kind string, limit int, list *[]Holder) (last [4]string, more bool, _ error) {
	return func(kind string, limit int, list *[]Holder) (last [4]string, more bool, _ error) {
		if err != nil {
			return last, false, err
		}
		defer rows.Close()
		for n := 0; rows.Next(); n++ {
			if n == limit {
				if last[0] == "" { // the page was full before this kind
					last[0] = kind
				}
				return last, true, nil
			}
			h := Holder{Kind: kind}
			key := [4]string{kind}
			if err := rows.Scan(&key[1], &key[2], &key[3], &h.ID, &h.Name); err != nil {
				return last, false, err
			}
			h.Tenant, last = key[1], key
			*list = append(*list, h)
		}
		return last, false, rows.Err()
	}
}
