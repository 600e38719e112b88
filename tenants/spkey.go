package tenants

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

// States of a key of ours at a connection. A key is next until the identity
// provider knows it, active while we sign with it, and retired, still
// decrypting, until it is deleted.
const (
	SPKeyNext    = "next"
	SPKeyActive  = "active"
	SPKeyRetired = "retired"
)

// Limits of our keys at a connection.
const (
	MaxSPKeys     = 10 // of a connection, in all states
	spKeyBits     = 2048
	spKeyYears    = 3
	maxOpenSPKeys = 1000 // private keys that a process remembers
	maxSparePairs = 8    // of callers that got ready at once
)

var (
	errNextSPKey   = fault.New(fault.Conflict, "sp_key_pending", "A new key is waiting already. Activate or delete it first.")
	errSPKeyState  = fault.New(fault.Conflict, "sp_key_not_next", "Only a key that is next can become active.")
	errSPKeyActive = fault.New(fault.Conflict, "sp_key_active", "The active key cannot be deleted. Activate another one first.")
	// ErrSPKeyNotFound answers the id of a key that the connection does not have.
	ErrSPKeyNotFound = fault.New(fault.NotFound, "sp_key_not_found", "There is no such key.")
)

// SPKey is a key of ours at one connection: it signs requests and client
// assertions, and assertions are encrypted to it. RSA of 2048 bits, because not
// every identity provider verifies anything else; the certificate is
// self-signed, and trust is the key's.
type SPKey struct {
	ID             string
	State          string
	CertificatePEM string
	NotAfter       time.Time
	CreatedAt      time.Time
	ActivatedAt    time.Time // zero: not yet
	RetiredAt      time.Time // zero: not yet

	sealed string
}

const (
	sqlSPKeys = `SELECT id, state, certificate, private_key, not_after, created_at, activated_at, retired_at FROM sso_sp_keys
WHERE tenant_id = $1 AND connection_id = $2
ORDER BY CASE state WHEN 'active' THEN 0 WHEN 'next' THEN 1 ELSE 2 END, created_at DESC, id DESC LIMIT 100`

	sqlInsertSPKey = `INSERT INTO sso_sp_keys (tenant_id, connection_id, id, state, certificate, private_key, not_after, created_at, activated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`

	sqlRetireSPKey = `UPDATE sso_sp_keys SET state = 'retired', retired_at = $3 WHERE tenant_id = $1 AND connection_id = $2 AND state = 'active'`

	sqlActivateSPKey = `UPDATE sso_sp_keys SET state = 'active', activated_at = $4 WHERE tenant_id = $1 AND connection_id = $2 AND id = $3 AND state = 'next'`

	sqlDeleteSPKey = `DELETE FROM sso_sp_keys WHERE tenant_id = $1 AND connection_id = $2 AND id = $3 AND state <> 'active'`
)

// SPKeys lists our keys at a connection: the active one, the next one, then the
// retired ones, newest first.
func (s *Service) SPKeys(ctx context.Context, q db.Queryer, tenant, connection string) ([]SPKey, error) {
	rows, err := q.Query(ctx, sqlSPKeys, tenant, connection)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []SPKey
	for rows.Next() {
		var k SPKey
		var notAfter, created, activated, retired db.Time
		if err := rows.Scan(&k.ID, &k.State, &k.CertificatePEM, &k.sealed, &notAfter, &created, &activated, &retired); err != nil {
			return nil, err
		}
		k.NotAfter, k.CreatedAt, k.ActivatedAt, k.RetiredAt = notAfter.Time, created.Time, activated.Time, retired.Time
		list = append(list, k)
	}
	return list, rows.Err()
}

