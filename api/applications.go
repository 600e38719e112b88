package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// ApplicationBody is an application as shown after its creation.
type ApplicationBody struct {
	ClientID               string        `json:"client_id"`
	Name                   string        `json:"name"`
	Type                   string        `json:"type" enum:"web,spa,native,service"`
	RedirectURIs           []string      `json:"redirect_uris"`
	PostLogoutRedirectURIs []string      `json:"post_logout_redirect_uris"`
	BackchannelLogoutURI   *string       `json:"backchannel_logout_uri"`
	InitiateLoginURI       *string       `json:"initiate_login_uri"`
	RequirePKCE            bool          `json:"require_pkce"`
	IDTokenAlg             string        `json:"id_token_alg"`
	AccessTokenAlg         string        `json:"access_token_alg"`
	JWKSURI                *string       `json:"jwks_uri"`
	RequirePAR             bool          `json:"require_par"`
	RequireDPoP            bool          `json:"require_dpop"`
	TokenExchange          bool          `json:"token_exchange"`
	Tokens                 tokenSettings `json:"tokens"`
	AuthMethod             string        `json:"token_endpoint_auth_method"`
	TenantAccess           string        `json:"tenant_access" enum:"all,assigned" doc:"Which tenants may use it"`
	UserAccess             string        `json:"user_access" enum:"all,assigned" doc:"Who may use it in each of them"`
	IsDefault              bool          `json:"is_default" doc:"Where a login ends that no application began"`
	CreatedAt              time.Time     `json:"created_at"`
	UpdatedAt              time.Time     `json:"updated_at"`
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
		IDTokenAlg: a.IDTokenAlg, AccessTokenAlg: a.AccessTokenAlg, JWKSURI: optionalText(a.JWKSURI), RequirePAR: a.RequirePAR, RequireDPoP: a.RequireDPoP, TokenExchange: a.TokenExchange, Tokens: showTokens(a.TokenSettings),
		AuthMethod: a.AuthMethod, TenantAccess: string(a.TenantAccess), UserAccess: string(a.UserAccess),
		IsDefault: a.IsDefault, CreatedAt: a.CreatedAt, UpdatedAt: a.UpdatedAt, version: a.Version,
	}
}

// tokenSettings are choices about an application's tokens. What is left out is the
// environment's.
type tokenSettings struct {
	AccessTokenSeconds     *int64 `json:"access_token_seconds,omitempty" minimum:"60" maximum:"86400" doc:"Lifetime of access and ID tokens"`
	RefreshIdleSeconds     *int64 `json:"refresh_idle_seconds,omitempty" minimum:"300" maximum:"15552000" doc:"Refresh tokens without use"`
	RefreshAbsoluteSeconds *int64 `json:"refresh_absolute_seconds,omitempty" minimum:"300" maximum:"15552000" doc:"Refresh tokens in all"`
	OmitRoles              bool   `json:"omit_roles,omitempty" doc:"Access tokens carry no roles"`
	OmitPermissions        bool   `json:"omit_permissions,omitempty" doc:"Access tokens carry no permissions"`
	RequireDPoPNonce       bool   `json:"require_dpop_nonce,omitempty" doc:"DPoP proofs must carry a nonce that the server gave (RFC 9449 section 8)"`
}

func (t tokenSettings) settings() tenants.TokenSettings {
	return tenants.TokenSettings{
		AccessTokenSeconds: value(t.AccessTokenSeconds), RefreshIdleSeconds: value(t.RefreshIdleSeconds), RefreshAbsoluteSeconds: value(t.RefreshAbsoluteSeconds),
		OmitRoles: t.OmitRoles, OmitPermissions: t.OmitPermissions, RequireDPoPNonce: t.RequireDPoPNonce,
	}
}

func showTokens(s tenants.TokenSettings) tokenSettings {
	seconds := func(n int64) *int64 {
		if n == 0 {
			return nil
		}
		return &n
	}
	return tokenSettings{
		AccessTokenSeconds: seconds(s.AccessTokenSeconds), RefreshIdleSeconds: seconds(s.RefreshIdleSeconds), RefreshAbsoluteSeconds: seconds(s.RefreshAbsoluteSeconds),
		OmitRoles: s.OmitRoles, OmitPermissions: s.OmitPermissions, RequireDPoPNonce: s.RequireDPoPNonce,
	}
}

