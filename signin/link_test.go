package signin_test

import (
	"testing"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

func profile(externalID, name string) directory.Profile {
	return directory.Profile{ExternalID: externalID, UserName: name, Email: name, FirstName: "Ada", Active: true}
}

// Identity rule 3, SCIM first: the first login meets the person whom the paired
// directory made, by externalId, userName or e-mail, without a verified domain.
func TestSCIMThenSSOIsOneUser(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		tenant := r.Tenant("acme") // holds no domain
		dir := r.SCIMConnection(tenant)
		c := r.Bare(tenant)
		for _, k := range []struct {
			name  string
			known directory.Profile
			login func(*signin.Identity)
		}{
			{"externalId is the subject", profile("00u1", "one@acme.example"), func(i *signin.Identity) {
				i.Subject, i.SubjectParts, i.UserName, i.Email = "00u1", []string{"00u1"}, "other", "other@acme.example"
			}},
			{"externalId is the oid", profile("oid-2", "two@acme.example"), func(i *signin.Identity) { i.ObjectID, i.UserName, i.Email = "oid-2", "x", "x@acme.example" }},
			{"userName", profile("ext-3", "three@acme.example"), func(i *signin.Identity) { i.UserName, i.Email = "THREE@acme.example", "y@acme.example" }},
			{"e-mail", profile("ext-4", "four@acme.example"), func(i *signin.Identity) { i.UserName, i.Email = "z", "Four@ACME.example" }},
		} {
			t.Run(k.name, func(t *testing.T) {
				made := r.Provision(tenant, dir, k.known)
				i := person(r, c, "sub-"+k.name, "")
				k.login(&i)
				before := people(r)
				out := in(t, arrive(t, r, i))
				if out.UserID != made.UserID {
					t.Fatalf("login became user %s, the directory's is %s", out.UserID, made.UserID)
				}
				if after := people(r); after[0] != before[0] || after[1] != before[1] || after[2] != before[2]+1 {
					t.Errorf("users, memberships, identities: %v, then %v", before, after)
				}
				if again := in(t, arrive(t, r, i)); again.UserID != made.UserID {
					t.Errorf("the second login became %s", again.UserID)
				}
			})
		}
	})
}

// Identity rule 3, SSO first: a SCIM create joins the person whom the login made.
func TestSSOThenSCIMIsOneUser(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		tenant := r.Tenant("acme", "acme.example")
		dir := r.SCIMConnection(tenant)
		c := r.Bare(tenant)
		out := in(t, arrive(t, r, person(r, c, "00u1", "ada@acme.example")))
		made := r.Provision(tenant, dir, profile("00u1", "ada.byron@acme.example"))
		if made.UserID != out.UserID || !made.Joined {
			t.Fatalf("SCIM made %+v, the login is user %s", made.Provisioned, out.UserID)
		}
		if n := r.Count(`SELECT COUNT(*) FROM memberships WHERE tenant_id = $1`, tenant); n != 1 {
			t.Errorf("%d memberships", n)
		}
		if again := in(t, arrive(t, r, person(r, c, "00u1", "ada@acme.example"))); again.UserID != out.UserID {
			t.Errorf("the next login became %s", again.UserID)
		}
	})
}

