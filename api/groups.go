package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
)

// GroupBody is a group as lists show it.
type GroupBody struct {
	ID           string         `json:"id"`
	Name         string         `json:"name"`
	Description  string         `json:"description"`
	Color        string         `json:"color"`
	Metadata     map[string]any `json:"metadata"`
	ManagedBy    string         `json:"managed_by" enum:"local,scim"`
	ConnectionID *string        `json:"connection_id" doc:"The SCIM connection that keeps the group"`
	CreatedAt    time.Time      `json:"created_at"`
	UpdatedAt    time.Time      `json:"updated_at"`

	version int64
}

func (b GroupBody) etag() string { return versionTag(b.version) }

type groupDetail struct {
	GroupBody
	RoleIDs []string `json:"role_ids"`
}

func showGroup(g directory.Group) GroupBody {
	metadata := map[string]any{}
	// What is stored was an object when it came in; a map stays empty otherwise.
	_ = json.Unmarshal([]byte(g.Metadata), &metadata)
	return GroupBody{
		ID: g.ID, Name: g.Name, Description: g.Description, Color: g.Color, Metadata: metadata, ManagedBy: string(g.ManagedBy),
		ConnectionID: optionalText(g.Connection), CreatedAt: g.CreatedAt, UpdatedAt: g.UpdatedAt, version: g.Version,
	}
}

func (h *Handler) groupDetail(ctx context.Context, q db.Queryer, g directory.Group) (groupDetail, error) {
	roles, err := h.RBAC.GroupRoles(ctx, q, g.Tenant, g.ID)
	return groupDetail{GroupBody: showGroup(g), RoleIDs: roles}, err
}

// GroupPath names a group.
type GroupPath struct {
	TenantPath
	Group string `path:"g" maxLength:"63" doc:"Id of the group"`
}

type createGroup struct {
	TenantPath
	Body struct {
		Name        string         `json:"name" maxLength:"1024"`
		Description string         `json:"description,omitempty" maxLength:"4096"`
		Color       string         `json:"color,omitempty" maxLength:"32"`
		Metadata    map[string]any `json:"metadata,omitempty"`
		RoleIDs     []string       `json:"role_ids,omitempty" maxItems:"100"`
	}
}

type updateGroup struct {
	GroupPath
	Body struct {
		Name        *string         `json:"name,omitempty" maxLength:"1024"`
		Description *string         `json:"description,omitempty" maxLength:"4096"`
		Color       *string         `json:"color,omitempty" maxLength:"32"`
		Metadata    *map[string]any `json:"metadata,omitempty"`
	}
}

type putGroupRoles struct {
	GroupPath
	Body roleIDs
}

type listGroups struct {
	TenantList
	Query string `query:"q" maxLength:"1024" doc:"Only groups whose name begins with this, ignoring case"`
}

type listMembers struct {
	GroupPath
	PageQuery
}

type memberBody struct {
	UserID       string `json:"user_id"`
	MembershipID string `json:"membership_id"`
	Email        string `json:"email"`
	Name         string `json:"name"`
}

func showMember(m directory.GroupMember) memberBody {
	return memberBody{UserID: m.UserID, MembershipID: m.Membership, Email: m.Email, Name: m.Name}
}

type changeMembers struct {
	GroupPath
	Body struct {
		UserIDs []string `json:"user_ids" minItems:"1" maxItems:"100" doc:"Members of the tenant"`
	}
}

