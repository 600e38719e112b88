// Package entitlement owns what is sold: features with the permissions they are
// linked to, plans that bundle features, feature flags, and entitlements, which
// give a plan to a tenant or to one of its users, for ever or until a time
// (product 91 to 99).
//
// Tables: features, feature_permissions, plans, plan_features, feature_flags,
// entitlements.
//
// Facts is the pure engine (product 2.1): it is all that a decision depends on,
// as a value, and decides without asking anything. Load reads the facts of one
// user in a constant number of statements. A hidden section of the portal stays
// reachable by the API for whoever holds the permission (product 97, 134), unless
// the environment switches enforce_entitlements_on_api on; then Allows is asked.
package entitlement
