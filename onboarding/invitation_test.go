package onboarding_test

import (
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/onboarding"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/signin"
)

const ada = "ada@acme.example"

// product 24: a mail with a token, a membership that waits on a user of its own,
// and a member with exactly the roles once the person comes with it, from a domain
// that nobody verified.
func TestInvitationByMail(t *testing.T) {
	each(t, func(w *world) {
		inv, token := w.invited(w.as(w.boss), ada, w.preset("admin"))
		p, err := w.Directory.PersonOf(t.Context(), w.DB, w.acme.ID, inv.UserID)
		w.check(err)
		w.wants("status", p.Membership.Status, directory.StatusInvited)
		w.wants("address of the user", p.User.Email, "")
		w.wants("roles before", w.Strings(rolesOf, w.acme.ID, inv.UserID), []string(nil))
		w.wants("plain tokens stored", w.Count(`SELECT COUNT(*) FROM invitations WHERE hash = $1`, token), 0)

		shown, err := w.People.Show(t.Context(), w.DB, w.Env, token, "")
		w.check(err)
		w.wants("tenant", shown.TenantName, w.acme.Name)
		w.wants("inviter", shown.InvitedBy, "Grace Hopper")
		w.wants("bound to", shown.Email, ada)
		w.wants("a look uses nothing up", w.Count(`SELECT COUNT(*) FROM invitations`), 1)

		out, code := w.accept(token, w.identity(w.sso, ada))
		w.wants("accepted", code, "")
		w.wants("the user made for it is the person", out.UserID, inv.UserID)
		w.wants("roles", w.Strings(rolesOf, w.acme.ID, out.UserID), []string{"admin"})
		p, err = w.Directory.PersonOf(t.Context(), w.DB, w.acme.ID, out.UserID)
		w.check(err)
		w.wants("status", p.Membership.Status, directory.StatusActive)
		w.wants("address", p.User.Email, ada)
		w.wants("proved by the mail", p.User.EmailVerified, true)
		w.wants("invitations left", w.Count(`SELECT COUNT(*) FROM invitations`), 0)
		w.wants("locators left", w.Count(`SELECT COUNT(*) FROM locators WHERE kind = 'invitation'`), 0)
		w.wants("accepted is told", w.Count(`SELECT COUNT(*) FROM audit_events WHERE action = 'invitation.accepted' AND tenant_id = $1`, w.acme.ID), 1)
		_, code = w.accept(token, w.identity(w.sso, ada))
		w.wants("again", code, "INVITATION_UNKNOWN")
	})
}

