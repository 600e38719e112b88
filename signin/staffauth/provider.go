package staffauth

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/directory"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/rbac/staff"
	"github.com/gatehouse-id/gatehouse/signin/factor"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Who asks for the second factor of somebody who comes through the provider.
const (
	SecondHere     = "here"     // we do, always
	SecondEvidence = "evidence" // we do, unless the provider's amr says mfa (RFC 8176 §2)
	SecondProvider = "provider" // the provider does, and says nothing of it
)

const (
	maxDomains = 50
	maxSecret  = 2000 // bytes
)

// Provider is the vendor's own OpenID provider for his staff.
type Provider struct {
	Issuer       string
	ClientID     string
	ClientSecret string   // empty: a public client
	EmailDomains []string // of addresses that it may link; none: any
	SecondFactor string
	// Enforced: passwords and passkeys open the back office only with credentials
	// that the operator's command line gave.
	Enforced  bool
	Version   int64
	UpdatedAt time.Time
}

// Settings are it as the relying party takes them.
func (p Provider) Settings() *tenants.OIDCSettings {
	return &tenants.OIDCSettings{Issuer: p.Issuer, ClientID: p.ClientID, Scopes: []string{"openid", "profile", "email"}}
}

// mark tells these settings from all others that were or will be.
func (p Provider) mark() string {
	return strconv.FormatInt(p.Version, 10) + "@" + strconv.FormatInt(p.UpdatedAt.UnixMicro(), 10)
}

// Identity is what the provider said of somebody.
type Identity struct {
	Subject       string
	Email         string
	EmailVerified bool
	AMR           []string
}

// Faults.
var (
	ErrNoProvider = fault.New(fault.NotFound, "staff_sso_not_found", "No OpenID provider is set up for the vendor's staff.")
	// ErrStranger tells an outsider nothing of who is on the staff.
	ErrStranger   = fault.New(fault.Forbidden, "BACKOFFICE_SSO_UNKNOWN", "Your company's sign-in worked, but this account opens no back office. Ask an admin to add you with the same e-mail address.")
	ErrUnverified = fault.New(fault.Forbidden, "BACKOFFICE_SSO_EMAIL_UNVERIFIED", "Your company's sign-in does not vouch for your e-mail address, so the account could not be found. Ask an admin.")
	errNotMain    = fault.New(fault.Forbidden, "default_environment_only", "The provider is for the staff of all environments: it is set in the default environment.")
)

// Provider gives the vendor's provider.
//
// Fault: staff_sso_not_found.
func (s *Service) Provider(ctx context.Context, q db.Queryer) (Provider, error) {
	p, sealed, domains, err := scanSSO(q.QueryRow(ctx, sqlSSO))
	if errors.Is(err, db.ErrNotFound) {
		return Provider{}, ErrNoProvider
	}
	if err != nil {
		return Provider{}, err
	}
	if sealed != "" {
		plain, err := s.vault.Open("staff_sso", "client_secret", "staff", sealed)
		if err != nil {
			return Provider{}, err
		}
		p.ClientSecret = string(plain)
	}
	return p, json.Unmarshal([]byte(domains), &p.EmailDomains)
}

// PutProvider sets the vendor's provider; only in the default environment, by who
// administers all of them and could become everybody on the staff. The caller has
// checked issuer and client (tenants.Service.CheckOIDC).
//
// Faults: default_environment_only, staff_of_other_environments, role_exceeds_own,
// invalid_domain, invalid_second_factor, invalid_client_secret.
func (s *Service) PutProvider(ctx context.Context, a actor.Actor, q db.Queryer, p Provider) (Provider, error) {
	if err := s.mayProvide(ctx, a, q); err != nil {
		return Provider{}, err
	}
	if err := s.staff.CommandsAll(ctx, a, q); err != nil {
		return Provider{}, err
	}
	if !slices.Contains([]string{SecondHere, SecondEvidence, SecondProvider}, p.SecondFactor) {
		return Provider{}, fault.New(fault.Invalid, "invalid_second_factor", "Choose here, evidence or provider.").In("second_factor")
	}
	if len(p.ClientSecret) > maxSecret || len(p.EmailDomains) > maxDomains {
		return Provider{}, fault.New(fault.Invalid, "invalid_client_secret", "A secret has up to 2000 bytes, and there are up to 50 domains.").In("client_secret")
	}
	domains := []string{}
	for _, d := range p.EmailDomains {
		n, err := tenants.NormaliseDomain(d)
		if err != nil {
			return Provider{}, fault.New(fault.Invalid, "invalid_domain", "Give domain names such as vendor.example.").In("email_domains")
		}
		domains = append(domains, n)
	}
	p.EmailDomains = domains
	text, err := json.Marshal(domains)
	if err != nil {
		return Provider{}, err
	}
	sealed := ""
	if p.ClientSecret != "" {
		if sealed, err = s.vault.Seal("staff_sso", "client_secret", "staff", []byte(p.ClientSecret)); err != nil {
			return Provider{}, err
		}
	}
	if _, err := q.Exec(ctx, sqlPutSSO, p.Issuer, p.ClientID, sealed, string(text), p.SecondFactor, p.Enforced, db.At(s.clock.Now())); err != nil {
		return Provider{}, err
	}
	if err := s.record(ctx, q, a, "staff_sso.updated", staff.Person{}, map[string]any{
		"issuer": p.Issuer, "client_id": p.ClientID, "second_factor": p.SecondFactor, "enforced": p.Enforced, "email_domains": domains,
	}); err != nil {
		return Provider{}, err
	}
	return s.Provider(ctx, q)
}

