package client

import (
	"context"
	"encoding/json"
	"net/url"

	"golang.org/x/oauth2"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/signin/staffauth"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// staffPending is what only we know of a question to the vendor's provider.
type staffPending struct {
	State string `json:"state"`
	pending
}

// party is the relying party of the back office, as the checks of a login take it.
func (h *Handler) party(p staffauth.Provider, redirect string) request {
	return request{
		conn: tenants.SSOConnection{Name: "Back office", Type: tenants.OIDC, OIDC: p.Settings()}, now: h.clock.Now(),
		redirect: redirect, secret: func() (string, error) { return p.ClientSecret, nil },
	}
}

// StaffQuestion gives where to send somebody of the vendor's staff to sign in at
// the vendor's provider, and what to keep, secretly, for its answer: the code flow
// with PKCE S256, state and nonce.
//
// Faults: OIDC_DISCOVERY and its kin.
func (h *Handler) StaffQuestion(ctx context.Context, p staffauth.Provider, redirect string) (location string, question []byte, err error) {
	q := h.party(p, redirect)
	found, err := h.providers.logIn(ctx, p.Issuer, q.now, false)
	if err != nil {
		return "", nil, err
	}
	known := staffPending{State: secret.Random(), pending: pending{Nonce: secret.Random(), Verifier: oauth2.GenerateVerifier(), Issuer: p.Issuer, ClientID: p.ClientID}}
	if question, err = json.Marshal(known); err != nil {
		return "", nil, err
	}
	config := h.config(q, found)
	return config.AuthCodeURL(known.State, oauth2.S256ChallengeOption(known.Verifier), oauth2.SetAuthURLParam("nonce", known.Nonce)), question, nil
}

// StaffAnswer judges the provider's answer to a question, with the checks of every
// other login (redeem), and gives who came.
//
// Faults: those of a login's callback.
func (h *Handler) StaffAnswer(ctx context.Context, p staffauth.Provider, redirect string, question []byte, query string) (staffauth.Identity, error) {
	var none staffauth.Identity
	var known staffPending
	if err := json.Unmarshal(question, &known); err != nil {
		return none, err
	}
	v, err := url.ParseQuery(query)
	if err != nil {
		return none, errParams.Because(err)
	}
	for _, values := range v {
		if len(values) > 1 {
			return none, errParams
		}
	}
	if !secret.Equal(secret.Hash(known.State), v.Get("state")) {
		return none, errState
	}
	a := attempt{request: h.party(p, redirect)}
	identity, err := h.redeem(ctx, &a, v, signin.Request{Secret: question, CreatedAt: a.now})
	if err != nil {
		if f, ok := fault.From(err); ok && len(a.log.list) > 0 {
			last := a.log.list[len(a.log.list)-1]
			h.log.WarnContext(ctx, "the vendor's provider was not believed", "code", f.Code, "check", last.Name, "expected", last.Expected, "actual", last.Actual)
		}
		return none, err
	}
	return staffauth.Identity{
		Subject: identity.Subject, Email: identity.Email, EmailVerified: identity.EmailVerified != nil && *identity.EmailVerified, AMR: identity.AMR,
	}, nil
}
