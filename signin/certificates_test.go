package signin_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
	"github.com/gatehouse-id/gatehouse/gatewaytest/rig"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/mail"
	"github.com/gatehouse-id/gatehouse/rbac"
	"github.com/gatehouse-id/gatehouse/tenants"
)

const day = 24 * time.Hour

// expiry is a tenant with an admin, whose identity provider's certificate ends.
type expiry struct {
	*rig.Rig
	t      *testing.T
	tenant string
	c      tenants.SSOConnection
	end    time.Time
}

func newExpiry(t *testing.T, r *rig.Rig, left time.Duration) *expiry {
	t.Helper()
	e := &expiry{Rig: r, t: t, end: rig.Start.Add(left)}
	e.tenant = r.Tenant("acme", "acme.example")
	e.c = r.SAMLConnection(e.tenant, r.IdP(idp.Config{CertificateNotAfter: e.end}))
	out := in(t, arrive(t, r, person(r, e.c, "00u1", "ada@acme.example")))
	member := r.Strings(`SELECT id FROM memberships WHERE tenant_id = $1 AND user_id = $2`, e.tenant, out.UserID)[0]
	role := r.Strings(`SELECT id FROM roles WHERE environment_id = $1 AND key = $2`, r.Env.ID, rbac.AdminKey)[0]
	r.Tx(func(q db.Queryer) error {
		return r.RBAC.AssignRoles(t.Context(), r.Vendor, q, e.tenant, member, []string{role})
	})
	in(t, arrive(t, r, person(r, e.c, "00u2", "bob@acme.example"))) // who is no admin
	return e
}

// warned runs the job and gives what it told: days left, severity and owner of
// each event, and the mails.
func (e *expiry) warned() (events []string, mails []mail.Message) {
	e.t.Helper()
	for range 2 { // the second run finds nothing left
		if err := e.Signin.WarnExpiring(e.t.Context()); err != nil {
			e.t.Fatal(err)
		}
	}
	for _, text := range e.Strings(`SELECT severity || ' ' || metadata FROM audit_events WHERE tenant_id = $1 AND action = 'sso_certificate.expiring' ORDER BY id`, e.tenant) {
		severity, text, _ := strings.Cut(text, " ")
		var m struct {
			Owner    string `json:"owner"`
			SPKI     string `json:"spki"`
			DaysLeft int    `json:"days_left"`
		}
		if err := json.Unmarshal([]byte(text), &m); err != nil || len(m.SPKI) != 64 {
			e.t.Fatalf("%s: %v", text, err)
		}
		events = append(events, fmt.Sprintf("%s %d %s", m.Owner, m.DaysLeft, severity))
	}
	e.Exec(`DELETE FROM audit_events WHERE tenant_id = $1`, e.tenant)
	for _, payload := range e.Strings(`SELECT payload FROM jobs WHERE kind = 'mail.send' ORDER BY id`) {
		var m mail.Message
		if err := json.Unmarshal([]byte(payload), &m); err != nil {
			e.t.Fatal(err)
		}
		mails = append(mails, m)
	}
	e.Exec(`DELETE FROM jobs WHERE kind = 'mail.send'`)
	return events, mails
}

func (e *expiry) want(at time.Duration, want ...string) []mail.Message {
	e.t.Helper()
	e.Clock.Advance(e.end.Add(-at).Sub(e.Clock.Now()))
	events, mails := e.warned()
	if !slices.Equal(events, want) || len(mails) != len(want) {
		e.t.Errorf("%s before: %q and %d mails, want %q", at, events, len(mails), want)
	}
	return mails
}

// sso 2.1: 60, 30, 14, 7, 3 and 1 days before, and when the date has passed.
func TestExpiringCertificates(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		e := newExpiry(t, r, 100*day)
		var told []string
		for left := 99 * 24; left > -5*24; left -= 6 { // every six hours
			e.Clock.Advance(e.end.Add(-time.Duration(left) * time.Hour).Sub(e.Clock.Now()))
			events, mails := e.warned()
			if len(mails) != len(events) {
				t.Errorf("%d events, %d mails", len(events), len(mails))
			}
			for _, m := range mails {
				if m.To.Email != "ada@acme.example" || !strings.Contains(m.Text, e.c.ID) || !strings.Contains(m.Text, "download it") {
					t.Errorf("mail to %s:\n%s", m.To.Email, m.Text)
				}
			}
			told = append(told, events...)
		}
		want := []string{"idp 60 medium", "idp 30 medium", "idp 14 high", "idp 7 high", "idp 3 critical", "idp 1 critical", "idp 0 critical"}
		if !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}

