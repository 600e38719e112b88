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
	assertion  string // a JWT that the client signed
	basic      bool   // by HTTP Basic
	given      bool   // a secret was sent at all
}

// client authenticates the application that calls (RFC 6749 §2.3). A
// confidential client may send its secret by HTTP Basic or in the body; one with
// keys signs an assertion (RFC 7523 §2.2); a public client sends its id alone. Two
// methods at once are refused (§2.3), and so is another kind than is registered.
func (h *Handler) client(ctx context.Context, r *http.Request, env tenants.Environment, p params) (tenants.Application, error) {
	c, err := shown(r, p)
	if err != nil {
		return tenants.Application{}, err
	}
	app, err := h.tenants.Application(ctx, h.db, env.ID, c.id)
	if err != nil && !errors.Is(err, tenants.ErrApplicationNotFound) {
		return tenants.Application{}, err
	}
	return app, h.authenticate(ctx, env, app, c)
}

// authenticate compares what a client showed with what it registered; the zero
// application is one that there is not.
func (h *Handler) authenticate(ctx context.Context, env tenants.Environment, app tenants.Application, c credentials) error {
	deny := func(description string) error {
		return &wireError{code: oidc.InvalidClient, description: description, basic: c.basic}
	}
	switch {
	case app.ID == "":
		return deny("The client is unknown or did not authenticate.")
	case app.AuthMethod == tenants.AuthPrivateKeyJWT && c.assertion != "":
		return h.assertion(ctx, env, app, c.assertion)
	case app.AuthMethod == tenants.AuthPrivateKeyJWT, c.assertion != "":
		return deny("The client is unknown or did not authenticate.")
	case app.AuthMethod == tenants.AuthNone && c.given:
		return deny("This client is public and must not send a secret.")
	case app.AuthMethod == tenants.AuthNone:
		return nil
	case !app.CheckSecret(c.secret):
		return deny("The client is unknown or did not authenticate.")
	}
	return nil
}

func shown(r *http.Request, p params) (credentials, error) {
	var c credentials
	if p["client_assertion"] != "" || p["client_assertion_type"] != "" {
		return signed(r, p)
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

// signed reads an assertion's client, which its claims name where client_id is
// left out (RFC 7521 §4.2); that it is true is seen when the signature is.
func signed(r *http.Request, p params) (credentials, error) {
	c := credentials{id: p["client_id"], assertion: p["client_assertion"], given: true}
	switch {
	case p["client_secret"] != "" || len(r.Header.Values("Authorization")) > 0:
		return c, refuse(oidc.InvalidRequest, "The client authenticated in two ways at once.")
	case p["client_assertion_type"] != assertionType || c.assertion == "":
		return c, &wireError{code: oidc.InvalidClient, description: "client_assertion_type must be that of a JWT."}
	case c.id == "":
		c.id = claimedSubject(c.assertion)
	}
	return c, nil
}
