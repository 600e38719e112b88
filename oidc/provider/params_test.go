package provider

import (
	"net/url"
	"testing"
)

func TestWithQuery(t *testing.T) {
	fields := [][2]string{{"code", "a b&c"}, {"iss", "https://id.example.com"}}
	const want = "code=a+b%26c&iss=https%3A%2F%2Fid.example.com"
	for uri, full := range map[string]string{
		"https://app.example.com":        "https://app.example.com?" + want,
		"https://app.example.com/cb":     "https://app.example.com/cb?" + want,
		"https://app.example.com/cb?":    "https://app.example.com/cb?" + want,
		"https://app.example.com/cb?x=1": "https://app.example.com/cb?x=1&" + want,
		"com.example.app:/cb":            "com.example.app:/cb?" + want,
	} {
		if got := withQuery(uri, fields); got != full {
			t.Errorf("%s: %s", uri, got)
		}
	}
}

func TestPrintable(t *testing.T) {
	if got := printable("a\"b\\c\r\nd\x00é ok"); got != "a'b'c''d'' ok" {
		t.Errorf("%q", got)
	}
}

// Each parameter has one value, none is empty, and what the client repeated is
// known.
func FuzzParse(f *testing.F) {
	f.Add("client_id=a&client_id=b&x=")
	f.Add("a=%00&b=%ff")
	f.Add("a;b=c")
	f.Fuzz(func(t *testing.T, text string) {
		p, repeated, err := parse(text)
		if err != nil {
			return
		}
		values, err := url.ParseQuery(text)
		if err != nil {
			t.Fatal(err)
		}
		twice := 0
		for name, v := range values {
			if len(v) > 1 {
				twice++
			}
			if p[name] != v[0] {
				t.Errorf("%q is %q, want %q", name, p[name], v[0])
			}
		}
		if twice != len(repeated) {
			t.Errorf("%d repeated, want %d", len(repeated), twice)
		}
	})
}
