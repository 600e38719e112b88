package api

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/onboarding"
)

// InvitationBody is an invitation that waits.
type InvitationBody struct {
	ID        string     `json:"id"`
	UserID    string     `json:"user_id" doc:"Of the user who was made for it"`
	Email     string     `json:"email"`
	FirstName string     `json:"first_name"`
	LastName  string     `json:"last_name"`
	RoleIDs   []string   `json:"role_ids" doc:"Narrowed, when the person accepts, to what the inviter may grant then"`
	InvitedBy *string    `json:"invited_by" doc:"The name of who did; null: the vendor"`
	AccessEnd *time.Time `json:"access_expires_at" doc:"Of a guest"`
	Expired   bool       `json:"expired"`
	SentAt    time.Time  `json:"sent_at"`
	Sends     int64      `json:"sends"`
	ExpiresAt time.Time  `json:"expires_at"`
	CreatedAt time.Time  `json:"created_at"`
}

func (h *Handler) showInvitation(i onboarding.Invitation) InvitationBody {
	return InvitationBody{
		ID: i.ID, UserID: i.UserID, Email: i.Email, FirstName: i.FirstName, LastName: i.LastName, RoleIDs: texts(i.RoleIDs), InvitedBy: optionalText(i.InvitedBy),
		AccessEnd: optional(i.AccessUntil), Expired: !h.Clock.Now().Before(i.ExpiresAt), SentAt: i.SentAt, Sends: i.Sends, ExpiresAt: i.ExpiresAt, CreatedAt: i.CreatedAt,
	}
}

// InvitationRowBody is what became of one row of a batch.
type InvitationRowBody struct {
	Email      string          `json:"email"`
	Invitation *InvitationBody `json:"invitation" doc:"null when the row was refused"`
	Error      *InvitationFail `json:"error" doc:"null when the person was invited"`
}

// InvitationFail says why a row was refused.
type InvitationFail struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// InvitationRows are the rows of a batch in their order.
type InvitationRows struct {
	Data []InvitationRowBody `json:"data"`
}

// InviteePerson is somebody to invite, with his name.
type InviteePerson struct {
	Email       string `json:"email" maxLength:"320"`
	FirstName   string `json:"first_name,omitempty" maxLength:"1024"`
	LastName    string `json:"last_name,omitempty" maxLength:"1024"`
	DisplayName string `json:"display_name,omitempty" maxLength:"1024"`
}

// maxNamed bounds a batch before it is read; the rule is 5.
type createInvitations struct {
	TenantPath
	Body struct {
		Emails        []string        `json:"emails,omitempty" maxItems:"100" doc:"At most 5 people in all"`
		People        []InviteePerson `json:"people,omitempty" maxItems:"100" doc:"The same with names"`
		RoleIDs       *[]string       `json:"role_ids,omitempty" maxItems:"100" doc:"The default roles when left out"`
		ExpiresIn     int64           `json:"expires_in_seconds,omitempty" minimum:"0" doc:"604800 when left out"`
		AccessSeconds int64           `json:"access_period_seconds,omitempty" minimum:"0" maximum:"315360000" doc:"Makes guests of all of them; from now"`
	}
}

// InvitationPath names an invitation.
type InvitationPath struct {
	TenantPath
	Invitation string `path:"inv" maxLength:"63" doc:"Id of the invitation"`
}

// InviteLinkBody is an invite link.
type InviteLinkBody struct {
	ID        string    `json:"id"`
	Roles     string    `json:"roles" enum:"creator,chosen,default" doc:"creator: those of who made it, as long as he has them"`
	RoleIDs   []string  `json:"role_ids"`
	CreatedBy *string   `json:"created_by" doc:"The name of who did; null: the vendor"`
	MaxUses   int64     `json:"max_uses" doc:"0: any number"`
	Uses      int64     `json:"uses"`
	Approval  bool      `json:"approval" doc:"Who comes waits until somebody lets him in"`
	Expired   bool      `json:"expired"`
	ExpiresAt time.Time `json:"expires_at"`
	CreatedAt time.Time `json:"created_at"`
}

// InviteLinkSecret is an invite link with its address, which is shown once.
type InviteLinkSecret struct {
	InviteLinkBody
	URL string `json:"url" doc:"Shown once"`
}

