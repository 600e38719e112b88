package onboarding_test

import (
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/onboarding"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/signin"
)

// product 25 and 124: who follows the link gets exactly the roles of its creator at
// that time, as far as he still has them.
func TestInviteLink(t *testing.T) {
	each(t, func(w *world) {
		admin := w.preset("admin")
		maker := w.member("maker@acme.example", admin, w.weak)
		l, token := w.link(w.as(maker), onboarding.NewLink{})
		w.wants("kind", l.Roles, onboarding.RolesOfCreator)
		w.wants("plain tokens stored", w.Count(`SELECT COUNT(*) FROM invite_links WHERE hash = $1`, token), 0)
		w.setRoles(maker, admin, w.weak, w.preset("read-only")) // what he got later is not in the link
		follow := func(email string) ([]string, string) {
			out, code := w.accept(token, w.identity(w.sso, email))
			return w.Strings(rolesOf, w.acme.ID, out.UserID), code
		}
		roles, code := follow("one@x.example")
		w.wants("followed", code, "")
		w.wants("roles", roles, []string{"admin", "helpdesk"})
		w.wants("told", w.Count(`SELECT COUNT(*) FROM audit_events WHERE action = 'invite_link.used' AND tenant_id = $1`, w.acme.ID), 1)

		w.setRoles(maker, w.weak) // demoted
		roles, code = follow("two@x.example")
		w.wants("after the demotion", code, "")
		w.wants("roles", roles, []string{"helpdesk"})
		stronger := w.role("stronger", 3, onboarding.PermissionLink)
		w.setRoles(maker, stronger) // he lost the role of the link, and may still make links
		w.refused("none of the roles left", "INVITATION_VOID", func() string { _, code := follow("three@x.example"); return code })
		w.setRoles(maker, w.weak)
		w.Tx(func(q db.Queryer) error {
			_, err := w.Directory.Disable(t.Context(), w.Vendor, q, w.acme.ID, maker.User.ID)
			return err
		})
		w.refused("disabled", "INVITATION_VOID", func() string { _, code := follow("three@x.example"); return code })
		w.Tx(func(q db.Queryer) error {
			return w.Directory.RemoveUser(t.Context(), w.Vendor, q, w.acme.ID, maker.User.ID)
		})
		w.refused("removed", "INVITATION_VOID", func() string { _, code := follow("three@x.example"); return code })
		// Members who follow it gain nothing, and use nothing up.
		_, boss := w.link(w.as(w.boss), onboarding.NewLink{MaxUses: 1})
		out, code := w.accept(boss, w.identity(w.sso, "two@x.example"))
		w.wants("a member", code, "")
		w.wants("roles of the member", w.Strings(rolesOf, w.acme.ID, out.UserID), []string{"helpdesk"})
		w.wants("uses", w.Count(`SELECT uses FROM invite_links WHERE max_uses = 1`), 0)
	})
}