// DeleteProvider takes it away; whom it knew stays linked, should it come back.
func (s *Service) DeleteProvider(ctx context.Context, a actor.Actor, q db.Queryer) error {
	if err := s.mayProvide(ctx, a, q); err != nil {
		return err
	}
	n, err := q.Exec(ctx, sqlDeleteSSO)
	if err == nil && n == 0 {
		err = ErrNoProvider
	}
	if err != nil {
		return err
	}
	return s.record(ctx, q, a, "staff_sso.deleted", staff.Person{}, nil)
}

func (s *Service) mayProvide(ctx context.Context, a actor.Actor, q db.Queryer) error {
	if a.Environment != s.main.ID {
		return errNotMain
	}
	return s.staff.Reaches(ctx, a, q, staff.Everywhere)
}

// enforced reports whether the vendor's provider is required.
func (s *Service) enforced(ctx context.Context, q db.Queryer) (bool, error) {
	p, _, _, err := scanSSO(q.QueryRow(ctx, sqlSSO))
	if errors.Is(err, db.ErrNotFound) {
		err = nil
	}
	return p.Enforced, err
}

// opens refuses with ErrProviderOnly what the operator did not give, where the
// vendor's provider is required.
func (s *Service) opens(ctx context.Context, q db.Queryer, breakGlass bool) error {
	required, err := s.enforced(ctx, q)
	if err == nil && required && !breakGlass {
		err = ErrProviderOnly
	}
	return err
}

// vouches refuses with ErrFlow what the provider said before its settings changed, or
// before it was taken away.
func (s *Service) vouches(ctx context.Context, q db.Queryer, mark string) error {
	p, _, _, err := scanSSO(q.QueryRow(ctx, sqlSSO))
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return err
	}
	if err != nil || p.mark() != mark {
		return ErrFlow
	}
	return nil
}

// CallbackPath is where the provider sends the browser back to.
const CallbackPath = Home + "/sso/callback"

// CallbackURL is the redirect URI to be registered at the provider.
func (s *Service) CallbackURL() string { return s.main.URL(CallbackPath) }

// Provides reports whether there is a provider.
func (s *Service) Provides(ctx context.Context) (bool, error) {
	_, err := s.Provider(ctx, s.db)
	if fault.KindOf(err) == fault.NotFound {
		return false, nil
	}
	return err == nil, err
}

// ProviderForSignin gives the provider to a sign-in.
//
// Fault: staff_sso_not_found.
func (s *Service) ProviderForSignin(ctx context.Context) (Provider, error) {
	return s.Provider(ctx, s.db)
}

// BeginProvider begins a sign-in through the provider and gives its cookie.
// question is what only we know of what the provider is asked.
func (s *Service) BeginProvider(ctx context.Context, in Browser, next string, question []byte) (cookie string, err error) {
	err = s.db.Tx(ctx, func(q db.Queryer) error {
		if cookie, err = s.newFlow(ctx, q, in.Flow, "", proof{Next: NextPage(next)}); err != nil {
			return err
		}
		hash := secret.Hash(cookie)
		sealed, err := s.vault.Seal("staff_flows", "question", hash, question)
		if err == nil {
			_, err = q.Exec(ctx, sqlAskFlow, hash, sealed)
		}
		return err
	})
	return cookie, err
}

// TakeQuestion gives the question of a browser's sign-in, which is answered once.
//
// Fault: BACKOFFICE_FLOW_EXPIRED.
func (s *Service) TakeQuestion(ctx context.Context, in Browser) ([]byte, error) {
	if len(in.Flow) != maxFlow {
		return nil, ErrFlow
	}
	hash, sealed := secret.Hash(in.Flow), ""
	err := s.db.QueryRow(ctx, sqlQuestion, hash, db.At(s.clock.Now())).Scan(&sealed)
	if errors.Is(err, db.ErrNotFound) {
		return nil, ErrFlow
	}
	if err != nil {
		return nil, err
	}
	n, err := s.db.Exec(ctx, sqlTakeQuestion, hash, sealed)
	if err == nil && n == 0 {
		err = ErrFlow // of answers at once one comes first
	}
	if err != nil {
		return nil, err
	}
	return s.vault.Open("staff_flows", "question", hash, sealed)
}