func (h *Handler) registerGroups() {
	const (
		base = "/tenants/{t}/groups"
		one  = base + "/{g}"
	)
	write(h, route{method: http.MethodPost, path: base, id: "createGroup", summary: "Make a group", permission: "fe.secure.write.groups", status: http.StatusCreated},
		func(ctx context.Context, s scope, q db.Queryer, in *createGroup) (out groupDetail, err error) {
			metadata, err := jsonObject(in.Body.Metadata)
			if err != nil {
				return out, err
			}
			g, err := h.Directory.CreateGroup(ctx, s.actor, q, s.environment.ID, directory.Group{
				Tenant: s.tenant.ID, Name: in.Body.Name, Description: in.Body.Description, Color: in.Body.Color, Metadata: metadata,
			})
			if err != nil {
				return out, err
			}
			if len(in.Body.RoleIDs) > 0 {
				if err := h.RBAC.SetGroupRoles(ctx, s.actor, q, s.tenant.ID, g.ID, in.Body.RoleIDs); err != nil {
					return out, err
				}
			}
			return h.groupDetail(ctx, q, g)
		})
	read(h, route{method: http.MethodGet, path: base, id: "listGroups", summary: "List a tenant's groups", permission: "fe.secure.read.groups"},
		func(ctx context.Context, s scope, q db.Queryer, in *listGroups) (out list[GroupBody], err error) {
			name := "groups " + in.Query
			after, err := h.position(s, name, in.Cursor)
			if err != nil {
				return out, err
			}
			found, next, err := h.Directory.FindGroups(ctx, q, s.tenant.ID, in.Query, after, in.Limit)
			return paged(found, showGroup, h.cursor(s, name, next)), err
		})
	read(h, route{method: http.MethodGet, path: one, id: "getGroup", summary: "Show a group with its roles", permission: "fe.secure.read.groups"},
		func(ctx context.Context, s scope, q db.Queryer, in *GroupPath) (out groupDetail, err error) {
			g, err := h.Directory.Group(ctx, q, s.tenant.ID, in.Group)
			if err != nil {
				return out, err
			}
			return h.groupDetail(ctx, q, g)
		})
	write(h, route{method: http.MethodPatch, path: one, id: "updateGroup", summary: "Change a group", permission: "fe.secure.write.groups"},
		func(ctx context.Context, s scope, q db.Queryer, in *updateGroup) (out groupDetail, err error) {
			p := directory.GroupPatch{Name: in.Body.Name, Description: in.Body.Description, Color: in.Body.Color}
			if in.Body.Metadata != nil {
				metadata, err := jsonObject(*in.Body.Metadata)
				if err != nil {
					return out, err
				}
				p.Metadata = &metadata
			}
			if _, err := h.holdGroup(ctx, s, q, in.Group); err != nil {
				return out, err
			}
			g, err := h.Directory.UpdateGroup(ctx, s.actor, q, s.environment.ID, s.tenant.ID, in.Group, p)
			if err != nil {
				return out, err
			}
			return h.groupDetail(ctx, q, g)
		})
	remove(h, route{method: http.MethodDelete, path: one, id: "deleteGroup", summary: "Delete a group", permission: "fe.secure.delete.groups"},
		func(ctx context.Context, s scope, q db.Queryer, in *GroupPath) error {
			if _, err := h.holdGroup(ctx, s, q, in.Group); err != nil {
				return err
			}
			if err := h.RBAC.CheckGroup(ctx, s.actor, q, s.tenant.ID, in.Group); err != nil {
				return err
			}
			return h.Directory.DeleteGroup(ctx, s.actor, q, s.environment.ID, s.tenant.ID, in.Group)
		})
	write(h, route{method: http.MethodPut, path: one + "/roles", id: "putGroupRoles", summary: "Replace the roles that a group gives", permission: "fe.secure.write.groupsRoles"},
		func(ctx context.Context, s scope, q db.Queryer, in *putGroupRoles) (out groupDetail, err error) {
			g, err := h.holdGroup(ctx, s, q, in.Group)
			if err != nil {
				return out, err
			}
			if err := h.RBAC.SetGroupRoles(ctx, s.actor, q, s.tenant.ID, g.ID, in.Body.RoleIDs); err != nil {
				return out, err
			}
			if err := h.Directory.TouchGroup(ctx, q, s.tenant.ID, g.ID); err != nil {
				return out, err
			}
			if g, err = h.Directory.Group(ctx, q, s.tenant.ID, g.ID); err != nil {
				return out, err
			}
			return h.groupDetail(ctx, q, g)
		})
	read(h, route{method: http.MethodGet, path: one + "/members", id: "listGroupMembers", summary: "List a group's members", permission: "fe.secure.read.groups"},
		func(ctx context.Context, s scope, q db.Queryer, in *listMembers) (out list[memberBody], err error) {
			if _, err := h.Directory.Group(ctx, q, s.tenant.ID, in.Group); err != nil {
				return out, err
			}
			name := "members " + in.Group
			after, err := h.position(s, name, in.Cursor)
			if err != nil {
				return out, err
			}
			found, next, err := h.Directory.Members(ctx, q, s.tenant.ID, in.Group, after, in.Limit)
			return paged(found, showMember, h.cursor(s, name, next)), err
		})
	write(h, route{method: http.MethodPost, path: one + "/members", id: "addGroupMembers", summary: "Put members of the tenant into a group; gives those who were not in it", permission: "fe.secure.write.groupsUsers"},
		func(ctx context.Context, s scope, q db.Queryer, in *changeMembers) (list[memberBody], error) {
			return h.changeMembers(ctx, s, q, in, h.Directory.AddMembers)
		})
	write(h, route{method: http.MethodDelete, path: one + "/members", id: "removeGroupMembers", summary: "Take people out of a group; gives those who were in it", permission: "fe.secure.delete.groupsUsers"},
		func(ctx context.Context, s scope, q db.Queryer, in *changeMembers) (list[memberBody], error) {
			return h.changeMembers(ctx, s, q, in, h.Directory.RemoveMembers)
		})
}

type memberChange func(ctx context.Context, a actor.Actor, q db.Queryer, environment, tenant, group string, memberships []string) ([]directory.GroupMember, error)

// holdGroup locks a group that the request means at a version.
func (h *Handler) holdGroup(ctx context.Context, s scope, q db.Queryer, group string) (directory.Group, error) {
	g, err := h.Directory.HoldGroup(ctx, q, s.tenant.ID, group)
	if err != nil {
		return g, err
	}
	return g, s.match(g.Version)
}

func (h *Handler) changeMembers(ctx context.Context, s scope, q db.Queryer, in *changeMembers, do memberChange) (out list[memberBody], err error) {
	if _, err := h.Directory.HoldGroup(ctx, q, s.tenant.ID, in.Group); err != nil {
		return out, err
	}
	// Membership grants the group's roles, and changes the person (product 121, 122).
	if err := h.RBAC.CheckGroup(ctx, s.actor, q, s.tenant.ID, in.Group); err != nil {
		return out, err
	}
	memberships, err := h.Directory.MembershipsOf(ctx, q, s.tenant.ID, in.Body.UserIDs)
	if err != nil {
		return out, err
	}
	if err := h.RBAC.CheckTargets(ctx, s.actor, q, s.tenant.ID, memberships); err != nil {
		return out, err
	}
	changed, err := do(ctx, s.actor, q, s.environment.ID, s.tenant.ID, in.Group, memberships)
	return whole(changed, showMember), err
}

func jsonObject(m map[string]any) (string, error) {
	if m == nil {
		return "{}", nil
	}
	text, err := json.Marshal(m)
	return string(text), err
}
