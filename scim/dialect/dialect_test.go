package dialect

import (
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

func TestRulesAreDocumented(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Rules() {
		if r.String() == "" || r.Doc() == "" || r.Source() == "" {
			t.Errorf("rule %d lacks a name, a line of documentation or a source", r)
		}
		if seen[r.String()] {
			t.Errorf("two rules are called %s", r)
		}
		seen[r.String()] = true
		used := false
		for _, p := range profiles {
			used = used || p.Has(r)
		}
		if !used {
			t.Errorf("no profile has rule %s", r)
		}
	}
	if numRules > 32 {
		t.Errorf("%d rules do not fit the set", numRules)
	}
}

func TestProfiles(t *testing.T) {
	for _, name := range Names() {
		if p, err := Lookup(name); err != nil || p.Name() != name {
			t.Errorf("Lookup(%q) = %v, %v", name, p, err)
		}
	}
	for _, name := range []string{"", "Okta", "azure", "entra "} {
		if _, err := Lookup(name); fault.CodeOf(err) != "unknownProfile" {
			t.Errorf("Lookup(%q) error = %v, want unknownProfile", name, err)
		}
	}
	has := func(name string, r Rule, want bool) {
		t.Helper()
		p, err := Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		if p.Has(r) != want {
			t.Errorf("profile %s, rule %s = %v, want %v", name, r, !want, want)
		}
	}
	has("rfc", UpsertOnFilter, false) // RFC 7644 §3.5.2.3: noTarget
	has("rfc", EmptyOps, false)       // RFC 7644 §3.5.2: one or more
	has("rfc", BareWords, false)      // RFC 7644 §3.4.2.2
	has("okta", BareWords, false)     // the SPEC test of 2016 wants 400
	has("entra", BareWords, true)     // tutorial sample
	has("entra", GroupPatch204, true) // advised
	has("entra", UniqueDisplayName, true)
	has("okta", UniqueDisplayName, false)
	has("onelogin", LegacyURNs, true)
}

func TestWith(t *testing.T) {
	p, _ := Lookup("entra")
	q := p.With([]Rule{UnknownIsAbsent}, []Rule{UniqueDisplayName})
	if !q.Has(UnknownIsAbsent) || q.Has(UniqueDisplayName) || q.Name() != "entra" {
		t.Error("With did not switch the rules")
	}
	if p.Has(UnknownIsAbsent) || !p.Has(UniqueDisplayName) {
		t.Error("With changed the profile that it was called on")
	}
}

func TestFired(t *testing.T) {
	p, _ := Lookup("entra")
	d := p.Start()
	if d.Fired.Names() != nil {
		t.Error("a fresh recorder has hits")
	}
	d.Allow(UpsertOnFilter)
	d.Allow(CoerceBool)
	d.Allow(CoerceBool)
	if d.Allow(UnknownIsAbsent) {
		t.Error("entra allows unknownIsAbsent")
	}
	if got, want := d.Fired.Names(), []string{"coerceBool", "upsertOnFilter"}; !slices.Equal(got, want) {
		t.Errorf("fired %v, want %v", got, want)
	}
	var zero Dialect
	if zero.Allow(CoerceBool) || (Dialect{Profile: p}).Allow(UnknownIsAbsent) || !(Dialect{Profile: p}).Allow(CoerceBool) {
		t.Error("a dialect without a recorder or a profile misbehaves")
	}
}

func TestSuggest(t *testing.T) {
	for _, c := range []struct{ agent, body, want string }{
		{"Okta SCIM Client 1.0.0", "", "okta"},
		{"OKTA SCIM Integration", "", "okta"},
		{"", `{"Operations":[{"op":"Replace","path":"active","value":"False"}]}`, "entra"},
		{"", `{"schemas":["http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"]}`, "entra"},
		{"", `{"schemas":["urn:scim:schemas:core:2.0","urn:scim:schemas:extension:enterprise:2.0"]}`, "onelogin"},
		{"onelogin/1.0", "", "onelogin"},
		{"JumpCloud-SCIM/2.0", `{"schemas":[]}`, "jumpcloud"},
		{"Google-AutoProvisioning", "", "google"},
		{"PingOne", "", "ping"},
		{"Ping Identity Provisioner", "", "ping"},
		{"PingFederate/12.1", "", "ping"},
		{"Rippling-SCIM", "", "rippling"},
		{"Azure AD Provisioning", "", "entra"},
		{"MSFT-Entra-Provisioning/1.0", "", "entra"},
		{"Mozilla/5.0 (Windows NT; Microsoft Windows 10.0.22631; en-US) PowerShell/7.4", `{"userName":"x"}`, ""},
		{"", "aadOptscim062020&filter=x", "entra"},
		{"", "AzureAdScimPatch2017", "entra"},
		{"", `{"Operations": [ {"op" : "Add" , "path":"x"}]}`, "entra"},
		{"", "{\"Operations\":[{\n  \"op\":\n\"Remove\"}]}", "entra"},
		{"", `{"Operations":[{"op":"add","path":"x","value":"Add"}]}`, ""},
		{"", `{"schemas":["urn:scim:schemas:core:1.0","urn:scim:schemas:extension:enterprise:2.0"]}`, "onelogin"},
		{"", `{"externalId":"00ujl29u0le5T6Aj10h7","groups":[]}`, "okta"},
		{"", `{"schemas":["urn:okta:acme:1.0:user:custom"]}`, "okta"},
		{"", `{"schemas":["urn:pingidentity:schemas:x"]}`, "ping"},
		{"Go-http-client/1.1", `{"userName":"x"}`, ""},
		{"Go-http-client/1.1", strings.Repeat(" ", 5000) + `"op":"Add"`, ""},
		{"", "", ""},
	} {
		if got := Suggest(c.agent, []byte(c.body)); got != c.want {
			t.Errorf("Suggest(%q, %q) = %q, want %q", c.agent, c.body, got, c.want)
		}
	}
}