// Refused records an answer of the provider that did not hold, and gives the
// refusal. They are counted by address, so that nobody fills the audit log.
//
// Fault: SIGNIN_TOO_MANY_ATTEMPTS in the place of the refusal.
func (s *Service) Refused(ctx context.Context, a actor.Actor, refusal error) error {
	if _, err := s.factors.Count(ctx, s.main.ID, factor.Account{}, a.IP, factor.Lock{}); err != nil {
		return err
	}
	return s.failed(ctx, a, staff.Person{}, MethodProvider, factor.Try{}, refusal)
}

// FromProvider is the step of a verified identity of the provider. Whom it names is
// found by issuer and subject; somebody who comes for the first time is linked by
// an address that the provider vouches for.
//
// Faults: BACKOFFICE_SSO_UNKNOWN, BACKOFFICE_SSO_EMAIL_UNVERIFIED,
// BACKOFFICE_FLOW_EXPIRED, staff_sso_not_found.
func (s *Service) FromProvider(ctx context.Context, a actor.Actor, in Browser, asked Provider, identity Identity) (Step, error) {
	step, err := s.step(ctx, a, in, func(q db.Queryer, f *flow) error {
		now, err := s.Provider(ctx, q)
		if err != nil {
			return err
		}
		if now.mark() != asked.mark() { // its settings changed under way
			return ErrFlow
		}
		p, err := s.known(ctx, a, q, now, identity)
		if err != nil {
			return err
		}
		f.StaffID = p.ID
		f.proof = proof{Method: MethodProvider, AMR: clipAMR(identity.AMR), Of: now.mark(), Next: f.Next}
		f.Second = now.SecondFactor == SecondProvider || now.SecondFactor == SecondEvidence && slices.Contains(identity.AMR, "mfa")
		return nil
	})
	if k := fault.KindOf(err); k == fault.Forbidden || k == fault.Invalid {
		return step, s.Refused(ctx, a, err)
	}
	return step, err
}

// known finds whom an identity names.
func (s *Service) known(ctx context.Context, a actor.Actor, q db.Queryer, provider Provider, identity Identity) (staff.Person, error) {
	var personID string
	err := q.QueryRow(ctx, sqlIdentity, provider.Issuer, identity.Subject).Scan(&personID)
	if err == nil {
		p, err := s.staff.Standing(ctx, q, personID)
		if fault.KindOf(err) == fault.NotFound {
			err = ErrStranger
		}
		if err != nil {
			return p, err
		}
		_, err = q.Exec(ctx, sqlUseIdentity, provider.Issuer, identity.Subject, db.At(s.clock.Now()))
		return p, err
	}
	if !errors.Is(err, db.ErrNotFound) {
		return staff.Person{}, err
	}
	if !identity.EmailVerified {
		return staff.Person{}, ErrUnverified
	}
	if domain := directory.EmailDomain(identity.Email); len(provider.EmailDomains) > 0 && !slices.Contains(provider.EmailDomains, domain) {
		return staff.Person{}, ErrStranger
	}
	p, err := s.staff.StandingByEmail(ctx, q, identity.Email)
	if fault.KindOf(err) == fault.NotFound {
		err = ErrStranger
	}
	if err != nil {
		return p, err
	}
	var others int64
	if err := q.QueryRow(ctx, sqlHasIdentity, p.ID, provider.Issuer).Scan(&others); err != nil {
		return p, err
	}
	if others > 0 {
		return p, ErrStranger // the address was given to somebody else there
	}
	if _, err := q.Exec(ctx, sqlInsertIdentity, provider.Issuer, identity.Subject, p.ID, db.At(s.clock.Now())); err != nil {
		if errors.Is(err, db.ErrConflict) {
			err = ErrFlow.Because(err) // two first sign-ins at once
		}
		return p, err
	}
	return p, s.record(ctx, q, as(a, p), "staff.identity_linked", p, map[string]any{"issuer": provider.Issuer, "subject": identity.Subject, "email": strings.ToLower(identity.Email)})
}

// clipAMR keeps what a session shows of a provider's word.
func clipAMR(amr []string) []string {
	out := []string{}
	for _, m := range amr {
		if len(out) < 10 && len(m) <= 32 && !strings.ContainsFunc(m, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			out = append(out, m)
		}
	}
	return out
}