// product 33 and 130: five at a time, none twice, each row for itself, all or
// nothing where a domain may not be added (product 26, 51, 52), and the access
// period for all (product 29, 30).
func TestBulkInvitations(t *testing.T) {
	each(t, func(w *world) {
		boss := w.as(w.boss)
		for code, in := range map[string]onboarding.NewInvitations{
			"bulk_limit":    invite("a@x.example", "b@x.example", "c@x.example", "d@x.example", "e@x.example", "f@x.example"),
			"duplicate":     invite("a@x.example", "A@X.example "),
			"required":      {},
			"invalid_email": invite("a@x.example", "nobody"),
			"invalid_expiry": {
				People: []onboarding.Invitee{{Email: "a@x.example"}}, Access: 299 * time.Second,
			},
			"out_of_range": {People: []onboarding.Invitee{{Email: "a@x.example"}}, Lifetime: time.Second},
			"unknown_role": with(invite("a@x.example"), "rol_x"),
			"user_exists":  invite("boss@acme.example"),
		} {
			_, err := w.tryInvite(boss, in)
			w.wants(code, w.code(err), code)
		}
		w.SetPolicy(w.acme.ID, policy.Domains, `{"enabled":true,"mode":"deny","domains":["rival.example"]}`)
		_, err := w.tryInvite(boss, invite("a@x.example", "spy@rival.example", "b@x.example"))
		f, _ := fault.From(err)
		if f == nil || f.Code != "domain_not_allowed" || f.Field != "emails[1]" {
			t.Errorf("a domain that is refused: %v", err)
		}
		if n := w.Count(`SELECT COUNT(*) FROM memberships WHERE status = 'invited'`) + w.Count(`SELECT COUNT(*) FROM jobs WHERE kind = 'mail.send'`); n != 0 {
			t.Fatalf("%d rows of refused batches", n)
		}
		in := invite("a@x.example", "boss@acme.example", "b@x.example", "c@x.example", "d@x.example")
		in.Access = 24 * time.Hour
		rows, err := w.tryInvite(boss, in)
		w.check(err)
		w.wants("rows", len(rows), 5)
		for i, r := range rows {
			if (r.Refused != nil) != (i == 1) || i == 1 && r.Refused.Code != "user_exists" {
				t.Errorf("row %d: %v", i, r.Refused)
			}
			if i != 1 && !r.Invitation.AccessUntil.Equal(w.Clock.Now().Add(24*time.Hour)) {
				t.Errorf("row %d has access until %v", i, r.Invitation.AccessUntil)
			}
		}
		w.wants("guests", w.Count(`SELECT COUNT(*) FROM memberships WHERE expires_at IS NOT NULL`), 4)
		w.wants("mails", w.Count(`SELECT COUNT(*) FROM jobs WHERE kind = 'mail.send'`), 4)
		rows, err = w.tryInvite(boss, invite("a@x.example", "e@x.example"))
		w.check(err)
		w.wants("invited before", rows[0].Refused.Code, "already_invited")
		// A guest whose period is over does not come in any more (product 129).
		token := w.mailed("b@x.example")
		w.Clock.Advance(24 * time.Hour)
		w.refused("after the access period", "POLICY_GUEST_EXPIRED", func() string { _, code := w.accept(token, w.identity(w.sso, "b@x.example")); return code })
	})
}

// The mail that is resent replaces the one before, not sooner than a minute after
// it, and not while the user is disabled (product 35); withdrawn is withdrawn.
func TestResendAndRevoke(t *testing.T) {
	each(t, func(w *world) {
		boss := w.as(w.boss)
		inv, first := w.invited(boss, ada)
		resend := func() error {
			return w.DB.Tx(t.Context(), func(q db.Queryer) error {
				_, err := w.People.Resend(t.Context(), boss, q, w.Env, w.acme, inv.ID)
				return err
			})
		}
		w.Clock.Advance(30 * time.Second)
		err := resend()
		if f, _ := fault.From(err); f == nil || f.Code != "resend_too_soon" || f.Kind != fault.Limited || f.RetryAfter < 30*time.Second || f.RetryAfter > 31*time.Second {
			t.Errorf("too soon: %+v", f)
		}
		w.Clock.Advance(7 * 24 * time.Hour)
		w.refused("expired", "INVITATION_EXPIRED", func() string { _, code := w.accept(first, w.identity(w.sso, ada)); return code })
		w.Tx(func(q db.Queryer) error {
			_, err := w.Directory.Disable(t.Context(), boss, q, w.acme.ID, inv.UserID)
			return err
		})
		w.wants("disabled", w.code(resend()), "user_disabled")
		p, err := w.Directory.PersonOf(t.Context(), w.DB, w.acme.ID, inv.UserID)
		w.check(err)
		activation := func(m directory.Membership) string {
			return w.code(w.DB.Tx(t.Context(), func(q db.Queryer) error { return w.People.ResendActivation(t.Context(), boss, q, w.Env, w.acme, m) }))
		}
		w.wants("activation of a disabled user", activation(p.Membership), "user_disabled")
		w.Tx(func(q db.Queryer) error {
			p, err = w.Directory.Enable(t.Context(), boss, q, w.acme.ID, inv.UserID)
			return err
		})
		w.wants("activation", activation(p.Membership), "")
		w.wants("activation of a member", activation(w.boss.Membership), "not_invited")
		second := w.mailed(ada)
		if first == second {
			t.Fatal("the same token was mailed again")
		}
		w.refused("the first mail", "INVITATION_UNKNOWN", func() string { _, code := w.accept(first, w.identity(w.sso, ada)); return code })

		// Withdrawn while the sign-in is under way.
		browser := secret.Random()
		next, err := w.begin(second, browser)
		w.check(err)
		list, _, err := w.People.Invitations(t.Context(), w.DB, w.acme.ID, "", 0)
		w.check(err)
		w.wants("waiting", len(list), 1)
		w.wants("sends", list[0].Sends, int64(2))
		w.Tx(func(q db.Queryer) error { return w.People.Revoke(t.Context(), boss, q, w.acme.ID, inv.ID) })
		w.wants("users left", w.Count(`SELECT COUNT(*) FROM users WHERE id = $1`, inv.UserID), 0)
		w.refused("withdrawn meanwhile", "INVITATION_UNKNOWN", func() string {
			out, err := w.arrive(next.FlowID, browser, w.identity(w.sso, ada))
			w.check(err)
			return out.Refusal.Code
		})
		w.refused("withdrawn", "INVITATION_UNKNOWN", func() string { _, code := w.accept(second, w.identity(w.sso, ada)); return code })
	})
}

