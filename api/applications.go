package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// ApplicationBody is an application as shown after its creation.
type ApplicationBody struct {
	ClientID               string    `json:"client_id"`
	Name                   string    `json:"name"`
	Type                   string    `json:"type" enum:"web,spa,native,service"`
	RedirectURIs           []string  `json:"redirect_uris"`
	PostLogoutRedirectURIs []string  `json:"post_logout_redirect_uris"`
	BackchannelLogoutURI   *string   `json:"backchannel_logout_uri"`
	InitiateLoginURI       *string   `json:"initiate_login_uri"`
	RequirePKCE            bool      `json:"require_pkce"`
	IDTokenAlg             string    `json:"id_token_alg"`
	AuthMethod             string    `json:"token_endpoint_auth_method"`
	TenantAccess           string    `json:"tenant_access" enum:"all,assigned" doc:"Which tenants may use it"`
	UserAccess             string    `json:"user_access" enum:"all,assigned" doc:"Who may use it in each of them"`
	IsDefault              bool      `json:"is_default" doc:"Where a login ends that no application began"`
	CreatedAt              time.Time `json:"created_at"`
	UpdatedAt              time.Time `json:"updated_at"`
	version                int64
}

func (b ApplicationBody) etag() string { return versionTag(b.version) }

type applicationCreated struct {
	ApplicationBody
	ClientSecret string `json:"client_secret,omitempty" doc:"Shown once; public clients have none"`
}

func showApplication(a tenants.Application) ApplicationBody {
	return ApplicationBody{
		ClientID: a.ID, Name: a.Name, Type: a.Type, RedirectURIs: append([]string{}, a.RedirectURIs...), PostLogoutRedirectURIs: append([]string{}, a.PostLogoutRedirectURIs...),
		BackchannelLogoutURI: optionalText(a.BackchannelLogoutURI), InitiateLoginURI: optionalText(a.InitiateLoginURI), RequirePKCE: a.RequirePKCE,
		IDTokenAlg: a.IDTokenAlg, AuthMethod: a.AuthMethod, TenantAccess: string(a.TenantAccess), UserAccess: string(a.UserAccess),
		IsDefault: a.IsDefault, CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt, version: a.Version,
	}
}

type createApplication struct {
	Body struct {
		Name                   string         `json:"name" maxLength:"200"`
		Type                   string         `json:"type" enum:"web,spa,native,service"`
		RedirectURIs           []string       `json:"redirect_uris,omitempty" maxItems:"50" doc:"Compared exactly"`
		PostLogoutRedirectURIs []string       `json:"post_logout_redirect_uris,omitempty" maxItems:"50"`
		BackchannelLogoutURI   string         `json:"backchannel_logout_uri,omitempty" maxLength:"2000"`
		InitiateLoginURI       string         `json:"initiate_login_uri,omitempty" maxLength:"2000"`
		RequirePKCE            *bool          `json:"require_pkce,omitempty" doc:"true when left out; always for public clients"`
		IDTokenAlg             string         `json:"id_token_alg,omitempty" enum:"ES256,RS256,EdDSA"`
		TenantAccess           tenants.Access `json:"tenant_access,omitempty" enum:"all,assigned" doc:"all when left out; assigned: the tenants that it is assigned to"`
		UserAccess             tenants.Access `json:"user_access,omitempty" enum:"all,assigned" doc:"all when left out; assigned: the people that it is assigned to"`
		AuthMethod             string         `json:"token_endpoint_auth_method,omitempty" enum:"client_secret_basic,client_secret_post,private_key_jwt,none" doc:"private_key_jwt is not available yet"`
		JWKS                   map[string]any `json:"jwks,omitempty" doc:"Not available yet"`
		JWKSURI                *string        `json:"jwks_uri,omitempty" maxLength:"2000" doc:"Not available yet"`
	}
}

// ApplicationPath names an application.
type ApplicationPath struct {
	Application string `path:"a" maxLength:"63" doc:"Client id of the application"`
}

type updateApplication struct {
	ApplicationPath
	Body struct {
		Name                   *string         `json:"name,omitempty" maxLength:"200"`
		RedirectURIs           *[]string       `json:"redirect_uris,omitempty" maxItems:"50"`
		PostLogoutRedirectURIs *[]string       `json:"post_logout_redirect_uris,omitempty" maxItems:"50"`
		BackchannelLogoutURI   *string         `json:"backchannel_logout_uri,omitempty" maxLength:"2000" doc:"Empty removes it"`
		InitiateLoginURI       *string         `json:"initiate_login_uri,omitempty" maxLength:"2000" doc:"Empty removes it"`
		RequirePKCE            *bool           `json:"require_pkce,omitempty"`
		IDTokenAlg             *string         `json:"id_token_alg,omitempty" enum:"ES256,RS256,EdDSA"`
		TenantAccess           *tenants.Access `json:"tenant_access,omitempty" enum:"all,assigned"`
		UserAccess             *tenants.Access `json:"user_access,omitempty" enum:"all,assigned"`
		IsDefault              *bool           `json:"is_default,omitempty"`
	}
}

