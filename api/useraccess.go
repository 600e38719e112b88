package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/tenants"
)

var (
	errGuests        = fault.New(fault.Forbidden, "guests_disabled", "Access periods are switched off here.")
	errUserMetadata  = fault.New(fault.Invalid, "invalid_metadata", "Give an object of at most 50 keys and 8 KiB.").In("metadata")
	errNoUserSession = fault.New(fault.NotFound, "session_not_found", "There is no such session.")
)

// metadataText is an object as the directory keeps it.
func metadataText(object map[string]any) (string, error) {
	if len(object) == 0 {
		return "", nil
	}
	text, err := json.Marshal(object)
	if err != nil {
		return "", errUserMetadata.Because(err)
	}
	return string(text), nil
}

// yesNo reads a filter that may be left out.
func yesNo(text string) *bool {
	if text == "" {
		return nil
	}
	on := text == "true"
	return &on
}

type putUserAccess struct {
	UserPath
	Body struct {
		Expiration *int64 `json:"expiration_in_seconds" minimum:"300" maximum:"315360000" doc:"From now; null makes the user permanent"`
	}
}

// registerUserAccess adds what is done about a person's way in: access periods
// (product 27 to 32), approval, the activation mail.
func (h *Handler) registerUserAccess() {
	const one = "/tenants/{t}/users/{u}"
	write(h, route{method: http.MethodPut, path: one + "/access", id: "putUserAccess", summary: "Make a person a guest, renew his access period, or make him permanent", permission: "fe.secure.write.updateUser"},
		func(ctx context.Context, s scope, q db.Queryer, in *putUserAccess) (userDetail, error) {
			var at time.Time
			if in.Body.Expiration != nil {
				if !s.environment.Settings.FeatureOn(tenants.FeatureGuests) {
					return userDetail{}, errGuests
				}
				at = h.Clock.Now().Add(time.Duration(*in.Body.Expiration) * time.Second)
			}
			return h.onUser(ctx, s, q, in.User, func() (directory.Person, error) {
				return h.Directory.UpdateUser(ctx, s.actor, q, s.tenant.ID, in.User, directory.UserPatch{ExpiresAt: &at})
			})
		})
	write(h, route{method: http.MethodPost, path: one + ":approve", id: "approveUser", summary: "Let a person in who waits for approval", permission: "fe.secure.write.users"},
		func(ctx context.Context, s scope, q db.Queryer, in *UserPath) (userDetail, error) {
			return h.onUser(ctx, s, q, in.User, func() (directory.Person, error) {
				return h.Directory.Approve(ctx, s.actor, q, s.tenant.ID, in.User)
			})
		})
	write(h, route{method: http.MethodPost, path: one + ":resend-activation", id: "resendActivation", summary: "Send the mail again with which an invited person activates his account", permission: "fe.secure.write.resendActivationEmail"},
		func(ctx context.Context, s scope, q db.Queryer, in *UserPath) (out userDetail, err error) {
			p, err := h.target(ctx, s, q, in.User)
			if err != nil {
				return out, err
			}
			if err := h.Onboarding.ResendActivation(ctx, s.actor, q, s.environment, s.tenant, p.Membership); err != nil {
				return out, err
			}
			return h.userDetail(ctx, q, p)
		})
}

// UserSessionBody is a session of a person as his tenant sees it.
type UserSessionBody struct {
	ID           string    `json:"id"`
	Method       string    `json:"method" doc:"How the person signed in to this tenant; impersonation: somebody of the vendor's acts as him"`
	ConnectionID *string   `json:"connection_id"`
	IP           string    `json:"ip"`
	UserAgent    string    `json:"user_agent"`
	SignedInAt   time.Time `json:"signed_in_at"`
	LastSeenAt   time.Time `json:"last_seen_at"`
	ExpiresAt    time.Time `json:"expires_at"`
}

func showUserSession(l sessions.Listed) UserSessionBody {
	return UserSessionBody{
		ID: l.ID, Method: l.Method, ConnectionID: optionalText(l.Connection), IP: l.IP, UserAgent: l.UserAgent,
		SignedInAt: l.SignedInAt, LastSeenAt: l.LastSeenAt, ExpiresAt: l.ExpiresAt,
	}
}

// UserSessionPath names a session of a person.
type UserSessionPath struct {
	UserPath
	Session string `path:"ses" maxLength:"63" doc:"Id of the session"`
}

func (h *Handler) registerUserSessions() {
	const base = "/tenants/{t}/users/{u}/sessions"
	read(h, route{method: http.MethodGet, path: base, id: "listUserSessions", summary: "List a person's sessions in this tenant, the newest first", permission: "fe.secure.read.users"},
		func(ctx context.Context, s scope, q db.Queryer, in *UserPath) (out list[UserSessionBody], err error) {
			if _, err := h.Directory.PersonOf(ctx, q, s.tenant.ID, in.User); err != nil {
				return out, err
			}
			found, err := h.Sessions.List(ctx, q, s.environment.ID, s.tenant.ID, in.User)
			return whole(found, showUserSession), err
		})
	remove(h, route{method: http.MethodDelete, path: base, id: "deleteUserSessions", summary: "End a person's sessions in this tenant", permission: "fe.secure.delete.sessions"},
		func(ctx context.Context, s scope, q db.Queryer, in *UserPath) error {
			return h.endSessions(ctx, s, q, in.User, "")
		})
	remove(h, route{method: http.MethodDelete, path: base + "/{ses}", id: "deleteUserSession", summary: "End one of a person's sessions in this tenant", permission: "fe.secure.delete.sessions"},
		func(ctx context.Context, s scope, q db.Queryer, in *UserSessionPath) error {
			return h.endSessions(ctx, s, q, in.User, in.Session)
		})
}

// endSessions ends the tenant's part of all of a person's sessions, or of one.
func (h *Handler) endSessions(ctx context.Context, s scope, q db.Queryer, user, session string) error {
	p, err := h.target(ctx, s, q, user)
	if err != nil {
		return err
	}
	n, err := h.Sessions.End(ctx, s.actor, q, sessions.Selector{
		Environment: s.environment.ID, Tenant: s.tenant.ID, User: p.Membership.UserID, Session: session,
	}, "logged_out_by_admin")
	if err == nil && n == 0 && session != "" {
		err = errNoUserSession
	}
	return err
}