// What somebody does with an invitation that is not his (product 7.5).
func TestAttacksOnInvitations(t *testing.T) {
	each(t, func(w *world) {
		boss := w.as(w.boss)
		_, token := w.invited(boss, ada, w.preset("admin"))
		no := false
		unverified := w.identity(w.sso, ada)
		unverified.EmailVerified = &no
		for what, i := range map[string]signin.Identity{
			"a stolen link with another login":                 w.identity(w.sso, "mallory@acme.example"),
			"an address that the provider does not vouch for":  unverified,
			"an address that looks alike (compatibility form)": w.identity(w.sso, "ａda@acme.example"),
		} {
			w.refused(what, "INVITATION_OTHER_ADDRESS", func() string { _, code := w.accept(token, i); return code })
		}
		w.refused("another tenant's provider claims the address", "SIGNIN_OTHER_ORGANIZATION", func() string {
			_, code := w.accept(token, w.identity(w.globexSSO, ada))
			return code
		})
		forged := secret.New(secret.Invitation, "inv_"+token[4:30])
		for what, bad := range map[string]string{"forged": forged, "cut": token[:len(token)-1], "empty": "", "another kind": secret.New(secret.InviteLink, "lnk_"+token[4:30])} {
			_, err := w.begin(bad, secret.Random())
			w.wants(what, w.code(err), "INVITATION_UNKNOWN")
		}
		// Without the token, and from a domain that acme did not verify.
		w.refused("without the mail", "POLICY_EMAIL_DOMAIN", func() string { _, code := w.login(w.sso, ada); return code })

		// globex's provider makes a user with the invited address. He is nobody in
		// acme, and a session of his accepts nothing: globex does not hold the domain.
		w.Exec(`UPDATE sso_connections SET allow_unverified_domains = TRUE WHERE tenant_id = $1`, w.globex.ID)
		foreign, code := w.login(w.globexSSO, ada)
		w.wants("login to globex", code, "")
		accept := func(cookie string) string {
			_, _, err := w.People.AcceptAs(t.Context(), w.anonymous(), w.Env, token, cookie)
			return w.code(err)
		}
		w.refused("a session that proves no address", "INVITATION_ADDRESS_UNPROVED", func() string { return accept(foreign.Cookie) })
		w.refused("no session", sessions.ErrNoSession.Code, func() string { return accept(secret.Random()) })
		shown, err := w.People.Show(t.Context(), w.DB, w.Env, token, foreign.Cookie)
		w.check(err)
		w.wants("offered to the session", shown.SignedInAs, "")
		out, code := w.accept(token, w.identity(w.sso, ada))
		w.wants("the person himself", code, "")
		if out.UserID == foreign.UserID {
			t.Error("globex's user became a member of acme by his address alone")
		}
		_, token = w.invited(boss, "bob@acme.example")
		w.Suspend(w.acme.ID)
		w.refused("a suspended tenant", "POLICY_TENANT_SUSPENDED", func() string { _, code := w.accept(token, w.identity(w.sso, "bob@acme.example")); return code })
	})
}

