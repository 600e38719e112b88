package entitlement

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/permission"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Product 21, 96, 98 and 133 (acceptance 11): a section is visible if and only if
// its module is on, its read permission is held, and no feature is linked to that
// permission or one of those that are may be used; over every section.
func TestSections(t *testing.T) {
	modules := map[string]map[tenants.Module]bool{"absent": nil, "on": {}, "off": {}}
	for _, m := range tenants.Modules {
		modules["on"][m], modules["off"][m] = true, false
	}
	granted, missing := Grant{Granted: true}, Grant{}
	expired := Grant{Granted: true, Until: now.Add(-time.Hour)}
	for _, x := range sections {
		permissions := map[string]struct {
			held []string
			ok   bool
		}{
			"none":              {nil, false},
			"read":              {[]string{x.read}, true},
			"wildcard":          {[]string{"fe.*"}, true},
			"write only":        {[]string{x.write, x.delete}, false},
			"other permissions": {[]string{"fe.secure.read.none", x.read + "s"}, false},
		}
		link := func(g Grant) FeatureFacts { return FeatureFacts{Grant: g, Permissions: []string{x.read}} }
		features := map[string]struct {
			features map[string]FeatureFacts
			ok       bool
		}{
			"no feature":                 {nil, true},
			"linked elsewhere":           {map[string]FeatureFacts{"f": {Permissions: []string{"fe.secure.read.none"}}}, true},
			"linked to a wildcard":       {map[string]FeatureFacts{"f": {Permissions: []string{"fe.*"}}}, true},
			"entitled":                   {map[string]FeatureFacts{"f": link(granted)}, true},
			"not entitled":               {map[string]FeatureFacts{"f": link(missing)}, false},
			"expired":                    {map[string]FeatureFacts{"f": link(expired)}, false},
			"one of two":                 {map[string]FeatureFacts{"f": link(missing), "g": link(granted)}, true},
			"none of two":                {map[string]FeatureFacts{"f": link(missing), "g": link(expired)}, false},
			"entitled to something else": {map[string]FeatureFacts{"f": link(missing), "g": {Grant: granted}}, false},
		}
		for m, module := range modules {
			for p, held := range permissions {
				for f, linked := range features {
					got := Visible(tenants.EnvironmentSettings{Modules: module}, Facts{Permissions: permission.NewSet(held.held...), Features: linked.features, Now: now})
					s := got[slices.IndexFunc(got, func(s Section) bool { return s.Key == x.key })]
					if want := m != "off" && held.ok && linked.ok; s.Visible != want {
						t.Errorf("%s: module %s, permission %s, feature %s: %v", x.key, m, p, f, s.Visible)
					}
					// Product 91: read-only and more are told apart.
					if s.Write != (s.Visible && p == "wildcard" && x.write != "") || s.Delete != (s.Visible && p == "wildcard" && x.delete != "") {
						t.Errorf("%s with %s: %+v", x.key, p, s)
					}
				}
			}
		}
	}
	// Every module of the portal but a person's own pages has a section.
	left := map[tenants.Module]bool{}
	for _, m := range tenants.Modules {
		left[m] = true
	}
	keys := map[string]bool{}
	for _, x := range sections {
		delete(left, x.module)
		if keys[x.key] {
			t.Errorf("%s stands twice", x.key)
		}
		keys[x.key] = true
	}
	delete(left, tenants.ModuleProfile)
	delete(left, tenants.ModulePrivacy)
	if len(left) > 0 {
		t.Errorf("no section for %v", slices.Collect(maps.Keys(left)))
	}
}