// Identity rule 3: two hits, a disabled or hidden hit, and a membership with
// another subject of the connection refuse, before a row is written.
func TestLinkRefusals(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		tenant := r.Tenant("acme", "acme.example")
		dir := r.SCIMConnection(tenant)
		c := r.Bare(tenant)

		t.Run("two hits", func(t *testing.T) {
			p := profile("amb-1", "amb1@acme.example")
			p.Email = "shared@acme.example"
			r.Provision(tenant, dir, p)
			p = profile("amb-2", "amb2@acme.example")
			p.Email = "shared@acme.example"
			r.Provision(tenant, dir, p)
			refused(t, r, person(r, c, "amb", "shared@acme.example"), "POLICY_LINK_AMBIGUOUS")
		})
		t.Run("active=false, first login", func(t *testing.T) {
			r.Deactivate(r.Provision(tenant, dir, profile("off-1", "off1@acme.example")))
			refused(t, r, person(r, c, "off-1", "off1@acme.example"), "POLICY_USER_DEPROVISIONED")
		})
		t.Run("active=false, known login", func(t *testing.T) {
			made := r.Provision(tenant, dir, profile("off-2", "off2@acme.example"))
			i := person(r, c, "off-2", "off2@acme.example")
			in(t, arrive(t, r, i))
			r.Deactivate(made)
			refused(t, r, i, "POLICY_USER_DEPROVISIONED")
		})
		t.Run("soft delete", func(t *testing.T) {
			made := r.Provision(tenant, dir, profile("soft", "soft@acme.example"))
			i := person(r, c, "soft", "soft@acme.example")
			in(t, arrive(t, r, i))
			r.Remove(made, false)
			refused(t, r, i, "POLICY_USER_DEPROVISIONED")
			i.Subject, i.SubjectParts = "soft-2", []string{"soft-2"}
			refused(t, r, i, "POLICY_USER_DEPROVISIONED")
		})
		t.Run("hard delete leaves a tombstone", func(t *testing.T) {
			made := r.Provision(tenant, dir, profile("hard", "hard@acme.example"))
			i := person(r, c, "hard", "hard@acme.example")
			in(t, arrive(t, r, i))
			r.Remove(made, true)
			refused(t, r, i, "POLICY_USER_DEPROVISIONED")
			again := r.Provision(tenant, dir, profile("hard", "hard@acme.example"))
			if out := in(t, arrive(t, r, i)); out.UserID != again.UserID {
				t.Errorf("after SCIM made the person again the login became %s, not %s", out.UserID, again.UserID)
			}
		})
		t.Run("disabled by an admin", func(t *testing.T) {
			i := person(r, c, "dis", "dis@acme.example")
			out := in(t, arrive(t, r, i))
			r.Exec(`UPDATE memberships SET disabled_at = 1 WHERE tenant_id = $1 AND user_id = $2`, tenant, out.UserID)
			refused(t, r, i, "POLICY_USER_DISABLED")
			// A new subject with the same address does not get round it.
			i.Subject, i.SubjectParts = "dis-2", []string{"dis-2"}
			refused(t, r, i, "POLICY_USER_DISABLED")
		})
		t.Run("guest expired", func(t *testing.T) {
			i := person(r, c, "guest", "guest@acme.example")
			out := in(t, arrive(t, r, i))
			r.Exec(`UPDATE memberships SET expires_at = $3 WHERE tenant_id = $1 AND user_id = $2`, tenant, out.UserID, r.Clock.Now().UnixMicro())
			refused(t, r, i, "POLICY_GUEST_EXPIRED")
		})
		t.Run("user locked", func(t *testing.T) {
			i := person(r, c, "lock", "lock@acme.example")
			out := in(t, arrive(t, r, i))
			r.Exec(`UPDATE users SET locked_at = 1 WHERE environment_id = $1 AND id = $2`, r.Env.ID, out.UserID)
			refused(t, r, i, "POLICY_USER_LOCKED")
		})
		t.Run("another subject of the connection", func(t *testing.T) {
			in(t, arrive(t, r, person(r, c, "first", "taken@acme.example")))
			refused(t, r, person(r, c, "second", "taken@acme.example"), "POLICY_LINK_CONFLICT")
		})
	})
}

