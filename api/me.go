package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/signin/factor"
)

// ownAccount is a person's own profile, and how he is signed in.
type ownAccount struct {
	ID            string    `json:"id"`
	Email         string    `json:"email" doc:"The person's own; organizations may know him by others"`
	EmailVerified bool      `json:"email_verified"`
	Name          string    `json:"name"`
	Locale        string    `json:"locale" doc:"A language tag; empty: not chosen"`
	TimeZone      string    `json:"time_zone" doc:"Of the tz database; empty: not chosen"`
	HasPassword   bool      `json:"has_password"`
	TenantID      string    `json:"tenant_id" doc:"For which the token was made"`
	SessionID     string    `json:"session_id"`
	Method        string    `json:"method" doc:"How the person signed in: password, passkey, saml, oidc, social"`
	SignedInAt    time.Time `json:"signed_in_at" doc:"What changes credentials wants this within the last ten minutes"`
	ACR           string    `json:"acr"`
	RecoveryCodes int       `json:"recovery_codes_left"`

	version int64
}

func (b ownAccount) etag() string { return versionTag(b.version) }

type patchOwn struct {
	Body struct {
		Name     *string `json:"name,omitempty" maxLength:"200"`
		Locale   *string `json:"locale,omitempty" maxLength:"35" doc:"A language tag such as de-AT; empty: not chosen"`
		TimeZone *string `json:"time_zone,omitempty" maxLength:"64" doc:"Such as Europe/Vienna; empty: not chosen"`
	}
}

// ownSession is one of the person's sessions.
type ownSession struct {
	ID         string    `json:"id"`
	Current    bool      `json:"current" doc:"That of the token"`
	IP         string    `json:"ip" doc:"From which it began"`
	UserAgent  string    `json:"user_agent"`
	SignedInAt time.Time `json:"signed_in_at"`
	LastSeenAt time.Time `json:"last_seen_at" doc:"Coarse: to within a minute"`
	ExpiresAt  time.Time `json:"expires_at" doc:"At the latest"`
}

// ownFactor is one of the person's second factors.
type ownFactor struct {
	ID               string     `json:"id"`
	Kind             string     `json:"kind" enum:"totp,webauthn"`
	Name             string     `json:"name"`
	CreatedAt        time.Time  `json:"created_at"`
	LastUsedAt       *time.Time `json:"last_used_at"`
	OrganizationOnly bool       `json:"organization_only" doc:"It serves behind one organization's identity provider alone"`
}

func showOwnFactor(f factor.Factor) ownFactor {
	return ownFactor{ID: f.ID, Kind: f.Kind, Name: f.Name, CreatedAt: f.CreatedAt, LastUsedAt: optional(f.LastUsedAt), OrganizationOnly: f.Tenant != ""}
}

// newApp is the secret of an authenticator app, which serves once a code of it came.
type newApp struct {
	Secret string `json:"secret" doc:"base32, in groups of four"`
	URL    string `json:"url" doc:"otpauth://, as QR codes carry it"`
}

type addApp struct {
	Body struct {
		Code string `json:"code" minLength:"6" maxLength:"12" doc:"That the app shows now"`
		Name string `json:"name,omitempty" maxLength:"100"`
	}
}

type addedFactor struct {
	Factor        ownFactor `json:"factor"`
	RecoveryCodes []string  `json:"recovery_codes" doc:"Shown this once; empty for who has some"`
}

type ownCodes struct {
	RecoveryCodes []string `json:"recovery_codes" doc:"Shown this once; those from before serve no more"`
}

type changePassword struct {
	Body struct {
		Current  string `json:"current_password,omitempty" maxLength:"1024" doc:"Or a sign-in of the last ten minutes"`
		Password string `json:"password" minLength:"1" maxLength:"1024"`
	}
}

// OwnSessionPath names one of the person's sessions.
type OwnSessionPath struct {
	Session string `path:"ses" maxLength:"63" doc:"Id of the session"`
}

// OwnFactorPath names one of the person's second factors.
type OwnFactorPath struct {
	Factor string `path:"fac" maxLength:"63" doc:"Id of the factor"`
}

type renameFactor struct {
	OwnFactorPath
	Body struct {
		Name string `json:"name" minLength:"1" maxLength:"100"`
	}
}

