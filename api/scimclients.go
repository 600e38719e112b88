package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// SCIMClientBody is an OAuth 2 client of a SCIM connection as shown after its
// creation.
type SCIMClientBody struct {
	ClientID   string     `json:"client_id"`
	Name       string     `json:"name"`
	Last4      string     `json:"last4" doc:"The end of its secret"`
	TokenURL   string     `json:"token_url" doc:"Where it gets access tokens, by the client credentials grant"`
	LastUsedAt *time.Time `json:"last_used_at"`
	CreatedAt  time.Time  `json:"created_at"`
}

type scimClientCreated struct {
	SCIMClientBody
	ClientSecret string `json:"client_secret" doc:"Shown once"`
}

func showSCIMClient(env tenants.Environment) func(tenants.SCIMClient) SCIMClientBody {
	return func(c tenants.SCIMClient) SCIMClientBody {
		return SCIMClientBody{
			ClientID: c.ID, Name: c.Name, Last4: c.Last4, TokenURL: env.SCIMTokenURL(c.Connection), LastUsedAt: optional(c.LastUsedAt), CreatedAt: c.CreatedAt,
		}
	}
}

type createSCIMClient struct {
	SCIMPath
	Body *struct {
		Name string `json:"name,omitempty" maxLength:"200"`
	}
}

type scimClientPath struct {
	SCIMPath
	Client string `path:"client" maxLength:"63" doc:"The client_id"`
}

func (h *Handler) registerSCIMClients() {
	const base = "/tenants/{t}/scim-connections/{c}/clients"
	write(h, route{method: http.MethodPost, path: base, id: "createSCIMClient", summary: "Make an OAuth 2 client, which gets short-lived tokens by client credentials", permission: "fe.secure.write.provisioningConfiguration", status: http.StatusCreated},
		func(ctx context.Context, s scope, q db.Queryer, in *createSCIMClient) (scimClientCreated, error) {
			c, plain, err := h.Tenants.AddSCIMClient(ctx, s.actor, q, s.tenant.ID, in.Connection, value(in.Body).Name)
			return scimClientCreated{SCIMClientBody: showSCIMClient(s.environment)(c), ClientSecret: plain}, err
		})
	read(h, route{method: http.MethodGet, path: base, id: "listSCIMClients", summary: "List the OAuth 2 clients of a connection", permission: "fe.secure.read.provisioningConfiguration"},
		func(ctx context.Context, s scope, q db.Queryer, in *SCIMPath) (out list[SCIMClientBody], err error) {
			if _, err := h.Tenants.SCIMConnection(ctx, q, s.tenant.ID, in.Connection); err != nil {
				return out, err
			}
			found, err := h.Tenants.SCIMClients(ctx, q, s.tenant.ID, in.Connection)
			return whole(found, showSCIMClient(s.environment)), err
		})
	remove(h, route{method: http.MethodDelete, path: base + "/{client}", id: "deleteSCIMClient", summary: "Remove an OAuth 2 client; its tokens end at once", permission: "fe.secure.delete.provisioningConfiguration"},
		func(ctx context.Context, s scope, q db.Queryer, in *scimClientPath) error {
			return h.Tenants.DeleteSCIMClient(ctx, s.actor, q, s.tenant.ID, in.Connection, in.Client)
		})
}
