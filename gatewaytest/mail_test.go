package gatewaytest_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/gatewaytest"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/jobs"
	"github.com/gatehouse-id/gatehouse/internal/mail"
	"github.com/gatehouse-id/gatehouse/saml"
	"github.com/gatehouse-id/gatehouse/signin"
)

// A mail that a transaction asked for is sent by a job, to the log where no mail
// server is given; metadata and certificates are looked at by themselves.
func TestMailAndCareOfCertificates(t *testing.T) {
	var out bytes.Buffer
	g := gatewaytest.New(t, gatewaytest.Options{Log: slog.New(slog.NewTextHandler(&out, nil))})
	m, err := mail.Letter{Subject: "Certificate ends", Paragraphs: []string{"Soon."}}.To(mail.Address{Email: "ada@acme.example"})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := m.Payload()
	if err != nil {
		t.Fatal(err)
	}
	err = g.DB.Tx(t.Context(), func(q db.Queryer) error {
		return jobs.Enqueue(t.Context(), q, jobs.Job{Environment: g.Main.ID, Kind: mail.JobSend, Payload: payload})
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Jobs.RunDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), `msg=mail to=ada@acme.example subject="Certificate ends"`) {
		t.Errorf("the log lacks the mail: %s", out.String())
	}
	for kind, want := range map[string]int64{mail.JobSend: 0, saml.JobRefresh: 1, signin.JobExpiry: 1} {
		var n int64
		if err := g.DB.QueryRow(t.Context(), `SELECT COUNT(*) FROM jobs WHERE kind = $1`, kind).Scan(&n); err != nil || n != want {
			t.Errorf("%d jobs of kind %s, want %d; %v", n, kind, want, err)
		}
	}
}
