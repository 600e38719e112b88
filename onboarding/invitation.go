package onboarding

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Limits of invitations.
const (
	MaxBatch        = 5 // product 33
	DefaultLifetime = 7 * 24 * time.Hour
	MinLifetime     = 5 * time.Minute
	MaxLifetime     = 30 * 24 * time.Hour
	ResendAfter     = time.Minute
	maxAccess       = 10 * 365 * 24 * time.Hour
)

var (
	errBulk        = fault.New(fault.Invalid, "bulk_limit", "Invite at most 5 people at a time.").In("emails")
	errNobody      = fault.New(fault.Invalid, "required", "Name the people to invite.").In("emails")
	errDuplicate   = fault.New(fault.Invalid, "duplicate", "The address is in the list twice.")
	errLifetime    = fault.New(fault.Invalid, "out_of_range", "An invitation lasts 300 to 2592000 seconds.").In("expires_in_seconds")
	errAccess      = fault.New(fault.Invalid, "invalid_expiry", "An access period is 300 seconds to ten years.").In("access_period_seconds")
	errInvited     = fault.New(fault.Conflict, "already_invited", "This address has been invited already. Send that invitation again, or withdraw it.").In("email")
	errAbsent      = fault.New(fault.NotFound, "invitation_not_found", "There is no such invitation.")
	errDisabled    = fault.New(fault.Conflict, "user_disabled", "This user is disabled. Enable the user first.")
	errNotInvited  = fault.New(fault.Conflict, "not_invited", "This user does not wait for an invitation to be accepted.")
	errResendLater = fault.New(fault.Limited, "resend_too_soon", "The mail was sent less than a minute ago.")
)

// Invitation is one that waits to be accepted.
type Invitation struct {
	ID, Environment, Tenant string
	Membership, UserID      string // made for it
	Email                   string
	FirstName, LastName     string
	DisplayName             string
	RoleIDs                 []string
	InvitedBy               string    // the name of who did; empty: the vendor
	AccessUntil             time.Time // of a guest; zero: permanent
	SentAt                  time.Time
	Sends                   int64
	ExpiresAt               time.Time
	CreatedAt               time.Time

	by           creator
	hash         string
	defaultRoles bool
	lifetime     int64
	status       directory.Status
	disabled     bool
}

// Invitee is somebody to invite.
type Invitee struct {
	Email, FirstName, LastName, DisplayName string
	Metadata                                string
}

// NewInvitations is what Invite takes.
type NewInvitations struct {
	People   []Invitee     // 1 to 5
	RoleIDs  *[]string     // nil: the default roles
	Lifetime time.Duration // 0: 7 days
	Access   time.Duration // of guests, from now; 0: permanent. It holds for all (product 33)
}

// Row is what became of one of them.
type Row struct {
	Email      string
	Invitation Invitation   // when Refused is nil
	Refused    *fault.Error // why not; its Field is inside the row
}

// Invite invites up to 5 people by mail. Each row is reported for itself, but
// nobody is invited when one has an address twice, of a domain that may not be
// added, or that is none (product 52, 130), or when the roles are too strong. A
// refusal of the only row is the error.
//
// Faults: bulk_limit, duplicate, domain_not_allowed, invalid_email, user_exists,
// already_invited, role_level_too_strong, unknown_role, invitations_disabled,
// guests_disabled.
func (s *Service) Invite(ctx context.Context, a actor.Actor, q db.Queryer, env tenants.Environment, t tenants.Tenant, in NewInvitations) ([]Row, error) {
	if err := in.check(env); err != nil {
		return nil, err
	}
	permitted, err := s.domains(ctx, q, env.ID, t.ID)
	if err != nil {
		return nil, err
	}
	for i, p := range in.People {
		if !permitted(p.Email) {
			return nil, errDomain.In(field(i))
		}
	}
	roles, err := s.grant(ctx, a, q, env.ID, t.ID, in.RoleIDs)
	if err != nil {
		return nil, err
	}
	now := s.clock.Now()
	rows := make([]Row, 0, len(in.People))
	var refused *fault.Error
	made := 0
	for i, p := range in.People {
		inv := Invitation{
			ID: id.New(id.Invitation), Environment: env.ID, Tenant: t.ID, Email: p.Email, FirstName: p.FirstName, LastName: p.LastName, DisplayName: p.DisplayName,
			SentAt: now, Sends: 1, CreatedAt: now, by: creatorOf(a), defaultRoles: in.RoleIDs == nil, lifetime: seconds(in.Lifetime), status: directory.StatusInvited,
		}
		inv.InvitedBy = inv.by.name
		if in.Access > 0 {
			inv.AccessUntil = now.Add(in.Access)
		}
		for _, r := range roles {
			inv.RoleIDs = append(inv.RoleIDs, r.ID)
		}
		err := s.invite(ctx, a, q, env, t, &inv, p.Metadata)
		var f *fault.Error
		switch {
		case err == nil:
			made++
			rows = append(rows, Row{Email: p.Email, Invitation: inv})
		case errors.As(err, &f) && f.Kind == fault.Conflict && !errors.Is(err, db.ErrConflict):
			if refused == nil {
				refused = f
			}
			rows = append(rows, Row{Email: p.Email, Refused: f})
		case errors.As(err, &f) && f.Field == "email":
			return nil, f.In(field(i))
		case errors.As(err, &f) && f.Field != "":
			return nil, f.In(field(i) + "." + f.Field)
		default:
			return nil, err
		}
	}
	if made == 0 && len(rows) == 1 {
		return nil, refused
	}
	return rows, nil
}

