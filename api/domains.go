package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/tenants"
)

type domainBody struct {
	ID         string     `json:"id"`
	Domain     string     `json:"domain"`
	Verified   bool       `json:"verified"`
	VerifiedBy *string    `json:"verified_by" doc:"dns or management_key"`
	TXTRecord  txtRecord  `json:"txt_record" doc:"The DNS record that proves the domain"`
	CheckedAt  *time.Time `json:"checked_at"`
	CreatedAt  time.Time  `json:"created_at"`
}

type txtRecord struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func showDomain(d tenants.Domain) domainBody {
	return domainBody{
		ID: d.ID, Domain: d.Domain, Verified: d.Verified(), VerifiedBy: optionalText(d.VerifiedBy),
		TXTRecord: txtRecord{Name: d.TXTName(), Value: d.TXTValue}, CheckedAt: optional(d.CheckedAt), CreatedAt: d.CreatedAt,
	}
}

type domainPath struct {
	TenantPath
	Domain string `path:"d" maxLength:"63" doc:"Id of the domain"`
}

type createDomain struct {
	TenantPath
	Body struct {
		Domain   string `json:"domain" maxLength:"253"`
		Verified bool   `json:"verified,omitempty" doc:"The vendor vouches for the domain; management keys only"`
	}
}

type verification struct {
	Verified bool   `json:"verified"`
	Detail   string `json:"detail" doc:"What DNS said"`
}

func (h *Handler) registerDomains() {
	const write1, read1 = "fe.secure.write.samlConfiguration", "fe.secure.read.samlConfiguration"
	write(h, route{method: http.MethodPost, path: "/tenants/{t}/domains", id: "createDomain", summary: "Claim an e-mail domain", permission: write1, status: http.StatusCreated},
		func(ctx context.Context, s scope, q db.Queryer, in *createDomain) (domainBody, error) {
			d, err := h.Tenants.AddDomain(ctx, s.actor, q, s.tenant.ID, in.Body.Domain, in.Body.Verified)
			return showDomain(d), err
		})
	read(h, route{method: http.MethodGet, path: "/tenants/{t}/domains", id: "listDomains", summary: "List a tenant's e-mail domains", permission: read1},
		func(ctx context.Context, s scope, q db.Queryer, _ *TenantPath) (list[domainBody], error) {
			found, err := h.Tenants.Domains(ctx, q, s.tenant.ID)
			return whole(found, showDomain), err
		})
	read(h, route{method: http.MethodGet, path: "/tenants/{t}/domains/{d}", id: "getDomain", summary: "Show an e-mail domain", permission: read1},
		func(ctx context.Context, s scope, q db.Queryer, in *domainPath) (domainBody, error) {
			d, err := h.Tenants.Domain(ctx, q, s.tenant.ID, in.Domain)
			return showDomain(d), err
		})
	read(h, route{method: http.MethodPost, path: "/tenants/{t}/domains/{d}:verify", id: "verifyDomain", summary: "Look for the domain's DNS record now", permission: write1},
		func(ctx context.Context, s scope, q db.Queryer, in *domainPath) (out verification, err error) {
			d, err := h.Tenants.Domain(ctx, q, s.tenant.ID, in.Domain)
			if err != nil {
				return out, err
			}
			check := h.Tenants.LookupDomain(ctx, h.Resolver, d) // DNS is asked outside the transaction
			return commit(ctx, h, s, func(q db.Queryer) (verification, error) {
				d, err := h.Tenants.RecordDomain(ctx, s.actor, q, check)
				return verification{Verified: d.Verified(), Detail: check.Detail}, err
			})
		})
	remove(h, route{method: http.MethodDelete, path: "/tenants/{t}/domains/{d}", id: "deleteDomain", summary: "Give up an e-mail domain", permission: "fe.secure.delete.samlConfiguration"},
		func(ctx context.Context, s scope, q db.Queryer, in *domainPath) error {
			return h.Tenants.DeleteDomain(ctx, s.actor, q, s.tenant.ID, in.Domain)
		})
}
