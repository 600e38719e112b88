package mail_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/mail"
)

// product 7.7: mails speak the reader's language and tell times in his zone; what
// people typed is neither translated nor filled in again, and never markup.
func TestLetterInTheReadersLanguage(t *testing.T) {
	l := mail.Letter{
		Lang: "fr de-AT", Zone: "Europe/Berlin", Args: []string{"name", "Grace <b>", "organization", "{email} & Co", "email", "ada@acme.example"},
		Subject:    "{name} invites you to {organization}",
		Paragraphs: []string{"{name} invites you to join {organization}. To accept, open this address and sign in as {email}:", "Nobody translated this."},
		Facts:      []mail.Fact{{Label: "Your address", Value: "Your address"}, {Label: "Accept until", At: time.Date(2026, 7, 1, 22, 30, 0, 0, time.UTC)}},
		Steps:      []string{"If it was not: your password was not guessed. Tell your administrator."},
	}
	m, err := l.To(mail.Address{Email: "ada@acme.example", Name: "Ada {name}"})
	if err != nil {
		t.Fatal(err)
	}
	if m.Subject != "Grace <b> lädt Sie zu {email} & Co ein" {
		t.Errorf("subject %q", m.Subject)
	}
	for _, want := range []string{
		"Guten Tag Ada {name},", "Grace <b> lädt Sie ein, {email} & Co beizutreten.", "Nobody translated this.", "Ihre Adresse: Your address",
		"Annehmen bis: 2. Juli 2026, 00:30 CEST", "Was zu tun ist:", "Falls nicht: Ihr Passwort wurde nicht erraten.",
	} {
		if !strings.Contains(m.Text, want) {
			t.Errorf("no %q in\n%s", want, m.Text)
		}
	}
	if !strings.Contains(m.HTML, `<html lang="de">`) || !strings.Contains(m.HTML, "Grace &lt;b&gt; lädt Sie ein, {email} &amp; Co beizutreten.") || strings.Contains(m.HTML, "<b>") {
		t.Errorf("HTML:\n%s", m.HTML)
	}
	l.Lang = ""
	if m, err = l.To(mail.Address{Email: "ada@acme.example"}); err != nil || m.Subject != "Grace <b> invites you to {email} & Co" || !strings.Contains(m.HTML, `<html lang="en">`) {
		t.Errorf("%v %q", err, m.Subject)
	}
}
