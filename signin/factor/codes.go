package factor

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/keys"
)

const (
	recoveryCodes = 10
	recoveryBytes = 10 // 80 bits each: too many to guess, few enough to type
	mailDigits    = 8
	// mailAgain is between two mails to one sign-in.
	mailAgain = 30 * time.Second
)

// NewRecoveryCodes replaces a person's recovery codes and gives them, this once.
func (s *Service) NewRecoveryCodes(ctx context.Context, q db.Queryer, p Person) ([]string, error) {
	environment, user := p.Environment.ID, p.UserID
	codes := make([]string, recoveryCodes)
	hashes := make([]string, recoveryCodes)
	for i := range codes {
		var b [recoveryBytes]byte
		_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
		text := strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))
		codes[i] = text[:4] + "-" + text[4:8] + "-" + text[8:12] + "-" + text[12:]
		hashes[i] = s.recoveryHash(environment, user, text)
	}
	return codes, q.Batch(ctx, []db.Stmt{
		{SQL: s.of.deleteRecovery, Args: []any{environment, user, p.Tenant}},
		{SQL: s.of.insertRecovery, Args: []any{environment, user, db.Set(hashes), db.At(s.clock.Now()), p.Tenant}},
	})
}

// DropRecoveryCodes takes a person's recovery codes away.
func (s *Service) DropRecoveryCodes(ctx context.Context, q db.Queryer, environment, user string) error {
	_, err := q.Exec(ctx, s.of.dropRecovery, environment, user)
	return err
}

// recoveryHash is a MAC: the codes are random, so a slow hash would add nothing.
func (s *Service) recoveryHash(environment, user, code string) string {
	return s.vault.MAC("recovery code", environment, user, code)
}

// EndRecoveryCodes takes away those that serve where the person stands.
func (s *Service) EndRecoveryCodes(ctx context.Context, q db.Queryer, p Person) error {
	_, err := q.Exec(ctx, s.of.deleteRecovery, p.Environment.ID, p.UserID, p.Tenant)
	return err
}

// RecoveryCodes counts the codes that are left and serve.
func (s *Service) RecoveryCodes(ctx context.Context, q db.Queryer, p Person) (left int, err error) {
	err = q.QueryRow(ctx, s.of.countRecovery, p.Environment.ID, p.UserID, p.Tenant).Scan(&left)
	return left, err
}

// CheckRecovery uses a recovery code up. The caller has counted the try.
//
// Fault: SIGNIN_WRONG_CODE.
func (s *Service) CheckRecovery(ctx context.Context, q db.Queryer, p Person, code string) error {
	code = strings.ToLower(strings.NewReplacer("-", "", " ", "").Replace(code))
	if len(code) != recoveryBytes*8/5 {
		return ErrWrong
	}
	n, err := q.Exec(ctx, s.of.useRecovery, p.Environment.ID, p.UserID, s.recoveryHash(p.Environment.ID, p.UserID, code), db.At(s.clock.Now()), p.Tenant)
	if err == nil && n == 0 {
		err = ErrWrong
	}
	return err
}

// BeginMail makes a code to be mailed to the person, in the place of one before.
//
// Fault: SIGNIN_CODE_SENT of kind limited, when one was made a moment ago.
func (s *Service) BeginMail(ctx context.Context, q db.Queryer, environment, holder, user string) (code string, err error) {
	_, _, at, err := s.look(ctx, q, environment, holder, challengeCode)
	if wait := mailAgain - s.clock.Now().Sub(at); err == nil && wait > 0 {
		return "", &fault.Error{Kind: fault.Limited, Code: "SIGNIN_CODE_SENT", Message: "A code was sent a moment ago. Look into your mailbox, or ask again in half a minute.", RetryAfter: wait}
	}
	if err != nil && fault.CodeOf(err) != ErrExpired.Code {
		return "", err
	}
	code = digits(mailDigits)
	return code, s.ask(ctx, q, environment, holder, challengeCode, user, []byte(code))
}

// CheckMail uses the mailed code up. The caller has counted the try; a wrong one
// leaves the code as it is.
//
// Faults: SIGNIN_WRONG_CODE, SIGNIN_CHALLENGE_EXPIRED.
func (s *Service) CheckMail(ctx context.Context, q db.Queryer, environment, holder, user, code string) error {
	whose, want, _, err := s.look(ctx, q, environment, holder, challengeCode)
	if err != nil {
		return err
	}
	code = strings.NewReplacer(" ", "", "-", "").Replace(code)
	if whose != user || !keys.Equal(string(want), code) {
		return ErrWrong
	}
	_, _, err = s.take(ctx, q, environment, holder, challengeCode)
	return err
}

// MailLife is how long a mailed code serves.
const MailLife = challengeLife
