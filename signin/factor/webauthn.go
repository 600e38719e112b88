package factor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/netip"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// maxCredentialJSON bounds what a browser sends of a ceremony, in bytes.
const maxCredentialJSON = 32 << 10

// holderOf is a person as the ceremonies know him.
type holderOf struct {
	Person
	credentials []webauthn.Credential
}

// WebAuthnID is the user handle, which tells nobody who it is.
func (p holderOf) WebAuthnID() []byte                         { return []byte(p.UserID) }
func (p holderOf) WebAuthnName() string                       { return p.Name }
func (p holderOf) WebAuthnDisplayName() string                { return p.Name }
func (p holderOf) WebAuthnCredentials() []webauthn.Credential { return p.credentials }

// party is the relying party of an environment: keys are bound to its host, which
// must be a name (WebAuthn Level 3 §5.1.3).
func party(e tenants.Environment) (*webauthn.WebAuthn, error) {
	rpID, origin, err := host(e)
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(rpID); err == nil {
		return nil, ErrNoKeys
	}
	name := e.Name
	if name == "" {
		name = rpID
	}
	return webauthn.New(&webauthn.Config{RPID: rpID, RPDisplayName: name, RPOrigins: []string{origin}})
}

func (s *Service) holder(ctx context.Context, q db.Queryer, p Person) (holderOf, map[string]Factor, error) {
	list, err := s.Factors(ctx, q, p.Environment.ID, p.UserID)
	if err != nil {
		return holderOf{}, nil, err
	}
	h, byCredential := holderOf{Person: p}, map[string]Factor{}
	for _, f := range list {
		if f.Kind != WebAuthn || !f.Serves(p.Tenant) {
			continue
		}
		plain, err := s.vault.Open(s.of.table, "secret", p.Environment.ID+"/"+f.ID, f.secret)
		if err != nil {
			return h, nil, err
		}
		var c webauthn.Credential
		if err := json.Unmarshal(plain, &c); err != nil {
			return h, nil, err
		}
		h.credentials = append(h.credentials, c)
		byCredential[string(c.ID)] = f
	}
	return h, byCredential, nil
}

// BeginRegister gives the options for navigator.credentials.create, as JSON. Keys
// that the person has are left out. A passkey is asked for where the device can
// keep one.
func (s *Service) BeginRegister(ctx context.Context, q db.Queryer, p Person, holder string) ([]byte, error) {
	w, err := party(p.Environment)
	if err != nil {
		return nil, err
	}
	h, _, err := s.holder(ctx, q, p)
	if err != nil {
		return nil, err
	}
	resident := protocol.ResidentKeyRequirementPreferred
	if p.Tenant != "" {
		resident = protocol.ResidentKeyRequirementDiscouraged // it never comes first
	}
	options, session, err := w.BeginRegistration(h,
		webauthn.WithExclusions(webauthn.Credentials(h.credentials).CredentialDescriptors()),
		webauthn.WithAuthenticatorSelection(protocol.AuthenticatorSelection{
			ResidentKey: resident, UserVerification: protocol.VerificationPreferred,
		}),
		webauthn.WithConveyancePreference(protocol.PreferNoAttestation))
	if err != nil {
		return nil, err
	}
	return s.asked(ctx, q, p.Environment.ID, holder, challengeRegister, p.UserID, session, options)
}

func (s *Service) asked(ctx context.Context, q db.Queryer, environment, holder, kind, user string, session *webauthn.SessionData, options any) ([]byte, error) {
	kept, err := json.Marshal(session)
	if err != nil {
		return nil, err
	}
	if err := s.ask(ctx, q, environment, holder, kind, user, kept); err != nil {
		return nil, err
	}
	return json.Marshal(options)
}

func (s *Service) answered(ctx context.Context, q db.Queryer, environment, holder, kind string) (user string, session webauthn.SessionData, err error) {
	user, kept, err := s.take(ctx, q, environment, holder, kind)
	if err == nil {
		err = json.Unmarshal(kept, &session)
	}
	return user, session, err
}

