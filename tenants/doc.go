// Package tenants owns what a vendor sets up: environments, tenants and their
// sub-accounts, e-mail domains, applications, and the SSO and SCIM connections of
// a tenant with their credentials.
//
// Tables: environments, locators, tenants, tenant_closure, domains, applications,
// application_tenants, application_users, sso_connections, sso_idp_keys, sso_sp_keys, sso_metadata, sso_scim_pairs,
// scim_connections, scim_tokens, scim_clients, scim_schemas.
//
// Locators say to which tenant something belongs that arrives before the tenant
// is known (a connection in a path, a verified domain in an e-mail address). A
// row is written, changed and dropped in the transaction of what it points to.
//
// Operations act inside the environment of the actor. An actor that belongs to a
// tenant (actor.Actor.Tenant is set) reaches its own tenant and its sub-accounts
// only; the caller that resolves a path to a tenant has decided that already
// with Tenant or Descendant, so that a foreign object looks absent.
package tenants
