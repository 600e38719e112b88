package provider

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/keys"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/rbac"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// grant is what tokens are made of, as the transaction of a grant found it.
type grant struct {
	app     tenants.Application
	session sessions.Session
	proof   sessions.Proof
	person  signin.Person
	roles   rbac.Effective
	scope   string
	nonce   string
	refresh string // the refresh token to hand out; empty: none
	jkt     string // of the key that the tokens are bound to; empty: to none
	// actor is who impersonates the person; nil: nobody does.
	actor *actClaim
}

// tokenBody is the answer of RFC 6749 §5.1 and OpenID Connect Core §3.1.3.3.
type tokenBody struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	Scope        string `json:"scope,omitempty"`
	// IssuedTokenType is of a token exchange (RFC 8693 §2.2.1).
	IssuedTokenType string `json:"issued_token_type,omitempty"`
}

func (h *Handler) token(w http.ResponseWriter, r *http.Request, env tenants.Environment, a actor.Actor) error {
	p, err := posted(r)
	if err != nil {
		return err
	}
	proof, err := h.readProof(r, env, "")
	if err != nil {
		return err
	}
	if c, err := shown(r, p); err == nil && isAPIToken(c.id) {
		jkt, err := h.accept(w, r, env, env.Settings.TokenSettings, proof)
		if err != nil {
			return err
		}
		body, err := h.apiTokenGrant(r.Context(), r, env, c, jkt, p)
		if err != nil {
			return err
		}
		noStore(w)
		h.json(w, r, http.StatusOK, body)
		return nil
	}
	app, err := h.client(r.Context(), r, env, p)
	if err != nil {
		return err
	}
	jkt, err := h.accept(w, r, env, app.Over(env.Settings.TokenSettings), proof)
	if err != nil {
		return err
	}
	if jkt == "" && app.RequireDPoP {
		return refuse(oidc.InvalidDPoPProof, "This application must prove its key: send the DPoP header.")
	}
	a.Name = app.Name
	body, err := h.granted(r.Context(), env, a, app, jkt, p)
	if err != nil {
		return err
	}
	noStore(w)
	h.json(w, r, http.StatusOK, body)
	return nil
}

// granted serves one grant of a client that has authenticated.
func (h *Handler) granted(ctx context.Context, env tenants.Environment, a actor.Actor, app tenants.Application, jkt string, p params) (tokenBody, error) {
	var g grant
	var err error
	switch p["grant_type"] {
	case "":
		return tokenBody{}, refuse(oidc.InvalidRequest, "grant_type is missing.")
	case oidc.GrantClient:
		return h.serviceGrant(ctx, env, app, jkt, p)
	case oidc.GrantCode:
		g, err = h.codeGrant(ctx, env, a, app, jkt, p)
	case oidc.GrantDevice:
		g, err = h.deviceGrant(ctx, env, a, app, jkt, p)
	case oidc.GrantRefresh:
		g, err = h.refreshGrant(ctx, env, a, app, jkt, p)
	case oidc.GrantExchange:
		return h.exchangeGrant(ctx, env, a, app, jkt, p)
	default:
		return tokenBody{}, refuse(oidc.UnsupportedGrantType, "grant_type must be authorization_code, refresh_token, client_credentials or that of the device flow or of a token exchange.")
	}
	if err != nil {
		return tokenBody{}, err
	}
	return h.sign(ctx, env, g)
}

// codeGrant redeems a code (RFC 6749 §4.1.3). Whatever is wrong once the code is
// the client's own, the code is used up and the refusal commits with that.
func (h *Handler) codeGrant(ctx context.Context, env tenants.Environment, a actor.Actor, app tenants.Application, jkt string, p params) (grant, error) {
	if p["code"] == "" {
		return grant{}, refuse(oidc.InvalidRequest, "code is missing.")
	}
	var g grant
	var refused error
	err := h.db.Tx(ctx, func(q db.Queryer) error {
		var err error
		g = grant{app: app, jkt: jkt}
		refused, err = h.redeem(ctx, env, a, q, &g, p["code"], func(asked codeRequest) error { return checkCode(asked, jkt, p) })
		return err
	})
	if err == nil {
		err = refused
	}
	return g, err
}

