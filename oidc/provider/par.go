package provider

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/tenants"
)

const (
	// requestURI begins every reference that we give out (RFC 9126 §2.2).
	requestURI = "urn:ietf:params:oauth:request_uri:"
	// pushedLife is how long a pushed request waits for its browser.
	pushedLife = time.Minute
)

// pushedBody is the answer of RFC 9126 §2.2.
type pushedBody struct {
	RequestURI string `json:"request_uri"`
	ExpiresIn  int64  `json:"expires_in"`
}

// push keeps an authorization request that the client itself sends, so that the
// browser carries but a reference (RFC 9126 §2). It is checked as it would be at
// /oauth2/authorize, and again there.
func (h *Handler) push(w http.ResponseWriter, r *http.Request, env tenants.Environment, _ actor.Actor) error {
	p, err := posted(r)
	if err != nil {
		return err
	}
	app, err := h.client(r.Context(), r, env, p)
	if err != nil {
		return err
	}
	if p["request_uri"] != "" { // RFC 9126 §2.1
		return refuse(oidc.InvalidRequest, "request_uri cannot be pushed.")
	}
	for _, secretly := range []string{"client_secret", "client_assertion", "client_assertion_type"} {
		delete(p, secretly) // they prove the client here and are nobody's business later
	}
	p["client_id"] = app.ID
	if _, err := h.target(r.Context(), env, p, nil); err != nil {
		return err
	}
	proof, err := h.readProof(r, env, "")
	if err != nil {
		return err
	}
	jkt, err := h.accept(w, r, env, app.Over(env.Settings.TokenSettings), proof)
	if err != nil {
		return err
	}
	switch {
	case jkt == "":
	case p["dpop_jkt"] != "" && p["dpop_jkt"] != jkt: // RFC 9449 §10.1
		return refuse(oidc.InvalidDPoPProof, "dpop_jkt names another key than the proof.")
	default:
		p["dpop_jkt"] = jkt
	}
	if _, err := h.request(r.Context(), env, app, p, nil); err != nil {
		return err
	}
	kept, err := json.Marshal(p)
	if err != nil {
		return err
	}
	reference, now := secret.Random(), h.clock.Now()
	_, err = h.db.Exec(r.Context(), sqlInsertPushed, env.ID, secret.Hash(reference), app.ID, string(kept), db.At(now), db.At(now.Add(pushedLife)))
	if err != nil {
		return err
	}
	noStore(w)
	h.json(w, r, http.StatusCreated, pushedBody{requestURI + reference, int64(pushedLife.Seconds())})
	return nil
}

// pushed gives the parameters of the pushed request that a browser refers to, and
// uses it up. What else the browser sends does not count (RFC 9126 §4).
func (h *Handler) pushed(ctx context.Context, env tenants.Environment, p params, repeated []string) (params, error) {
	gone := refuse(oidc.InvalidRequestURI, "The request has expired or was used before. Start again from the application.")
	reference, ours := strings.CutPrefix(p["request_uri"], requestURI)
	if !ours || p["client_id"] == "" || len(repeated) > 0 {
		return nil, gone
	}
	var kept string
	err := h.db.Tx(ctx, func(q db.Queryer) error {
		return q.QueryRow(ctx, sqlUsePushed, env.ID, secret.Hash(reference), p["client_id"], db.At(h.clock.Now())).Scan(&kept)
	})
	if errors.Is(err, db.ErrNotFound) {
		return nil, gone
	}
	if err != nil {
		return nil, err
	}
	asked := params{}
	return asked, json.Unmarshal([]byte(kept), &asked)
}
