package signin

import (
	"context"
	"net/url"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Option is a connection through which a person may sign in.
type Option struct {
	Tenant     string
	TenantName string
	Connection string
	Type       string // saml or oidc
	Name       string
}

// LoginURL is the path that sends the browser to the option's identity provider.
func (o Option) LoginURL(flowID string) string {
	return "/" + o.Type + "/" + url.PathEscape(o.Connection) + "/login?flow=" + url.QueryEscape(flowID)
}

// TenantOptions lists the active connections of an active tenant.
func (s *Service) TenantOptions(ctx context.Context, q db.Queryer, tenant string) ([]Option, error) {
	return options(q.Query(ctx, sqlTenantConnections, tenant))
}

// Discover finds the connections of the tenants that hold the e-mail's domain
// verified. Several tenants may claim one domain; the person then chooses. It
// reads nothing about the person, so that it tells nobody who has an account.
func (s *Service) Discover(ctx context.Context, q db.Queryer, environment, email string) ([]Option, error) {
	at := strings.LastIndexByte(email, '@')
	if at < 0 || len(email) > MaxEmail {
		return nil, nil
	}
	domain, err := tenants.NormaliseDomain(email[at+1:])
	if err != nil {
		return nil, nil
	}
	return options(q.Query(ctx, sqlDomainConnections, tenants.DomainKey(environment, domain), environment))
}

func options(rows db.Rows, err error) ([]Option, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Option
	for rows.Next() {
		var o Option
		if err := rows.Scan(&o.Connection, &o.Type, &o.Name, &o.Tenant, &o.TenantName); err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	return list, rows.Err()
}
