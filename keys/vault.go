package keys

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"strings"
	"sync"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"

	"github.com/gatehouse-id/gatehouse/internal/db"
)

// MasterSize is the length of the master key in bytes.
const MasterSize = 32

// sealPrefix names the key that a sealed value is under, for the day on which
// the master key is changed.
const sealPrefix = "1."

var (
	// ErrMasterSize: the master key is not 32 bytes long.
	ErrMasterSize = errors.New("keys: the master key must be 32 bytes")
	// ErrWrongMaster: the store was written under another master key.
	ErrWrongMaster = errors.New("keys: this is not the master key that the database was made with")
	// ErrOpen: a sealed value was changed, belongs to another row, or is under another key.
	ErrOpen = errors.New("keys: the sealed value does not open")
)

// Vault encrypts secrets at rest and authenticates values that leave the
// server. It is safe for concurrent use.
type Vault struct {
	aead *subtle.AESGCM
	mac  sync.Pool
}

// NewVault makes a vault of the master key. Encryption and authentication use
// keys of their own, derived by HKDF-SHA-256.
func NewVault(master []byte) (*Vault, error) {
	if len(master) != MasterSize {
		return nil, ErrMasterSize
	}
	encrypt, err := hkdf.Key(sha256.New, master, nil, "gatehouse seal 1", 32)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	authenticate, err := hkdf.Key(sha256.New, master, nil, "gatehouse mac 1", 32)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	aead, err := subtle.NewAESGCM(encrypt)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	v := &Vault{aead: aead}
	v.mac.New = func() any { return hmac.New(sha256.New, authenticate) }
	return v, nil
}

// Seal encrypts a value of one row's column with AES-256-GCM. The result opens
// only as the same column of the same row.
func (v *Vault) Seal(table, column, rowID string, plain []byte) (string, error) {
	sealed, err := v.aead.Encrypt(plain, place(table, column, rowID))
	if err != nil {
		return "", fmt.Errorf("keys: seal: %w", err)
	}
	return sealPrefix + base64.RawURLEncoding.EncodeToString(sealed), nil
}

// Open decrypts what Seal made; it fails with ErrOpen.
func (v *Vault) Open(table, column, rowID, sealed string) ([]byte, error) {
	text, ok := strings.CutPrefix(sealed, sealPrefix)
	if !ok {
		return nil, ErrOpen
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, ErrOpen
	}
	plain, err := v.aead.Decrypt(raw, place(table, column, rowID))
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}

func place(table, column, rowID string) []byte { return []byte(table + "/" + column + "/" + rowID) }

// MAC authenticates the parts for one purpose with HMAC-SHA-256 (RFC 2104): 43
// characters of base64url. Parts are told apart by their lengths, so that moving
// a border between two of them changes the result. Compare results with
// [Equal].
func (v *Vault) MAC(purpose string, parts ...string) string {
	h := v.mac.Get().(hash.Hash)
	defer v.mac.Put(h)
	h.Reset()
	var length [8]byte
	write := func(s string) {
		binary.BigEndian.PutUint64(length[:], uint64(len(s)))
		h.Write(length[:])
		h.Write([]byte(s))
	}
	write(purpose)
	for _, p := range parts {
		write(p)
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// Equal compares two MACs in constant time.
func Equal(a, b string) bool { return hmac.Equal([]byte(a), []byte(b)) }

// CheckMaster stores a check value the first time and compares it ever after:
// it fails with ErrWrongMaster when the vault's master key is not that of the
// store. The value tells nothing about the key.
func CheckMaster(ctx context.Context, d db.DB, v *Vault, now time.Time) error {
	want := v.MAC("key check")
	var stored string
	err := d.Batch(ctx, []db.Stmt{
		{SQL: sqlInsertKeyCheck, Args: []any{want, db.At(now)}},
		{SQL: sqlKeyCheck, Scan: func(rows db.Rows) error {
			for rows.Next() {
				if err := rows.Scan(&stored); err != nil {
					return err
				}
			}
			return rows.Err()
		}},
	})
	if err != nil {
		return err
	}
	if !Equal(stored, want) {
		return ErrWrongMaster
	}
	return nil
}
