package client

import (
	"encoding/json"
	"net/http"
	"strings"

	"golang.org/x/oauth2"

	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// pending is what only we know of a question: stored encrypted.
type pending struct {
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"`
	// Issuer and ClientID are who was asked, and for whom: a connection that leads
	// elsewhere meanwhile is not given the code (RFC 9700 §4.4).
	Issuer   string `json:"issuer"`
	ClientID string `json:"client_id"`
	// Fresh: the provider was told to ask the person again (max_age=0).
	Fresh bool `json:"fresh,omitempty"`
}

// login asks the provider. Without a flow of ours it is somebody else who starts
// a login.
func (h *Handler) login(w http.ResponseWriter, r *http.Request, q request) error {
	flowID := r.URL.Query().Get("flow")
	if q.social == nil && (flowID == "" || r.Method != http.MethodGet) {
		return h.initiate(w, r, q)
	}
	f, err := h.openFlow(r, q, flowID)
	if err != nil {
		return err
	}
	a := attempt{request: q, flowID: f.ID, purpose: f.Purpose}
	p, err := h.providers.logIn(r.Context(), q.conn.OIDC.Issuer, q.now, q.social != nil)
	if err != nil {
		return h.refused(w, r, &a, a.log.fail("discovery", "the identity provider's configuration", cause(err), err))
	}
	known := pending{Nonce: secret.Random(), Verifier: oauth2.GenerateVerifier(), Issuer: q.conn.OIDC.Issuer, ClientID: q.conn.OIDC.ClientID, Fresh: f.ForceAuthn}
	state := secret.Random()
	stored, err := json.Marshal(known)
	if err != nil {
		return err
	}
	err = h.signin.NewRequest(r.Context(), h.db, signin.Request{
		Environment: q.env.ID, Tenant: q.conn.Tenant, Connection: q.conn.ID, Key: secret.Hash(state), FlowID: f.ID, Secret: stored,
	})
	if err != nil {
		return err
	}
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(known.Verifier)}
	set := func(name, value string) { options = append(options, oauth2.SetAuthURLParam(name, value)) }
	set("nonce", known.Nonce)
	if hint := r.URL.Query().Get("login_hint"); hint != "" && len(hint) <= signin.MaxEmail {
		set("login_hint", hint)
	} else if f.LoginHint != "" {
		set("login_hint", f.LoginHint)
	}
	switch {
	case known.Fresh:
		set("prompt", "login")
		set("max_age", "0")
	case q.social != nil && q.social.Kind != tenants.SocialOIDC:
		set("prompt", "select_account") // many people have a private one and one of their work
	}
	if q.conn.OIDC.FormPost {
		set("response_mode", "form_post")
	}
	if len(q.conn.OIDC.ACRValues) > 0 {
		set("acr_values", strings.Join(q.conn.OIDC.ACRValues, " "))
	}
	if len(q.conn.OIDC.HostedDomains) == 1 {
		set("hd", q.conn.OIDC.HostedDomains[0]) // Google shows the accounts of this domain alone
	}
	config := h.config(q, p)
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, config.AuthCodeURL(state, options...), http.StatusSeeOther)
	return nil
}

// openFlow is the gate before a question.
func (h *Handler) openFlow(r *http.Request, q request, flowID string) (signin.Flow, error) {
	if q.social != nil {
		return h.signin.OpenSocialFlow(r.Context(), h.db, q.env, flowID, httpx.Browser(r), *q.social)
	}
	return h.signin.OpenFlow(r.Context(), h.db, flowID, httpx.Browser(r), q.conn)
}
