package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// SocialConnectionBody is an OpenID provider of the environment.
type SocialConnectionBody struct {
	ID         string    `json:"id"`
	Kind       string    `json:"kind" enum:"google,microsoft,oidc"`
	Name       string    `json:"name" doc:"As the button names the provider"`
	Status     string    `json:"status" enum:"draft,active,disabled"`
	Issuer     string    `json:"issuer"`
	ClientID   string    `json:"client_id"`
	HasSecret  bool      `json:"has_client_secret"`
	Scopes     []string  `json:"scopes"`
	AuthMethod string    `json:"token_endpoint_auth_method" doc:"Empty: as the provider's discovery says"`
	Redirect   string    `json:"redirect_uri" doc:"To be registered with the provider"`
	CreatedAt  time.Time `json:"created_at"`
	UpdatedAt  time.Time `json:"updated_at"`

	version int64
}

func (b SocialConnectionBody) etag() string { return versionTag(b.version) }

func showSocial(env tenants.Environment, c tenants.SocialConnection) SocialConnectionBody {
	return SocialConnectionBody{
		ID: c.ID, Kind: c.Kind, Name: c.Name, Status: c.Status, Issuer: c.Issuer, ClientID: c.ClientID, HasSecret: c.Secret != "", Scopes: texts(c.Scopes),
		AuthMethod: c.AuthMethod, Redirect: env.OIDCRedirectURL(c.ID), CreatedAt: c.CreatedAt, UpdatedAt: c.UpdatedAt, version: c.Version,
	}
}

// SocialPath names a social connection.
type SocialPath struct {
	Social string `path:"social" maxLength:"63" doc:"Id of the social connection"`
}

type createSocial struct {
	Body struct {
		Kind         string   `json:"kind" enum:"google,microsoft,oidc"`
		Name         string   `json:"name,omitempty" maxLength:"200" doc:"As the button names the provider; that of the kind when left out"`
		Status       string   `json:"status,omitempty" enum:"draft,active" doc:"draft when left out"`
		Issuer       string   `json:"issuer,omitempty" maxLength:"2000" doc:"That of the kind when left out; of Microsoft it names who may come: common, organizations, consumers or one directory's GUID"`
		ClientID     string   `json:"client_id" maxLength:"2000"`
		ClientSecret string   `json:"client_secret,omitempty" maxLength:"2000" doc:"Never shown"`
		Scopes       []string `json:"scopes,omitempty" maxItems:"50" doc:"openid, profile and email when left out"`
		AuthMethod   string   `json:"token_endpoint_auth_method,omitempty" enum:"client_secret_basic,client_secret_post,none"`
	}
}

type updateSocial struct {
	SocialPath
	Body struct {
		Name         *string   `json:"name,omitempty" maxLength:"200"`
		Status       *string   `json:"status,omitempty" enum:"draft,active,disabled" doc:"disabled ends the sessions that came through it; draft is no way back"`
		ClientID     *string   `json:"client_id,omitempty" maxLength:"2000"`
		ClientSecret *string   `json:"client_secret,omitempty" maxLength:"2000" doc:"Empty removes it; never shown"`
		Scopes       *[]string `json:"scopes,omitempty" maxItems:"50"`
		AuthMethod   *string   `json:"token_endpoint_auth_method,omitempty" enum:"client_secret_basic,client_secret_post,none"`
	}
}

// SocialIdentityBody is an account at a social provider by which a person signs in.
type SocialIdentityBody struct {
	ID             string     `json:"id"`
	ConnectionID   string     `json:"connection_id"`
	ConnectionName string     `json:"connection_name"`
	Subject        string     `json:"subject" doc:"By which the provider knows him"`
	Email          string     `json:"email" doc:"As the provider said it last; nothing is found by it"`
	CreatedAt      time.Time  `json:"created_at"`
	LastLoginAt    *time.Time `json:"last_login_at"`
}

func showSocialIdentity(i directory.SocialIdentity) SocialIdentityBody {
	return SocialIdentityBody{
		ID: i.ID, ConnectionID: i.Connection, ConnectionName: i.ConnectionName, Subject: i.Subject, Email: i.Email,
		CreatedAt: i.CreatedAt, LastLoginAt: optional(i.LastLoginAt),
	}
}

type socialIdentityPath struct {
	EnvironmentUserPath
	Identity string `path:"identity" maxLength:"63" doc:"Id of the social identity"`
}