// An explicit choice of roles passes the level check, or there is no link (product
// 121; trap C6); the vendor, who has no roles, gives the default ones.
func TestRolesOfLinks(t *testing.T) {
	each(t, func(w *world) {
		admin, helper := w.preset("admin"), w.member("helper@acme.example", w.weak)
		try := func(p directory.Person, in onboarding.NewLink) string {
			return w.code(w.DB.Tx(t.Context(), func(q db.Queryer) error {
				_, _, err := w.People.CreateLink(t.Context(), w.as(p), q, w.Env, w.acme, in)
				return err
			}))
		}
		strong, own := []string{admin}, []string{w.weak}
		w.wants("stronger", try(helper, onboarding.NewLink{RoleIDs: &strong}), "role_level_too_strong")
		w.wants("uses", try(helper, onboarding.NewLink{MaxUses: -1}), "out_of_range")
		w.wants("lifetime", try(helper, onboarding.NewLink{Lifetime: time.Hour * 24 * 31}), "out_of_range")
		_, token := w.link(w.as(w.boss), onboarding.NewLink{RoleIDs: &own})
		out, code := w.accept(token, w.identity(w.sso, "one@x.example"))
		w.wants("chosen", code, "")
		w.wants("roles", w.Strings(rolesOf, w.acme.ID, out.UserID), []string{"helpdesk"})
		l, token := w.link(w.Vendor, onboarding.NewLink{})
		w.wants("kind", l.Roles, onboarding.RolesDefault)
		out, code = w.accept(token, w.identity(w.sso, "two@x.example"))
		w.wants("the vendor's", code, "")
		w.wants("roles", w.Strings(rolesOf, w.acme.ID, out.UserID), []string{"read-only"})
		// A weaker admin does not take over, or revoke, a link that gives more than he has.
		l, _ = w.link(w.as(w.boss), onboarding.NewLink{})
		for what, do := range map[string]func(q db.Queryer) error{
			"regenerate": func(q db.Queryer) error {
				_, _, err := w.People.RegenerateLink(t.Context(), w.as(helper), q, w.Env, w.acme, l.ID)
				return err
			},
			"revoke": func(q db.Queryer) error { return w.People.RevokeLink(t.Context(), w.as(helper), q, w.acme.ID, l.ID) },
		} {
			w.wants(what, w.code(w.DB.Tx(t.Context(), do)), "role_level_too_strong")
		}
	})
}

// product 26 and 52: the tenant's rules about domains are asked at use; a new address
// kills the old, revocation and time kill both.
func TestLifeOfALink(t *testing.T) {
	each(t, func(w *world) {
		w.Domain(w.acme.ID, "acme.example")
		boss := w.as(w.boss)
		l, first := w.link(boss, onboarding.NewLink{Lifetime: time.Hour, MaxUses: 2})
		come := func(token, email string) string { _, code := w.accept(token, w.identity(w.sso, email)); return code }
		w.SetPolicy(w.acme.ID, policy.Domains, `{"enabled":true,"mode":"allow","domains":["acme.example"]}`)
		w.refused("a domain that is not allowed", "POLICY_EMAIL_DOMAIN", func() string { return come(first, "one@x.example") })
		w.wants("an allowed one", come(first, "one@acme.example"), "")
		var url string
		w.Tx(func(q db.Queryer) (err error) {
			l, url, err = w.People.RegenerateLink(t.Context(), boss, q, w.Env, w.acme, l.ID)
			return err
		})
		second := tokens.FindString(url)
		w.wants("uses", l.Uses, int64(0))
		w.refused("the old address", "INVITATION_UNKNOWN", func() string { return come(first, "two@acme.example") })
		w.wants("the new address", come(second, "two@acme.example"), "")
		w.wants("its last use", come(second, "three@acme.example"), "")
		w.refused("used up", "INVITATION_USED_UP", func() string { return come(second, "four@acme.example") })
		_, third := w.link(boss, onboarding.NewLink{Lifetime: time.Hour})
		w.Clock.Advance(time.Hour)
		w.refused("expired", "INVITATION_EXPIRED", func() string { return come(third, "four@acme.example") })
		l, fourth := w.link(boss, onboarding.NewLink{})
		browser := secret.Random()
		next, err := w.begin(fourth, browser)
		w.check(err)
		w.Tx(func(q db.Queryer) error { return w.People.RevokeLink(t.Context(), boss, q, w.acme.ID, l.ID) })
		w.refused("revoked meanwhile", "INVITATION_UNKNOWN", func() string {
			out, err := w.arrive(next.FlowID, browser, w.identity(w.sso, "four@acme.example"))
			w.check(err)
			return out.Refusal.Code
		})
		w.refused("revoked", "INVITATION_UNKNOWN", func() string { return come(fourth, "four@acme.example") })
		list, _, err := w.People.Links(t.Context(), w.DB, w.acme.ID, "", 0)
		w.check(err)
		w.wants("links", len(list), 2)
	})
}

