package factor

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base32"
	"image/png"
	"strings"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/keys"
)

// An authenticator app's codes: what every app knows (RFC 6238 §4).
const (
	totpPeriod = 30  // seconds
	totpSecret = 20  // bytes (RFC 4226 §4)
	qrSize     = 200 // pixels
)

var totpOptions = totp.ValidateOpts{Period: totpPeriod, Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1}

// NewTOTP is what a person puts into his authenticator app.
type NewTOTP struct {
	Secret string // base32, in groups of four
	URL    string // otpauth://, as QR codes carry it
	PNG    []byte // the QR code; empty when the names are too long for one
}

// BeginTOTP makes a secret, which serves once a code of it was given.
func (s *Service) BeginTOTP(ctx context.Context, q db.Queryer, p Person, holder string) (NewTOTP, error) {
	raw := make([]byte, totpSecret)
	_, _ = rand.Read(raw) // never fails: crypto/rand ends the process instead
	if err := s.ask(ctx, q, p.Environment.ID, holder, challengeTOTP, p.UserID, raw); err != nil {
		return NewTOTP{}, err
	}
	return shownTOTP(p, raw)
}

// PendingTOTP shows again what BeginTOTP made: a wrong code leaves it as it is.
func (s *Service) PendingTOTP(ctx context.Context, q db.Queryer, p Person, holder string) (NewTOTP, error) {
	user, raw, _, err := s.look(ctx, q, p.Environment.ID, holder, challengeTOTP)
	if err == nil && user != p.UserID {
		err = ErrExpired
	}
	if err != nil {
		return NewTOTP{}, err
	}
	return shownTOTP(p, raw)
}

func shownTOTP(p Person, raw []byte) (NewTOTP, error) {
	issuer := strings.ReplaceAll(p.Environment.Name, ":", " ")
	if issuer == "" {
		issuer, _, _ = host(p.Environment) // an environment's address can be read, or nobody came here
	}
	key, err := totp.Generate(totp.GenerateOpts{Issuer: issuer, AccountName: p.Name, Secret: raw, Period: totpPeriod, Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
	if err != nil {
		return NewTOTP{}, err
	}
	text := key.Secret()
	var groups []string
	for len(text) > 4 {
		groups, text = append(groups, text[:4]), text[4:]
	}
	var code bytes.Buffer
	if img, err := key.Image(qrSize, qrSize); err == nil { // else the names are too long for one
		if err := png.Encode(&code, img); err != nil {
			return NewTOTP{}, err
		}
	}
	return NewTOTP{PNG: code.Bytes(), Secret: strings.Join(append(groups, text), " "), URL: key.URL()}, nil
}

// FinishTOTP takes the app over once it gives the right code.
//
// Faults: SIGNIN_WRONG_CODE, SIGNIN_CHALLENGE_EXPIRED, too_many_factors.
func (s *Service) FinishTOTP(ctx context.Context, q db.Queryer, p Person, holder, name, code string) (Factor, error) {
	user, raw, _, err := s.look(ctx, q, p.Environment.ID, holder, challengeTOTP)
	if err != nil {
		return Factor{}, err
	}
	step, ok := s.step(raw, code)
	if user != p.UserID || !ok {
		return Factor{}, ErrWrong
	}
	if _, _, err := s.take(ctx, q, p.Environment.ID, holder, challengeTOTP); err != nil {
		return Factor{}, err
	}
	f := Factor{ID: id.New("fac"), Kind: TOTP, Name: named(name, "Authenticator app"), CreatedAt: s.clock.Now(), Tenant: p.Tenant, step: step}
	if f.secret, err = s.vault.Seal(s.of.table, "secret", p.Environment.ID+"/"+f.ID, raw); err != nil {
		return Factor{}, err
	}
	return f, s.insert(ctx, q, p, f, "")
}

// CheckTOTP uses a code of one of the person's apps up. The caller has counted the
// try.
//
// Fault: SIGNIN_WRONG_CODE.
func (s *Service) CheckTOTP(ctx context.Context, q db.Queryer, p Person, code string) error {
	environment, user := p.Environment.ID, p.UserID
	list, err := s.Factors(ctx, q, environment, user)
	if err != nil {
		return err
	}
	for _, f := range list {
		if f.Kind != TOTP || !f.Serves(p.Tenant) {
			continue
		}
		raw, err := s.vault.Open(s.of.table, "secret", environment+"/"+f.ID, f.secret)
		if err != nil {
			return err
		}
		step, ok := s.step(raw, code)
		if !ok {
			continue
		}
		n, err := q.Exec(ctx, s.of.useStep, environment, user, f.ID, step, db.At(s.clock.Now()))
		if err != nil {
			return err
		}
		if n == 1 {
			return nil
		}
	}
	return ErrWrong
}

// step finds the time step that a code belongs to: this one, or one beside it
// (RFC 6238 §5.2).
func (s *Service) step(raw []byte, code string) (int64, bool) {
	code = strings.ReplaceAll(code, " ", "")
	now := s.clock.Now().Unix() / totpPeriod
	found, ok := int64(0), false
	text := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(raw)
	for _, step := range []int64{now - 1, now, now + 1} {
		want, err := hotp.GenerateCodeCustom(text, uint64(step), hotp.ValidateOpts{Digits: totpOptions.Digits, Algorithm: totpOptions.Algorithm})
		if err == nil && keys.Equal(want, code) {
			found, ok = step, true
		}
	}
	return found, ok
}

// Named is the name of a factor of the kind, as people may write it.
func Named(kind, name string) string {
	if kind == WebAuthn {
		return named(name, "Security key")
	}
	return named(name, "Authenticator app")
}

// named is a factor's name, or what it is called without one.
func named(name, otherwise string) string {
	name = strings.TrimSpace(strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return -1
		}
		return r
	}, name), ""))
	if name == "" {
		return otherwise
	}
	for len(name) > maxName {
		runes := []rune(name)
		name = string(runes[:len(runes)-1])
	}
	return name
}
