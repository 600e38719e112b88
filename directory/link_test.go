package directory

import (
	"errors"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

func TestDecideLink(t *testing.T) {
	usable := Membership{ID: "m1", UserID: "u1", Status: StatusActive}
	other := Membership{ID: "m2", UserID: "u2", Status: StatusActive}
	disabled := Membership{ID: "m1", UserID: "u1", Status: StatusActive, DisabledAt: start}
	hidden := Membership{ID: "m1", UserID: "u1", Status: StatusActive, HiddenAt: start}
	inactive := Membership{ID: "m1", UserID: "u1", Status: StatusActive, SCIMResources: 1}
	expired := Membership{ID: "m1", UserID: "u1", Status: StatusActive, ExpiresAt: start}
	no, yes := false, true
	hit := func(step string, m Membership) linkHit { return linkHit{step: step, membership: m} }
	q := LinkQuery{Email: "x@a.example"}
	for _, c := range []struct {
		name string
		q    LinkQuery
		f    linkFindings
		want LinkOutcome
		step string
		err  error
	}{
		{"nobody", q, linkFindings{}, LinkNone, "", nil},
		{"external id", q, linkFindings{hits: []linkHit{hit(StepExternalID, usable)}}, LinkMembership, StepExternalID, nil},
		{"found twice by one step is one hit", q, linkFindings{hits: []linkHit{hit(StepUserName, usable), hit(StepUserName, usable)}}, LinkMembership, StepUserName, nil},
		{"the first step decides", q, linkFindings{hits: []linkHit{hit(StepExternalID, usable), hit(StepEmail, other)}}, LinkMembership, StepExternalID, nil},
		{"a refusal of the first step is final", q, linkFindings{hits: []linkHit{hit(StepExternalID, disabled), hit(StepEmail, other)}}, LinkRefused, StepExternalID, ErrDisabled},
		{"two hits", q, linkFindings{hits: []linkHit{hit(StepUserName, usable), hit(StepUserName, other)}}, LinkRefused, StepUserName, ErrLinkAmbiguous},
		{"hidden", q, linkFindings{hits: []linkHit{hit(StepUserName, hidden)}}, LinkRefused, StepUserName, ErrDeprovisioned},
		{"inactive", q, linkFindings{hits: []linkHit{hit(StepEmail, inactive)}}, LinkRefused, StepEmail, ErrDeprovisioned},
		{"expired guest", q, linkFindings{hits: []linkHit{hit(StepEmail, expired)}}, LinkRefused, StepEmail, ErrGuestExpired},
		{"another subject", q, linkFindings{hits: []linkHit{{step: StepEmail, membership: usable, taken: true}}}, LinkRefused, StepEmail, ErrLinkTaken},
		{"unverified e-mail matches nobody", LinkQuery{Email: "x@a.example", EmailVerified: &no}, linkFindings{hits: []linkHit{hit(StepEmail, usable)}}, LinkNone, "", nil},
		{"tombstone", q, linkFindings{tombstone: true}, LinkRefused, StepTombstone, ErrDeprovisioned},
		{"tombstone before other tenants", q, linkFindings{tombstone: true, domainVerified: true, users: []userHit{{id: "u9"}}}, LinkRefused, StepTombstone, ErrDeprovisioned},
		{"a membership before the tombstone", q, linkFindings{tombstone: true, hits: []linkHit{hit(StepEmail, usable)}}, LinkMembership, StepEmail, nil},
		{"user of the environment", q, linkFindings{domainVerified: true, users: []userHit{{id: "u9"}}}, LinkUser, StepOtherEmail, nil},
		{"verified by the provider", LinkQuery{Email: "x@a.example", EmailVerified: &yes}, linkFindings{domainVerified: true, users: []userHit{{id: "u9"}}}, LinkUser, StepOtherEmail, nil},
		{"foreign domain", q, linkFindings{users: []userHit{{id: "u9"}}}, LinkNone, "", nil},
		{"denied by the provider", LinkQuery{Email: "x@a.example", EmailVerified: &no}, linkFindings{domainVerified: true, users: []userHit{{id: "u9"}}}, LinkNone, "", nil},
		{"two users of the address", q, linkFindings{domainVerified: true, users: []userHit{{id: "u8"}, {id: "u9"}}}, LinkNone, "", nil},
		{"a user who is here already", q, linkFindings{domainVerified: true, users: []userHit{{id: "u1"}, {id: "u1", here: true, linkHit: hit(StepOtherEmail, usable)}}}, LinkMembership, StepOtherEmail, nil},
		{"a user who is here and disabled", q, linkFindings{domainVerified: true, users: []userHit{{id: "u1"}, {id: "u1", here: true, linkHit: hit(StepOtherEmail, disabled)}}}, LinkRefused, StepOtherEmail, ErrDisabled},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := decideLink(start, c.q, c.f)
			if r.Outcome != c.want || r.Step != c.step || !errors.Is(r.Err, c.err) {
				t.Errorf("got outcome %d, step %q, error %v; want %d, %q, %v", r.Outcome, r.Step, r.Err, c.want, c.step, c.err)
			}
			if (c.want == LinkMembership) != (r.Membership.ID != "") {
				t.Errorf("membership %q with outcome %d", r.Membership.ID, r.Outcome)
			}
		})
	}
}