func (h *Handler) registerApplications() {
	write(h, route{method: http.MethodPost, path: "/applications", id: "createApplication", summary: "Register an application at the OpenID provider", permission: staff.WriteApplications, status: http.StatusCreated},
		func(ctx context.Context, s scope, q db.Queryer, in *createApplication) (out applicationCreated, err error) {
			b := in.Body
			switch {
			case b.JWKS != nil:
				return out, notSupported("jwks")
			case b.JWKSURI != nil:
				return out, notSupported("jwks_uri")
			case b.AuthMethod == "private_key_jwt":
				return out, notSupported("token_endpoint_auth_method")
			}
			app, plain, err := h.Tenants.CreateApplication(ctx, s.actor, q, tenants.NewApplication{
				Name: b.Name, Type: b.Type, TenantAccess: b.TenantAccess, UserAccess: b.UserAccess, ApplicationSettings: tenants.ApplicationSettings{
					RedirectURIs: b.RedirectURIs, PostLogoutRedirectURIs: b.PostLogoutRedirectURIs, BackchannelLogoutURI: b.BackchannelLogoutURI,
					InitiateLoginURI: b.InitiateLoginURI, RequirePKCE: b.RequirePKCE == nil || *b.RequirePKCE, IDTokenAlg: b.IDTokenAlg, AuthMethod: b.AuthMethod,
				},
			})
			return applicationCreated{ApplicationBody: showApplication(app), ClientSecret: plain}, err
		})
	read(h, route{method: http.MethodGet, path: "/applications", id: "listApplications", summary: "List applications, the oldest first", permission: staff.ReadApplications},
		func(ctx context.Context, s scope, q db.Queryer, in *PageQuery) (out list[ApplicationBody], err error) {
			text, err := h.position(s, "applications", in.Cursor)
			if err != nil {
				return out, err
			}
			after, err := parseCreated(text)
			if err != nil {
				return out, err
			}
			found, next, err := h.Tenants.Applications(ctx, q, s.environment.ID, after, in.Limit)
			return paged(found, showApplication, h.cursor(s, "applications", created(next))), err
		})
	read(h, route{method: http.MethodGet, path: "/applications/{a}", id: "getApplication", summary: "Show an application", permission: staff.ReadApplications},
		func(ctx context.Context, s scope, q db.Queryer, in *ApplicationPath) (ApplicationBody, error) {
			app, err := h.Tenants.Application(ctx, q, s.environment.ID, in.Application)
			return showApplication(app), err
		})
	write(h, route{method: http.MethodPatch, path: "/applications/{a}", id: "updateApplication", summary: "Change an application", permission: staff.WriteApplications},
		func(ctx context.Context, s scope, q db.Queryer, in *updateApplication) (out ApplicationBody, err error) {
			if err := h.matchApplication(ctx, s, q, in.Application); err != nil {
				return out, err
			}
			app, err := h.Tenants.UpdateApplication(ctx, s.actor, q, in.Application, tenants.ApplicationPatch(in.Body))
			return showApplication(app), err
		})
	write(h, route{method: http.MethodPost, path: "/applications/{a}:rotate-secret", id: "rotateApplicationSecret", summary: "Give an application a new secret; the old one ends at once", permission: staff.WriteApplications},
		func(ctx context.Context, s scope, q db.Queryer, in *ApplicationPath) (out applicationCreated, err error) {
			if err := h.matchApplication(ctx, s, q, in.Application); err != nil {
				return out, err
			}
			app, plain, err := h.Tenants.RotateApplicationSecret(ctx, s.actor, q, in.Application)
			return applicationCreated{ApplicationBody: showApplication(app), ClientSecret: plain}, err
		})
	remove(h, route{method: http.MethodDelete, path: "/applications/{a}", id: "deleteApplication", summary: "Delete an application", permission: staff.WriteApplications},
		func(ctx context.Context, s scope, q db.Queryer, in *ApplicationPath) error {
			if err := h.matchApplication(ctx, s, q, in.Application); err != nil {
				return err
			}
			return h.Tenants.DeleteApplication(ctx, s.actor, q, in.Application)
		})
	h.registerAssignments()
}

// matchApplication compares If-Match with the version of an application, which is
// locked then.
func (h *Handler) matchApplication(ctx context.Context, s scope, q db.Queryer, clientID string) error {
	app, err := h.Tenants.HoldApplication(ctx, q, s.environment.ID, clientID)
	if err != nil {
		return err
	}
	return s.match(app.Version)
}