// Who comes by a link with approval is a member who waits, without a session, until
// somebody lets him in (product 2.4: pending approval).
func TestApproval(t *testing.T) {
	each(t, func(w *world) {
		w.Domain(w.acme.ID, "acme.example")
		_, token := w.link(w.as(w.boss), onboarding.NewLink{Approval: true})
		out, code := w.accept(token, w.identity(w.sso, ada))
		w.wants("came", code, "")
		w.wants("waits", out.Waiting, true)
		w.wants("cookie", out.Cookie, "")
		w.wants("sessions", w.Count(`SELECT COUNT(*) FROM sessions`), 0)
		user := w.Strings(`SELECT user_id FROM memberships WHERE email_key = $1`, ada)[0]
		_, code = w.login(w.sso, ada)
		w.wants("login", code, "POLICY_USER_PENDING_APPROVAL")
		approve := func() string {
			return w.code(w.DB.Tx(t.Context(), func(q db.Queryer) error {
				_, err := w.Directory.Approve(t.Context(), w.as(w.boss), q, w.acme.ID, user)
				return err
			}))
		}
		w.wants("approved", approve(), "")
		w.wants("approved again", approve(), "not_pending_approval")
		out, code = w.login(w.sso, ada)
		w.wants("login", code, "")
		w.wants("person", out.UserID, user)
		p, err := w.Directory.PersonOf(t.Context(), w.DB, w.acme.ID, user)
		w.check(err)
		w.wants("status", p.Membership.Status, directory.StatusActive)
		// The same for who is signed in elsewhere, with an address that he proved.
		known, code := w.login(w.globexSSO, "bob@globex.example")
		w.wants("login to globex", code, "")
		_, waiting, err := w.People.AcceptAs(t.Context(), w.anonymous(), w.Env, token, known.Cookie)
		w.check(err)
		w.wants("waits", waiting, true)
		_, code = w.login(w.sso, "bob@globex.example")
		w.wants("login", code, "POLICY_USER_PENDING_APPROVAL")
		// Whoever the tenant knows by that address already is not doubled.
		twin, code := w.login(w.globexSSO, "twin@globex.example")
		w.wants("login to globex", code, "")
		w.invited(w.as(w.boss), "twin@globex.example")
		_, _, err = w.People.AcceptAs(t.Context(), w.anonymous(), w.Env, token, twin.Cookie)
		w.wants("invited by name", w.code(err), "INVITATION_KNOWN_ADDRESS")
	})
}

// A link with two uses lets two of six in that come at once.
func TestUsesOfALinkInARace(t *testing.T) {
	each(t, func(w *world) {
		_, token := w.link(w.as(w.boss), onboarding.NewLink{MaxUses: 2})
		codes, ready := make([]string, 6), make(chan struct{})
		var wait sync.WaitGroup
		for i := range codes {
			browser := secret.Random()
			next, err := w.begin(token, browser)
			w.check(err)
			handle, err := w.Signin.SaveResult(t.Context(), w.DB, w.Env.ID, next.FlowID, w.identity(w.sso, string(rune('a'+i))+"@x.example"))
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
			case "INVITATION_USED_UP":
			default:
				t.Errorf("ended with %s", c)
			}
		}
		w.wants("let in", in, 2)
		w.wants("members", w.Count(`SELECT COUNT(*) FROM memberships WHERE email_key LIKE '%@x.example'`), 2)
		w.wants("uses", w.Count(`SELECT uses FROM invite_links`), 2)
	})
}