// SPPrivateKey opens the private key of one of our keys. Opened keys are
// remembered in the process.
func (s *Service) SPPrivateKey(tenant, connection string, k SPKey) (*rsa.PrivateKey, error) {
	row := spKeyRow(tenant, connection, k.ID)
	s.mu.Lock()
	found, ok := s.opened[row]
	s.mu.Unlock()
	if ok && found.sealed == k.sealed {
		return found.key, nil
	}
	der, err := s.vault.Open("sso_sp_keys", "private_key", row, k.sealed)
	if err != nil {
		return nil, fmt.Errorf("key %s of connection %s: %w", k.ID, connection, err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, fmt.Errorf("key %s of connection %s: %w", k.ID, connection, err)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("key %s of connection %s: %T is not RSA", k.ID, connection, parsed)
	}
	s.mu.Lock()
	if len(s.opened) >= maxOpenSPKeys || s.opened == nil {
		s.opened = map[string]openedKey{}
	}
	s.opened[row] = openedKey{sealed: k.sealed, key: key}
	s.mu.Unlock()
	return key, nil
}

// openedKey is a private key as it was sealed when it was opened.
type openedKey struct {
	sealed string
	key    *rsa.PrivateKey
}

func spKeyRow(tenant, connection, key string) string { return tenant + "/" + connection + "/" + key }

// EnsureSPKey gives the active key of a connection and makes it where there is
// none. A caller that needs a key asks when the need arises: a connection
// without signed requests, encryption or single logout has none.
//
// Fault: connection_not_found.
func (s *Service) EnsureSPKey(ctx context.Context, a actor.Actor, q db.Queryer, tenant, connection string) (SPKey, error) {
	list, err := s.lockSPKeys(ctx, q, tenant, connection)
	if err != nil {
		return SPKey{}, err
	}
	if k, ok := keyIn(list, SPKeyActive); ok {
		return k, nil
	}
	return s.addSPKey(ctx, a, q, tenant, connection, SPKeyActive)
}

// RotateSPKey adds the key that will be the next active one. It is published
// beside the active one, and nothing is signed with it until ActivateSPKey. The
// first key of a connection is active at once.
//
// Faults: connection_not_found; sp_key_pending when one is waiting; too_many
// beyond MaxSPKeys.
func (s *Service) RotateSPKey(ctx context.Context, a actor.Actor, q db.Queryer, tenant, connection string) (SPKey, error) {
	list, err := s.lockSPKeys(ctx, q, tenant, connection)
	if err != nil {
		return SPKey{}, err
	}
	if _, ok := keyIn(list, SPKeyNext); ok {
		return SPKey{}, errNextSPKey
	}
	if len(list) >= MaxSPKeys {
		return SPKey{}, tooMany("10 keys of a connection")
	}
	if _, ok := keyIn(list, SPKeyActive); !ok {
		return s.addSPKey(ctx, a, q, tenant, connection, SPKeyActive)
	}
	return s.addSPKey(ctx, a, q, tenant, connection, SPKeyNext)
}

// ActivateSPKey signs with the next key from now on. The key before is retired:
// it still decrypts what an identity provider encrypts to it.
//
// Faults: connection_not_found; sp_key_not_found; sp_key_not_next.
func (s *Service) ActivateSPKey(ctx context.Context, a actor.Actor, q db.Queryer, tenant, connection, keyID string) error {
	list, err := s.lockSPKeys(ctx, q, tenant, connection)
	if err != nil {
		return err
	}
	k, ok := keyNamed(list, keyID)
	if !ok {
		return ErrSPKeyNotFound
	}
	if k.State != SPKeyNext {
		return errSPKeyState
	}
	now := db.At(s.clock.Now())
	err = q.Batch(ctx, []db.Stmt{
		{SQL: sqlRetireSPKey, Args: []any{tenant, connection, now}},
		{SQL: sqlActivateSPKey, Args: []any{tenant, connection, keyID, now}},
	})
	if err != nil {
		return err
	}
	return s.recordSPKey(ctx, a, q, tenant, connection, "sso_sp_key.activated", keyID)
}

// DeleteSPKey removes a key that is not active. What is encrypted to it cannot
// be read any more.
//
// Faults: connection_not_found; sp_key_not_found; sp_key_active.
func (s *Service) DeleteSPKey(ctx context.Context, a actor.Actor, q db.Queryer, tenant, connection, keyID string) error {
	list, err := s.lockSPKeys(ctx, q, tenant, connection)
	if err != nil {
		return err
	}
	k, ok := keyNamed(list, keyID)
	if !ok {
		return ErrSPKeyNotFound
	}
	if k.State == SPKeyActive {
		return errSPKeyActive
	}
	if _, err := q.Exec(ctx, sqlDeleteSPKey, tenant, connection, keyID); err != nil {
		return err
	}
	return s.recordSPKey(ctx, a, q, tenant, connection, "sso_sp_key.deleted", keyID)
}

// lockSPKeys lists the keys for somebody who changes them: changes at once wait
// for each other.
func (s *Service) lockSPKeys(ctx context.Context, q db.Queryer, tenant, connection string) ([]SPKey, error) {
	if err := s.lockSSO(ctx, q, tenant, connection); err != nil {
		return nil, err
	}
	return s.SPKeys(ctx, q, tenant, connection)
}

func keyIn(list []SPKey, state string) (SPKey, bool) {
	for _, k := range list {
		if k.State == state {
			return k, true
		}
	}
	return SPKey{}, false
}

func keyNamed(list []SPKey, keyID string) (SPKey, bool) {
	for _, k := range list {
		if k.ID == keyID {
			return k, true
		}
	}
	return SPKey{}, false
}

func (s *Service) addSPKey(ctx context.Context, a actor.Actor, q db.Queryer, tenant, connection, state string) (SPKey, error) {
	now := s.clock.Now()
	k := SPKey{ID: id.New(id.Key), State: state, CreatedAt: now}
	if state == SPKeyActive {
		k.ActivatedAt = now
	}
	pair, err := s.takePair()
	if err != nil {
		return SPKey{}, err
	}
	der, err := k.certify(connection, pair)
	if err != nil {
		return SPKey{}, err
	}
	if k.sealed, err = s.vault.Seal("sso_sp_keys", "private_key", spKeyRow(tenant, connection, k.ID), der); err != nil {
		return SPKey{}, err
	}
	if _, err := q.Exec(ctx, sqlInsertSPKey, tenant, connection, k.ID, k.State, k.CertificatePEM, k.sealed,
		db.At(k.NotAfter), db.At(k.CreatedAt), db.At(k.ActivatedAt)); err != nil {
		return SPKey{}, err
	}
	return k, s.recordSPKey(ctx, a, q, tenant, connection, "sso_sp_key.created", k.ID)
}

// ReadySPKey makes the key pair of the next key that this process adds, unless one
// waits already. That takes some tenths of a second, for which a transaction would
// hold up every writer of the embedded store: call it before a transaction that may
// add a key. A transaction that finds none makes its own.
func (s *Service) ReadySPKey() error {
	s.mu.Lock()
	waits := len(s.spare) > 0
	s.mu.Unlock()
	if waits {
		return nil
	}
	pair, err := rsa.GenerateKey(rand.Reader, spKeyBits)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.spare) < maxSparePairs {
		s.spare = append(s.spare, pair)
	}
	return nil
}

