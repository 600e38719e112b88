package onboarding_test

import (
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/onboarding"
	"github.com/gatehouse-id/gatehouse/tenants"
)

const victim = "victim@other.example"

// verified counts the users whose address we say was proved to us.
func (w *world) verified(email string) int {
	return w.Count(`SELECT COUNT(*) FROM users WHERE email_key = $1 AND email_verified`, email)
}

// A tenant mails an invitation to itself, and then writes another's address on the
// membership that waits, by its directory: the token proves the address to which it
// was mailed, and no other (identity rule 5).
func TestTokenProvesItsOwnAddressAlone(t *testing.T) {
	each(t, func(w *world) {
		const mallory = "mallory@evil.example"
		_, token := w.invited(w.as(w.boss), mallory, w.weak)
		scim := w.SCIMConnection(w.acme.ID)
		before := directory.Profile{ExternalID: "m1", UserName: mallory, Email: mallory, Active: true}
		p := w.Provision(w.acme.ID, scim, before)
		w.wants("the directory takes the place", p.Joined, true)
		after := before
		after.Email = victim
		resource := directory.Resource{
			Environment: w.Env.ID, Tenant: w.acme.ID, Connection: scim,
			ID: w.Strings(`SELECT resource_id FROM membership_sources WHERE membership_id = $1`, p.Membership)[0],
		}
		stmts, _, err := w.Directory.ChangeStmts(w.Vendor, resource, directory.SourceState{Membership: p.Membership, UserID: p.UserID, SCIMResources: 1, SCIMActive: 1}, before, after, nil)
		w.check(err)
		w.Tx(func(q db.Queryer) error { return q.Batch(t.Context(), stmts) })
		w.refused("with the token of the first address", "INVITATION_UNKNOWN", func() string { _, code := w.accept(token, w.identity(w.sso, mallory)); return code })
		w.wants("verified", w.verified(victim), 0)
		// The directory's person comes in by the directory's word, which proves nothing.
		_, code := w.login(w.sso, mallory)
		w.wants("login", code, "")
		w.wants("verified", w.verified(victim), 0)
	})
}

// The same with a member who has no address of his own and an address that an
// admin wrote.
func TestTokenProvesNothingForAnAddressByHand(t *testing.T) {
	each(t, func(w *world) {
		var p directory.Person
		w.Tx(func(q db.Queryer) (err error) {
			p, err = w.Directory.CreateUser(t.Context(), w.Vendor, q, directory.NewUser{
				Environment: w.Env.ID, Tenant: w.acme.ID, UserName: "mallory", ManagedBy: directory.SSO, Connection: w.sso.ID, Status: directory.StatusPendingLogin,
			})
			return err
		})
		address := victim
		w.Tx(func(q db.Queryer) error {
			_, err := w.Directory.UpdateUser(t.Context(), w.as(w.boss), q, w.acme.ID, p.User.ID, directory.UserPatch{Email: &address})
			return err
		})
		_, token := w.invited(w.as(w.boss), "mallory@evil.example")
		i := w.identity(w.sso, "mallory@evil.example")
		i.UserName = "mallory"
		out, code := w.accept(token, i)
		w.wants("accepted", code, "")
		w.wants("person", out.UserID, p.User.ID)
		w.wants("verified", w.verified(victim), 0)
		known, err := w.Signin.Check(t.Context(), w.DB, w.Env.ID, w.acme.ID, out.UserID, w.sso.ID)
		w.check(err)
		w.wants("told to applications as verified", known.EmailVerified, false)
	})
}

// Whom a directory keeps needs no invitation, and gets what it brings where it
// holds; else the default roles (product 106).
func TestInvitedPersonOfADirectory(t *testing.T) {
	each(t, func(w *world) {
		helper := w.member("helper@acme.example", w.weak)
		w.invited(w.as(w.boss), "one@x.example", w.weak)
		w.invited(w.as(helper), "two@x.example", w.weak)
		scim := w.SCIMConnection(w.acme.ID)
		for _, email := range []string{"one@x.example", "two@x.example"} {
			w.wants("joined", w.Provision(w.acme.ID, scim, directory.Profile{ExternalID: email, UserName: email, Email: email, Active: true}).Joined, true)
		}
		out, code := w.login(w.sso, "one@x.example")
		w.wants("login", code, "")
		w.wants("roles", w.Strings(rolesOf, w.acme.ID, out.UserID), []string{"helpdesk"})
		w.wants("invitations", w.Count(`SELECT COUNT(*) FROM invitations`), 1)
		w.Tx(func(q db.Queryer) error {
			return w.Directory.RemoveUser(t.Context(), w.Vendor, q, w.acme.ID, helper.User.ID)
		})
		out, code = w.login(w.sso, "two@x.example")
		w.wants("login although the invitation is void", code, "")
		w.wants("roles", w.Strings(rolesOf, w.acme.ID, out.UserID), []string{"read-only"})
		_, code = w.login(w.sso, "two@x.example")
		w.wants("again", code, "")
	})
}

