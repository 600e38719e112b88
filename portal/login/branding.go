package login

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/portal/ui"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Branding gives pages their look and serves logos.
type Branding struct {
	db           db.Queryer
	environments *tenants.Environments
	tenants      *tenants.Service
	brands       *tenants.Brands
	signin       *signin.Service
	log          *slog.Logger
}

// NewBranding wires it.
func NewBranding(q db.Queryer, environments *tenants.Environments, t *tenants.Service, s *signin.Service, c clock.Clock, log *slog.Logger) *Branding {
	return &Branding{db: q, environments: environments, tenants: t, brands: tenants.NewBrands(q, c), signin: s, log: log}
}

// Mount adds the route of logos.
func (b *Branding) Mount(r chi.Router) { r.Get("/branding/{owner}/{hash}", b.showLogo) }

// Look is that of a page, for ui.Config: the tenant's where the page or the sign-in
// that the request names knows one, else the environment's. An e-mail address that
// was typed decides nothing: whoever types addresses is shown no organization's
// brand. What cannot be read leaves the product's own look; no page is refused for
// it.
func (b *Branding) Look(r *http.Request, tenant string) ui.Look {
	ctx := context.WithoutCancel(r.Context()) // the page of a timeout has its brand too
	env, err := b.environments.ByHost(ctx, r.Host)
	if err != nil {
		return ui.Look{}
	}
	var look signin.Look
	flow := r.URL.Query().Get("flow")
	if flow == "" {
		flow = r.PostForm.Get("flow") // where the form was read
	}
	if browser := httpx.Browser(r); flow != "" && len(flow) < 64 && browser != "" {
		if look, err = b.signin.FlowLook(ctx, b.db, env.ID, flow, browser); err != nil {
			b.log.WarnContext(ctx, "the look of a sign-in was not read", "error", err, "flow", flow)
		}
	}
	if tenant == "" {
		tenant = look.Tenant
	}
	brand, err := b.brands.Of(ctx, env.ID, tenant)
	if err != nil {
		b.log.WarnContext(ctx, "a branding was not read", "error", err, "tenant", tenant)
	}
	return ui.Look{Brand: ui.Brand{Name: brand.Name, Logo: brand.LogoPath(), Accent: brand.Accent}, Lang: look.Locales + " " + brand.Locale}
}

// showLogo serves a logo under an address that carries its hash: browsers keep it
// for ever. Shown by itself it may do nothing.
func (b *Branding) showLogo(w http.ResponseWriter, r *http.Request) {
	env, err := b.environments.ByHost(r.Context(), r.Host)
	var kind string
	var data []byte
	if err == nil {
		owner := chi.URLParam(r, "owner")
		if owner == tenants.LogoOfEnvironment {
			owner = ""
		}
		kind, data, err = b.tenants.Logo(r.Context(), b.db, env.ID, owner, chi.URLParam(r, "hash"))
	}
	if err != nil {
		status := http.StatusNotFound
		if fault.KindOf(err) == 0 {
			b.log.ErrorContext(r.Context(), "a logo was not read", "error", err)
			status = http.StatusInternalServerError
		}
		http.Error(w, http.StatusText(status), status)
		return
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(data)))
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	_, _ = w.Write(data) // the visitor has gone away; nobody is left to tell
}