func (s *Service) takePair() (*rsa.PrivateKey, error) {
	s.mu.Lock()
	if n := len(s.spare); n > 0 {
		pair := s.spare[n-1]
		s.spare = s.spare[:n-1]
		s.mu.Unlock()
		return pair, nil
	}
	s.mu.Unlock()
	return rsa.GenerateKey(rand.Reader, spKeyBits)
}

// certify makes the certificate of a key pair, and gives the private key in
// PKCS #8. The certificate begins an hour ago, for clocks that are behind.
func (k *SPKey) certify(connection string, key *rsa.PrivateKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)), // positive
		Subject:      pkix.Name{CommonName: connection},
		NotBefore:    k.CreatedAt.Add(-time.Hour).UTC(),
		NotAfter:     k.CreatedAt.AddDate(spKeyYears, 0, 0).UTC().Truncate(time.Second),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	k.CertificatePEM, k.NotAfter = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})), template.NotAfter
	return x509.MarshalPKCS8PrivateKey(key)
}

// Certificate gives the key's certificate.
func (k SPKey) Certificate() (*x509.Certificate, error) {
	block, _ := pem.Decode([]byte(k.CertificatePEM))
	if block == nil {
		return nil, errors.New("tenants: the certificate of key " + k.ID + " is not PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

func (s *Service) recordSPKey(ctx context.Context, a actor.Actor, q db.Queryer, tenant, connection, action, keyID string) error {
	return audit.Record(ctx, q, audit.Event{
		Environment: a.Environment, Tenant: tenant, Action: action, Actor: a, Connection: connection,
		Targets: []audit.Target{{Type: "sso_sp_key", ID: keyID}}, At: s.clock.Now(),
	})
}