// Who was not running is told where things stand, not everything that was missed.
func TestExpiringCertificatesMissed(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		e := newExpiry(t, r, 100*day)
		e.want(60*day + time.Second)
		e.want(5*day, "idp 5 high")
		e.want(4 * day)
		e.want(-day, "idp 0 critical")
		e.want(-200 * day)
	})
}

func TestExpiringCertificatesOfWhom(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		e := newExpiry(t, r, 20*day)
		status := tenants.SSODisabled
		e.SetConnection(e.c, tenants.SSOPatch{Status: &status})
		e.want(20 * day)
		status = tenants.SSOActive
		e.SetConnection(e.c, tenants.SSOPatch{Status: &status})
		e.Exec(`UPDATE sso_idp_keys SET status = 'pending' WHERE tenant_id = $1`, e.tenant)
		e.want(20 * day)
		e.Exec(`UPDATE sso_idp_keys SET status = 'trusted', source = 'metadata' WHERE tenant_id = $1`, e.tenant)
		e.Tx(func(q db.Queryer) error {
			return e.Tenants.SetMetadataURL(t.Context(), e.Vendor, q, e.tenant, e.c.ID, "https://idp.example/metadata")
		})
		mails := e.want(20*day, "idp 20 medium")
		if len(mails) != 1 || !strings.Contains(mails[0].Text, "follows by itself") || strings.Contains(mails[0].Text, "download it") {
			t.Errorf("%+v", mails)
		}
		// It does not while the metadata fails.
		e.Exec(`UPDATE sso_metadata SET error = 'METADATA_FETCH_TIMEOUT' WHERE tenant_id = $1`, e.tenant)
		mails = e.want(14*day, "idp 14 high")
		if len(mails) != 1 || strings.Contains(mails[0].Text, "follows by itself") || !strings.Contains(mails[0].Text, "download it") {
			t.Errorf("%+v", mails)
		}
		// Told once, whatever is changed by hand meanwhile.
		c, err := e.Tenants.SSOConnection(t.Context(), e.DB, e.tenant, e.c.ID)
		if err != nil {
			t.Fatal(err)
		}
		e.SetConnection(e.c, tenants.SSOPatch{SAML: c.SAML})
		e.want(13 * day)
	})
}

func TestExpiringSPCertificates(t *testing.T) {
	each(t, func(t *testing.T, r *rig.Rig) {
		e := newExpiry(t, r, 3000*day)
		var first, next tenants.SPKey
		e.Tx(func(q db.Queryer) (err error) {
			if first, err = e.Tenants.EnsureSPKey(t.Context(), e.Vendor, q, e.tenant, e.c.ID); err != nil {
				return err
			}
			next, err = e.Tenants.RotateSPKey(t.Context(), e.Vendor, q, e.tenant, e.c.ID)
			return err
		})
		e.end = first.NotAfter
		if !next.NotAfter.Equal(e.end) {
			t.Fatalf("%s and %s", first.NotAfter, next.NotAfter)
		}
		e.Exec(`UPDATE sso_sp_keys SET not_after = $2 WHERE tenant_id = $1 AND id = $3`, e.tenant, db.At(e.end.Add(1000*day)), next.ID)
		mails := e.want(14*day, "sp 14 high")
		if len(mails) != 1 || !strings.Contains(mails[0].Text, "activate the next key") {
			t.Errorf("%+v", mails)
		}
		e.Tx(func(q db.Queryer) error {
			return e.Tenants.ActivateSPKey(t.Context(), e.Vendor, q, e.tenant, e.c.ID, next.ID)
		})
		e.want(3 * day) // a retired key is nobody's worry
	})
}
