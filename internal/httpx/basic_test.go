package httpx

import (
	"encoding/base64"
	"net/http"
	"testing"
)

func TestClientBasic(t *testing.T) {
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	with := func(headers ...string) *http.Request {
		return &http.Request{Header: http.Header{"Authorization": headers}}
	}
	good := func(header, id, secret string) {
		t.Helper()
		if i, s, ok := ClientBasic(with(header)); !ok || i != id || s != secret {
			t.Errorf("%s: %q %q %v", header, i, s, ok)
		}
	}
	bad := func(why string, headers ...string) {
		t.Helper()
		if i, s, ok := ClientBasic(with(headers...)); ok || i != "" || s != "" {
			t.Errorf("%s: %q %q %v", why, i, s, ok)
		}
	}
	good("Basic "+encode("client:secret"), "client", "secret")
	good("basic "+encode("client:"), "client", "")
	good("Basic "+encode("a%3Ab:c+d%2B"), "a:b", "c d+")
	good("Basic "+encode("client:se:cret"), "client", "se:cret")
	bad("no header")
	bad("two headers", "Basic "+encode("a:b"), "Basic "+encode("a:b"))
	bad("another scheme", "Bearer "+encode("a:b"))
	bad("no base64", "Basic a:b")
	bad("no colon", "Basic "+encode("client"))
	bad("a broken escape in the id", "Basic "+encode("%zz:secret"))
	bad("a broken escape in the secret", "Basic "+encode("client:%"))
}
