package client

import (
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/safehttp"
	"github.com/gatehouse-id/gatehouse/oidc"
)

func guarded(o safehttp.Options) *providers {
	return &providers{http: safehttp.New(o).HTTP(), m: map[string]*oidc.Cached[*provider]{}}
}

// sso 5.2: addresses inside our network, spelled in every way, are not asked:
// neither as issuer nor as an address that discovery names.
func TestInnerAddresses(t *testing.T) {
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was asked") }))
	defer inner.Close()
	port := inner.URL[strings.LastIndexByte(inner.URL, ':'):]
	p := guarded(safehttp.Options{})
	for _, address := range []string{
		inner.URL, "https://127.0.0.1" + port, "https://localhost" + port, "https://[::1]" + port, "https://[::ffff:127.0.0.1]" + port, "https://0x7f.1" + port,
		"https://0177.0.0.1" + port, "https://2130706433" + port, "https://127.1" + port, "https://0.0.0.0" + port, "https://10.0.0.1", "https://192.168.1.1",
		"https://172.16.0.1", "https://100.64.0.1", "https://169.254.169.254", "https://[fe80::1]", "https://[fd00::1]", "https://[::ffff:a9fe:a9fe]",
		"http://example.com", "file:///etc/passwd", "gopher://127.0.0.1" + port + "/_x", "ftp://127.0.0.1" + port, "https://user:pass@127.0.0.1" + port,
	} {
		_, err := p.get(t.Context(), address, now, false)
		if fault.CodeOf(err) != "OIDC_DISCOVERY" || !strings.HasPrefix(cause(err), "fetch_") {
			t.Errorf("%s: %v (%s)", address, err, cause(err))
		}
		keys := oidc.NewKeySet(address, p.http)
		if _, _, err := keys.Find(t.Context(), "", now, nil); err == nil {
			t.Errorf("keys at %s", address)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := oidc.Do(p.http, r); err == nil {
			t.Errorf("userinfo at %s", address)
		}
	}
}

// A provider that answers without end, never, compressed, or elsewhere.
func TestHostileAnswers(t *testing.T) {
	released := make(chan struct{})
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer elsewhere.Close()
	for name, k := range map[string]struct {
		cause string
		serve http.HandlerFunc
	}{
		"gzip bomb": {"", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("Content-Type", "application/json")
			z := gzip.NewWriter(w)
			_, _ = z.Write([]byte(`{"issuer":"`))
			zeros := make([]byte, 1<<20)
			for range 50 {
				_, _ = z.Write(zeros)
			}
			_ = z.Close()
		}},
		"50 MB": {"fetch_too_large", func(w http.ResponseWriter, _ *http.Request) {
			chunk := []byte(strings.Repeat(" ", 1<<20))
			for range 50 {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		}},
		"slow drip": {"", func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte("{"))
			_ = http.NewResponseController(w).Flush()
			select {
			case <-released:
			case <-r.Context().Done():
			}
		}},
		"never answers": {"fetch_timeout", func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-released:
			case <-r.Context().Done():
			}
		}},
		"redirect": {"fetch_redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }},
		"redirect to metadata": {"fetch_redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://169.254.169.254/", http.StatusPermanentRedirect)
		}},
		"status 503": {"status 503", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(k.serve)
			defer server.Close()
			timeout := time.Minute
			if k.cause == "fetch_timeout" || name == "slow drip" {
				timeout = 50 * time.Millisecond
			}
			p := guarded(safehttp.Options{AllowPrivate: true, Timeout: timeout})
			_, err := p.get(t.Context(), server.URL, now, false)
			if fault.CodeOf(err) != "OIDC_DISCOVERY" || !strings.HasPrefix(cause(err), k.cause) {
				t.Errorf("%v (%s)", err, cause(err))
			}
			if _, _, err := oidc.NewKeySet(server.URL, p.http).Find(t.Context(), "", now, nil); err == nil {
				t.Error("keys were read")
			}
		})
	}
	close(released)
}

// Addresses on other hosts are usual; plain http is for development alone.
func TestReachable(t *testing.T) {
	for _, k := range []struct {
		address, issuer string
		want            bool
	}{
		{"https://login.example/token", "https://idp.example", true},
		{"https://idp.example:8443/token", "https://idp.example", true},
		{"http://idp.example/token", "https://idp.example", false},
		{"http://127.0.0.1/token", "http://127.0.0.1", true},
		{"https://a:b@idp.example/token", "https://idp.example", false},
		{"//idp.example/token", "https://idp.example", false},
		{"/token", "https://idp.example", false},
		{"https:///token", "https://idp.example", false},
		{"javascript:alert(1)", "https://idp.example", false},
		{"file:///etc/passwd", "http://127.0.0.1", false},
		{"https://idp.example/%zz", "https://idp.example", false},
	} {
		if got := reachable(k.address, k.issuer); got != k.want {
			t.Errorf("%s for %s: %v", k.address, k.issuer, got)
		}
	}
}
