package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/signin/staffauth"
)

type staffLink struct {
	URL       string    `json:"url" doc:"Sets the person's password and second factor, once"`
	ExpiresAt time.Time `json:"expires_at"`
}

type staffSSOBody struct {
	Issuer       string    `json:"issuer"`
	ClientID     string    `json:"client_id"`
	HasSecret    bool      `json:"has_client_secret"`
	EmailDomains []string  `json:"email_domains" doc:"Domains of addresses by which the provider may name somebody for the first time; none: any"`
	SecondFactor string    `json:"second_factor" enum:"here,evidence,provider" doc:"Who asks for it: the back office always; the back office unless the provider's amr says mfa; the provider"`
	Enforced     bool      `json:"enforced" doc:"Passwords and passkeys open the back office only with credentials of gatehouse admin create"`
	RedirectURI  string    `json:"redirect_uri" doc:"To be registered with the provider"`
	UpdatedAt    time.Time `json:"updated_at"`

	version int64
}

func (b staffSSOBody) etag() string { return versionTag(b.version) }

type putStaffSSO struct {
	Body struct {
		Issuer       string   `json:"issuer" maxLength:"2000" doc:"For Entra ID with the directory's GUID"`
		ClientID     string   `json:"client_id" maxLength:"2000"`
		ClientSecret *string  `json:"client_secret,omitempty" maxLength:"2000" doc:"Left out it stays; empty: a public client"`
		EmailDomains []string `json:"email_domains,omitempty" maxItems:"50"`
		SecondFactor string   `json:"second_factor,omitempty" enum:"here,evidence,provider" doc:"here when left out"`
		Enforced     bool     `json:"enforced,omitempty"`
	}
}

func (h *Handler) registerStaffAuth() {
	show := func(p staffauth.Provider) staffSSOBody {
		return staffSSOBody{
			Issuer: p.Issuer, ClientID: p.ClientID, HasSecret: p.ClientSecret != "", EmailDomains: append([]string{}, p.EmailDomains...), SecondFactor: p.SecondFactor,
			Enforced: p.Enforced, RedirectURI: h.StaffAuth.CallbackURL(), UpdatedAt: p.UpdatedAt, version: p.Version,
		}
	}
	write(h, route{method: http.MethodPost, path: "/staff/{staff}:reset", id: "resetStaff", summary: "Take a person's password, second factors and sessions away, and get a link to set new ones; by who may do all that the person may", permission: staff.WriteStaff},
		func(ctx context.Context, s scope, q db.Queryer, in *staffPath) (staffLink, error) {
			l, err := h.StaffAuth.Reset(ctx, s.actor, q, in.Staff)
			return staffLink{URL: l.URL, ExpiresAt: l.ExpiresAt}, err
		})
	read(h, route{method: http.MethodGet, path: "/staff-sso", id: "getStaffSSO", summary: "Show the vendor's OpenID provider for the back office", permission: staff.ReadStaff},
		func(ctx context.Context, _ scope, q db.Queryer, _ *struct{}) (staffSSOBody, error) {
			p, err := h.StaffAuth.Provider(ctx, q)
			return show(p), err
		})
	write(h, route{method: http.MethodPut, path: "/staff-sso", id: "putStaffSSO", summary: "Set the vendor's OpenID provider for the back office; in the default environment", permission: staff.WriteStaff},
		func(ctx context.Context, s scope, q db.Queryer, in *putStaffSSO) (out staffSSOBody, err error) {
			b := in.Body
			p := staffauth.Provider{Issuer: b.Issuer, ClientID: b.ClientID, EmailDomains: b.EmailDomains, SecondFactor: b.SecondFactor, Enforced: b.Enforced}
			if p.SecondFactor == "" {
				p.SecondFactor = staffauth.SecondHere
			}
			old, err := h.StaffAuth.Provider(ctx, q)
			if err != nil && fault.KindOf(err) != fault.NotFound {
				return out, err
			}
			if err := s.match(old.Version); err != nil {
				return out, err
			}
			switch {
			case b.ClientSecret != nil:
				p.ClientSecret = *b.ClientSecret
			case old.Issuer == p.Issuer: // a secret goes to nobody else
				p.ClientSecret = old.ClientSecret
			}
			if err := h.Tenants.CheckOIDC(p.Settings()); err != nil {
				return out, err
			}
			p, err = h.StaffAuth.PutProvider(ctx, s.actor, q, p)
			return show(p), err
		})
	remove(h, route{method: http.MethodDelete, path: "/staff-sso", id: "deleteStaffSSO", summary: "Take the vendor's OpenID provider for the back office away", permission: staff.DeleteStaff},
		func(ctx context.Context, s scope, q db.Queryer, _ *struct{}) error {
			return h.StaffAuth.DeleteProvider(ctx, s.actor, q)
		})
}