func field(i int) string { return "emails[" + strconv.Itoa(i) + "]" }

func (in *NewInvitations) check(env tenants.Environment) error {
	switch {
	case !env.Settings.FeatureOn(tenants.FeatureInvitations):
		return errOff
	case len(in.People) == 0:
		return errNobody
	case len(in.People) > MaxBatch:
		return errBulk
	case in.Access != 0 && !env.Settings.FeatureOn(tenants.FeatureGuests):
		return errGuestsOff
	case in.Access != 0 && (in.Access < directory.MinAccess || in.Access > maxAccess):
		return errAccess
	case in.Lifetime == 0:
		in.Lifetime = DefaultLifetime
	case in.Lifetime < MinLifetime || in.Lifetime > MaxLifetime:
		return errLifetime
	}
	seen := map[string]bool{}
	for i, p := range in.People {
		key := directory.EmailKey(p.Email)
		if seen[key] {
			return errDuplicate.In(field(i))
		}
		seen[key] = true
	}
	return nil
}

func (s *Service) invite(ctx context.Context, a actor.Actor, q db.Queryer, env tenants.Environment, t tenants.Tenant, inv *Invitation, metadata string) error {
	var waits int64
	if err := q.QueryRow(ctx, sqlWaits, t.ID, directory.EmailKey(inv.Email)).Scan(&waits); err != nil {
		return err
	}
	if waits > 0 {
		return errInvited
	}
	p, err := s.directory.CreateUser(ctx, a, q, directory.NewUser{
		Environment: env.ID, Tenant: t.ID, Email: inv.Email, FirstName: inv.FirstName, LastName: inv.LastName, DisplayName: inv.DisplayName,
		Status: directory.StatusInvited, ExpiresAt: inv.AccessUntil, Metadata: metadata, Invitation: inv.ID,
	})
	if err != nil {
		return err
	}
	inv.Membership, inv.UserID = p.Membership.ID, p.Membership.UserID
	token := secret.New(secret.Invitation, inv.ID)
	inv.hash, inv.ExpiresAt = secret.Hash(token), inv.SentAt.Add(time.Duration(inv.lifetime)*time.Second)
	mail, err := s.letterStmt(ctx, q, env, t, *inv, token)
	if err != nil {
		return err
	}
	stmts := []db.Stmt{
		insertInvitation(*inv),
		{SQL: sqlInsertInvitationRoles, Args: []any{t.ID, inv.ID, env.ID, db.Set(inv.RoleIDs)}},
		tenants.LocatorStmt(tenants.LocatorInvitation, env.ID, t.ID, inv.ID),
		mail,
	}
	return q.Batch(ctx, stmts)
}

// Invitations lists those that wait, the oldest first, expired ones included.
// next is empty at the end.
func (s *Service) Invitations(ctx context.Context, q db.Queryer, tenant, cursor string, limit int) (list []Invitation, next string, err error) {
	list, next, err = pageOf(ctx, q, sqlInvitations, tenant, cursor, limit, scanInvitation, func(inv Invitation) string { return position(inv.CreatedAt, inv.ID) })
	if err != nil {
		return nil, "", err
	}
	return list, next, s.withRoles(ctx, q, tenant, list)
}

