// Package rbac owns permissions, roles, their levels, and every way in which a
// person comes to a role: directly, by a group, by a group's name that an identity
// provider sends, or as a default of a connection.
//
// Tables: permission_categories, permissions, roles, role_permissions,
// membership_roles, group_roles, sso_default_roles, group_role_mappings.
//
// Effective computes what a person may do now, in one statement, when a token is
// issued; the result is never stored (identity rule 8).
//
// # Levels
//
// Every role has a level; 0 is the strongest. An actor is as strong as the
// strongest of his effective roles (product 123). Two rules bind him (product 105,
// 121, 122), and are asked inside the transaction, on rows that stay as they are
// until it ends:
//
//   - he gives and takes only roles that are not stronger than he is: CheckGrant,
//     and CheckGroup where membership of a group gives them;
//   - he acts only on people who are not stronger than he is: CheckTarget and
//     CheckTargets.
//
// Management keys, vendor staff and the system are exempt. In a sub-account an
// actor keeps the level of his home (product 8). The paths that grant, and what
// asks for each:
//
//	direct roles of a person             AssignRoles: CheckTarget, CheckGrant
//	a person added without naming roles  AssignDefaults: the default roles are granted by who adds him
//	roles of a group                     SetGroupRoles: CheckGrant on what is added and taken away
//	membership of a group                CheckGroup and CheckTargets, both ways; so does deleting a group
//	default roles of a connection        SetConnectionRoles: CheckGrant
//	names of groups mapped to roles      PutMappings: CheckGrant on what a change gives and takes
//	a role of the tenant's own           CreateRole: the level of its base role, else the weakest
//	a change or deletion of such a role  HoldRole: its level
//	invitations and invite links         package onboarding: CheckGrant when made, Narrow when used (product 124)
//	API tokens of the tenant             package rbac/apitoken: CheckGrant when made, OfRoles at each use
//	personal API tokens                  Effective of the person, at each use
//	access to sub-accounts               directory.Enter: the level of the home; CheckTarget to change it
//
// # What levels do not say
//
// Two roles of one level are equally strong, whatever they hold: the vendor orders
// his roles by level. The roles that tenants make would undo that order, were their
// makers free in what they hold: somebody of level 5 would make himself a role of
// level 5 with every permission. So the vendor says by classification what such
// roles may hold at all (product 112, 113), and a bound actor adds no built-in
// permission that he does not hold himself. The application's own permissions are
// let through by their classification alone, because who administers an account
// need not use the application. What the base role of a new one holds is copied
// under the same rules; its wildcards are copied as the listed permissions that
// they cover.
//
// A connection is trusted as a whole. Who may configure single sign-on or
// provisioning decides whom an identity provider or a directory vouches for, and
// with it who gets the roles that are mapped to its groups: a SCIM connection is not
// bound by levels. Give fe.secure.write.samlConfiguration and
// fe.secure.write.provisioningConfiguration accordingly.
package rbac
