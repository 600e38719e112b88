package client

import (
	"context"
	"encoding/json"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

const (
	maxRevocation     = 16 << 10        // bytes of a request
	maxRevocationLife = 5 * time.Minute // of its token (sso 7.1)
)

var (
	errRevokeOff     = fault.New(fault.Forbidden, "GTR_NOT_ACCEPTED", "This connection takes no revocation requests. Set the issuer that signs them, and switch the connection on.")
	errRevokeToken   = fault.New(fault.Unauthenticated, "GTR_TOKEN", "Send a bearer token that the connection's identity provider signed.")
	errRevokeIssuer  = fault.New(fault.Unauthenticated, "GTR_ISSUER", "The token was issued by somebody else than the connection's identity provider.")
	errRevokeAud     = fault.New(fault.Unauthenticated, "GTR_AUDIENCE", "The token's one audience must be this address.")
	errRevokeTime    = fault.New(fault.Unauthenticated, "GTR_TIME", "The token must hold now and for at most five minutes. Check the clocks of both sides.")
	errRevokeJTI     = fault.New(fault.Unauthenticated, "GTR_JTI", "The token has no jti, or one that is too long.")
	errRevokeReplay  = fault.New(fault.Unauthenticated, "GTR_REPLAY", "The token was already used.")
	errRevokeBody    = refuse("GTR_REQUEST", "Send a JSON object with sub_id, in the format email or iss_sub.")
	errRevokeForeign = fault.New(fault.Forbidden, "GTR_SUBJECT_ISSUER", "The connection's identity provider does not speak for that issuer's people.")
	errRevokeUnknown = fault.New(fault.NotFound, "GTR_SUBJECT_UNKNOWN", "Nobody of this organization has that identifier.")
)

// anybodys are issuers that sign tokens for whoever asks, with whatever audience
// he names: for service accounts, for jobs of a build. What they sign proves
// nothing about who wants a person signed out.
var anybodys = []string{googleIssuer, "https://gitlab.com", "https://token.actions.githubusercontent.com"}

// subjectID is a subject identifier (RFC 9493 §3.2.2, §3.2.3).
type subjectID struct {
	Format string `json:"format"`
	Email  string `json:"email"`
	Issuer string `json:"iss"`
	Sub    string `json:"sub"`
}

// revoke is Global Token Revocation (draft-parecki-oauth-global-token-revocation,
// Okta's Universal Logout): the identity provider has every session and refresh
// token of a person ended, in this tenant and however he had signed in to it. It
// serves connections of both types.
func (h *Handler) revoke(w http.ResponseWriter, r *http.Request, q request) error {
	issuer := revocationIssuer(q.conn)
	if issuer == "" || slices.Contains(anybodys, issuer) || q.conn.Status != tenants.SSOActive {
		return errRevokeOff
	}
	scheme, raw, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || raw == "" {
		return errRevokeToken
	}
	p, err := h.providers.get(r.Context(), issuer, q.now, false)
	if err != nil {
		return err
	}
	v, err := verifyRevocation(r.Context(), strings.TrimSpace(raw), p.keys, issuer, q.env.RevocationURL(q.conn.ID), q.now)
	if err != nil {
		return err
	}
	subject, err := h.readSubject(r)
	if err != nil {
		return err
	}
	err = h.db.Tx(r.Context(), func(tx db.Queryer) error { return h.revokeAll(r.Context(), tx, q, v, subject) })
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func revocationIssuer(conn tenants.SSOConnection) string {
	if conn.SAML != nil {
		return conn.SAML.RevocationIssuer
	}
	if conn.OIDC.RevocationIssuer != "" {
		return conn.OIDC.RevocationIssuer
	}
	return conn.OIDC.Issuer
}

// verifyRevocation judges the bearer token. Its audience is this connection's
// address and nothing else, so that no other token of the issuer can be one.
func verifyRevocation(ctx context.Context, raw string, keys *oidc.KeySet, issuer, endpoint string, now time.Time) (verified, error) {
	v, err := verifyJWT(ctx, raw, typsRevocation, keys, now, &checkLog{})
	if err != nil {
		if fault.KindOf(err) == fault.Invalid {
			err = errRevokeToken.Because(err)
		}
		return v, err
	}
	switch {
	case v.Issuer != issuer:
		return v, errRevokeIssuer
	case len(v.Audience) != 1 || v.Audience[0] != endpoint:
		return v, errRevokeAud
	case v.TokenID == "" || !validText(v.TokenID, maxSID):
		return v, errRevokeJTI
	}
	exp, ok := numericDate(v.Expiry)
	if !ok || !now.Before(exp.Add(leeway)) || exp.After(now.Add(maxRevocationLife+leeway)) {
		return v, errRevokeTime
	}
	if v.NotBefore != "" {
		if nbf, ok := numericDate(v.NotBefore); !ok || now.Add(leeway).Before(nbf) {
			return v, errRevokeTime
		}
	}
	if v.IssuedAt != "" {
		if iat, ok := numericDate(v.IssuedAt); !ok || now.Add(leeway).Before(iat) || exp.Sub(iat) > maxRevocationLife {
			return v, errRevokeTime
		}
	}
	return v, nil
}

// readSubject reads whose tokens are to go.
func (h *Handler) readSubject(r *http.Request) (subjectID, error) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return subjectID{}, errRevokeBody
	}
	body, err := httpx.ReadBody(r, maxRevocation)
	if err != nil {
		return subjectID{}, err
	}
	all, err := readObject(body)
	if err != nil {
		return subjectID{}, errRevokeBody.Because(err)
	}
	given, ok := all["sub_id"].(map[string]any)
	if !ok {
		if _, other := all["subject"]; other {
			h.log.InfoContext(r.Context(), "oidc: a revocation request names subject instead of sub_id")
		}
		return subjectID{}, errRevokeBody.In("sub_id")
	}
	text, err := json.Marshal(given)
	if err != nil {
		return subjectID{}, err
	}
	var id subjectID
	if err := json.Unmarshal(text, &id); err != nil {
		return subjectID{}, errRevokeBody.Because(err).In("sub_id")
	}
	switch {
	case id.Format == "email" && signin.ValidEmail(id.Email):
		return id, nil
	case id.Format == "iss_sub" && id.Issuer != "" && id.Sub != "" && validText(id.Issuer+id.Sub, maxSID):
		return id, nil
	}
	return subjectID{}, errRevokeBody.In("sub_id")
}

