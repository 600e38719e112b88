package client

import (
	"context"
	"iter"
	"net/url"
	"time"
)

// Tenant is a customer's organization, or a sub-account of one.
type Tenant struct {
	ID        string    `json:"id"`  // ten_…
	Key       string    `json:"key"` // accepted wherever the id is
	Name      string    `json:"name"`
	ParentID  *string   `json:"parent_id"`
	Status    string    `json:"status"` // active or suspended
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// NewTenant is a tenant to be made.
type NewTenant struct {
	Name     string `json:"name"`
	Key      string `json:"key,omitempty"`       // made of the name when left out
	ParentID string `json:"parent_id,omitempty"` // id or key
}

// User is a person as one tenant sees him.
type User struct {
	ID        string    `json:"id"` // usr_…
	Email     string    `json:"email"`
	FirstName string    `json:"first_name"`
	LastName  string    `json:"last_name"`
	Status    string    `json:"status"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// NewUser is a person to be added to a tenant.
type NewUser struct {
	Email          string   `json:"email"`
	FirstName      string   `json:"first_name,omitempty"`
	LastName       string   `json:"last_name,omitempty"`
	RoleIDs        []string `json:"role_ids,omitempty"` // the default roles when left out
	SendInvitation bool     `json:"send_invitation,omitempty"`
}

// EffectiveRoles is what somebody may do now, and why.
type EffectiveRoles struct {
	Roles []struct {
		Key     string   `json:"key"`
		Sources []string `json:"sources"` // direct, group:engineering, connection:Okta
	} `json:"roles"`
	Permissions []string `json:"permissions"` // as held, wildcards included
}

// Has reports whether a held permission covers the key.
func (e EffectiveRoles) Has(permission string) bool { return covered(e.Permissions, permission) }

// CreateTenant makes a tenant.
func (c *Client) CreateTenant(ctx context.Context, t NewTenant) (Tenant, error) {
	return Post[Tenant](ctx, c, "/tenants", t)
}

// Tenant finds a tenant by its id or key.
func (c *Client) Tenant(ctx context.Context, idOrKey string) (Tenant, error) {
	return Get[Tenant](ctx, c, tenantPath(idOrKey), nil)
}

// Tenants lists the tenants of the environment, the oldest first.
func (c *Client) Tenants(ctx context.Context, query url.Values) iter.Seq2[Tenant, error] {
	return List[Tenant](ctx, c, "/tenants", query)
}

// CreateUser adds a person to a tenant.
func (c *Client) CreateUser(ctx context.Context, tenant string, u NewUser) (User, error) {
	return Post[User](ctx, c, tenantPath(tenant)+"/users", u)
}

// User finds a person of a tenant.
func (c *Client) User(ctx context.Context, tenant, user string) (User, error) {
	return Get[User](ctx, c, tenantPath(tenant)+"/users/"+url.PathEscape(user), nil)
}

// Users lists the people of a tenant; query may filter, such as email=….
func (c *Client) Users(ctx context.Context, tenant string, query url.Values) iter.Seq2[User, error] {
	return List[User](ctx, c, tenantPath(tenant)+"/users", query)
}

// EffectiveRoles asks what a person may do now. It is fresher than a token.
func (c *Client) EffectiveRoles(ctx context.Context, tenant, user string) (EffectiveRoles, error) {
	return Get[EffectiveRoles](ctx, c, tenantPath(tenant)+"/users/"+url.PathEscape(user)+"/effective-roles", nil)
}

func tenantPath(idOrKey string) string { return "/tenants/" + url.PathEscape(idOrKey) }
