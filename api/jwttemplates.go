package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/rbac/entitlement"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
)

// JWTTemplateBody says what access tokens of some people carry (product 2.2).
type JWTTemplateBody struct {
	ID                 string                 `json:"id"`
	Name               string                 `json:"name"`
	Priority           int                    `json:"priority" doc:"The lowest is asked first, of equal ones the oldest; the first that fits is applied"`
	Applications       []string               `json:"applications" doc:"Client ids; empty: all"`
	Tenants            []string               `json:"tenants" doc:"Ids or keys; empty: all"`
	If                 *entitlement.Condition `json:"if" doc:"null: nothing more is asked"`
	Claims             map[string]any         `json:"claims"`
	AccessTokenSeconds *int64                 `json:"access_token_seconds" doc:"null: as the application has it"`
	Algorithm          *string                `json:"algorithm" doc:"null: as the application has it"`
	Warning            *string                `json:"warning" doc:"About the size of tokens"`
	CreatedAt          time.Time              `json:"created_at"`
	UpdatedAt          time.Time              `json:"updated_at"`
	version            int64
}

func (b JWTTemplateBody) etag() string { return versionTag(b.version) }

func showJWTTemplate(t oidc.Template) JWTTemplateBody {
	out := JWTTemplateBody{
		ID: t.ID, Name: t.Name, Priority: t.Priority, Applications: texts(t.Applications), Tenants: texts(t.Tenants), If: t.If, Claims: t.Claims,
		Algorithm: optionalText(t.Algorithm), Warning: optionalText(t.Warning()), CreatedAt: t.CreatedAt, UpdatedAt: t.UpdatedAt, version: t.Version,
	}
	if out.Claims == nil {
		out.Claims = map[string]any{}
	}
	if t.AccessTokenSeconds != 0 {
		out.AccessTokenSeconds = &t.AccessTokenSeconds
	}
	return out
}

type createJWTTemplate struct {
	Body struct {
		Name               string                 `json:"name" maxLength:"200"`
		Priority           int                    `json:"priority,omitempty" minimum:"0" maximum:"1000"`
		Applications       []string               `json:"applications,omitempty" maxItems:"500"`
		Tenants            []string               `json:"tenants,omitempty" maxItems:"500"`
		If                 *entitlement.Condition `json:"if,omitempty" doc:"As rules of plans; it looks at application., tenant., user. and member. attributes, metadata included"`
		Claims             map[string]any         `json:"claims,omitempty" doc:"Values of any type. Texts may hold placeholders, such as {{user.email}}, {{tenant.key}} or {{member.metadata.plan}}; a text that is one placeholder becomes its value. Claims of the provider itself are refused"`
		AccessTokenSeconds int64                  `json:"access_token_seconds,omitempty" minimum:"60" maximum:"86400"`
		Algorithm          string                 `json:"algorithm,omitempty" enum:"ES256,RS256,EdDSA"`
	}
}

// JWTTemplatePath names a template.
type JWTTemplatePath struct {
	Template string `path:"jt" maxLength:"63" doc:"Id of the template"`
}

type updateJWTTemplate struct {
	JWTTemplatePath
	Body struct {
		Name               *string         `json:"name,omitempty" maxLength:"200"`
		Priority           *int            `json:"priority,omitempty" minimum:"0" maximum:"1000"`
		Applications       *[]string       `json:"applications,omitempty" maxItems:"500"`
		Tenants            *[]string       `json:"tenants,omitempty" maxItems:"500"`
		If                 json.RawMessage `json:"if,omitempty" doc:"null takes it away"`
		Claims             *map[string]any `json:"claims,omitempty" doc:"Replaces all of them"`
		AccessTokenSeconds *int64          `json:"access_token_seconds,omitempty" minimum:"0" maximum:"86400" doc:"0: as the application has it"`
		Algorithm          *string         `json:"algorithm,omitempty" enum:"ES256,RS256,EdDSA," doc:"Empty: as the application has it"`
	}
}

func (h *Handler) registerJWTTemplates() {
	const base, one = "/jwt-templates", "/jwt-templates/{jt}"
	read(h, route{method: http.MethodGet, path: base, id: "listJWTTemplates", summary: "List the templates of access tokens in the order in which they are asked", permission: staff.ReadTemplates},
		func(ctx context.Context, s scope, q db.Queryer, _ *struct{}) (out list[JWTTemplateBody], err error) {
			found, err := h.JWTTemplates.List(ctx, q, s.environment.ID)
			return whole(found, showJWTTemplate), err
		})
	write(h, route{method: http.MethodPost, path: base, id: "createJWTTemplate", summary: "Say what access tokens of some people carry; it holds everywhere within ten seconds", permission: staff.WriteTemplates, status: http.StatusCreated},
		func(ctx context.Context, s scope, q db.Queryer, in *createJWTTemplate) (JWTTemplateBody, error) {
			b := in.Body
			t, err := h.JWTTemplates.Create(ctx, s.actor, q, oidc.NewTemplate{
				Name: b.Name, Priority: b.Priority, TemplateSettings: oidc.TemplateSettings{
					Applications: b.Applications, Tenants: b.Tenants, If: b.If, Claims: b.Claims, AccessTokenSeconds: b.AccessTokenSeconds, Algorithm: b.Algorithm,
				},
			})
			return showJWTTemplate(t), err
		})
	read(h, route{method: http.MethodGet, path: one, id: "getJWTTemplate", summary: "Show a template", permission: staff.ReadTemplates},
		func(ctx context.Context, s scope, q db.Queryer, in *JWTTemplatePath) (JWTTemplateBody, error) {
			t, err := h.JWTTemplates.Get(ctx, q, s.environment.ID, in.Template)
			return showJWTTemplate(t), err
		})
	write(h, route{method: http.MethodPatch, path: one, id: "updateJWTTemplate", summary: "Change a template", permission: staff.WriteTemplates},
		func(ctx context.Context, s scope, q db.Queryer, in *updateJWTTemplate) (out JWTTemplateBody, err error) {
			if err := h.matchJWTTemplate(ctx, s, q, in.Template); err != nil {
				return out, err
			}
			b := in.Body
			p := oidc.TemplatePatch{
				Name: b.Name, Priority: b.Priority, Applications: b.Applications, Tenants: b.Tenants, Claims: b.Claims,
				AccessTokenSeconds: b.AccessTokenSeconds, Algorithm: b.Algorithm,
			}
			if len(b.If) > 0 {
				p.If = &b.If
			}
			t, err := h.JWTTemplates.Update(ctx, s.actor, q, in.Template, p)
			return showJWTTemplate(t), err
		})
	remove(h, route{method: http.MethodDelete, path: one, id: "deleteJWTTemplate", summary: "Delete a template", permission: staff.DeleteTemplates},
		func(ctx context.Context, s scope, q db.Queryer, in *JWTTemplatePath) error {
			if err := h.matchJWTTemplate(ctx, s, q, in.Template); err != nil {
				return err
			}
			return h.JWTTemplates.Delete(ctx, s.actor, q, in.Template)
		})
}

// matchJWTTemplate compares If-Match with the version of a template, which is locked
// then.
func (h *Handler) matchJWTTemplate(ctx context.Context, s scope, q db.Queryer, template string) error {
	t, err := h.JWTTemplates.Hold(ctx, q, s.environment.ID, template)
	if err != nil {
		return err
	}
	return s.match(t.Version)
}
