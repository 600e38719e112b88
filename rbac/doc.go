// Package rbac owns permissions, roles, their levels, and every way in which a
// person comes to a role: directly, by a group, by a group's name that an identity
// provider sends, or as a default of a connection.
//
// Tables: permission_categories, permissions, roles, role_permissions,
// membership_roles, group_roles, sso_default_roles, group_role_mappings.
//
// Effective computes what a person may do now, in one statement, when a token is
// issued; the result is never stored (identity rule 8). The level rule (product
// 105, 121 to 123) is checked on every path that grants a role: an actor grants
// only roles as strong as his own or weaker, and acts only on people who are not
// stronger. Management keys, vendor staff and the system are exempt.
package rbac