// registerOwn serves a person's own account, to his access token alone. Whatever
// changes what he proves himself with wants a fresh sign-in (RFC 9470 §3).
func (h *Handler) registerOwn() {
	read(h, route{method: http.MethodGet, path: "/me", id: "getOwnAccount", summary: "Show one's own account"},
		func(ctx context.Context, s scope, q db.Queryer, _ *struct{}) (out ownAccount, err error) {
			o, err := h.Signin.Own(ctx, q, s.actor, s.environment)
			if err != nil {
				return out, err
			}
			return h.showOwn(ctx, q, o)
		})
	write(h, route{method: http.MethodPatch, path: "/me", id: "updateOwnAccount", summary: "Change one's own name, language and time zone"},
		func(ctx context.Context, s scope, q db.Queryer, in *patchOwn) (out ownAccount, err error) {
			o, err := h.Signin.Own(ctx, q, s.actor, s.environment)
			if err != nil {
				return out, err
			}
			if o.Behind() != "" {
				return out, signin.ErrOwnSignIn
			}
			before, err := h.Directory.User(ctx, q, s.environment.ID, s.actor.Subject)
			if err != nil {
				return out, err
			}
			if err := s.match(before.Version); err != nil {
				return out, err
			}
			if _, err := h.Directory.UpdateOwn(ctx, s.actor, q, s.environment.ID, s.actor.Subject, directory.OwnPatch(in.Body)); err != nil {
				return out, err
			}
			return h.showOwn(ctx, q, o)
		})
	read(h, route{method: http.MethodPut, path: "/me/password", id: "changeOwnPassword", summary: "Change one's own password, by the current one or after a fresh sign-in; ends one's other sessions"},
		func(ctx context.Context, s scope, q db.Queryer, in *changePassword) (out ownAccount, err error) {
			o, err := h.Signin.Own(ctx, q, s.actor, s.environment)
			if err != nil {
				return out, err
			}
			if err := h.Signin.ChangePassword(ctx, o, in.Body.Current, in.Body.Password); err != nil {
				return out, err
			}
			return h.showOwn(ctx, q, o)
		})
	h.registerOwnSessions()
	h.registerOwnFactors()
}

func (h *Handler) showOwn(ctx context.Context, q db.Queryer, o signin.Own) (out ownAccount, err error) {
	u, err := h.Directory.User(ctx, q, o.Environment.ID, o.Actor.Subject)
	if err != nil {
		return out, err
	}
	left, err := h.Signin.RecoveryCodesLeft(ctx, q, o)
	return ownAccount{
		ID: u.ID, Email: u.Email, EmailVerified: u.EmailVerified, Name: u.Name, Locale: u.Locale, TimeZone: u.TimeZone, HasPassword: u.PasswordHash != "",
		TenantID: o.Actor.Tenant, SessionID: o.Actor.Session, Method: o.Proof.Method, SignedInAt: o.Proof.AuthTime, ACR: o.Proof.ACR, RecoveryCodes: left, version: u.Version,
	}, err
}

func (h *Handler) registerOwnSessions() {
	const base = "/me/sessions"
	read(h, route{method: http.MethodGet, path: base, id: "listOwnSessions", summary: "List one's own sessions, the newest first; of who came through an organization's identity provider those in that organization"},
		func(ctx context.Context, s scope, q db.Queryer, _ *struct{}) (out list[ownSession], err error) {
			o, err := h.Signin.Own(ctx, q, s.actor, s.environment)
			if err != nil {
				return out, err
			}
			if o.Behind() != "" {
				found, err := h.Sessions.List(ctx, q, s.environment.ID, o.Behind(), s.actor.Subject)
				return whole(found, func(l sessions.Listed) ownSession {
					return ownSession{l.ID, l.ID == s.actor.Session, l.IP, l.UserAgent, l.SignedInAt, l.LastSeenAt, l.ExpiresAt}
				}), err
			}
			found, err := h.Sessions.ListOwn(ctx, q, s.environment.ID, s.actor.Subject)
			return whole(found, func(l sessions.Own) ownSession {
				return ownSession{l.ID, l.ID == s.actor.Session, l.IP, l.UserAgent, l.CreatedAt, l.LastSeenAt, l.ExpiresAt}
			}), err
		})
	remove(h, route{method: http.MethodDelete, path: base, id: "endOwnOtherSessions", summary: "End one's own sessions but the current one"},
		func(ctx context.Context, s scope, q db.Queryer, _ *struct{}) error {
			o, err := h.Signin.Own(ctx, q, s.actor, s.environment)
			if err != nil {
				return err
			}
			_, err = h.Sessions.EndOthers(ctx, s.actor, q, s.environment.ID, o.Behind(), s.actor.Subject, s.actor.Session, "logged_out_elsewhere")
			return err
		})
	remove(h, route{method: http.MethodDelete, path: base + "/{ses}", id: "endOwnSession", summary: "End one of one's own sessions"},
		func(ctx context.Context, s scope, q db.Queryer, in *OwnSessionPath) error {
			o, err := h.Signin.Own(ctx, q, s.actor, s.environment)
			if err != nil {
				return err
			}
			n, err := h.Sessions.End(ctx, s.actor, q, sessions.Selector{
				Environment: s.environment.ID, Tenant: o.Behind(), User: s.actor.Subject, Session: in.Session,
			}, "logged_out_elsewhere")
			if err == nil && n == 0 {
				err = errNoUserSession
			}
			return err
		})
}

