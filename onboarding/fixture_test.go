package onboarding_test

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/permission"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/onboarding"
	"github.com/gatehouse-id/gatehouse/rbac"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// world is two tenants with an SSO connection each. acme holds x.example, whose people
// follow its links, and not acme.example.
type world struct {
	*rig.Rig
	t              *testing.T
	acme, globex   tenants.Tenant
	sso, globexSSO tenants.SSOConnection
	boss           directory.Person // an admin of acme
	weak           string           // id of a role of level 5 with the permissions to invite
}

const rolesOf = `SELECT r.key FROM membership_roles mr JOIN roles r ON r.id = mr.role_id JOIN memberships m ON m.id = mr.membership_id
WHERE mr.tenant_id = $1 AND m.user_id = $2 ORDER BY r.key`

func each(t *testing.T, f func(w *world)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		w := &world{Rig: rig.New(t, d), t: t}
		w.acme, w.globex = w.tenant("acme", "x.example"), w.tenant("globex", "globex.example")
		w.sso, w.globexSSO = w.Bare(w.acme.ID), w.Bare(w.globex.ID)
		w.boss = w.member("boss@acme.example", w.preset("admin"))
		w.weak = w.role("helpdesk", 5, onboarding.PermissionInvite, onboarding.PermissionLink, "fe.secure.delete.usersRoles")
		f(w)
	})
}

func (w *world) tenant(key string, domains ...string) tenants.Tenant {
	w.t.Helper()
	t, err := w.Tenants.Get(w.t.Context(), w.DB, w.Env.ID, w.Tenant(key, domains...))
	w.check(err)
	return t
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) role(key string, level int, permissions ...string) string {
	w.t.Helper()
	var r rbac.Role
	w.Tx(func(q db.Queryer) (err error) {
		r, err = w.RBAC.CreateRole(w.t.Context(), w.Vendor, q, rbac.NewRole{Key: key, Name: key, Level: level, Permissions: permissions})
		return err
	})
	return r.ID
}

// member adds a person to acme with the roles.
func (w *world) member(email string, roles ...string) (p directory.Person) {
	w.t.Helper()
	w.Tx(func(q db.Queryer) (err error) {
		if p, err = w.Directory.CreateUser(w.t.Context(), w.Vendor, q, directory.NewUser{Environment: w.Env.ID, Tenant: w.acme.ID, Email: email}); err != nil {
			return err
		}
		return w.RBAC.AssignRoles(w.t.Context(), w.Vendor, q, w.acme.ID, p.Membership.ID, roles)
	})
	return p
}

func (w *world) setRoles(p directory.Person, roles ...string) {
	w.t.Helper()
	w.Tx(func(q db.Queryer) error {
		return w.RBAC.AssignRoles(w.t.Context(), w.Vendor, q, w.acme.ID, p.Membership.ID, roles)
	})
}

// as is a member of acme as an actor.
func (w *world) as(p directory.Person) actor.Actor {
	w.t.Helper()
	e, err := w.RBAC.Effective(w.t.Context(), w.DB, w.acme.ID, p.Membership.ID)
	w.check(err)
	return actor.Actor{
		Environment: w.Env.ID, Tenant: w.acme.ID, Kind: actor.User, Subject: p.Membership.UserID, Name: "Grace Hopper", Email: p.Membership.Email,
		Permissions: permission.NewSet(e.Permissions...), Level: actor.LevelOf(e.Level),
	}
}

func invite(emails ...string) onboarding.NewInvitations {
	var in onboarding.NewInvitations
	for _, e := range emails {
		in.People = append(in.People, onboarding.Invitee{Email: e})
	}
	return in
}

// with names the roles.
func with(in onboarding.NewInvitations, roles ...string) onboarding.NewInvitations {
	if roles != nil {
		in.RoleIDs = &roles
	}
	return in
}

func (w *world) tryInvite(a actor.Actor, in onboarding.NewInvitations) (rows []onboarding.Row, err error) {
	w.t.Helper()
	err = w.DB.Tx(w.t.Context(), func(q db.Queryer) (err error) {
		rows, err = w.People.Invite(w.t.Context(), a, q, w.Env, w.acme, in)
		return err
	})
	return rows, err
}

// invited invites one person and gives the mailed token.
func (w *world) invited(a actor.Actor, email string, roles ...string) (onboarding.Invitation, string) {
	w.t.Helper()
	rows, err := w.tryInvite(a, with(invite(email), roles...))
	w.check(err)
	return rows[0].Invitation, w.mailed(email)
}

var tokens = regexp.MustCompile(`gw[ij]_[a-z2-7]{26}_[0-9A-Za-z]{49}`)

