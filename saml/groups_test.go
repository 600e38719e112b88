package saml_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/internal/entra"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// sso 2.4: a response that leaves groups out is not "no groups". A directory's
// memberships count; without one Microsoft Graph is asked; else what was known
// stays, and the log says so.
func TestGroupsLeftOut(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const directory, application, object = "8d3f1c2a-0f6b-4f7e-9a51-2f1f7f0a9c11", "5c0e7f44-3b1d-4c7a-8a39-7d0a4c2f6b10", "0b9d6a55-7f0b-4b52-8c5e-6f3f7a1d2e33"
		var asked []string
		var fail error
		w.SAML.SetGraph(func(_ context.Context, a entra.App, oid string) ([]string, error) {
			asked = append(asked, a.Tenant+" "+a.Client+" "+a.Secret+" "+oid)
			return []string{"g1", "g2", "g3"}, fail
		})
		over := idp.SAMLKnobs{EntraOverage: true, AttributeNames: map[string]string{"id": "http://schemas.microsoft.com/identity/claims/objectidentifier"}}
		p := ada
		p.ID = object
		const one, two = "11111111-7f0b-4b52-8c5e-6f3f7a1d2e33", "22222222-7f0b-4b52-8c5e-6f3f7a1d2e33"
		p.Groups = []string{one, two}
		known := func() string { return strings.Join(w.Strings(`SELECT name FROM identity_groups ORDER BY name`), " ") }
		check := func() string {
			t.Helper()
			for _, c := range w.logged(w.conn, signin.OutcomeSuccess, "").Checks {
				if c.Name == "groups" {
					return c.Actual
				}
			}
			return ""
		}

		arrived(t, w.answer(browser.New(t), p, idp.SAMLKnobs{}))
		if got := check(); got != "" || known() != one+" "+two {
			t.Fatalf("%q, groups %s", got, known())
		}
		arrived(t, w.answer(browser.New(t), p, over))
		if got := check(); !strings.Contains(got, "those known before stay") || known() != one+" "+two || len(asked) != 0 {
			t.Errorf("without an application of Graph: %q, groups %s, asked %q", got, known(), asked)
		}
		w.change(func(s *tenants.SAMLSettings) { s.GraphTenant, s.GraphClient = directory, application })
		secret := "s3cret"
		w.SetConnection(w.conn, tenants.SSOPatch{ClientSecret: &secret})
		fail = errors.New("entra: no token: status 401")
		arrived(t, w.answer(browser.New(t), p, over))
		if got := check(); !strings.Contains(got, "no token: status 401") || known() != one+" "+two {
			t.Errorf("Graph fails: %q, groups %s", got, known())
		}
		fail = nil
		arrived(t, w.answer(browser.New(t), p, over))
		if got := check(); got != "left out; 3 from Microsoft Graph" || known() != "g1 g2 g3" || len(asked) != 2 || asked[1] != directory+" "+application+" s3cret "+object {
			t.Errorf("Graph answers: %q, groups %s, asked %q", got, known(), asked)
		}
		// Ids would take away the roles that hang on the names that a response had.
		p.Groups = []string{"engineering", one}
		arrived(t, w.answer(browser.New(t), p, idp.SAMLKnobs{}))
		arrived(t, w.answer(browser.New(t), p, over))
		if got := check(); !strings.Contains(got, "has names; those known before stay") || known() != one+" engineering" || len(asked) != 2 {
			t.Errorf("known by name: %q, groups %s, asked %q", got, known(), asked)
		}
		w.SCIMConnection(w.tenant)
		asked = nil
		arrived(t, w.answer(browser.New(t), p, over))
		if got := check(); got != "left out; those that SCIM keeps count" || known() != one+" engineering" || len(asked) != 0 {
			t.Errorf("with a directory: %q, groups %s, asked %q", got, known(), asked)
		}
	})
}

// A connection that asks for a fresh login does not take an old one.
func TestForceAuthnOfConnection(t *testing.T) {
	w := once(t)
	old := idp.SAMLKnobs{Mutate: func(d *etree.Document) {
		d.FindElement("//AuthnStatement").CreateAttr("AuthnInstant", w.Clock.Now().Add(-time.Hour).Format(time.RFC3339))
	}}
	arrived(t, w.answer(browser.New(t), ada, old))
	w.change(func(s *tenants.SAMLSettings) { s.ForceAuthn = true })
	refused(t, w.answer(browser.New(t), ada, old), "SAML_AUTHN_OLD")
	w.logged(w.conn, signin.OutcomeFailure, "SAML_AUTHN_OLD")
	arrived(t, w.answer(browser.New(t), ada, idp.SAMLKnobs{}))
}
