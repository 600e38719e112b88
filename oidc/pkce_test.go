package oidc

import (
	"strings"
	"testing"
)

// The example of RFC 7636, appendix B.
func TestChallenge(t *testing.T) {
	const verifier, challenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	if Challenge(verifier) != challenge || !VerifyChallenge(challenge, verifier) || !ValidChallenge(challenge) {
		t.Error("the example does not hold")
	}
	for name, bad := range map[string]string{
		"empty": "", "another": strings.Replace(verifier, "d", "e", 1), "the challenge itself": challenge,
		"42 characters": verifier[:42], "129 characters": strings.Repeat("a", 129), "a space": verifier[:42] + " ",
	} {
		if VerifyChallenge(challenge, bad) {
			t.Errorf("%s is accepted", name)
		}
	}
	for _, bad := range []string{"", verifier + "=", challenge[:42], challenge + "A", strings.Repeat("+", 43), strings.Repeat("!", 43)} {
		if ValidChallenge(bad) {
			t.Errorf("challenge %q is accepted", bad)
		}
	}
	for n, want := range map[int]bool{42: false, 43: true, 128: true, 129: false} {
		if ValidVerifier(strings.Repeat("a", n)) != want {
			t.Errorf("%d characters: %v", n, !want)
		}
	}
}