// mailed is the token of the last mail to the address.
func (w *world) mailed(email string) string {
	w.t.Helper()
	mails := w.Strings(`SELECT payload FROM jobs WHERE kind = 'mail.send' ORDER BY id`)
	for _, m := range slices.Backward(mails) {
		if strings.Contains(m, `"email":"`+email+`"`) {
			return tokens.FindString(m)
		}
	}
	w.t.Fatalf("no mail to %s in %d", email, len(mails))
	return ""
}

func (w *world) link(a actor.Actor, in onboarding.NewLink) (l onboarding.Link, token string) {
	w.t.Helper()
	var url string
	w.Tx(func(q db.Queryer) (err error) {
		l, url, err = w.People.CreateLink(w.t.Context(), a, q, w.Env, w.acme, in)
		return err
	})
	return l, tokens.FindString(url)
}

func (w *world) identity(c tenants.SSOConnection, email string) signin.Identity {
	return signin.Identity{
		Protocol: signin.OIDC, Tenant: c.Tenant, Connection: c.ID, SubjectParts: []string{"https://idp.example/" + c.Tenant, email}, Subject: email,
		UserName: email, Email: email, At: w.Clock.Now(),
	}
}

func (w *world) anonymous() actor.Actor {
	return actor.Actor{Environment: w.Env.ID, Kind: actor.Anonymous, IP: netip.MustParseAddr("203.0.113.9")}
}

// begin presses the button of an invitation.
func (w *world) begin(token, browser string) (signin.Next, error) {
	w.t.Helper()
	return w.People.Begin(w.t.Context(), w.DB, w.Env, token, browser)
}

// arrive ends a sign-in.
func (w *world) arrive(flow, browser string, i signin.Identity) (signin.Outcome, error) {
	w.t.Helper()
	handle, err := w.Signin.SaveResult(w.t.Context(), w.DB, w.Env.ID, flow, i)
	w.check(err)
	return w.Signin.Continue(w.t.Context(), w.anonymous(), w.Env, signin.Arrival{Handle: handle, BrowserID: browser})
}

// accept goes the whole way with a token: the code of a refusal is empty when the
// person is in.
func (w *world) accept(token string, i signin.Identity) (signin.Outcome, string) {
	w.t.Helper()
	browser := secret.Random()
	next, err := w.begin(token, browser)
	if err != nil {
		return signin.Outcome{}, w.code(err)
	}
	out, err := w.arrive(next.FlowID, browser, i)
	if err != nil {
		return out, w.code(err)
	}
	if out.Refusal != nil {
		return out, out.Refusal.Code
	}
	return out, ""
}

// login is a sign-in that an application began.
func (w *world) login(c tenants.SSOConnection, email string) (signin.Outcome, string) {
	w.t.Helper()
	browser := secret.Random()
	next, err := w.Signin.Begin(w.t.Context(), w.anonymous(), w.DB, signin.Start{Environment: w.Env, BrowserID: browser, Organization: c.Tenant, Request: []byte(`{}`)})
	w.check(err)
	out, err := w.arrive(next.FlowID, browser, w.identity(c, email))
	w.check(err)
	if out.Refusal != nil {
		return out, out.Refusal.Code
	}
	return out, ""
}

func (w *world) code(err error) string {
	w.t.Helper()
	if err != nil && fault.CodeOf(err) == "" {
		w.t.Fatal(err)
	}
	return fault.CodeOf(err)
}

func (w *world) wants(what string, got, want any) {
	w.t.Helper()
	switch g := got.(type) {
	case []string:
		if !slices.Equal(g, want.([]string)) {
			w.t.Errorf("%s: %v, want %v", what, got, want)
		}
	default:
		if got != want {
			w.t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
}

// refused wants the code, and that nothing about a person was written.
func (w *world) refused(what, code string, do func() string) {
	w.t.Helper()
	count := func() [4]int {
		return [4]int{
			w.Count(`SELECT COUNT(*) FROM users`), w.Count(`SELECT COUNT(*) FROM memberships WHERE status <> 'invited'`),
			w.Count(`SELECT COUNT(*) FROM sessions`), w.Count(`SELECT COUNT(*) FROM membership_roles`),
		}
	}
	before := count()
	if got := do(); got != code {
		w.t.Errorf("%s: %q, want %q", what, got, code)
	}
	if after := count(); after != before {
		w.t.Errorf("%s wrote users, members, sessions, roles: %v, before %v", what, after, before)
	}
}

// preset is the id of a role that every environment has.
func (w *world) preset(key string) string {
	return w.Strings(`SELECT id FROM roles WHERE owner_tenant_id = '' AND key = $1`, key)[0]
}