// FinishRegister takes a key over. The challenge is used up whatever comes of it.
//
// Faults: SIGNIN_WRONG_KEY, SIGNIN_CHALLENGE_EXPIRED, factor_exists,
// too_many_factors.
func (s *Service) FinishRegister(ctx context.Context, q db.Queryer, p Person, holder, name string, answer []byte) (Factor, error) {
	user, session, err := s.answered(ctx, q, p.Environment.ID, holder, challengeRegister)
	if err != nil {
		return Factor{}, err
	}
	if user != p.UserID || len(answer) > maxCredentialJSON {
		return Factor{}, ErrWrongKey
	}
	w, err := party(p.Environment)
	if err != nil {
		return Factor{}, err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(answer)
	if err != nil {
		return Factor{}, ErrWrongKey.Because(err)
	}
	c, err := w.CreateCredential(holderOf{Person: p}, session, parsed)
	if err != nil {
		return Factor{}, ErrWrongKey.Because(err)
	}
	f := Factor{ID: id.New("fac"), Kind: WebAuthn, Name: named(name, "Security key"), CreatedAt: s.clock.Now(), Tenant: p.Tenant}
	if f.secret, err = s.sealCredential(p.Environment.ID, f.ID, c); err != nil {
		return Factor{}, err
	}
	return f, s.insert(ctx, q, p, f, credentialKey(c.ID))
}

func (s *Service) sealCredential(environment, factorID string, c *webauthn.Credential) (string, error) {
	plain, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	return s.vault.Seal(s.of.table, "secret", environment+"/"+factorID, plain)
}

func credentialKey(id []byte) string {
	sum := sha256.Sum256(id)
	return hex.EncodeToString(sum[:])
}

// BeginKey gives the options for navigator.credentials.get, as JSON: of the
// person's keys, as a second factor; without a person, of whichever passkey he
// chooses, which then must verify him itself.
func (s *Service) BeginKey(ctx context.Context, q db.Queryer, p Person, holder string) ([]byte, error) {
	w, err := party(p.Environment)
	if err != nil {
		return nil, err
	}
	var options *protocol.CredentialAssertion
	var session *webauthn.SessionData
	if p.UserID == "" {
		options, session, err = w.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	} else {
		var h holderOf
		if h, _, err = s.holder(ctx, q, p); err != nil {
			return nil, err
		}
		if len(h.credentials) == 0 {
			return nil, ErrNotFound
		}
		options, session, err = w.BeginLogin(h, webauthn.WithUserVerification(protocol.VerificationPreferred))
	}
	if err != nil {
		return nil, err
	}
	return s.asked(ctx, q, p.Environment.ID, holder, challengeLogin, p.UserID, session, options)
}

// CopiedError is the cause of a refusal: the key's counter went back, as that of a
// copy does (WebAuthn Level 3 §6.1.1).
type CopiedError struct{ UserID string }

// Error implements error.
func (e CopiedError) Error() string { return "the key's counter went back" }

// Key is what a key proved.
type Key struct {
	UserID   string
	Verified bool // the person proved himself to the key: by touch, face or code
	// Suspect: the key's counter went back, as that of a copy does. The answer was
	// refused.
	Suspect bool
}

// CheckKey checks a key's answer to BeginKey. The challenge is used up whatever
// comes of it. With p.UserID empty it finds the person by his passkey, which must
// have verified him.
//
// Faults: SIGNIN_WRONG_KEY, SIGNIN_CHALLENGE_EXPIRED.
func (s *Service) CheckKey(ctx context.Context, q db.Queryer, p Person, holder string, answer []byte) (Key, error) {
	asked, session, err := s.answered(ctx, q, p.Environment.ID, holder, challengeLogin)
	if err != nil {
		return Key{}, err
	}
	if asked != p.UserID || len(answer) > maxCredentialJSON {
		return Key{}, ErrWrongKey
	}
	w, err := party(p.Environment)
	if err != nil {
		return Key{}, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(answer)
	if err != nil {
		return Key{}, ErrWrongKey.Because(err)
	}
	if p.UserID == "" {
		if p.UserID, err = s.passkeyHolder(ctx, q, p.Environment.ID, parsed); err != nil {
			return Key{}, err
		}
	}
	h, byCredential, err := s.holder(ctx, q, p)
	if err != nil {
		return Key{}, err
	}
	var c *webauthn.Credential
	if asked == "" {
		c, err = w.ValidateDiscoverableLogin(func(_, handle []byte) (webauthn.User, error) {
			if !bytes.Equal(handle, h.WebAuthnID()) {
				return nil, errors.New("the passkey names another person")
			}
			return h, nil
		}, session, parsed)
	} else {
		c, err = w.ValidateLogin(h, session, parsed)
	}
	if err != nil {
		return Key{}, ErrWrongKey.Because(err)
	}
	// This answer's flag: that of the record is as it was at the registration.
	key := Key{UserID: p.UserID, Verified: parsed.Response.AuthenticatorData.Flags.UserVerified(), Suspect: c.Authenticator.CloneWarning}
	if key.Suspect {
		return key, ErrWrongKey.Because(CopiedError{p.UserID})
	}
	f := byCredential[string(c.ID)]
	sealed, err := s.sealCredential(p.Environment.ID, f.ID, c)
	if err != nil {
		return Key{}, err
	}
	return key, changed(q.Exec(ctx, s.of.useCredential, p.Environment.ID, p.UserID, f.ID, sealed, db.At(s.clock.Now())))
}

// passkeyHolder finds whose credential answered: one that is confined to an
// organization is no first factor. The user handle in the answer is compared with
// it afterwards.
func (s *Service) passkeyHolder(ctx context.Context, q db.Queryer, environment string, parsed *protocol.ParsedCredentialAssertionData) (string, error) {
	var user string
	err := q.QueryRow(ctx, s.of.credential, environment, credentialKey(parsed.RawID)).Scan(&user)
	if errors.Is(err, db.ErrNotFound) {
		return "", ErrWrongKey.Because(err)
	}
	return user, err
}
