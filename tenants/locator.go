package tenants

import "github.com/gatehouse-id/gatehouse/internal/db"

// Kinds of locator of what other packages own.
const (
	LocatorAPIToken   = "token"
	LocatorInvitation = "invitation"
	LocatorInviteLink = "invite_link"
)

// LocatorStmt makes an object of a tenant findable before the tenant is known.
func LocatorStmt(kind, environment, tenant, id string) db.Stmt {
	return db.Stmt{SQL: sqlInsertLocator, Args: []any{tenant, kind, id, environment, id}}
}

// DropLocatorStmt forgets the locator of an object. A tenant that is deleted takes
// all of its own with it.
func DropLocatorStmt(kind, tenant, id string) db.Stmt {
	return db.Stmt{SQL: sqlDeleteLocator, Args: []any{tenant, kind, id, id}}
}
