package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// logoMaxBody lets a logo in, which base64 makes a third larger.
const logoMaxBody = 360 << 10

type brandingBody struct {
	Name      string        `json:"name" doc:"Shown beside the logo; empty: that of the environment, or the product"`
	Accent    string        `json:"accent" doc:"#rrggbb; empty: that of the environment, or the product"`
	Shown     *accentBody   `json:"shown" doc:"The accent as pages use it: moved as far as contrast asks"`
	Locale    string        `json:"locale" doc:"Language of pages and mails for people who chose none; empty: the browser decides"`
	Logo      *brandingLogo `json:"logo"`
	UpdatedAt *time.Time    `json:"updated_at"`
	version   int64
}

func (b brandingBody) etag() string { return versionTag(b.version) }

type accentBody struct {
	Light string `json:"light" doc:"On light pages"`
	Dark  string `json:"dark" doc:"On dark pages"`
}

type brandingLogo struct {
	URL    string `json:"url"`
	Type   string `json:"type"`
	Width  int    `json:"width" doc:"Pixels"`
	Height int    `json:"height" doc:"Pixels"`
}

func showBranding(e tenants.Environment, b tenants.Branding) brandingBody {
	out := brandingBody{Name: b.Name, Accent: b.Accent, Locale: b.Locale, UpdatedAt: optional(b.UpdatedAt), version: b.Version}
	if accent, err := tenants.ParseAccent(b.Accent); err == nil {
		out.Shown = &accentBody{Light: accent.Light.Accent, Dark: accent.Dark.Accent}
	}
	if path := b.LogoPath(); path != "" {
		out.Logo = &brandingLogo{URL: e.URL(path), Type: b.Logo.Type, Width: b.Logo.Width, Height: b.Logo.Height}
	}
	return out
}

// BrandingSettings are what can be chosen beside the logo.
type BrandingSettings struct {
	Name   string `json:"name,omitempty" maxLength:"200"`
	Accent string `json:"accent,omitempty" maxLength:"7" doc:"#rrggbb. Lighter or darker tints are made of it for contrast; a colour that is too light for that is refused with the nearest one that passes"`
	Locale string `json:"locale,omitempty" maxLength:"35" doc:"BCP 47 language tag, such as de"`
}

// LogoUpload carries an image.
type LogoUpload struct {
	Data []byte `json:"data" maxLength:"349528" doc:"PNG, JPEG, GIF or WebP in base64; at most 256 KiB and 2048 × 2048 pixels"`
}

// registerBranding serves how sign-in pages look: of a tenant, and of the
// environment.
func (h *Handler) registerBranding() {
	const tenant, environment = "/tenants/{t}/branding", "/environment/branding"
	brandingRoutes[TenantPath](h, tenant, "Branding", "the tenant's sign-in pages", readAccount, writeAccount, func(in *ofTenant[BrandingSettings]) BrandingSettings { return in.Body }, func(in *ofTenant[LogoUpload]) LogoUpload { return in.Body })
	brandingRoutes[struct{}](h, environment, "EnvironmentBranding", "the environment's sign-in pages", staff.ReadEnvironment, staff.WriteEnvironment, func(in *ofEnvironment[BrandingSettings]) BrandingSettings { return in.Body }, func(in *ofEnvironment[LogoUpload]) LogoUpload { return in.Body })
}

// brandingRoutes registers the routes of one level. s.tenant is empty above tenants.
func brandingRoutes[P, S, L any](h *Handler, path, noun, whose, may, change string, settings func(*S) BrandingSettings, logo func(*L) LogoUpload) {
	read(h, route{method: http.MethodGet, path: path, id: "get" + noun, summary: "Show the look of " + whose, permission: may},
		func(ctx context.Context, s scope, q db.Queryer, _ *P) (brandingBody, error) {
			b, err := h.Tenants.Branding(ctx, q, s.environment.ID, s.tenant.ID)
			return showBranding(s.environment, b), err
		})
	write(h, route{method: http.MethodPut, path: path, id: "put" + noun, summary: "Set name, accent and language of " + whose + "; the logo stays", permission: change},
		func(ctx context.Context, s scope, q db.Queryer, in *S) (brandingBody, error) {
			if err := h.matchBranding(ctx, s, q); err != nil {
				return brandingBody{}, err
			}
			n := settings(in)
			b, err := h.Tenants.PutBranding(ctx, s.actor, q, s.tenant.ID, tenants.NewBranding(n))
			return showBranding(s.environment, b), err
		})
	remove(h, route{method: http.MethodDelete, path: path, id: "delete" + noun, summary: "Remove the look of " + whose + ", logo included", permission: change},
		func(ctx context.Context, s scope, q db.Queryer, _ *P) error {
			if err := h.matchBranding(ctx, s, q); err != nil {
				return err
			}
			return h.Tenants.DeleteBranding(ctx, s.actor, q, s.tenant.ID)
		})
	read(h, route{method: http.MethodPut, path: path + "/logo", id: "put" + noun + "Logo", summary: "Set the logo of " + whose, permission: change, maxBody: logoMaxBody},
		func(ctx context.Context, s scope, _ db.Queryer, in *L) (brandingBody, error) {
			data := logo(in).Data
			info, err := tenants.ReadLogo(data) // before the transaction: others wait for that
			if err != nil {
				return brandingBody{}, err
			}
			return commit(ctx, h, s, func(q db.Queryer) (brandingBody, error) {
				if err := h.matchBranding(ctx, s, q); err != nil {
					return brandingBody{}, err
				}
				b, err := h.Tenants.PutLogo(ctx, s.actor, q, s.tenant.ID, info, data)
				return showBranding(s.environment, b), err
			})
		})
	remove(h, route{method: http.MethodDelete, path: path + "/logo", id: "delete" + noun + "Logo", summary: "Remove the logo of " + whose, permission: change},
		func(ctx context.Context, s scope, q db.Queryer, _ *P) error {
			if err := h.matchBranding(ctx, s, q); err != nil {
				return err
			}
			return h.Tenants.DeleteLogo(ctx, s.actor, q, s.tenant.ID)
		})
}

func (h *Handler) matchBranding(ctx context.Context, s scope, q db.Queryer) error {
	b, err := h.Tenants.HoldBranding(ctx, q, s.environment.ID, s.tenant.ID)
	if err != nil {
		return err
	}
	return s.match(b.Version)
}
