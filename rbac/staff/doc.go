// Package staff owns the vendor's side of access: his people, the management keys
// of his environments, and what the back-office roles of both may do (product 14
// to 19); and sessions of the back office, which signin/staffauth starts.
//
// Tables: management_keys, staff, staff_roles, staff_sessions.
//
// A back-office role is a row of a matrix whose columns are areas; every
// permission belongs to one area (permissions.go), so a role's permissions follow
// from its row (role.go). Inside tenants the vendor's actors stand above the level
// rule (product 121); what they may touch there is their row alone.
//
// Nobody gives a role that reaches further than his own, so the impersonator's
// comes only from who has it or from the operator's command line.
package staff
