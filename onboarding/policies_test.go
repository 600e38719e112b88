package onboarding_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/onboarding"
	"github.com/gatehouse-id/gatehouse/policy"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Product 47, 51 to 53, 126 and 130: what the environment and the tenant say about
// domains and addresses holds for each way in: an invitation, one of several, a
// link, a password, a first login through a connection. The tenant's log names the
// rule; who is a member already is not asked.
func TestRulesForWhoJoins(t *testing.T) {
	each(t, func(w *world) {
		w.sso = w.Bare(w.acme.ID, func(c *tenants.NewSSOConnection) { c.AllowUnverifiedDomains = true }) // the list must hold by itself
		boss := w.as(w.boss)
		const denied = `SELECT COUNT(*) FROM audit_events WHERE tenant_id = $1 AND action = 'invitation.refused' AND outcome = 'denied' AND metadata LIKE $2`
		free := func(env, own string) {
			w.SetPolicy("", policy.Domains, env)
			w.SetPolicy(w.acme.ID, policy.Domains, own)
		}
		const open = `{"enabled":false,"mode":"deny","domains":["gmail.com"],"block_public_domains":true}`
		n := 0
		for name, x := range map[string]struct{ env, own, rule string }{
			"deny list":                            {open, `{"enabled":true,"mode":"deny","domains":["GMail.com"]}`, "gmail.com"},
			"allow list":                           {open, `{"enabled":true,"mode":"allow","domains":["x.gmail.com","acme.com"]}`, "not on the allow list"},
			"public domains":                       {open, `{"enabled":true,"mode":"deny","domains":[],"block_public_domains":true}`, "block_public_domains"},
			"public domains, though one is listed": {open, `{"enabled":true,"mode":"allow","domains":["gmail.com"],"block_public_domains":true}`, "block_public_domains"},
			"of the environment":                   {`{"enabled":true,"mode":"deny","domains":[],"block_public_domains":true}`, open, "block_public_domains"},
		} {
			n++
			ada, bob := fmt.Sprintf("ada%d@gmail.com", n), fmt.Sprintf("bob%d@gmail.com", n)
			free(open, open)
			_, token := w.invited(boss, ada)
			_, second := w.invited(boss, bob)
			_, link := w.link(boss, onboarding.NewLink{})
			free(x.env, x.own)
			_, err := w.tryInvite(boss, invite("carl@"+strings.ToUpper("gmail.com")))
			w.wants(name+": one by mail", w.code(err), "domain_not_allowed")
			_, err = w.tryInvite(boss, invite("ok@x.example", "carl@gmail.com"))
			w.wants(name+": one of two", w.code(err), "domain_not_allowed")
			w.wants(name+": people invited", w.Count(`SELECT COUNT(*) FROM memberships WHERE email = 'ok@x.example'`), 0)
			w.refused(name+": invited before", "POLICY_EMAIL_DOMAIN", func() string { _, code := w.accept(token, w.identity(w.sso, ada)); return code })
			w.refused(name+": by link", "POLICY_EMAIL_DOMAIN", func() string { _, code := w.accept(link, w.identity(w.sso, "carl@gmail.com")); return code })
			w.refused(name+": at a first login", "POLICY_EMAIL_DOMAIN", func() string { _, code := w.login(w.sso, "carl@gmail.com"); return code })
			before := w.Count(denied, w.acme.ID, `%"rule":"`+x.rule+`"%`)
			_, err = w.People.AcceptWithPassword(t.Context(), boss, w.Env, second, "a sentence of many words")
			w.wants(name+": with a password", w.code(err), "POLICY_EMAIL_DOMAIN")
			w.wants(name+": told to the tenant", w.Count(denied, w.acme.ID, `%"rule":"`+x.rule+`"%`), before+1)
			free(open, open)
			_, code := w.accept(token, w.identity(w.sso, ada))
			w.wants(name+": lifted", code, "")
			free(x.env, x.own)
			_, code = w.login(w.sso, ada)
			w.wants(name+": a member", code, "")
		}
		free(open, open)
		for name, x := range map[string]struct{ tenant, rule string }{"the environment's list": {"", "203.0.113.0/24"}, "the tenant's list": {w.acme.ID, "203.0.113.0/24"}} {
			n++
			ada := fmt.Sprintf("ada%d@x.example", n)
			_, token := w.invited(boss, ada)
			w.SetPolicy(x.tenant, policy.IP, `{"enabled":true,"mode":"deny","rules":[{"cidr":"203.0.113.0/24"}]}`)
			a := boss
			a.IP = netip.MustParseAddr("::ffff:203.0.113.255")
			_, err := w.People.AcceptWithPassword(t.Context(), a, w.Env, token, "a sentence of many words")
			w.wants(name+": a password", w.code(err), "POLICY_IP")
			w.wants(name+": told to the tenant", w.Count(denied, w.acme.ID, `%"email":"`+ada+`"%"rule":"`+x.rule+`"%`), 1)
			a.IP = netip.MustParseAddr("203.0.114.0")
			_, err = w.People.AcceptWithPassword(t.Context(), a, w.Env, token, "a sentence of many words")
			w.wants(name+": from beside it", w.code(err), "")
			w.SetPolicy(x.tenant, policy.IP, `{"enabled":false,"mode":"deny","rules":[]}`)
		}
	})
}