func TestDecideProvision(t *testing.T) {
	m1, m2, hidden := Membership{ID: "m1"}, Membership{ID: "m2"}, Membership{ID: "m3", HiddenAt: start}
	for _, c := range []struct {
		name       string
		f          Found
		join, user string
	}{
		{"nobody", Found{}, "", ""},
		{"one hit joins", Found{hits: []joinHit{{step: StepEmail, membership: m1}}}, "m1", ""},
		{"two hits are a new user", Found{hits: []joinHit{{step: StepEmail, membership: m1}, {step: StepEmail, membership: m2}}, users: []string{"u"}}, "", ""},
		{"the first step decides", Found{hits: []joinHit{{step: StepExternalID, membership: m2}, {step: StepUserName, membership: m1}}}, "m2", ""},
		{"another resource of the connection is another person", Found{hits: []joinHit{{step: StepEmail, membership: m1, taken: true}}}, "", ""},
		{"a tombstone gives the user id back", Found{tombs: []tombHit{{userID: "u1", away: true}}}, "", "u1"},
		{"not while he is here again", Found{tombs: []tombHit{{userID: "u1"}}}, "", ""},
		{"he gets it though his address is another's now", Found{hits: []joinHit{{step: StepEmail, membership: m1, taken: true}}, tombs: []tombHit{{userID: "u1", away: true}}, users: []string{"u2"}}, "", "u1"},
		{"a hidden membership is not joined by e-mail", Found{hits: []joinHit{{step: StepEmail, membership: hidden}}}, "", ""},
		{"but by userName", Found{hits: []joinHit{{step: StepUserName, membership: hidden}}}, "m3", ""},
		{"a user by e-mail", Found{users: []string{"u2"}}, "", "u2"},
		{"two users", Found{users: []string{"u2", "u3"}}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := decideProvision(c.f)
			join := ""
			if d.join != nil {
				join = d.join.ID
			}
			if join != c.join || d.userID != c.user {
				t.Errorf("join %q, user %q; want %q, %q", join, d.userID, c.join, c.user)
			}
		})
	}
}

func TestSCIMThenSSO(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		p := f.provision(resource("a", "res_1"), profile("ann"))
		for name, l := range map[string]LinkQuery{
			"by externalId":        {Tenant: "a", Subject: "ext-ann"},
			"by oid":               {Tenant: "a", Subject: "pairwise", ObjectID: "ext-ann"},
			"by userName":          {Tenant: "a", Subject: "s", UserName: "ANN@login.example"},
			"by e-mail, no domain": {Tenant: "a", Subject: "s", Email: " Ann@Mail.Example "},
		} {
			if r := f.link(l); r.Outcome != LinkMembership || r.UserID != p.UserID {
				t.Errorf("%s: %+v", name, r)
			}
		}
		if r := f.link(LinkQuery{Tenant: "a", Subject: "EXT-ANN"}); r.Outcome != LinkNone {
			t.Errorf("externalId is exact in case: %+v", r)
		}
		if r := f.link(LinkQuery{Tenant: "b", Subject: "ext-ann", UserName: "ann@login.example", Email: "ann@mail.example"}); r.Outcome != LinkNone {
			t.Errorf("another tenant's login found the person: %+v", r)
		}
		if r := f.link(LinkQuery{Tenant: "b", Connection: "sso_a", Subject: "ext-ann"}); r.Outcome != LinkNone {
			t.Errorf("a foreign connection found the person: %+v", r)
		}
		user, _ := f.login(LinkQuery{Tenant: "a", Subject: "ext-ann"})
		if user != p.UserID {
			t.Errorf("login became %s, want %s", user, p.UserID)
		}
		if r := f.link(LinkQuery{Tenant: "a", Subject: "ext-ann"}); r.Outcome != LinkKnown || r.UserID != p.UserID || r.Identity.Subject != "ext-ann" {
			t.Errorf("the second login: %+v", r)
		}
		if r := f.link(LinkQuery{Tenant: "a", Subject: "someone-else", Email: "ann@mail.example"}); !errors.Is(r.Err, ErrLinkTaken) {
			t.Errorf("a second subject took the membership: %+v", r)
		}
	})
}