// product 27 to 32 and 129: a guest's time ends his way in and his sessions; he
// stays in the list, and can be renewed or made permanent.
func TestGuests(t *testing.T) {
	each(t, func(w *world) {
		in := invite(ada)
		in.Access = time.Hour
		_, err := w.tryInvite(w.as(w.boss), in)
		w.check(err)
		out, code := w.accept(w.mailed(ada), w.identity(w.sso, ada))
		w.wants("in", code, "")
		w.Clock.Advance(time.Hour)
		_, err = w.Signin.Check(t.Context(), w.DB, w.Env.ID, w.acme.ID, out.UserID, w.sso.ID)
		w.wants("refresh", w.code(err), "POLICY_GUEST_EXPIRED")
		_, code = w.login(w.sso, ada)
		w.wants("login", code, "POLICY_GUEST_EXPIRED")
		w.check(w.Directory.EndExpired(t.Context(), w.DB))
		_, err = w.Sessions.Find(t.Context(), w.DB, w.Env.ID, out.Cookie)
		w.wants("session", w.code(err), "no_session")
		w.check(w.Directory.EndExpired(t.Context(), w.DB)) // nothing left to end
		yes := true
		list, _, err := w.Directory.People(t.Context(), w.DB, w.acme.ID, directory.Filter{Guests: &yes})
		w.check(err)
		w.wants("listed", len(list), 1)
		set := func(at time.Time) {
			w.Tx(func(q db.Queryer) error {
				_, err := w.Directory.UpdateUser(t.Context(), w.as(w.boss), q, w.acme.ID, out.UserID, directory.UserPatch{ExpiresAt: &at})
				return err
			})
		}
		set(w.Clock.Now().Add(directory.MinAccess))
		_, code = w.login(w.sso, ada)
		w.wants("renewed", code, "")
		set(time.Time{})
		w.Clock.Advance(time.Hour)
		_, code = w.login(w.sso, ada)
		w.wants("permanent", code, "")
		set(w.Clock.Now().Add(time.Hour))
		w.wants("told", w.Strings(`SELECT action FROM audit_events WHERE action LIKE 'membership.access%' ORDER BY id`),
			[]string{"membership.access_updated", "membership.access_made_permanent", "membership.access_given"})
	})
}

// product 137 and 138: disabling is per tenant, locking is everywhere, and with the
// last tenant the user goes.
func TestUsersInSeveralTenants(t *testing.T) {
	each(t, func(w *world) {
		const bob = "bob@globex.example"
		known, code := w.login(w.globexSSO, bob)
		w.wants("globex", code, "")
		w.invited(w.as(w.boss), bob)
		_, _, err := w.People.AcceptAs(t.Context(), w.anonymous(), w.Env, w.mailed(bob), known.Cookie)
		w.check(err)
		tx := func(do func(q db.Queryer) error) { w.t.Helper(); w.Tx(do) }
		tx(func(q db.Queryer) error {
			_, err := w.Directory.Disable(t.Context(), w.as(w.boss), q, w.acme.ID, known.UserID)
			return err
		})
		_, code = w.login(w.sso, bob)
		w.wants("disabled in acme", code, "POLICY_USER_DISABLED")
		_, code = w.login(w.globexSSO, bob)
		w.wants("globex still", code, "")
		tx(func(q db.Queryer) error {
			_, err := w.Directory.Lock(t.Context(), w.Vendor, q, known.UserID)
			return err
		})
		w.wants("sessions of a locked user", w.Count(`SELECT COUNT(*) FROM sessions WHERE user_id = $1 AND ended_at IS NULL`, known.UserID), 0)
		_, code = w.login(w.globexSSO, bob)
		w.wants("locked", code, "POLICY_USER_LOCKED")
		tx(func(q db.Queryer) error {
			_, err := w.Directory.Unlock(t.Context(), w.Vendor, q, known.UserID)
			return err
		})
		_, code = w.login(w.globexSSO, bob)
		w.wants("unlocked", code, "")
		list, err := w.Directory.Memberships(t.Context(), w.DB, w.Env.ID, known.UserID)
		w.check(err)
		w.wants("tenants", len(list), 2)
		tx(func(q db.Queryer) error {
			return w.Directory.RemoveUser(t.Context(), w.Vendor, q, w.acme.ID, known.UserID)
		})
		w.wants("user", w.Count(`SELECT COUNT(*) FROM users WHERE id = $1`, known.UserID), 1)
		tx(func(q db.Queryer) error { return w.Directory.DeleteUser(t.Context(), w.Vendor, q, known.UserID) })
		w.wants("user", w.Count(`SELECT COUNT(*) FROM users WHERE id = $1`, known.UserID), 0)
	})
}
