package provider

import (
	"context"
	"errors"
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// credentials are what a client showed.
type credentials struct {
	id, secret string
	basic      bool // by HTTP Basic
	given      bool // a secret was sent at all
}

// client authenticates the application that calls (RFC 6749 §2.3). A
// confidential client may send its secret by HTTP Basic or in the body, whichever
// is registered; a public client sends its id alone. Two methods at once are
// refused (§2.3).
func (h *Handler) client(ctx context.Context, r *http.Request, env tenants.Environment, p params) (tenants.Application, error) {
	c, err := shown(r, p)
	if err != nil {
		return tenants.Application{}, err
	}
	deny := func(description string) (tenants.Application, error) {
		return tenants.Application{}, &wireError{code: oidc.InvalidClient, description: description, basic: c.basic}
	}
	app, err := h.tenants.Application(ctx, h.db, env.ID, c.id)
	switch {
	case errors.Is(err, tenants.ErrApplicationNotFound):
		return deny("The client is unknown or did not authenticate.")
	case err != nil:
		return tenants.Application{}, err
	case app.AuthMethod == tenants.AuthNone && c.given:
		return deny("This client is public and must not send a secret.")
	case app.AuthMethod == tenants.AuthNone:
		return app, nil
	case !app.CheckSecret(c.secret):
		return deny("The client is unknown or did not authenticate.")
	}
	return app, nil
}

func shown(r *http.Request, p params) (credentials, error) {
	var c credentials
	if p["client_assertion"] != "" || p["client_assertion_type"] != "" {
		return c, &wireError{code: oidc.InvalidClient, description: "Client assertions are not supported."}
	}
	if len(r.Header.Values("Authorization")) == 0 {
		c.id, c.secret = p["client_id"], p["client_secret"]
		c.given = c.secret != ""
		if c.id == "" {
			return c, &wireError{code: oidc.InvalidClient, description: "The client did not authenticate."}
		}
		return c, nil
	}
	c.basic, c.given = true, true
	var ok bool
	if c.id, c.secret, ok = httpx.ClientBasic(r); !ok {
		return c, &wireError{code: oidc.InvalidClient, description: "The Authorization header cannot be read.", basic: true}
	}
	switch {
	case p["client_secret"] != "":
		return c, refuse(oidc.InvalidRequest, "The client authenticated in two ways at once.")
	case p["client_id"] != "" && p["client_id"] != c.id:
		return c, refuse(oidc.InvalidRequest, "client_id names another client than the Authorization header.")
	}
	return c, nil
}