func TestSSOThenSCIM(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		bySubject, _ := f.login(LinkQuery{Tenant: "a", Subject: "ext-ann", Email: "other@mail.example"})
		byObject, _ := f.login(LinkQuery{Tenant: "a", Subject: "pairwise", ObjectID: "ext-bob", Email: "b@mail.example"})
		byName, _ := f.login(LinkQuery{Tenant: "a", Subject: "s3", UserName: "cid@login.example", Email: "c@mail.example"})
		byEmail, _ := f.login(LinkQuery{Tenant: "a", Subject: "s4", Email: "dan@mail.example"})
		for name, want := range map[string]string{"ann": bySubject, "bob": byObject, "cid": byName, "dan": byEmail} {
			if p := f.provision(resource("a", "res_"+name), profile(name)); p.UserID != want || !p.Joined {
				t.Errorf("%s: %+v, want user %s", name, p, want)
			}
		}
		if p := f.provision(resource("b", "res_b"), profile("dan")); p.UserID == byEmail || !p.Created {
			t.Errorf("another tenant's SCIM joined: %+v", p)
		}
		person, err := f.s.PersonOf(t.Context(), d, "a", byEmail)
		if err != nil || person.Membership.FirstName != "DAN" || person.Membership.ManagedBy != SCIM {
			t.Errorf("SCIM's attributes do not stand on the membership: %+v %v", person.Membership, err)
		}
		if person.User.Name != "" || person.User.Email != "dan@mail.example" {
			t.Errorf("SCIM changed the person's own profile: %+v", person.User)
		}
	})
}

func TestUnpairedConnectionsDoNotMeet(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.sso("a", "sso_partner", "auto")
		p := f.provision(resource("a", "res_1"), profile("ann"))
		l := LinkQuery{Tenant: "a", Connection: "sso_partner", Subject: "ext-ann", UserName: "ann@login.example", Email: "ann@mail.example"}
		if r := f.link(l); r.Outcome != LinkNone {
			t.Errorf("an unpaired connection found the person: %+v", r)
		}
		f.exec(`INSERT INTO sso_scim_pairs (tenant_id, sso_connection_id, scim_connection_id) VALUES ('a', 'sso_partner', 'dir_a')`)
		if r := f.link(l); r.Outcome != LinkMembership || r.UserID != p.UserID {
			t.Errorf("a paired connection did not find the person: %+v", r)
		}
		// Somebody whom one connection made is not another's for the e-mail alone.
		user, _ := f.login(LinkQuery{Tenant: "a", Connection: "sso_a", Subject: "z", Email: "zoe@mail.example"})
		z := LinkQuery{Tenant: "a", Connection: "sso_partner", Subject: "zz", Email: "zoe@mail.example"}
		if r := f.link(z); r.Outcome != LinkNone {
			t.Errorf("a partner's e-mail took an account: %+v", r)
		}
		f.domain("a", "mail.example")
		if r := f.link(z); r.Outcome != LinkMembership || r.UserID != user || r.Step != StepOtherEmail {
			t.Errorf("with the domain proved: %+v", r)
		}
	})
}

func TestEmailAcrossTenants(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		ann := f.addUser("b", "ann@mail.example").User.ID
		l := LinkQuery{Tenant: "a", Subject: "s", Email: "ann@mail.example"}
		if r := f.link(l); r.Outcome != LinkNone || r.DomainVerified {
			t.Errorf("matched without a domain: %+v", r)
		}
		if p := f.provision(resource("a", "res_1"), profile("ann")); p.UserID == ann {
			t.Error("SCIM matched without a domain")
		}
		f.domain("b", "mail.example")
		if r := f.link(LinkQuery{Tenant: "a", Subject: "s2", Email: "x@mail.example"}); r.DomainVerified {
			t.Error("another tenant's domain counts")
		}
		bob := f.addUser("b", "bob@mail.example").User.ID
		f.domain("a", "mail.example")
		if r := f.link(LinkQuery{Tenant: "a", Subject: "s3", Email: "bob@mail.example"}); r.Outcome != LinkUser || r.UserID != bob || !r.DomainVerified {
			t.Errorf("with the domain: %+v", r)
		}
		user, membership := f.login(LinkQuery{Tenant: "a", Subject: "s3", Email: "bob@mail.example"})
		if user != bob {
			t.Errorf("login became %s, want %s", user, bob)
		}
		// What a says about bob is not seen in b.
		if p := f.provision(resource("a", "res_bob"), profile("bob")); p.Membership != membership {
			t.Errorf("SCIM made another membership: %+v", p)
		}
		if b, err := f.s.PersonOf(t.Context(), d, "b", bob); err != nil || b.Membership.FirstName != "" || b.Membership.ManagedBy != Local || b.User.Name != "" {
			t.Errorf("tenant a changed what tenant b sees: %+v %v", b, err)
		}
	})
}
