package oidc

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
)

// MethodS256 is the only code challenge method in use: plain protects nothing
// that the front channel leaks (RFC 7636 §7.2).
const MethodS256 = "S256"

const (
	challengeLen   = 43 // base64url of a SHA-256
	minVerifierLen = 43
	maxVerifierLen = 128
)

// ValidChallenge reports whether s has the form of an S256 code challenge
// (RFC 7636 §4.2).
func ValidChallenge(s string) bool {
	if len(s) != challengeLen {
		return false
	}
	_, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil
}

// ValidVerifier reports whether s has the form of a code verifier: 43 to 128
// unreserved characters (RFC 7636 §4.1).
func ValidVerifier(s string) bool {
	if len(s) < minVerifierLen || len(s) > maxVerifierLen {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' && c != '~' {
			return false
		}
	}
	return true
}

// Challenge gives the S256 code challenge of a verifier (RFC 7636 §4.2).
func Challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// VerifyChallenge reports whether the verifier belongs to the challenge
// (RFC 7636 §4.6), in constant time.
func VerifyChallenge(challenge, verifier string) bool {
	return ValidVerifier(verifier) && subtle.ConstantTimeCompare([]byte(Challenge(verifier)), []byte(challenge)) == 1
}
