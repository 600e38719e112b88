package directory

import "testing"

func TestEmailKey(t *testing.T) {
	for in, want := range map[string]string{
		" Ann@Example.COM ":                "ann@example.com",
		"ann+tag@example.com":              "ann+tag@example.com",
		"J\u00fcrgen@M\u00fcnchen.example": "j\u00fcrgen@xn--mnchen-3ya.example",
		"Ju\u0308rgen@x.example":           "j\u00fcrgen@x.example",
		"\uff41nn@example.com":             "\uff41nn@example.com", // full-width a is another mailbox
		"a@b@Example.com":                  "a@b@example.com",
		"nobody":                           "nobody",
		"":                                 "",
	} {
		if got := EmailKey(in); got != want {
			t.Errorf("EmailKey(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestEmailDomain(t *testing.T) {
	for in, want := range map[string]string{"x@a.example@B.example": "b.example", "x": "", "x@": "", "x@\u00fc.example": "xn--tda.example"} {
		if got := EmailDomain(in); got != want {
			t.Errorf("EmailDomain(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestValidEmail(t *testing.T) {
	for _, good := range []string{"a@b.example", "a+b@c.example", "j\u00fc@\u00fc.example"} {
		if err := validEmail(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "a", "@b.example", "a@", "a b@c.example", "a@b c", "a@b\n.example"} {
		if validEmail(bad) == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