// product 10 and identity rule 4: a user of the environment takes the membership
// by the token and his own login; the answer to who invites is the same whether or
// not he exists.
func TestInvitationOfAKnownUser(t *testing.T) {
	each(t, func(w *world) {
		const bob = "bob@globex.example"
		known, code := w.login(w.globexSSO, bob)
		w.wants("login", code, "")
		a, b := "", ""
		for _, email := range []string{bob, "new@globex.example"} {
			rows, err := w.tryInvite(w.as(w.boss), invite(email))
			w.check(err)
			i := rows[0].Invitation
			i.ID, i.UserID, i.Membership, i.Email = "", "", "", ""
			a, b = b, i.ExpiresAt.String()+i.InvitedBy+i.FirstName
		}
		w.wants("what the inviter learns", a, b)
		w.wants("members of acme among known users", w.Count(`SELECT COUNT(*) FROM memberships WHERE tenant_id = $1 AND user_id = $2`, w.acme.ID, known.UserID), 0)
		token := w.mailed(bob)
		shown, err := w.People.Show(t.Context(), w.DB, w.Env, token, known.Cookie)
		w.check(err)
		w.wants("offered", shown.SignedInAs, bob)
		_, _, err = w.People.AcceptAs(t.Context(), w.anonymous(), w.Env, w.mailed("new@globex.example"), known.Cookie)
		w.wants("another's invitation", w.code(err), "INVITATION_OTHER_ADDRESS")

		users := w.Count(`SELECT COUNT(*) FROM users`)
		_, waiting, err := w.People.AcceptAs(t.Context(), w.anonymous(), w.Env, token, known.Cookie)
		w.check(err)
		w.wants("waits", waiting, false)
		w.wants("users: the one made for the invitation went", w.Count(`SELECT COUNT(*) FROM users`), users-1)
		p, err := w.Directory.PersonOf(t.Context(), w.DB, w.acme.ID, known.UserID)
		w.check(err)
		w.wants("status", p.Membership.Status, directory.StatusPendingLogin)
		w.wants("roles", w.Strings(rolesOf, w.acme.ID, known.UserID), []string{"read-only"})
		_, _, err = w.People.AcceptAs(t.Context(), w.anonymous(), w.Env, token, known.Cookie)
		w.wants("again", w.code(err), "INVITATION_UNKNOWN")
		// The session satisfies globex alone: acme asks for its own sign-in.
		ses, err := w.Sessions.Find(t.Context(), w.DB, w.Env.ID, known.Cookie)
		w.check(err)
		if _, ok := ses.Proof(w.acme.ID); ok {
			t.Error("the session entered acme")
		}
		out, code := w.login(w.sso, bob)
		w.wants("login to acme", code, "")
		w.wants("one user in both", out.UserID, known.UserID)

		// Where acme holds the domain, its own login finds the known user too.
		w.Domain(w.acme.ID, "globex.example")
		third, code := w.login(w.globexSSO, "eve@globex.example")
		w.wants("login", code, "")
		_, token = w.invited(w.as(w.boss), "eve@globex.example")
		out, code = w.accept(token, w.identity(w.sso, "eve@globex.example"))
		w.wants("accepted", code, "")
		w.wants("the known user", out.UserID, third.UserID)
		// A locked user is locked here as well.
		fourth, code := w.login(w.globexSSO, "max@globex.example")
		w.wants("login", code, "")
		_, token = w.invited(w.as(w.boss), "max@globex.example")
		w.Tx(func(q db.Queryer) error {
			_, err := w.Directory.Lock(t.Context(), w.Vendor, q, fourth.UserID)
			return err
		})
		w.refused("a locked user", "POLICY_USER_LOCKED", func() string { _, code := w.accept(token, w.identity(w.sso, "max@globex.example")); return code })
	})
}