// redeem uses a code up and fills the grant from it. A refusal commits.
func (h *Handler) redeem(ctx context.Context, env tenants.Environment, a actor.Actor, q db.Queryer, g *grant, code string, check func(codeRequest) error) (refused, err error) {
	redeemed, err := h.sessions.ConsumeCode(ctx, a, q, env.ID, g.app.ID, code)
	if err != nil {
		return nil, err
	}
	if redeemed.Refused != nil {
		return redeemed.Refused, nil
	}
	var asked codeRequest
	if err := json.Unmarshal(redeemed.Code.Request, &asked); err != nil {
		return nil, err
	}
	if refused := check(asked); refused != nil {
		return refused, nil
	}
	g.session, g.proof, g.scope, g.nonce = redeemed.Session, redeemed.Proof, asked.Scope, asked.Nonce
	if asked.ACR != "" {
		g.proof.ACR = asked.ACR
	}
	if err := h.resolve(ctx, env, q, g); err != nil {
		if fault.KindOf(err) == fault.Forbidden {
			return err, nil
		}
		return nil, err
	}
	if !hasScope(g.scope, oidc.ScopeOffline) {
		return nil, nil
	}
	set := g.app.Over(env.Settings.TokenSettings)
	g.refresh, err = h.sessions.StartFamily(ctx, q, sessions.Family{
		Idle: time.Duration(set.RefreshIdleSeconds) * time.Second, Absolute: time.Duration(set.RefreshAbsoluteSeconds) * time.Second,
		ID: redeemed.Code.Family, Environment: env.ID, Tenant: g.proof.Tenant, Session: g.session.ID, UserID: g.session.UserID,
		ClientID: g.app.ID, Scope: g.scope, Nonce: g.nonce, JKT: boundKey(g.app, g.jkt),
	})
	if errors.Is(err, sessions.ErrInvalidGrant) { // the session has ended meanwhile
		return err, nil
	}
	return nil, err
}

// checkCode compares the request with the one that the code was issued for.
func checkCode(asked codeRequest, jkt string, p params) error {
	switch {
	case asked.JKT != "" && asked.JKT != jkt: // RFC 9449 §10
		return refuse(oidc.InvalidDPoPProof, "The code is bound to another key than the request proves.")
	case p["redirect_uri"] != asked.RedirectURI: // RFC 6749 §4.1.3
		return refuse(oidc.InvalidGrant, "redirect_uri is not that of the authorization request.")
	case asked.Challenge == "" && p["code_verifier"] != "":
		// Somebody took the challenge out of the request (RFC 9700 §4.8.2).
		return refuse(oidc.InvalidGrant, "code_verifier came, but the authorization request had no code_challenge.")
	case asked.Challenge != "" && !oidc.VerifyChallenge(asked.Challenge, p["code_verifier"]):
		return refuse(oidc.InvalidGrant, "code_verifier is missing or does not belong to the code.")
	}
	return nil
}

// refreshGrant rotates a refresh token (RFC 6749 §6). Reuse commits the
// revocation; any other refusal leaves the token as it was.
func (h *Handler) refreshGrant(ctx context.Context, env tenants.Environment, a actor.Actor, app tenants.Application, jkt string, p params) (grant, error) {
	if p["refresh_token"] == "" {
		return grant{}, refuse(oidc.InvalidRequest, "refresh_token is missing.")
	}
	var g grant
	var refused error
	err := h.db.Tx(ctx, func(q db.Queryer) error {
		g, refused = grant{app: app, jkt: jkt}, nil
		r, err := h.sessions.Rotate(ctx, a, q, env.ID, app.ID, p["refresh_token"], time.Duration(app.Over(env.Settings.TokenSettings).RefreshIdleSeconds)*time.Second)
		if err != nil {
			return err
		}
		if r.Refused != nil {
			refused = r.Refused
			return nil
		}
		g.session, g.proof, g.scope, g.refresh = r.Session, r.Proof, r.Family.Scope, r.Successor
		if r.Family.JKT != "" && r.Family.JKT != jkt {
			return refuse(oidc.InvalidDPoPProof, "The refresh token is bound to another key than the request proves.")
		}
		if scope := p["scope"]; scope != "" {
			if g.scope, err = narrowed(g.scope, scope); err != nil {
				return err
			}
		}
		// The identity provider's end of the session holds for tokens too.
		if end := g.proof.NotAfter; !end.IsZero() && !h.clock.Now().Before(end) {
			return sessions.ErrInvalidGrant
		}
		if p["organization"] != "" {
			if err := h.goTo(ctx, env, a, q, &g, r.Family, p["organization"]); err != nil {
				return err
			}
		}
		return h.resolve(ctx, env, q, &g)
	})
	if err == nil {
		err = refused
	}
	return g, err
}

// goTo has the grant be of another tenant of the person's: a refresh token of one
// opens a family for the other where nothing has to be asked of him (product 2.2,
// identity rule 6). A refusal uses nothing up.
func (h *Handler) goTo(ctx context.Context, env tenants.Environment, a actor.Actor, q db.Queryer, g *grant, from sessions.Family, organization string) error {
	if len(organization) > maxHint {
		return refuse(oidc.InvalidRequest, "A parameter is too long.")
	}
	tenant, err := h.signin.TenantOf(ctx, q, env, organization)
	if fault.KindOf(err) == fault.NotFound {
		return refuse(oidc.InvalidRequest, "organization names none that exists here.")
	}
	if err != nil || tenant == g.proof.Tenant {
		return err
	}
	g.session, g.proof, err = h.signin.Switch(ctx, a, q, env, g.session.ID, tenant)
	if errors.Is(err, signin.ErrInteraction) {
		return refuse(oidc.InteractionRequired, signin.ErrInteraction.Message)
	}
	if err != nil {
		return err
	}
	set := g.app.Over(env.Settings.TokenSettings)
	g.refresh, err = h.sessions.SwitchFamily(ctx, q, from, sessions.Family{
		Idle: time.Duration(set.RefreshIdleSeconds) * time.Second, Absolute: time.Duration(set.RefreshAbsoluteSeconds) * time.Second,
		Environment: env.ID, Tenant: tenant, Session: g.session.ID, UserID: g.session.UserID, ClientID: g.app.ID, Scope: from.Scope, Nonce: from.Nonce, JKT: from.JKT,
	})
	return err
}