func (h *Handler) showInviteLink(l onboarding.Link) InviteLinkBody {
	return InviteLinkBody{
		ID: l.ID, Roles: l.Roles, RoleIDs: texts(l.RoleIDs), CreatedBy: optionalText(l.CreatedBy), MaxUses: l.MaxUses, Uses: l.Uses, Approval: l.Approval,
		Expired: !h.Clock.Now().Before(l.ExpiresAt), ExpiresAt: l.ExpiresAt, CreatedAt: l.CreatedAt,
	}
}

type createInviteLink struct {
	TenantPath
	Body struct {
		RoleIDs   *[]string `json:"role_ids,omitempty" maxItems:"100" doc:"Your own roles when left out; the default roles with the vendor's keys"`
		ExpiresIn int64     `json:"expires_in_minutes,omitempty" minimum:"0" maximum:"525600" doc:"10080 when left out"`
		MaxUses   int64     `json:"max_uses,omitempty" minimum:"0" doc:"0: any number"`
		Approval  bool      `json:"approval,omitempty" doc:"Who comes waits until somebody lets him in"`
	}
}

// InviteLinkPath names an invite link.
type InviteLinkPath struct {
	TenantPath
	Link string `path:"lnk" maxLength:"63" doc:"Id of the link"`
}

func (h *Handler) registerInvitations() {
	const (
		base = "/tenants/{t}/invitations"
		one  = base + "/{inv}"
	)
	write(h, route{method: http.MethodPost, path: base, id: "createInvitations", summary: "Invite up to 5 people by mail", permission: onboarding.PermissionInvite, status: http.StatusCreated}, h.createInvitations)
	read(h, route{method: http.MethodGet, path: base, id: "listInvitations", summary: "List the invitations that wait, the oldest first", permission: "fe.secure.read.users"},
		func(ctx context.Context, s scope, q db.Queryer, in *TenantList) (out list[InvitationBody], err error) {
			after, err := h.position(s, "invitations", in.Cursor)
			if err != nil {
				return out, err
			}
			found, next, err := h.Onboarding.Invitations(ctx, q, s.tenant.ID, after, in.Limit)
			return paged(found, h.showInvitation, h.cursor(s, "invitations", next)), err
		})
	read(h, route{method: http.MethodGet, path: one, id: "getInvitation", summary: "Show an invitation", permission: "fe.secure.read.users"},
		func(ctx context.Context, s scope, q db.Queryer, in *InvitationPath) (out InvitationBody, err error) {
			i, err := h.Onboarding.Invitation(ctx, q, s.tenant.ID, in.Invitation)
			return h.showInvitation(i), err
		})
	remove(h, route{method: http.MethodDelete, path: one, id: "deleteInvitation", summary: "Withdraw an invitation", permission: "fe.secure.delete.users"},
		func(ctx context.Context, s scope, q db.Queryer, in *InvitationPath) error {
			return h.Onboarding.Revoke(ctx, s.actor, q, s.tenant.ID, in.Invitation)
		})
	write(h, route{method: http.MethodPost, path: one + ":resend", id: "resendInvitation", summary: "Mail an invitation again; the old mail's link is dead", permission: "fe.secure.write.resendActivationEmail"},
		func(ctx context.Context, s scope, q db.Queryer, in *InvitationPath) (out InvitationBody, err error) {
			i, err := h.Onboarding.Resend(ctx, s.actor, q, s.environment, s.tenant, in.Invitation)
			return h.showInvitation(i), err
		})
	h.registerInviteLinks()
}