// keySet is a JSON Web Key Set as a request brings it.
func keySet(m map[string]any) (json.RawMessage, error) {
	if len(m) == 0 {
		return nil, nil
	}
	return json.Marshal(m)
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
		AuthMethod             string         `json:"token_endpoint_auth_method,omitempty" enum:"client_secret_basic,client_secret_post,private_key_jwt,none" doc:"private_key_jwt needs jwks or jwks_uri"`
		JWKS                   map[string]any `json:"jwks,omitempty" doc:"The client's public keys, a JSON Web Key Set"`
		JWKSURI                string         `json:"jwks_uri,omitempty" maxLength:"2000" doc:"Where the client publishes its keys"`
		AccessTokenAlg         string         `json:"access_token_alg,omitempty" enum:"ES256,RS256,EdDSA"`
		RequirePAR             bool           `json:"require_par,omitempty" doc:"Authorization requests must be pushed (RFC 9126)"`
		RequireDPoP            bool           `json:"require_dpop,omitempty" doc:"Tokens must be bound to a key (RFC 9449)"`
		TokenExchange          bool           `json:"token_exchange,omitempty" doc:"May exchange tokens (RFC 8693); confidential clients only"`
		Tokens                 tokenSettings  `json:"tokens,omitempty"`
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
		AccessTokenAlg         *string         `json:"access_token_alg,omitempty" enum:"ES256,RS256,EdDSA"`
		JWKS                   *map[string]any `json:"jwks,omitempty" doc:"Takes the place of jwks_uri"`
		JWKSURI                *string         `json:"jwks_uri,omitempty" maxLength:"2000" doc:"Takes the place of jwks"`
		RequirePAR             *bool           `json:"require_par,omitempty"`
		RequireDPoP            *bool           `json:"require_dpop,omitempty"`
		TokenExchange          *bool           `json:"token_exchange,omitempty"`
		Tokens                 *tokenSettings  `json:"tokens,omitempty" doc:"Replaces all of them"`
		TenantAccess           *tenants.Access `json:"tenant_access,omitempty" enum:"all,assigned"`
		UserAccess             *tenants.Access `json:"user_access,omitempty" enum:"all,assigned"`
		IsDefault              *bool           `json:"is_default,omitempty"`
	}
}

func (h *Handler) registerApplications() {
	write(h, route{method: http.MethodPost, path: "/applications", id: "createApplication", summary: "Register an application at the OpenID provider", permission: staff.WriteApplications, status: http.StatusCreated},
		func(ctx context.Context, s scope, q db.Queryer, in *createApplication) (out applicationCreated, err error) {
			b := in.Body
			keys, err := keySet(b.JWKS)
			if err != nil {
				return out, err
			}
			app, plain, err := h.Tenants.CreateApplication(ctx, s.actor, q, tenants.NewApplication{
				Name: b.Name, Type: b.Type, TenantAccess: b.TenantAccess, UserAccess: b.UserAccess, ApplicationSettings: tenants.ApplicationSettings{
					RedirectURIs: b.RedirectURIs, PostLogoutRedirectURIs: b.PostLogoutRedirectURIs, BackchannelLogoutURI: b.BackchannelLogoutURI,
					InitiateLoginURI: b.InitiateLoginURI, RequirePKCE: b.RequirePKCE == nil || *b.RequirePKCE, IDTokenAlg: b.IDTokenAlg, AuthMethod: b.AuthMethod,
					AccessTokenAlg: b.AccessTokenAlg, JWKS: keys, JWKSURI: b.JWKSURI, RequirePAR: b.RequirePAR, RequireDPoP: b.RequireDPoP, TokenExchange: b.TokenExchange, TokenSettings: b.Tokens.settings(),
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
			b := in.Body
			patch := tenants.ApplicationPatch{
				Name: b.Name, RedirectURIs: b.RedirectURIs, PostLogoutRedirectURIs: b.PostLogoutRedirectURIs, BackchannelLogoutURI: b.BackchannelLogoutURI,
				InitiateLoginURI: b.InitiateLoginURI, RequirePKCE: b.RequirePKCE, IDTokenAlg: b.IDTokenAlg, AccessTokenAlg: b.AccessTokenAlg, JWKSURI: b.JWKSURI,
				RequirePAR: b.RequirePAR, RequireDPoP: b.RequireDPoP, TokenExchange: b.TokenExchange, TenantAccess: b.TenantAccess, UserAccess: b.UserAccess, IsDefault: b.IsDefault,
			}
			if b.JWKS != nil {
				keys, err := keySet(*b.JWKS)
				if err != nil {
					return out, err
				}
				patch.JWKS = &keys
			}
			if b.Tokens != nil {
				chosen := b.Tokens.settings()
				patch.Tokens = &chosen
			}
			app, err := h.Tenants.UpdateApplication(ctx, s.actor, q, in.Application, patch)
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
