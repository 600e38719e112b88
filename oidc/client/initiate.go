package client

import (
	"context"
	"mime"
	"net/http"
	"net/url"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

var errInitiator = refuse("OIDC_INITIATE_ISSUER", "The sign-in was started by another identity provider than the connection's.")

// initiate begins a login that somebody else starts: the provider's own page
// (third-party initiated login, OpenID Connect Core §4), or a link. It goes to an
// application, which then asks for a login of its own: nothing that came with
// this request is believed, and the login ends where one asked. target_link_uri
// chooses among the registered applications and is never gone to.
func (h *Handler) initiate(w http.ResponseWriter, r *http.Request, q request) error {
	text := r.URL.RawQuery
	if r.Method == http.MethodPost {
		media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil || media != "application/x-www-form-urlencoded" || text != "" {
			return errMode
		}
		body, err := httpx.ReadBody(r, maxForm)
		if err != nil {
			return err
		}
		text = string(body)
	}
	v, err := url.ParseQuery(text)
	if err != nil {
		return errParams.Because(err)
	}
	for _, name := range []string{"iss", "login_hint", "target_link_uri"} {
		if len(v[name]) > 1 {
			return errParams
		}
	}
	if iss := v.Get("iss"); iss != "" && iss != q.conn.OIDC.Issuer {
		return errInitiator
	}
	target, err := h.startAt(r.Context(), q, v.Get("target_link_uri"))
	if err != nil {
		return err
	}
	if hint := v.Get("login_hint"); hint != "" && len(hint) <= signin.MaxEmail {
		if target, err = withParameter(target, "login_hint", hint); err != nil {
			return err
		}
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, target, http.StatusSeeOther)
	return nil
}

// maxApplications bounds the search for the application of a target_link_uri.
const maxApplications = 200

// startAt is where the login starts: at the application whose initiate_login_uri
// or client_id the link is, else at the environment's default application.
func (h *Handler) startAt(ctx context.Context, q request, link string) (string, error) {
	if link != "" {
		app, err := h.application(ctx, q, link)
		if err != nil {
			return "", err
		}
		if app.InitiateLoginURI != "" {
			target, err := withParameter(app.InitiateLoginURI, "iss", q.env.BaseURL)
			if err != nil {
				return "", err
			}
			return withParameter(target, "connection", q.conn.ID)
		}
	}
	return h.signin.StartURL(ctx, h.db, q.env, q.conn.ID)
}

func (h *Handler) application(ctx context.Context, q request, link string) (tenants.Application, error) {
	app, err := h.tenants.Application(ctx, h.db, q.env.ID, link)
	if err == nil || fault.KindOf(err) != fault.NotFound {
		return app, err
	}
	list, _, err := h.tenants.Applications(ctx, h.db, q.env.ID, tenants.Position{}, maxApplications)
	if err != nil {
		return tenants.Application{}, err
	}
	for _, a := range list {
		if a.InitiateLoginURI == link {
			return a, nil
		}
	}
	return tenants.Application{}, nil
}

func withParameter(address, name, value string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	v := u.Query()
	v.Set(name, value)
	u.RawQuery = v.Encode()
	return u.String(), nil
}