// Identity rule 4: just-in-time creation stays within the tenant's verified
// domains, unless the connection says otherwise; then it is a new user, even with
// the address of another.
func TestJITDomains(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		acme, other := r.Tenant("acme", "acme.example"), r.Tenant("other", "other.example")
		strict, open := r.Bare(acme), r.Bare(other, func(n *tenants.NewSSOConnection) { n.AllowUnverifiedDomains = true })

		refused(t, r, person(r, strict, "s1", "eve@elsewhere.example"), "POLICY_EMAIL_DOMAIN")
		refused(t, r, person(r, strict, "s2", "eve@sub.acme.example"), "POLICY_EMAIL_DOMAIN")
		refused(t, r, person(r, strict, "s3", "eve@gmail.com"), "POLICY_EMAIL_DOMAIN")
		refused(t, r, person(r, strict, "s4", "eve@acme.example@elsewhere.example"), "POLICY_EMAIL_DOMAIN")

		ada := in(t, arrive(t, r, person(r, strict, "ada", "ada@acme.example")))
		// other does not hold acme.example: its Ada is somebody else.
		hers := in(t, arrive(t, r, person(r, open, "ada", "ada@acme.example")))
		if hers.UserID == ada.UserID {
			t.Error("an e-mail of an unverified domain matched a user of another tenant")
		}
	})
}

// Identity rule 4: an e-mail matches a user of another tenant only when this
// tenant holds its domain, and the provider does not say that it is unverified.
func TestEmailAcrossTenants(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		first, second := r.Tenant("first", "acme.example"), r.Tenant("second", "acme.example")
		a, b := r.Bare(first), r.Bare(second)
		ada := in(t, arrive(t, r, person(r, a, "ada", "ada@acme.example")))

		no := false
		unverified := person(r, b, "ada-2", "ada@acme.example")
		unverified.EmailVerified = &no
		if out := in(t, arrive(t, r, unverified)); out.UserID == ada.UserID {
			t.Error("email_verified: false matched a user of another tenant")
		}
		r.Exec(`DELETE FROM memberships WHERE tenant_id = $1`, second)
		r.Exec(`DELETE FROM users WHERE id <> $1 AND NOT EXISTS (SELECT 1 FROM memberships m WHERE m.user_id = users.id)`, ada.UserID)

		out := in(t, arrive(t, r, person(r, b, "ada-3", "ADA@acme.example")))
		if out.UserID != ada.UserID {
			t.Errorf("the tenant holds the domain, and the login became %s, not %s", out.UserID, ada.UserID)
		}
		if n := r.Count(`SELECT COUNT(*) FROM memberships WHERE user_id = $1`, ada.UserID); n != 2 {
			t.Errorf("%d memberships", n)
		}
		// Rule 1: what the second tenant's provider says is shown there alone.
		there := person(r, b, "ada-3", "ada@acme.example")
		there.FirstName = "Augusta"
		in(t, arrive(t, r, there))
		p, err := r.Signin.Check(t.Context(), r.DB, r.Env.ID, first, ada.UserID, a.ID)
		if err != nil || p.FirstName != "Ada" {
			t.Errorf("the first tenant sees %q, %v", p.FirstName, err)
		}
	})
}

// Identity rule 4: domains are consulted at JIT and at an e-mail match only.
func TestKnownLinkOutlivesTheDomain(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		tenant := r.Tenant("acme", "acme.example")
		c := r.Bare(tenant)
		i := person(r, c, "ada", "ada@acme.example")
		ada := in(t, arrive(t, r, i))
		r.Exec(`UPDATE domains SET verified_at = NULL, verified_by = ''`)
		if out := in(t, arrive(t, r, i)); out.UserID != ada.UserID {
			t.Errorf("became %s", out.UserID)
		}
		refused(t, r, person(r, c, "bob", "bob@acme.example"), "POLICY_EMAIL_DOMAIN")
		// A changed e-mail keeps the identity, but is not taken over (nOAuth).
		i.Email = "ceo@acme.example"
		if out := in(t, arrive(t, r, i)); out.UserID != ada.UserID {
			t.Errorf("became %s", out.UserID)
		}
		p, err := r.Signin.Check(t.Context(), r.DB, r.Env.ID, tenant, ada.UserID, c.ID)
		if err != nil || p.Email != "ada@acme.example" || p.EmailVerified {
			t.Errorf("e-mail %q, verified %v, %v", p.Email, p.EmailVerified, err)
		}
	})
}

