package client

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/entra"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

func groupsClaim(conn tenants.SSOConnection) string {
	if conn.Mapping.Groups != "" {
		return conn.Mapping.Groups
	}
	if conn.OIDC.GroupsClaim != "" {
		return conn.OIDC.GroupsClaim
	}
	return "groups"
}

// readGroups takes the groups of the claim. Where it is absent, or the provider
// says that it left groups out, nothing is known of them, which is not the same
// as no groups (identity rule 8).
func readGroups(id *signin.Identity, all map[string]any, claim string) {
	if id.GroupsOmitted = overage(all, claim); id.GroupsOmitted {
		return
	}
	v, ok := all[claim]
	if !ok || v == nil {
		return
	}
	id.Groups, id.GroupsKnown = nil, true
	add := func(name string) {
		// Keycloak writes the path of a group, which begins with a slash (product 6.3).
		if name = strings.TrimPrefix(strings.TrimSpace(name), "/"); name != "" {
			id.Groups = append(id.Groups, name)
		}
	}
	for _, name := range stringsOf(v) {
		add(name)
	}
	list, _ := v.([]any)
	for _, e := range list {
		// Some providers send each group as an object.
		if o, ok := e.(map[string]any); ok {
			for _, name := range []string{"name", "display", "displayName", "id"} {
				if s := trimmed(o[name]); s != "" {
					add(s)
					break
				}
			}
		}
	}
}

// overage reports whether the provider says that there are more groups than it
// sends (Entra ID's distributed claims, or hasgroups). They are never fetched
// from the address that the token names.
func overage(all map[string]any, claim string) bool {
	names, _ := all["_claim_names"].(map[string]any)
	return names[claim] != nil || claim == "groups" && isTrue(all["hasgroups"])
}

// completeGroups answers an overage (sso 2.4): from the memberships that SCIM
// keeps, which count at every token anyway; without a directory from Microsoft
// Graph; else what was known stays. A login never fails for it.
func (h *Handler) completeGroups(ctx context.Context, a *attempt, id signin.Identity) (signin.Identity, error) {
	if !id.GroupsOmitted {
		return id, nil
	}
	const expected = "all groups of the person"
	paired, err := h.tenants.HasDirectory(ctx, h.db, a.conn)
	if err != nil {
		return id, err
	}
	if paired {
		a.log.pass("groups", expected, "left out; those that SCIM keeps count")
		return id, nil
	}
	secret, err := h.tenants.ClientSecret(a.conn)
	if err != nil {
		return id, err
	}
	cloud, _ := entra.CloudOf(a.conn.OIDC.Issuer)
	app := entra.App{Cloud: cloud, Tenant: entra.TenantOf(a.conn.OIDC.Issuer), Client: a.conn.OIDC.ClientID, Secret: secret}
	if !app.Usable() {
		a.log.pass("groups", expected, "warning: left out; those known before stay")
		return id, nil
	}
	if named, err := h.signin.GroupsByName(ctx, h.db, id); err != nil || named {
		a.log.pass("groups", expected, "warning: left out, and Microsoft Graph has ids where the token has names; those known before stay")
		return id, err
	}
	groups, err := entra.Groups(ctx, h.providers.http, app, id.ObjectID)
	switch {
	case errors.Is(err, context.Canceled):
		return id, err
	case err != nil:
		a.log.pass("groups", expected, "warning: left out, and not to be had from Microsoft Graph ("+strings.TrimPrefix(cause(err), "entra: ")+"); those known before stay")
		return id, nil
	}
	a.log.pass("groups", expected, fmt.Sprintf("left out; %d from Microsoft Graph", len(groups)))
	id.Groups, id.GroupsKnown = groups, true
	return id, nil
}