func (h *Handler) registerOwnFactors() {
	const base = "/me/factors"
	read(h, route{method: http.MethodGet, path: base, id: "listOwnFactors", summary: "List one's own second factors, the oldest first"},
		func(ctx context.Context, s scope, q db.Queryer, _ *struct{}) (out list[ownFactor], err error) {
			o, err := h.Signin.Own(ctx, q, s.actor, s.environment)
			if err != nil {
				return out, err
			}
			found, err := h.Signin.OwnFactors(ctx, q, o)
			return whole(found, showOwnFactor), err
		})
	write(h, route{method: http.MethodPatch, path: base + "/{fac}", id: "renameOwnFactor", summary: "Name one of one's own second factors"},
		func(ctx context.Context, s scope, q db.Queryer, in *renameFactor) (out ownFactor, err error) {
			o, err := h.Signin.Own(ctx, q, s.actor, s.environment)
			if err != nil {
				return out, err
			}
			f, err := h.Signin.RenameFactor(ctx, q, o, in.Factor, in.Body.Name)
			return showOwnFactor(f), err
		})
	remove(h, route{method: http.MethodDelete, path: base + "/{fac}", id: "deleteOwnFactor", summary: "Remove one of one's own second factors, after a fresh sign-in"},
		func(ctx context.Context, s scope, q db.Queryer, in *OwnFactorPath) error {
			o, err := h.Signin.Own(ctx, q, s.actor, s.environment)
			if err != nil {
				return err
			}
			return h.Signin.RemoveFactor(ctx, q, o, in.Factor)
		})
	write(h, route{method: http.MethodPost, path: base + ":begin", id: "beginOwnApp", summary: "Make the secret of a new authenticator app, after a fresh sign-in; security keys and passkeys are set up on the sign-in pages", unkept: true},
		func(ctx context.Context, s scope, q db.Queryer, _ *struct{}) (out newApp, err error) {
			o, err := h.Signin.Own(ctx, q, s.actor, s.environment)
			if err != nil {
				return out, err
			}
			app, err := h.Signin.BeginApp(ctx, q, o)
			return newApp{app.Secret, app.URL}, err
		})
	read(h, route{method: http.MethodPost, path: base, id: "addOwnApp", summary: "Take the authenticator app over by a code that it shows", status: http.StatusCreated},
		func(ctx context.Context, s scope, q db.Queryer, in *addApp) (out addedFactor, err error) {
			o, err := h.Signin.Own(ctx, q, s.actor, s.environment)
			if err != nil {
				return out, err
			}
			try, err := h.Signin.CountOwn(ctx, o)
			if err != nil {
				return out, err
			}
			return commit(ctx, h, s, func(q db.Queryer) (addedFactor, error) {
				made, codes, err := h.Signin.AddApp(ctx, q, o, try, in.Body.Name, in.Body.Code)
				return addedFactor{showOwnFactor(made), texts(codes)}, err
			})
		})
	write(h, route{method: http.MethodPost, path: "/me/recovery-codes", id: "createOwnRecoveryCodes", summary: "Replace one's own recovery codes, after a fresh sign-in", status: http.StatusCreated},
		func(ctx context.Context, s scope, q db.Queryer, _ *struct{}) (out ownCodes, err error) {
			o, err := h.Signin.Own(ctx, q, s.actor, s.environment)
			if err != nil {
				return out, err
			}
			codes, err := h.Signin.NewRecoveryCodes(ctx, q, o)
			return ownCodes{texts(codes)}, err
		})
}