func (h *Handler) registerInviteLinks() {
	const (
		base = "/tenants/{t}/invite-links"
		one  = base + "/{lnk}"
	)
	write(h, route{method: http.MethodPost, path: base, id: "createInviteLink", summary: "Make a link that adds whoever follows it", permission: onboarding.PermissionLink, status: http.StatusCreated},
		func(ctx context.Context, s scope, q db.Queryer, in *createInviteLink) (out InviteLinkSecret, err error) {
			l, url, err := h.Onboarding.CreateLink(ctx, s.actor, q, s.environment, s.tenant, onboarding.NewLink{
				RoleIDs: in.Body.RoleIDs, MaxUses: in.Body.MaxUses, Approval: in.Body.Approval, Lifetime: time.Duration(in.Body.ExpiresIn) * time.Minute,
			})
			return InviteLinkSecret{h.showInviteLink(l), url}, err
		})
	read(h, route{method: http.MethodGet, path: base, id: "listInviteLinks", summary: "List the invite links, the oldest first", permission: "fe.secure.read.users"},
		func(ctx context.Context, s scope, q db.Queryer, in *TenantList) (out list[InviteLinkBody], err error) {
			after, err := h.position(s, "invite-links", in.Cursor)
			if err != nil {
				return out, err
			}
			found, next, err := h.Onboarding.Links(ctx, q, s.tenant.ID, after, in.Limit)
			return paged(found, h.showInviteLink, h.cursor(s, "invite-links", next)), err
		})
	read(h, route{method: http.MethodGet, path: one, id: "getInviteLink", summary: "Show an invite link", permission: "fe.secure.read.users"},
		func(ctx context.Context, s scope, q db.Queryer, in *InviteLinkPath) (out InviteLinkBody, err error) {
			l, err := h.Onboarding.Link(ctx, q, s.tenant.ID, in.Link)
			return h.showInviteLink(l), err
		})
	write(h, route{method: http.MethodPost, path: one + ":regenerate", id: "regenerateInviteLink", summary: "Give an invite link a new address; the old one is dead", permission: onboarding.PermissionLink},
		func(ctx context.Context, s scope, q db.Queryer, in *InviteLinkPath) (out InviteLinkSecret, err error) {
			l, url, err := h.Onboarding.RegenerateLink(ctx, s.actor, q, s.environment, s.tenant, in.Link)
			return InviteLinkSecret{h.showInviteLink(l), url}, err
		})
	remove(h, route{method: http.MethodDelete, path: one, id: "deleteInviteLink", summary: "Revoke an invite link", permission: "fe.secure.delete.users"},
		func(ctx context.Context, s scope, q db.Queryer, in *InviteLinkPath) error {
			return h.Onboarding.RevokeLink(ctx, s.actor, q, s.tenant.ID, in.Link)
		})
}

func (h *Handler) createInvitations(ctx context.Context, s scope, q db.Queryer, in *createInvitations) (out InvitationRows, err error) {
	n := onboarding.NewInvitations{
		RoleIDs: in.Body.RoleIDs, Lifetime: time.Duration(in.Body.ExpiresIn) * time.Second, Access: time.Duration(in.Body.AccessSeconds) * time.Second,
	}
	for _, e := range in.Body.Emails {
		n.People = append(n.People, onboarding.Invitee{Email: e})
	}
	for _, p := range in.Body.People {
		n.People = append(n.People, onboarding.Invitee{Email: p.Email, FirstName: p.FirstName, LastName: p.LastName, DisplayName: p.DisplayName})
	}
	rows, err := h.Onboarding.Invite(ctx, s.actor, q, s.environment, s.tenant, n)
	if err != nil {
		return out, inviteeField(err, len(in.Body.Emails), "people[%d].")
	}
	out.Data = make([]InvitationRowBody, 0, len(rows))
	for _, r := range rows {
		row := InvitationRowBody{Email: r.Email}
		if r.Refused != nil {
			row.Error = &InvitationFail{Code: r.Refused.Code, Detail: r.Refused.Message}
		} else {
			b := h.showInvitation(r.Invitation)
			row.Invitation = &b
		}
		out.Data = append(out.Data, row)
	}
	return out, nil
}

// inviteeField names the field of this route in a fault about a row of a batch: rows
// from the given one on stand in a list of people, each below the prefix.
func inviteeField(err error, people int, prefix string) error {
	f, ok := fault.From(err)
	if !ok {
		return err
	}
	row, field, _ := strings.Cut(strings.TrimPrefix(f.Field, "emails["), "]")
	i, notRow := strconv.Atoi(row)
	if notRow != nil || i < people || !strings.HasPrefix(f.Field, "emails[") {
		return err
	}
	return f.In(strings.ReplaceAll(prefix, "%d", strconv.Itoa(i-people)) + cmp.Or(strings.TrimPrefix(field, "."), "email"))
}