func (h *Handler) revokeAll(ctx context.Context, tx db.Queryer, q request, v verified, subject subjectID) error {
	if fresh, err := firstUse(ctx, tx, q.conn, v.Issuer, v.TokenID, q.now.Add(maxRevocationLife+2*leeway)); err != nil || !fresh {
		if err == nil {
			err = errRevokeReplay
		}
		return err
	}
	people, err := h.revoked(ctx, tx, q, subject)
	if err != nil {
		return err
	}
	if len(people) == 0 {
		return errRevokeUnknown
	}
	selectors := make([]sessions.Selector, 0, len(people))
	for _, user := range people {
		selectors = append(selectors, sessions.Selector{Environment: q.env.ID, Tenant: q.conn.Tenant, User: user})
	}
	ended, err := h.end(ctx, tx, q, selectors, "global_token_revocation")
	if err != nil {
		return err
	}
	return h.record(ctx, tx, q, "sso_connection.revocation_received", selectors, ended)
}

// revoked finds the people of the tenant behind a subject identifier. Where two
// share an address both are meant: to sign in again is the lesser harm.
func (h *Handler) revoked(ctx context.Context, tx db.Queryer, q request, s subjectID) ([]string, error) {
	if s.Format == "email" {
		people, err := users(ctx, tx, sqlUsersByEmail, q.conn.Tenant, directory.EmailKey(s.Email))
		if err != nil || len(people) > 0 {
			return people, err
		}
		people, err = users(ctx, tx, sqlUsersByUserName, q.conn.Tenant, directory.NameKey(s.Email))
		if err != nil || len(people) > 0 {
			return people, err
		}
		// The provider's address of a person need not be ours (identity rule 4).
		return users(ctx, tx, sqlUsersByIdentityEmail, q.conn.Tenant, q.conn.ID, directory.EmailKey(s.Email))
	}
	if !speaksFor(q.conn, s.Issuer) {
		return nil, errRevokeForeign
	}
	people, err := users(ctx, tx, sqlUsersBySubject, q.conn.Tenant, q.conn.ID, s.Sub)
	if err != nil || len(people) > 0 {
		return people, err
	}
	return users(ctx, tx, sqlUsersByExternalID, q.conn.Tenant, q.conn.ID, s.Sub)
}

// speaksFor reports whether the connection's people are known by the issuer's
// subjects.
func speaksFor(conn tenants.SSOConnection, issuer string) bool {
	return issuer == revocationIssuer(conn) || conn.OIDC != nil && issuer == conn.OIDC.Issuer || conn.SAML != nil && issuer == conn.SAML.IdPEntityID
}