// Without the token, the tenant's own provider brings whom the tenant invited, from
// a domain that it holds, with the roles of the invitation (identity rule 3).
func TestInvitedPersonSignsInWithoutTheMail(t *testing.T) {
	each(t, func(w *world) {
		w.Domain(w.acme.ID, "acme.example")
		inv, token := w.invited(w.as(w.boss), ada, w.weak)
		out, code := w.login(w.sso, ada)
		w.wants("login", code, "")
		w.wants("person", out.UserID, inv.UserID)
		w.wants("roles", w.Strings(rolesOf, w.acme.ID, out.UserID), []string{"helpdesk"})
		w.refused("the mail afterwards", "INVITATION_UNKNOWN", func() string { _, code := w.accept(token, w.identity(w.sso, ada)); return code })
		// The rules about domains hold at acceptance too (product 52), for who is not
		// a member yet (product 53).
		_, token = w.invited(w.as(w.boss), "bob@acme.example")
		w.SetPolicy(w.acme.ID, policy.Domains, `{"enabled":true,"mode":"deny","domains":["acme.example"]}`)
		w.refused("with the mail", "POLICY_EMAIL_DOMAIN", func() string { _, code := w.accept(token, w.identity(w.sso, "bob@acme.example")); return code })
		w.refused("without", "POLICY_EMAIL_DOMAIN", func() string { _, code := w.login(w.sso, "bob@acme.example"); return code })
		_, code = w.login(w.sso, ada)
		w.wants("a member", code, "")
	})
}