// Invitation reads one. Fault: invitation_not_found.
func (s *Service) Invitation(ctx context.Context, q db.Queryer, tenant, invitation string) (Invitation, error) {
	inv, err := scanInvitation(q.QueryRow(ctx, sqlInvitation, tenant, invitation))
	if err != nil {
		return inv, absent(err)
	}
	list := []Invitation{inv}
	err = s.withRoles(ctx, q, tenant, list)
	return list[0], err
}

// Resend mails an invitation again, with a new token: the old mail's is no good
// any more. The time to accept begins anew.
//
// Faults: invitation_not_found, resend_too_soon (limited, with RetryAfter),
// user_disabled (product 35), role_level_too_strong.
func (s *Service) Resend(ctx context.Context, a actor.Actor, q db.Queryer, env tenants.Environment, t tenants.Tenant, invitation string) (Invitation, error) {
	return s.resend(ctx, a, q, env, t, invitation, "invitation.resent")
}

func (s *Service) resend(ctx context.Context, a actor.Actor, q db.Queryer, env tenants.Environment, t tenants.Tenant, invitation, action string) (Invitation, error) {
	if !env.Settings.FeatureOn(tenants.FeatureInvitations) {
		return Invitation{}, errOff
	}
	inv, err := s.held(ctx, a, q, t.ID, invitation)
	if err != nil {
		return inv, err
	}
	now := s.clock.Now()
	switch wait := inv.SentAt.Add(ResendAfter).Sub(now); {
	case inv.disabled:
		return inv, errDisabled
	case inv.status != directory.StatusInvited:
		return inv, errNotInvited
	case wait > 0:
		f := *errResendLater
		f.RetryAfter = (wait + time.Second - 1).Truncate(time.Second)
		return inv, &f
	}
	token := secret.New(secret.Invitation, inv.ID)
	inv.hash, inv.SentAt, inv.Sends, inv.ExpiresAt = secret.Hash(token), now, inv.Sends+1, now.Add(time.Duration(inv.lifetime)*time.Second)
	mail, err := s.letterStmt(ctx, q, env, t, inv, token)
	if err != nil {
		return inv, err
	}
	return inv, s.write(ctx, q, a, inv, action, now, mail, db.Stmt{SQL: sqlResent, Args: []any{t.ID, inv.ID, inv.hash, db.At(now), db.At(inv.ExpiresAt)}})
}

// ResendActivation mails the invitation of a member again who has not come yet.
//
// Faults: not_invited, and those of Resend.
func (s *Service) ResendActivation(ctx context.Context, a actor.Actor, q db.Queryer, env tenants.Environment, t tenants.Tenant, m directory.Membership) error {
	if !m.DisabledAt.IsZero() {
		return errDisabled
	}
	invitation, err := s.of(ctx, q, t.ID, m.ID)
	if errors.Is(err, errAbsent) {
		return errNotInvited
	}
	if err != nil {
		return err
	}
	_, err = s.resend(ctx, a, q, env, t, invitation, "user.activation_sent")
	return err
}

// Revoke withdraws an invitation; the member who was made for it goes.
//
// Faults: invitation_not_found, role_level_too_strong.
func (s *Service) Revoke(ctx context.Context, a actor.Actor, q db.Queryer, tenant, invitation string) error {
	inv, err := s.held(ctx, a, q, tenant, invitation)
	if err != nil {
		return err
	}
	if err := s.write(ctx, q, a, inv, "invitation.revoked", s.clock.Now(), dropInvitation(inv)...); err != nil {
		return err
	}
	return s.directory.Withdraw(ctx, q, inv.Environment, tenant, inv.Membership)
}

// RevokeOf withdraws the invitation of a member who has not come yet, and reports
// whether there was one.
func (s *Service) RevokeOf(ctx context.Context, a actor.Actor, q db.Queryer, m directory.Membership) (bool, error) {
	if m.Status != directory.StatusInvited || m.ManagedBy != directory.Local {
		return false, nil
	}
	invitation, err := s.of(ctx, q, m.Tenant, m.ID)
	if errors.Is(err, errAbsent) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, s.Revoke(ctx, a, q, m.Tenant, invitation)
}

