// Package secret makes and checks the bearer secrets that Gatehouse hands out.
//
// The form is <prefix>_<id>_<secret><crc>: the 26 characters of the object's id,
// 43 base62 characters (256 bits) and 6 of CRC-32, by which scanners tell a real
// secret from chance without asking anybody (product 7.4). The whole string is
// shown once; what is stored is the SHA-256 of it. The secrets are random, so a
// slow hash would add nothing.
package secret

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"hash/crc32"
	"math/big"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/id"
)

// Prefixes of the kinds of secret.
const (
	TenantToken   = "gwt"
	PersonalToken = "gwp"
	ManagementKey = "gwm"
	SCIMToken     = "gws"
	Invitation    = "gwi"
	InviteLink    = "gwj"
	SetupLink     = "gwl"
	ClientSecret  = "gwc" // an application's client secret
	SCIMClient    = "gwd" // the client secret of a directory
)

const (
	bodyLen = 43
	crcLen  = 6
	digits  = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// Pattern is the regular expression that secret scanners use to find any of them.
const Pattern = `gw[a-z]_[a-z2-7]{26}_[0-9A-Za-z]{49}`

// New makes a secret for the object with the given id (prefix included or not).
func New(prefix, objectID string) string {
	if _, raw, ok := strings.Cut(objectID, "_"); ok {
		objectID = raw
	}
	var b [32]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic("secret: no randomness: " + err.Error()) // crypto/rand does not fail on supported systems
	}
	s := prefix + "_" + objectID + "_" + base62(new(big.Int).SetBytes(b[:]), bodyLen)
	return s + checksum(s)
}

// Parse checks the form and the checksum and returns the id's 26 characters.
func Parse(prefix, s string) (rawID string, ok bool) {
	if len(s) != len(prefix)+1+id.Length+1+bodyLen+crcLen || !strings.HasPrefix(s, prefix+"_") {
		return "", false
	}
	rest := s[len(prefix)+1:]
	if rest[id.Length] != '_' || !id.ValidRaw(rest[:id.Length]) {
		return "", false
	}
	cut := len(s) - crcLen
	if subtle.ConstantTimeCompare([]byte(checksum(s[:cut])), []byte(s[cut:])) != 1 {
		return "", false
	}
	return rest[:id.Length], true
}

// Hash gives the hex SHA-256 that is stored in place of a secret.
func Hash(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

// Equal compares a stored hash with the hash of s in constant time.
func Equal(storedHash, s string) bool {
	return subtle.ConstantTimeCompare([]byte(storedHash), []byte(Hash(s))) == 1
}

// Random makes an opaque value of 256 bits for codes, handles, state and
// cookies: 43 characters of base64url.
func Random() string {
	var b [32]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic("secret: no randomness: " + err.Error())
	}
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func checksum(s string) string {
	return base62(new(big.Int).SetUint64(uint64(crc32.ChecksumIEEE([]byte(s)))), crcLen)
}

func base62(n *big.Int, width int) string {
	out := make([]byte, width)
	base, m := big.NewInt(62), new(big.Int)
	for i := width - 1; i >= 0; i-- {
		n.DivMod(n, base, m)
		out[i] = digits[m.Int64()]
	}
	return string(out)
}