// A known member's e-mail does not follow his provider to that of somebody else of
// the tenant: a first login with it would find two people.
func TestEmailDoesNotFollowToAnothers(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		tenant := r.Tenant("acme", "acme.example")
		c := r.Bare(tenant)
		i := person(r, c, "ada", "ada@acme.example")
		ada := in(t, arrive(t, r, i))
		in(t, arrive(t, r, person(r, c, "bob", "bob@acme.example")))
		i.Email, i.FirstName = "Bob@acme.example", "Ada"
		in(t, arrive(t, r, i))
		p, err := r.Signin.Check(t.Context(), r.DB, r.Env.ID, tenant, ada.UserID, c.ID)
		if err != nil || p.Email != "ada@acme.example" || p.FirstName != "Ada" {
			t.Errorf("%+v, %v", p, err)
		}
	})
}

// Identity rules 1 and 4: a known member's e-mail follows his provider inside the
// tenant's domains.
func TestEmailFollowsInsideTheDomain(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		tenant := r.Tenant("acme", "acme.example")
		c := r.Bare(tenant)
		i := person(r, c, "ada", "ada@acme.example")
		ada := in(t, arrive(t, r, i))
		for _, k := range []struct{ said, want string }{
			{"ada.king@acme.example", "ada.king@acme.example"},
			{"ada@elsewhere.example", "ada.king@acme.example"},
		} {
			i.Email = k.said
			in(t, arrive(t, r, i))
			p, err := r.Signin.Check(t.Context(), r.DB, r.Env.ID, tenant, ada.UserID, c.ID)
			if err != nil || p.Email != k.want || !p.EmailVerified {
				t.Errorf("after %s: e-mail %q (verified %v), %v; want %s", k.said, p.Email, p.EmailVerified, err, k.want)
			}
		}
	})
}

func TestJITSwitchedOff(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		tenant := r.Tenant("acme", "acme.example")
		dir := r.SCIMConnection(tenant)
		c := r.Bare(tenant, func(n *tenants.NewSSOConnection) { n.JIT = false })
		refused(t, r, person(r, c, "ada", "ada@acme.example"), "POLICY_JIT_DISABLED")
		made := r.Provision(tenant, dir, profile("ada", "ada@acme.example"))
		if out := in(t, arrive(t, r, person(r, c, "ada", "ada@acme.example"))); out.UserID != made.UserID {
			t.Errorf("became %s", out.UserID)
		}
	})
}

// Identity rule 2: the link key is of the connection. The same subject at another
// connection is another person, unless he is found as a new one would be.
func TestSubjectIsOfItsConnection(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		acme, globex := r.Tenant("acme", "acme.example"), r.Tenant("globex", "globex.example")
		a, b := r.Bare(acme), r.Bare(globex)
		ada := in(t, arrive(t, r, person(r, a, "00u1", "ada@acme.example")))
		bob := in(t, arrive(t, r, person(r, b, "00u1", "bob@globex.example")))
		if ada.UserID == bob.UserID {
			t.Error("one subject at two tenants is one user")
		}
		if _, ok := bob.Session.Proof(acme); ok {
			t.Error("globex's login satisfies acme") // identity rule 6
		}
	})
}

// Two lists of parts never make one key.
func TestSubjectKey(t *testing.T) {
	seen := map[string][]string{}
	for _, parts := range [][]string{{}, {""}, {"", ""}, {"ab"}, {"a", "b"}, {"b", "a"}, {"ab", ""}, {"", "ab"}, {"1:a"}, {"a", "1:b"}, {"a1:b"}} {
		k := signin.Identity{SubjectParts: parts}.SubjectKey()
		if other, dup := seen[k]; dup {
			t.Errorf("%q and %q have one key", parts, other)
		}
		seen[k] = parts
	}
}