// CheckInvited refuses to act on a member whose invitation brings roles that are
// stronger than the actor's (product 122): he is to be taken for what he will be.
func (s *Service) CheckInvited(ctx context.Context, a actor.Actor, q db.Queryer, m directory.Membership) error {
	if m.Status != directory.StatusInvited {
		return nil
	}
	invitation, err := s.of(ctx, q, m.Tenant, m.ID)
	if errors.Is(err, errAbsent) {
		return nil
	}
	if err == nil {
		_, err = s.held(ctx, a, q, m.Tenant, invitation)
	}
	return err
}

// held reads an invitation for a change by the actor, who must reach its roles, and
// those that the member has by now (product 122).
func (s *Service) held(ctx context.Context, a actor.Actor, q db.Queryer, tenant, invitation string) (Invitation, error) {
	inv, err := s.locked(ctx, q, tenant, invitation)
	if err == nil {
		err = s.rbac.CheckTarget(ctx, a, q, tenant, inv.Membership)
	}
	if err == nil {
		_, err = s.rbac.CheckGrant(ctx, a, q, inv.Environment, tenant, inv.RoleIDs)
	}
	return inv, err
}

// locked reads an invitation; who else wants to use or change it waits.
func (s *Service) locked(ctx context.Context, q db.Queryer, tenant, invitation string) (Invitation, error) {
	var found string
	if err := q.QueryRow(ctx, sqlLockInvitation+q.Dialect().ForUpdate, tenant, invitation).Scan(&found); err != nil {
		return Invitation{}, absent(err)
	}
	return s.Invitation(ctx, q, tenant, invitation)
}

// of finds the invitation of a membership.
func (s *Service) of(ctx context.Context, q db.Queryer, tenant, membership string) (string, error) {
	var invitation string
	err := q.QueryRow(ctx, sqlInvitationOf, tenant, membership).Scan(&invitation)
	return invitation, absent(err)
}

func (s *Service) withRoles(ctx context.Context, q db.Queryer, tenant string, list []Invitation) error {
	at := make(map[string]*Invitation, len(list))
	ids := make([]string, 0, len(list))
	for i := range list {
		list[i].RoleIDs = []string{}
		at[list[i].ID] = &list[i]
		ids = append(ids, list[i].ID)
	}
	return each(ctx, q, func(of, role string) { at[of].RoleIDs = append(at[of].RoleIDs, role) }, sqlInvitationRoles, tenant, db.Set(ids))
}

func (s *Service) write(ctx context.Context, q db.Queryer, a actor.Actor, inv Invitation, action string, now time.Time, stmts ...db.Stmt) error {
	events, err := audit.Stmts(audit.Event{
		Environment: inv.Environment, Tenant: inv.Tenant, Action: action, Actor: a, At: now,
		Targets: []audit.Target{{Type: "invitation", ID: inv.ID, Name: inv.Email}, {Type: "user", ID: inv.UserID, Name: inv.Email}},
	})
	if err != nil {
		return err
	}
	return q.Batch(ctx, append(stmts, events...))
}

func absent(err error) error {
	if errors.Is(err, db.ErrNotFound) {
		return errAbsent
	}
	return err
}

func page(limit int) int {
	if limit <= 0 {
		return tenants.DefaultPage
	}
	return min(limit, tenants.MaxPage)
}

// pageOf reads one page of a tenant's list, and where the next one begins.
func pageOf[T any](ctx context.Context, q db.Queryer, sql, tenant, cursor string, limit int, scan func(db.Row) (T, error), at func(T) string) (list []T, next string, err error) {
	since, after, err := parseCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	limit = page(limit)
	rows, err := q.Query(ctx, sql, tenant, since, after, int64(limit)+1)
	if err != nil {
		return nil, "", err
	}
	defer rows.Close()
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, "", err
		}
		list = append(list, v)
	}
	if err := rows.Err(); err != nil {
		return nil, "", err
	}
	if len(list) > limit {
		list = list[:limit]
		next = at(list[limit-1])
	}
	return list, next, nil
}

func position(at time.Time, id string) string { return fmt.Sprintf("%d~%s", at.UnixMicro(), id) }

func parseCursor(cursor string) (since int64, after string, err error) {
	if cursor != "" {
		if _, err := fmt.Sscanf(cursor, "%d~%s", &since, &after); err != nil {
			return 0, "", fault.New(fault.Invalid, "invalid_cursor", "The cursor is not one of ours.").In("cursor")
		}
	}
	return since, after, nil
}
