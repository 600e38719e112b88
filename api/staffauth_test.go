package api

import (
	"maps"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
)

func init() {
	maps.Copy(bodies, map[string]object{
		"putStaffSSO": {"issuer": "https://id.vendor.example", "client_id": "backoffice"},
	})
}

// Product 14: the vendor's people are invited and reset by those who could become
// them.
func TestStaffInvitedAndReset(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		mails := func() (n int) {
			if err := d.QueryRow(t.Context(), `SELECT COUNT(*) FROM jobs WHERE kind = 'mail.send'`).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		ann := f.do(201, "POST", "/staff", object{"email": "ann@vendor.example", "roles": []string{"backoffice-viewer"}, "invite": true})
		f.do(201, "POST", "/staff", object{"email": "silent@vendor.example", "roles": []string{"backoffice-viewer"}})
		if mails() != 1 {
			t.Errorf("%d mails", mails())
		}
		first := f.do(200, "POST", "/staff/"+text(ann, "id")+":reset", nil)
		if !strings.HasPrefix(text(first, "url"), "http://"+hostA+"/backoffice/welcome/") || text(first, "expires_at") == "" {
			t.Errorf("%v", first)
		}
		// Whose credentials are in use is not opened by a mailbox.
		if _, err := d.Exec(t.Context(), `INSERT INTO staff_credentials (staff_id, password_hash, updated_at) VALUES ($1, 'x', 1)`, text(ann, "id")); err != nil {
			t.Fatal(err)
		}
		if res := f.sendAs(hostB, f.keys[hostB], "POST", "/api/v1/staff/"+text(ann, "id")+":reset", nil); res.StatusCode != 404 {
			t.Errorf("reset from an environment where she is nobody: %d", res.StatusCode)
		}
		if res := f.sendAs(hostB, f.keys[hostB], "POST", "/api/v1/staff", object{"email": "ann@vendor.example", "roles": []string{"admin"}, "invite": true}); res.StatusCode != 201 || mails() != 1 {
			t.Errorf("%d, %d mails", res.StatusCode, mails())
		}
		// Now she has roles where that key does not reach, and hers where this one does.
		if res := f.sendAs(hostB, f.keys[hostB], "POST", "/api/v1/staff/"+text(ann, "id")+":reset", nil); res.StatusCode != 403 {
			t.Errorf("a key of another environment resets: %d", res.StatusCode)
		}
		f.do(200, "POST", "/staff/"+text(ann, "id")+":reset", nil)
		sso := object{"issuer": "https://id.vendor.example", "client_id": "backoffice"}
		f.do(200, "PUT", "/staff-sso", sso)
		// An admin who may not impersonate cannot become one who may, nor choose who
		// vouches for him.
		system := actor.Actor{Environment: f.envs[hostA], Kind: actor.System}
		strong, err := f.h.Staff.CreatePerson(t.Context(), system, d, staff.NewPerson{Email: "strong@vendor.example", Environment: f.envs[hostA], Roles: []string{staff.Admin, staff.Impersonator}})
		if err != nil {
			t.Fatal(err)
		}
		f.refused(403, "role_exceeds_own", "POST", "/staff/"+strong.ID+":reset", nil)
		f.refused(403, "role_exceeds_own", "PUT", "/staff-sso", sso)
	})
}

// The vendor's provider is set in the default environment, and its secret is
// neither shown nor carried to another issuer.
func TestStaffSSO(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.refused(404, "staff_sso_not_found", "GET", "/staff-sso", nil)
		f.refused(404, "staff_sso_not_found", "DELETE", "/staff-sso", nil)
		good := object{"issuer": "https://id.vendor.example", "client_id": "backoffice", "client_secret": "very-secret", "email_domains": []string{"Vendor.example"}}
		got := f.do(200, "PUT", "/staff-sso", good)
		if got["has_client_secret"] != true || text(got, "redirect_uri") != "http://"+hostA+"/backoffice/sso/callback" || text(got, "second_factor") != "here" {
			t.Errorf("%v", got)
		}
		for code, change := range map[string]object{
			"invalid_domain": {"email_domains": []string{"no domain"}},
			"shared_issuer":  {"issuer": "https://login.microsoftonline.com/common/v2.0"},
			"invalid_issuer": {"issuer": "ftp://id.vendor.example"},
		} {
			bad := maps.Clone(good)
			maps.Copy(bad, change)
			f.refused(422, code, "PUT", "/staff-sso", bad)
		}
		delete(good, "client_secret")
		if got := f.do(200, "PUT", "/staff-sso", good); got["has_client_secret"] != true {
			t.Errorf("the secret is gone: %v", got)
		}
		good["issuer"] = "https://other.vendor.example"
		if got := f.do(200, "PUT", "/staff-sso", good); got["has_client_secret"] != false {
			t.Errorf("the secret went to another issuer: %v", got)
		}
		if res := f.sendAs(hostB, f.keys[hostB], "PUT", "/api/v1/staff-sso", good); res.StatusCode != 403 {
			t.Errorf("set in another environment: %d", res.StatusCode)
		}
		f.do(204, "DELETE", "/staff-sso", nil)
		var n int
		if err := d.QueryRow(t.Context(), `SELECT COUNT(*) FROM audit_events WHERE action LIKE 'staff_sso.%'`).Scan(&n); err != nil || n != 4 {
			t.Errorf("%d events, %v", n, err)
		}
	})
}
