package saml

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/mail"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// tellOfChange asks the tenant's admins for what a refresh may not decide. A
// change that followed by itself is in the audit log alone.
func (h *Handler) tellOfChange(ctx context.Context, q db.Queryer, c tenants.SSOConnection, d tenants.DueMetadata, change tenants.MetadataChange) error {
	if len(change.Pending) == 0 && !change.Held {
		return nil
	}
	l := mail.Letter{
		Subject: "Approve what your identity provider changed (" + c.Name + ")",
		Paragraphs: []string{
			"The metadata of your identity provider at the single sign-on connection " + c.Name + " has changed. It came from another host than the one that is trusted, and no trusted key signed it, so somebody has to look at it.",
			"Sign-in goes on with what is trusted already. It stops when the identity provider begins to use what is not.",
		},
		Facts: facts(c, d),
	}
	for _, k := range change.Pending {
		l.Facts = append(l.Facts, mail.Fact{Label: "New signing key (SHA-256)", Value: k.SPKI}, mail.Fact{Label: "Its certificate ends", Value: day(k.NotAfter)})
	}
	if len(change.Pending) > 0 {
		l.Steps = append(l.Steps,
			"Compare the new key with the certificate that the identity provider's console shows.",
			"In the connection's certificates, approve the key. Its host is trusted from then on.",
			"If nobody changed anything at the identity provider, approve nothing, and check the metadata address.")
	}
	if change.Held {
		l.Steps = append(l.Steps, "The sign-in addresses in the metadata are others than those in use. If that is meant, load the metadata again in the connection's settings.")
	}
	return h.signin.MailAdmins(ctx, q, c.Environment, c.Tenant, l)
}

// tellOfFailure says that metadata has not been read for a week.
func (h *Handler) tellOfFailure(ctx context.Context, q db.Queryer, c tenants.SSOConnection, d tenants.DueMetadata, code string) error {
	return h.signin.MailAdmins(ctx, q, c.Environment, c.Tenant, mail.Letter{
		Subject: "The metadata of your identity provider cannot be read (" + c.Name + ")",
		Paragraphs: []string{
			"The metadata address of the single sign-on connection " + c.Name + " has not given usable metadata for a week.",
			"Sign-in goes on with the keys that are known. It stops when the identity provider begins to sign with another key.",
		},
		Facts: append(facts(c, d), mail.Fact{Label: "Last read", Value: day(d.FetchedAt)}, mail.Fact{Label: "What failed", Value: code}),
		Steps: []string{
			"Open the address in a browser. It must answer with the metadata of your identity provider, without signing in.",
			"If the address is another now, change it in the connection's settings.",
			"If your identity provider has no such address any more, remove it there, and add new certificates by hand before they are put to use.",
		},
	})
}

func facts(c tenants.SSOConnection, d tenants.DueMetadata) []mail.Fact {
	return []mail.Fact{{Label: "Connection", Value: c.Name + " (" + c.ID + ")"}, {Label: "Metadata address", Value: d.URL}}
}

func day(t time.Time) string { return t.UTC().Format("2 January 2006") }
