package saml

import (
	"slices"
	"testing"

	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Product 6.2: what a preset tells an admin to add, and what a kind of identity
// provider sends by itself, is read without a mapping.
func TestPresetsNeedNoMapping(t *testing.T) {
	read := func(name, value string) signin.Identity {
		t.Helper()
		pairs := []string{name, value}
		if name != "email" {
			pairs = append(pairs, "email", "other@acme.example")
		}
		i, err := identityOf(tenants.SSOConnection{Type: tenants.SAML, SAML: &tenants.SAMLSettings{}}, said("p-1", formatPersistent, pairs...))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return i
	}
	email := func(kind, name string) {
		i, err := identityOf(tenants.SSOConnection{Type: tenants.SAML, SAML: &tenants.SAMLSettings{}}, said("p-1", formatPersistent, name, "ada@acme.example"))
		if err != nil || i.Email != "ada@acme.example" {
			t.Errorf("%s: e-mail under %s: %q %v", kind, name, i.Email, err)
		}
	}
	known := map[string]func(signin.Identity) string{
		"firstName": func(i signin.Identity) string { return i.FirstName },
		"lastName":  func(i signin.Identity) string { return i.LastName },
		"id":        func(i signin.Identity) string { return i.ObjectID },
		"groups": func(i signin.Identity) string {
			if !i.GroupsKnown || len(i.Groups) != 1 {
				return ""
			}
			return i.Groups[0]
		},
	}
	// What the console calls otherwise than what it then sends.
	labels := []string{"saml_subject", "SAML_SUBJECT", "E-Mail Address", "Given Name", "Surname", "Name ID, format Email", "Group"}
	for _, p := range tenants.Presets() {
		if p.Kind == "" || p.Name == "" || len(p.Protocols) == 0 || len(p.SAML)+len(p.OIDC) == 0 {
			t.Errorf("%+v says too little", p)
		}
		for _, a := range p.Attributes {
			switch get := known[a.Name]; {
			case a.Name == "email":
				email(p.Kind, a.Name)
			case get != nil:
				if got := get(read(a.Name, "value")); got != "value" {
					t.Errorf("%s: %s is read as %q", p.Kind, a.Name, got)
				}
			case !slices.Contains(labels, a.Name):
				t.Errorf("%s: nobody reads %s", p.Kind, a.Name)
			}
		}
		d := p.Defaults
		if d.Email != "" {
			email(p.Kind, d.Email)
		}
		for field, k := range map[string]struct {
			name string
			get  func(signin.Identity) string
		}{
			"first name": {d.FirstName, known["firstName"]}, "last name": {d.LastName, known["lastName"]}, "groups": {d.Groups, known["groups"]},
			"display name": {d.DisplayName, func(i signin.Identity) string { return i.DisplayName }},
		} {
			if k.name == "" {
				continue
			}
			if got := k.get(read(k.name, "value")); got != "value" {
				t.Errorf("%s: %s under %s is read as %q", p.Kind, field, k.name, got)
			}
		}
	}
}
