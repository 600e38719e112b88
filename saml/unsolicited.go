package saml

import (
	"context"
	"errors"
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// unsolicited takes a response that nobody asked for (SAML profiles §4.1.5). Where
// the connection does not allow it, the response is discarded and the login that
// the person wanted begins anew, if it can (sso 4, step 13).
func (h *Handler) unsolicited(w http.ResponseWriter, r *http.Request, q request, at attempt, relayState string) error {
	if !q.conn.SAML.AllowIdPInitiated || q.conn.Status != tenants.SSOActive {
		return h.discard(w, r, q, at)
	}
	assertion, err := h.judge(r.Context(), &q, &at, "")
	if err != nil {
		return h.refuse(w, r, q, at, err)
	}
	client, err := h.applicationOf(r.Context(), q.env, relayState)
	if err != nil {
		return err
	}
	return h.accept(w, r, q, at, assertion, func(tx db.Queryer) (string, error) {
		return h.signin.StartUnsolicited(r.Context(), tx, q.env, q.conn.Tenant, q.conn.ID, client)
	})
}

// discard counts the response in the login log and starts a login at the
// application, whose answer will be the one that counts.
func (h *Handler) discard(w http.ResponseWriter, r *http.Request, q request, at attempt) error {
	if err := h.record(r, q, at, errUnsolicited); err != nil {
		return err
	}
	if q.conn.Status != tenants.SSOActive {
		return errUnsolicited
	}
	err := h.startAtApplication(w, r, q)
	if errors.Is(err, signin.ErrNoStart) {
		return errUnsolicited
	}
	return err
}

// maxApplications bounds the applications that a RelayState is compared with.
const maxApplications = 200

// applicationOf gives the application that a RelayState names by its client_id or
// its initiate_login_uri, letter by letter. Anything else is ignored, not refused:
// identity providers send RelayStates that nobody set. Empty: the default one.
func (h *Handler) applicationOf(ctx context.Context, env tenants.Environment, relayState string) (clientID string, err error) {
	if relayState == "" || len(relayState) > maxRelayState {
		return "", nil
	}
	apps, _, err := h.tenants.Applications(ctx, h.db, env.ID, tenants.Position{}, maxApplications)
	if err != nil {
		return "", err
	}
	for _, a := range apps {
		if a.ID == relayState || a.InitiateLoginURI == relayState {
			return a.ID, nil
		}
	}
	return "", nil
}
