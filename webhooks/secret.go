package webhooks

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Signature names how an endpoint's requests are signed (Standard Webhooks 1.0.0,
// signature scheme).
type Signature string

// The schemes.
const (
	HMAC    Signature = "v1"  // HMAC-SHA-256 under a shared secret
	Ed25519 Signature = "v1a" // an asymmetric one; receivers need the public key only
)

// Prefixes of secrets and keys as they are written.
const (
	secretPrefix  = "whsec_" // a shared secret
	privatePrefix = "whsk_"  // an Ed25519 seed; it never leaves
	publicPrefix  = "whpk_"  // its public key
)

// Bounds of secrets, in bytes.
const (
	secretBytes = 32 // of those that we make
	minSecret   = 24 // of whsec_ secrets, decoded
	maxSecret   = 64
	minPasted   = 8 // of any other text, used as it is
	maxPasted   = 200
	// Overlap is how long a replaced secret goes on signing beside the new one.
	Overlap    = 24 * time.Hour
	maxSecrets = 5 // that sign at once
)

// newSecret makes the secret of a scheme, or takes the one that was pasted.
func newSecret(scheme Signature, pasted string) (string, error) {
	if scheme == Ed25519 {
		if pasted != "" {
			return "", invalid("invalid_secret", "The key of v1a signatures is made here.", "secret")
		}
		seed := make([]byte, ed25519.SeedSize)
		_, _ = rand.Read(seed) // it never fails
		return privatePrefix + base64.StdEncoding.EncodeToString(seed), nil
	}
	if pasted == "" {
		raw := make([]byte, secretBytes)
		_, _ = rand.Read(raw) // it never fails
		return secretPrefix + base64.StdEncoding.EncodeToString(raw), nil
	}
	if text, ok := strings.CutPrefix(pasted, secretPrefix); ok {
		raw, err := base64.StdEncoding.DecodeString(text)
		// Line breaks, which decoding passes over, are nobody's intention.
		if err != nil || len(raw) < minSecret || len(raw) > maxSecret || base64.StdEncoding.EncodedLen(len(raw)) != len(text) {
			return "", invalid("invalid_secret", "After whsec_, give the base64 of 24 to 64 bytes.", "secret")
		}
		return pasted, nil
	}
	if strings.HasPrefix(pasted, privatePrefix) || strings.HasPrefix(pasted, publicPrefix) {
		return "", invalid("invalid_secret", "This is a key of v1a signatures, not a shared secret.", "secret")
	}
	if len(pasted) < minPasted || len(pasted) > maxPasted || strings.ContainsFunc(pasted, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
		return "", invalid("invalid_secret", "Give 8 to 200 printable ASCII characters without spaces, or whsec_ and base64.", "secret")
	}
	return pasted, nil
}

// sign gives one entry of webhook-signature over id.timestamp.body.
func sign(secret, id string, at time.Time, body []byte) string {
	text := make([]byte, 0, len(id)+len(body)+24)
	text = append(append(text, id...), '.')
	text = append(strconv.AppendInt(text, at.Unix(), 10), '.')
	text = append(text, body...)
	if key, ok := privateKey(secret); ok {
		return string(Ed25519) + "," + base64.StdEncoding.EncodeToString(ed25519.Sign(key, text))
	}
	key := []byte(secret)
	if encoded, ok := strings.CutPrefix(secret, secretPrefix); ok {
		if raw, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			key = raw
		}
	}
	h := hmac.New(sha256.New, key)
	h.Write(text)
	return string(HMAC) + "," + base64.StdEncoding.EncodeToString(h.Sum(nil))
}

func privateKey(secret string) (ed25519.PrivateKey, bool) {
	text, ok := strings.CutPrefix(secret, privatePrefix)
	if !ok {
		return nil, false
	}
	seed, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, false
	}
	return ed25519.NewKeyFromSeed(seed), true
}

// publicKey gives what a receiver needs; empty for shared secrets.
func publicKey(secret string) string {
	key, ok := privateKey(secret)
	if !ok {
		return ""
	}
	return publicPrefix + base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
}

func checkSignature(s Signature) (Signature, error) {
	switch s {
	case "":
		return HMAC, nil
	case HMAC, Ed25519:
		return s, nil
	}
	return "", fault.New(fault.Invalid, "invalid_signature", "The signature is v1 or v1a.").In("signature")
}