// narrowed gives the part of the scope that the client still wants; more than
// was granted is refused (RFC 6749 §6).
func narrowed(granted, wanted string) (string, error) {
	var kept []string
	for _, s := range strings.Fields(wanted) {
		if !hasScope(granted, s) {
			return "", refuse(oidc.InvalidScope, "scope asks for more than was granted.")
		}
		if !slices.Contains(kept, s) {
			kept = append(kept, s)
		}
	}
	return strings.Join(kept, " "), nil
}

// resolve runs the lifecycle check, asks whether the application is open to the
// person, and computes the roles.
func (h *Handler) resolve(ctx context.Context, env tenants.Environment, q db.Queryer, g *grant) (err error) {
	// The roles of the membership that the session knows come along. The person may
	// have another by now.
	var with []db.Stmt
	if g.proof.Membership != "" {
		with = append(with, rbac.EffectiveStmt(g.proof.Tenant, g.proof.Membership, &g.roles))
	}
	if g.person, err = h.signin.CheckWith(ctx, q, env.ID, g.proof.Tenant, g.session.UserID, g.proof.Connection, with...); err != nil {
		return err
	}
	if err = h.tenants.CheckApplication(ctx, q, g.app, g.proof.Tenant, g.session.UserID); err != nil {
		return err
	}
	if g.person.Membership != g.proof.Membership {
		g.roles, err = h.rbac.Effective(ctx, q, g.proof.Tenant, g.person.Membership)
	}
	return err
}

// largeToken is from how many bytes on a token is worth a warning (product 10).
const largeToken = 6 << 10

// sign makes the tokens of a grant that has committed.
func (h *Handler) sign(ctx context.Context, env tenants.Environment, g grant) (tokenBody, error) {
	now, life := h.clock.Now(), g.app.Over(env.Settings.TokenSettings).AccessTokenLifetime()
	access, lives, err := h.signAccess(ctx, env, g, now, life)
	if err != nil {
		return tokenBody{}, err
	}
	body := tokenBody{AccessToken: access, TokenType: tokenType(g.jkt), ExpiresIn: int64(lives.Seconds()), RefreshToken: g.refresh, Scope: g.scope}
	if hasScope(g.scope, oidc.ScopeOpenID) {
		id := g.idClaims(env, now, life)
		id.AccessTokenHash = keys.LeftHash(g.app.IDTokenAlg, access)
		body.IDToken, err = h.ring.Sign(ctx, env.ID, g.app.IDTokenAlg, oidc.TypeIDToken, id)
	}
	return body, err
}

// signAccess makes the access token of a grant that has committed, as the first of
// the environment's templates that fits says, and tells how long it lives. That of an
// impersonation lives as long as that was begun for, whatever a template says.
func (h *Handler) signAccess(ctx context.Context, env tenants.Environment, g grant, now time.Time, life time.Duration) (string, time.Duration, error) {
	list, err := h.templates.Of(ctx, env.ID)
	if err != nil {
		return "", 0, err
	}
	template, added, err := oidc.Choose(list, g.subject())
	if err != nil {
		return "", 0, err
	}
	alg := g.app.AccessTokenAlg
	if template != nil {
		alg = cmp.Or(template.Algorithm, alg)
		if template.AccessTokenSeconds > 0 && g.actor == nil {
			life = time.Duration(template.AccessTokenSeconds) * time.Second
		}
	}
	set, claims := g.app.Over(env.Settings.TokenSettings), g.accessClaims(env, now, life)
	if set.OmitRoles {
		claims.Roles = nil
	}
	if set.OmitPermissions {
		claims.Permissions = nil
	}
	var body any = claims
	if len(added) > 0 {
		body = withAdded{claims, added}
	}
	access, err := h.ring.Sign(ctx, env.ID, alg, oidc.TypeAccessToken, body)
	if len(access) > largeToken {
		// Proxies and frameworks refuse headers of some 8 KiB.
		h.log.LogAttrs(ctx, slog.LevelWarn, "oidc: an access token is large", slog.Int("bytes", len(access)), slog.String("tenant", g.proof.Tenant),
			slog.String("user", g.session.UserID), slog.Int("permissions", len(claims.Permissions)), slog.Int("template_bytes", len(added)))
	}
	return access, life, err
}

// boundKey is the key that a refresh token is bound to: a public client's, which
// has nothing else to prove itself by (RFC 9449 §5).
func boundKey(app tenants.Application, jkt string) string {
	if app.AuthMethod != tenants.AuthNone {
		return ""
	}
	return jkt
}

func tokenType(jkt string) string {
	if jkt != "" {
		return "DPoP"
	}
	return "Bearer"
}

func hasScope(scope, s string) bool { return slices.Contains(strings.Fields(scope), s) }