// registerSocial serves the environment's own connections, and who comes through
// them (product 3).
func (h *Handler) registerSocial() {
	const all, one = "/social-connections", "/social-connections/{social}"
	write(h, route{method: http.MethodPost, path: all, id: "createSocialConnection", summary: "Let people sign in with accounts of an OpenID provider", permission: staff.WriteSocial, status: http.StatusCreated},
		func(ctx context.Context, s scope, q db.Queryer, in *createSocial) (SocialConnectionBody, error) {
			b := in.Body
			c, err := h.Tenants.CreateSocial(ctx, s.actor, q, tenants.NewSocial{
				Kind: b.Kind, Name: b.Name, Issuer: b.Issuer, Status: b.Status, ClientSecret: b.ClientSecret,
				SocialSettings: tenants.SocialSettings{ClientID: b.ClientID, Scopes: b.Scopes, AuthMethod: b.AuthMethod},
			})
			return showSocial(s.environment, c), err
		})
	read(h, route{method: http.MethodGet, path: all, id: "listSocialConnections", summary: "List social connections in the order of their buttons", permission: staff.ReadSocial},
		func(ctx context.Context, s scope, q db.Queryer, _ *struct{}) (out list[SocialConnectionBody], err error) {
			found, err := h.Tenants.SocialConnections(ctx, q, s.environment.ID)
			out.Data = make([]SocialConnectionBody, 0, len(found))
			for _, c := range found {
				out.Data = append(out.Data, showSocial(s.environment, c))
			}
			return out, err
		})
	read(h, route{method: http.MethodGet, path: one, id: "getSocialConnection", summary: "Show a social connection", permission: staff.ReadSocial},
		func(ctx context.Context, s scope, q db.Queryer, in *SocialPath) (SocialConnectionBody, error) {
			c, err := h.Tenants.SocialConnection(ctx, q, s.environment.ID, in.Social)
			return showSocial(s.environment, c), err
		})
	write(h, route{method: http.MethodPatch, path: one, id: "updateSocialConnection", summary: "Change a social connection, or switch it on or off", permission: staff.WriteSocial},
		func(ctx context.Context, s scope, q db.Queryer, in *updateSocial) (out SocialConnectionBody, err error) {
			if err := h.matchSocial(ctx, s, q, in.Social); err != nil {
				return out, err
			}
			b := in.Body
			c, err := h.Tenants.UpdateSocial(ctx, s.actor, q, in.Social, tenants.SocialPatch{
				Name: b.Name, Status: b.Status, ClientID: b.ClientID, ClientSecret: b.ClientSecret, Scopes: b.Scopes, AuthMethod: b.AuthMethod,
			})
			return showSocial(s.environment, c), err
		})
	remove(h, route{method: http.MethodDelete, path: one, id: "deleteSocialConnection", summary: "Delete a social connection with the identities of its people; ends the sessions that came through it", permission: staff.WriteSocial},
		func(ctx context.Context, s scope, q db.Queryer, in *SocialPath) error {
			if err := h.matchSocial(ctx, s, q, in.Social); err != nil {
				return err
			}
			return h.Tenants.DeleteSocial(ctx, s.actor, q, in.Social)
		})

	const identities = "/users/{user}/social-identities"
	read(h, route{method: http.MethodGet, path: identities, id: "listSocialIdentities", summary: "List the social accounts by which a user signs in", permission: staff.ReadUsers},
		func(ctx context.Context, s scope, q db.Queryer, in *EnvironmentUserPath) (out list[SocialIdentityBody], err error) {
			if _, err := h.Directory.User(ctx, q, s.environment.ID, in.User); err != nil {
				return out, err
			}
			found, err := h.Directory.SocialIdentities(ctx, q, s.environment.ID, in.User)
			out.Data = make([]SocialIdentityBody, 0, len(found))
			for _, i := range found {
				out.Data = append(out.Data, showSocialIdentity(i))
			}
			return out, err
		})
	remove(h, route{method: http.MethodDelete, path: identities + "/{identity}", id: "deleteSocialIdentity", summary: "Disconnect a social account from a user; ends his sessions that came through it", permission: staff.DeleteUsers},
		func(ctx context.Context, s scope, q db.Queryer, in *socialIdentityPath) error {
			return h.Directory.UnlinkSocial(ctx, s.actor, q, s.environment.ID, in.User, in.Identity)
		})
}

// matchSocial compares If-Match with the version of a social connection, which is
// locked then.
func (h *Handler) matchSocial(ctx context.Context, s scope, q db.Queryer, connection string) error {
	c, err := h.Tenants.HoldSocial(ctx, q, s.environment.ID, connection)
	if err != nil {
		return err
	}
	return s.match(c.Version)
}
