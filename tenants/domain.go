package tenants

import (
	"context"
	_ "embed"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// How a domain was proved.
const (
	VerifiedByDNS           = "dns"
	VerifiedByManagementKey = "management_key"
)

// challengeLabel is where the TXT record is looked for.
const challengeLabel = "_gatehouse-challenge."

// Domain is an e-mail domain that a tenant claims. Several tenants may hold the
// same one (sub-accounts of a company do).
type Domain struct {
	ID          string
	Tenant      string
	Environment string
	Domain      string // lower case, IDNA A-label
	TXTValue    string
	VerifiedAt  time.Time // zero: not verified
	VerifiedBy  string
	CheckedAt   time.Time
	ConfirmedAt time.Time // when DNS last showed the record
	CreatedAt   time.Time
}

// Verified reports whether the tenant proved the domain.
func (d Domain) Verified() bool { return !d.VerifiedAt.IsZero() }

// TXTName is the name of the record that proves the domain.
func (d Domain) TXTName() string { return challengeLabel + d.Domain }

// Resolver looks up TXT records; *net.Resolver is one.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

//go:embed publicmail.txt
var publicMailList string

var publicMail = func() map[string]struct{} {
	m := map[string]struct{}{}
	for line := range strings.Lines(publicMailList) {
		if line = strings.TrimSpace(line); line != "" {
			m[line] = struct{}{}
		}
	}
	return m
}()

// PublicMailDomain reports whether anybody can get an address of the domain, so
// that it proves nothing (identity rule 4).
func PublicMailDomain(domain string) bool {
	_, ok := publicMail[domain]
	return ok
}

var domainProfile = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.Transitional(false), idna.VerifyDNSLength(true), idna.StrictDomainName(true))

// NormaliseDomain gives a domain name as it is stored and compared: lower case,
// IDNA A-labels, no dot at the end (product 126).
func NormaliseDomain(s string) (string, error) {
	bad := fault.New(fault.Invalid, "invalid_domain", "Give a domain name such as acme.com.").In("domain")
	s = strings.TrimSuffix(strings.TrimSpace(s), ".")
	if s == "" || len(s) > 253 {
		return "", bad
	}
	a, err := domainProfile.ToASCII(s)
	if err != nil {
		return "", bad.Because(err)
	}
	a = strings.ToLower(a)
	if !strings.Contains(a, ".") {
		return "", bad
	}
	if _, err := netip.ParseAddr(a); err == nil {
		return "", bad
	}
	return a, nil
}

// EmailDomain gives the normalised domain of an e-mail address: the part after
// the last @ (product 126).
func EmailDomain(email string) (string, error) {
	at := strings.LastIndexByte(email, '@')
	if at <= 0 {
		return "", fault.New(fault.Invalid, "invalid_email", "Give an e-mail address.").In("email")
	}
	return NormaliseDomain(email[at+1:])
}

// checkClaim refuses domains that nobody may claim.
func checkClaim(domain string) error {
	if PublicMailDomain(domain) {
		return invalid("public_mail_domain", "Anybody can get an address of this mail provider, so nobody can claim its domain.", "domain")
	}
	if suffix, icann := publicsuffix.PublicSuffix(domain); icann && suffix == domain {
		return invalid("public_suffix", "This is a public suffix, not a domain of one organization.", "domain")
	}
	return nil
}

// DomainKey is the key of a verified domain among the locators.
func DomainKey(environment, domain string) string { return environment + "/" + domain }