// A link proves nobody's address: who follows it through a provider comes from a
// domain that the tenant holds, or that its connection lets in (identity rule 4).
func TestLinkDoesNotOpenOtherDomains(t *testing.T) {
	each(t, func(w *world) {
		w.Exec(`DELETE FROM domains WHERE tenant_id = $1`, w.acme.ID)
		_, token := w.link(w.as(w.boss), onboarding.NewLink{MaxUses: 1})
		w.refused("a foreign domain", "POLICY_EMAIL_DOMAIN", func() string { _, code := w.accept(token, w.identity(w.sso, victim)); return code })
		w.wants("uses", w.Count(`SELECT uses FROM invite_links`), 0)
		w.Exec(`UPDATE sso_connections SET allow_unverified_domains = TRUE WHERE tenant_id = $1`, w.acme.ID)
		_, code := w.accept(token, w.identity(w.sso, victim))
		w.wants("where the connection lets it in", code, "")
		w.wants("verified", w.verified(victim), 0)
	})
}

// Whoever the tenant's directory removed does not come back by a link with a
// session from elsewhere (identity rule 3).
func TestRemovedPersonFollowsALink(t *testing.T) {
	each(t, func(w *world) {
		_, token := w.link(w.as(w.boss), onboarding.NewLink{})
		scim := w.SCIMConnection(w.acme.ID)
		for email, hard := range map[string]bool{"soft@globex.example": false, "hard@globex.example": true} {
			known, code := w.login(w.globexSSO, email)
			w.wants("login to globex", code, "")
			w.Remove(w.Provision(w.acme.ID, scim, directory.Profile{ExternalID: email, UserName: email, Email: email, Active: true}), hard)
			w.refused(email, "INVITATION_KNOWN_ADDRESS", func() string {
				_, _, err := w.People.AcceptAs(t.Context(), w.anonymous(), w.Env, token, known.Cookie)
				return w.code(err)
			})
		}
	})
}

// A session that another tenant's provider alone made follows no link in the name
// of an address, even one that its user proved once: the provider may name anybody
// of that tenant (identity rule 6).
func TestLinkWithAProvidersWord(t *testing.T) {
	each(t, func(w *world) {
		_, mailed := w.invited(w.as(w.boss), ada)
		out, code := w.accept(mailed, w.identity(w.sso, ada))
		w.wants("accepted", code, "")
		w.wants("verified", w.verified(ada), 1)
		// acme's provider logs her in: no domain of hers is acme's.
		out, code = w.login(w.sso, ada)
		w.wants("login", code, "")
		var url string
		w.Tx(func(q db.Queryer) (err error) {
			_, url, err = w.People.CreateLink(t.Context(), w.Vendor, q, w.Env, w.globex, onboarding.NewLink{})
			return err
		})
		token := tokens.FindString(url)
		w.refused("a link", "INVITATION_ADDRESS_UNPROVED", func() string {
			_, _, err := w.People.AcceptAs(t.Context(), w.anonymous(), w.Env, token, out.Cookie)
			return w.code(err)
		})
		// With a mail to the address he has both: the mailbox, and her login.
		w.Tx(func(q db.Queryer) error {
			_, err := w.People.Invite(t.Context(), w.Vendor, q, w.Env, w.globex, invite(ada))
			return err
		})
		_, _, err := w.People.AcceptAs(t.Context(), w.anonymous(), w.Env, w.mailed(ada), out.Cookie)
		w.wants("a mail", w.code(err), "")
	})
}