// product 105 and 121 to 124: nobody invites above his level, and what he may do
// when the person comes counts, not what he could.
func TestPowerOfTheInviter(t *testing.T) {
	each(t, func(w *world) {
		admin, helper := w.preset("admin"), w.member("helper@acme.example", w.weak)
		_, err := w.tryInvite(w.as(helper), with(invite("x@x.example"), admin))
		w.wants("an admin by a helper", w.code(err), "role_level_too_strong")
		_, err = w.tryInvite(w.as(helper), invite("x@x.example")) // the default role is stronger than he
		w.wants("the default role", w.code(err), "role_level_too_strong")

		second := w.member("second@acme.example", admin)
		come := func(email, token string) string { _, code := w.accept(token, w.identity(w.sso, email)); return code }
		both := []string{admin, w.weak}

		_, token := w.invited(w.as(second), "one@x.example", both...)
		w.setRoles(second, w.weak) // demoted
		out, code := w.accept(token, w.identity(w.sso, "one@x.example"))
		w.wants("narrowed", code, "")
		w.wants("roles", w.Strings(rolesOf, w.acme.ID, out.UserID), []string{"helpdesk"})

		w.setRoles(second, admin)
		_, token = w.invited(w.as(second), "two@x.example", admin)
		w.setRoles(second, w.weak)
		w.refused("nothing left", "INVITATION_VOID", func() string { return come("two@x.example", token) })
		w.setRoles(second, w.preset("read-only"))
		w.refused("may not invite any more", "INVITATION_VOID", func() string { return come("two@x.example", token) })
		w.setRoles(second, admin)
		w.Tx(func(q db.Queryer) error {
			_, err := w.Directory.Disable(t.Context(), w.Vendor, q, w.acme.ID, second.User.ID)
			return err
		})
		w.refused("disabled", "INVITATION_VOID", func() string { return come("two@x.example", token) })
		w.Tx(func(q db.Queryer) error {
			return w.Directory.RemoveUser(t.Context(), w.Vendor, q, w.acme.ID, second.User.ID)
		})
		w.refused("removed", "INVITATION_VOID", func() string { return come("two@x.example", token) })

		// A weaker admin neither withdraws nor resends what he could not have sent.
		inv, _ := w.invited(w.as(w.boss), "four@x.example", admin)
		w.Clock.Advance(time.Hour)
		for what, do := range map[string]func(q db.Queryer) error{
			"revoke": func(q db.Queryer) error { return w.People.Revoke(t.Context(), w.as(helper), q, w.acme.ID, inv.ID) },
			"resend": func(q db.Queryer) error {
				_, err := w.People.Resend(t.Context(), w.as(helper), q, w.Env, w.acme, inv.ID)
				return err
			},
		} {
			w.wants(what, w.code(w.DB.Tx(t.Context(), do)), "role_level_too_strong")
		}
		// A role that is gone is not given; the rest is.
		gone := w.role("gone", 7)
		_, token = w.invited(w.as(w.boss), "five@x.example", gone, w.weak)
		w.Tx(func(q db.Queryer) error { return w.RBAC.DeleteRole(t.Context(), w.Vendor, q, gone) })
		out, code = w.accept(token, w.identity(w.sso, "five@x.example"))
		w.wants("a deleted role", code, "")
		w.wants("roles", w.Strings(rolesOf, w.acme.ID, out.UserID), []string{"helpdesk"})

		// The vendor's invitation of a tenant's first person makes him its admin.
		fresh := w.tenant("fresh")
		sso := w.Bare(fresh.ID)
		w.Tx(func(q db.Queryer) error {
			_, err := w.People.Invite(t.Context(), w.Vendor, q, w.Env, fresh, invite("first@x.example"))
			return err
		})
		out, code = w.accept(w.mailed("first@x.example"), w.identity(sso, "first@x.example"))
		w.wants("the first person", code, "")
		w.wants("roles", w.Strings(rolesOf, fresh.ID, out.UserID), []string{"admin", "read-only"})
	})
}

// Of two browsers with one token, one becomes the member; both show the person
// himself, so that the second finds himself a member with an invitation used up.
func TestDoubleAcceptance(t *testing.T) {
	each(t, func(w *world) {
		_, token := w.invited(w.as(w.boss), ada, w.weak)
		var wait sync.WaitGroup
		codes := make([]string, 4)
		ready := make(chan struct{})
		for i := range codes {
			browser := secret.Random()
			next, err := w.begin(token, browser)
			w.check(err)
			handle, err := w.Signin.SaveResult(t.Context(), w.DB, w.Env.ID, next.FlowID, w.identity(w.sso, ada))
			w.check(err)
			wait.Go(func() {
				<-ready
				out, err := w.Signin.Continue(t.Context(), w.anonymous(), w.Env, signin.Arrival{Handle: handle, BrowserID: browser})
				switch {
				case err != nil:
					codes[i] = err.Error()
				case out.Refusal != nil:
					codes[i] = out.Refusal.Code
				}
			})
		}
		close(ready)
		wait.Wait()
		in := 0
		for _, c := range codes {
			switch c {
			case "":
				in++
			case "INVITATION_UNKNOWN":
			default:
				t.Errorf("ended with %s", c)
			}
		}
		w.wants("accepted", in, 1)
		w.wants("memberships", w.Count(`SELECT COUNT(*) FROM memberships WHERE email_key = $1`, ada), 1)
		w.wants("users", w.Count(`SELECT COUNT(*) FROM users WHERE email_key = $1`, ada), 1)
		w.wants("told once", w.Count(`SELECT COUNT(*) FROM audit_events WHERE action = 'invitation.accepted'`), 1)
	})
}
