package secret

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/id"
)

func TestSecretRoundTrip(t *testing.T) {
	tok := id.New(id.Token)
	s := New(SCIMToken, tok)
	if !regexp.MustCompile("^" + Pattern + "$").MatchString(s) {
		t.Fatalf("%q does not match the published pattern", s)
	}
	raw, ok := Parse(SCIMToken, s)
	if !ok || "tok_"+raw != tok {
		t.Fatalf("Parse gave %q, %v", raw, ok)
	}
	if !Equal(Hash(s), s) || Equal(Hash(s), s+"x") {
		t.Fatal("Equal is wrong")
	}
	for i := range len(s) {
		c := byte('q')
		if s[i] == c {
			c = 'r'
		}
		if _, ok := Parse(SCIMToken, s[:i]+string(c)+s[i+1:]); ok {
			t.Errorf("a secret with character %d changed parses", i)
		}
	}
	for _, bad := range []string{"", "gws", "gws_", s[:len(s)-1], s + "0", "gwm" + s[3:]} {
		if _, ok := Parse(SCIMToken, bad); ok {
			t.Errorf("%q parses", bad)
		}
	}
}

// Scanners of leaked secrets are given the pattern that holds (product 7.4).
func TestPatternIsPublished(t *testing.T) {
	text, err := os.ReadFile("../../docs/flows.md")
	if err != nil || !strings.Contains(string(text), "\n"+Pattern+"\n") {
		t.Errorf("docs/flows.md does not name %s, %v", Pattern, err)
	}
}

func TestIdentifiersAscend(t *testing.T) {
	prev := ""
	for range 20000 {
		n := id.New(id.User)
		if !id.Valid(id.User, n) {
			t.Fatalf("%q is not valid", n)
		}
		if n <= prev {
			t.Fatalf("%q does not come after %q", n, prev)
		}
		prev = n
	}
}