// A vendor's link makes the first person of a tenant its admin; in the hands of a
// parent's weaker admin it does not (product 121).
func TestRegeneratedLinkOfTheVendor(t *testing.T) {
	each(t, func(w *world) {
		w.Exec(`UPDATE tenants SET subaccounts_enabled = TRUE, subaccount_access = 'always_on' WHERE id = $1`, w.acme.ID)
		w.Exec(`UPDATE roles SET level = 9 WHERE key = 'read-only'`) // the default role, which the helper may grant
		var child tenants.Tenant
		w.Tx(func(q db.Queryer) (err error) {
			child, err = w.Tenants.CreateTenant(t.Context(), w.Vendor, q, tenants.NewTenant{Name: "child", Key: "child", ParentID: w.acme.ID})
			return err
		})
		sso := w.Bare(child.ID)
		w.Exec(`UPDATE sso_connections SET allow_unverified_domains = TRUE WHERE tenant_id = $1`, child.ID)
		helper, err := w.Directory.Enter(t.Context(), w.DB, w.as(w.member("helper@acme.example", w.weak)), w.Env.ID, child.ID)
		w.check(err)
		var url string
		w.Tx(func(q db.Queryer) error {
			l, _, err := w.People.CreateLink(t.Context(), w.Vendor, q, w.Env, child, onboarding.NewLink{})
			if err != nil {
				return err
			}
			_, url, err = w.People.RegenerateLink(t.Context(), helper, q, w.Env, child, l.ID)
			return err
		})
		out, code := w.accept(tokens.FindString(url), w.identity(sso, "first@x.example"))
		w.wants("followed", code, "")
		w.wants("roles", w.Strings(rolesOf, child.ID, out.UserID), []string{"read-only"})
	})
}

// product 122: who waits is taken for what he will be, roles that he was given
// meanwhile included.
func TestWithdrawingAStrongerPerson(t *testing.T) {
	each(t, func(w *world) {
		helper := w.as(w.member("helper@acme.example", w.weak))
		inv, _ := w.invited(w.as(w.boss), ada, w.weak)
		w.Tx(func(q db.Queryer) error {
			return w.RBAC.AssignRoles(t.Context(), w.Vendor, q, w.acme.ID, inv.Membership, []string{w.preset("admin")})
		})
		w.Clock.Advance(time.Hour)
		for what, do := range map[string]func(q db.Queryer) error{
			"revoke": func(q db.Queryer) error { return w.People.Revoke(t.Context(), helper, q, w.acme.ID, inv.ID) },
			"resend": func(q db.Queryer) error {
				_, err := w.People.Resend(t.Context(), helper, q, w.Env, w.acme, inv.ID)
				return err
			},
		} {
			w.wants(what, w.code(w.DB.Tx(t.Context(), do)), "target_level_too_strong")
		}
	})
}

// product 130: when every row is refused, each says why.
func TestBatchOfRefusals(t *testing.T) {
	each(t, func(w *world) {
		w.invited(w.as(w.boss), ada)
		rows, err := w.tryInvite(w.as(w.boss), invite(ada, "boss@acme.example"))
		w.check(err)
		w.wants("first", rows[0].Refused.Code, "already_invited")
		w.wants("second", rows[1].Refused.Code, "user_exists")
	})
}

// An inviter's name is a line of the mail, not a text of his.
func TestInviterWritesNoMail(t *testing.T) {
	each(t, func(w *world) {
		a := w.as(w.boss)
		a.Name = "Your account is closed.\n\nGo to https://evil.example\nto open it"
		inv, _ := w.invited(a, ada)
		w.wants("name", inv.InvitedBy, "Your account is closed. Go to https://evil.example to open it")
		a.Name = ""
		for range 300 {
			a.Name += "é"
		}
		inv, _ = w.invited(a, "two@x.example")
		w.wants("length", len([]rune(inv.InvitedBy)), 100)
	})
}

// What a directory leaves to the vendor when it is taken away stays a member, also
// when his invitation was withdrawn meanwhile.
func TestInvitedPersonOfARemovedDirectory(t *testing.T) {
	each(t, func(w *world) {
		w.Domain(w.acme.ID, "acme.example")
		inv, _ := w.invited(w.as(w.boss), ada)
		scim := w.SCIMConnection(w.acme.ID)
		w.Provision(w.acme.ID, scim, directory.Profile{ExternalID: "a1", UserName: ada, Email: ada, Active: true})
		w.Tx(func(q db.Queryer) error { return w.People.Revoke(t.Context(), w.as(w.boss), q, w.acme.ID, inv.ID) })
		w.Tx(func(q db.Queryer) error {
			return w.Directory.ReleaseDirectory(t.Context(), actor.Actor{Environment: w.Env.ID, Kind: actor.System}, q, w.Env.ID, w.acme.ID, scim, false)
		})
		out, code := w.login(w.sso, ada)
		w.wants("login", code, "")
		w.wants("person", out.UserID, inv.UserID)
		w.wants("roles", w.Strings(rolesOf, w.acme.ID, out.UserID), []string{"read-only"})
	})
}
