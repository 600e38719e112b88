package safehttp

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// names is a name server in memory: each query of a name takes its next answer
// and keeps the last.
type names struct {
	mu      sync.Mutex
	answers map[string][]string
	asked   int
}

func (n *names) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go n.serve(server)
		return client, nil
	}}
}

// serve speaks DNS over TCP, which the resolver uses on stream connections.
func (n *names) serve(c net.Conn) {
	defer c.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		msg := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, msg); err != nil {
			return
		}
		out, err := n.answer(msg)
		if err != nil {
			return
		}
		binary.BigEndian.PutUint16(size[:], uint16(len(out)))
		if _, err := c.Write(append(size[:], out...)); err != nil {
			return
		}
	}
}

func (n *names) answer(msg []byte) ([]byte, error) {
	var q dnsmessage.Message
	if err := q.Unpack(msg); err != nil {
		return nil, err
	}
	question := q.Questions[0]
	a := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: q.ID, Response: true, RecursionAvailable: true},
		Questions: q.Questions,
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked++
	all := n.answers[strings.TrimSuffix(question.Name.String(), ".")]
	if len(all) == 0 {
		a.RCode = dnsmessage.RCodeNameError
		return a.Pack()
	}
	ip := netip.MustParseAddr(all[0])
	header := dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET}
	switch {
	case question.Type == dnsmessage.TypeA && ip.Is4():
		a.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AResource{A: ip.As4()}}}
	case question.Type == dnsmessage.TypeAAAA && ip.Is6():
		a.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AAAAResource{AAAA: ip.As16()}}}
	default:
		return a.Pack()
	}
	if len(all) > 1 {
		n.answers[strings.TrimSuffix(question.Name.String(), ".")] = all[1:]
	}
	return a.Pack()
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	if fault.CodeOf(err) != code {
		t.Errorf("got %v, want %s", err, code)
	}
}

func get(c *Client, url string) error {
	_, _, err := c.Get(context.Background(), url)
	return err
}

// Attacks against the strict client. None of them opens a connection.
func TestRefusedURLs(t *testing.T) {
	c := New(Options{Resolver: (&names{answers: map[string][]string{
		"inner.example":  {"10.0.0.1"},
		"meta.example":   {"169.254.169.254"},
		"mapped.example": {"::ffff:127.0.0.1"},
		"nat64.example":  {"64:ff9b::7f00:1"},
		"ula.example":    {"fd00:ec2::254"},
	}}).resolver(), Ports: []int{443, 8443}})
	for url, code := range map[string]string{
		"http://idp.example/":                      CodeURL,
		"ftp://idp.example/":                       CodeURL,
		"file:///etc/passwd":                       CodeURL,
		"gopher://127.0.0.1:6379/_FLUSHALL":        CodeURL,
		"https:///x":                               CodeURL,
		"https:idp.example":                        CodeURL,
		"//idp.example/":                           CodeURL,
		"https://user:pass@idp.example/":           CodeURL,
		"https://idp.example:6379/":                CodeURL,
		"https://idp.example:99999/":               CodeURL,
		"https://idp.example/" + long(maxURL):      CodeURL,
		"https://%zz/":                             CodeURL,
		"https://127.0.0.1/":                       CodeAddress,
		"https://0x7f.1/":                          CodeAddress,
		"https://2130706433/":                      CodeAddress,
		"https://0177.0.0.1/":                      CodeAddress,
		"https://127.1/":                           CodeAddress,
		"https://[::1]/":                           CodeAddress,
		"https://[::ffff:127.0.0.1]/":              CodeAddress,
		"https://[::ffff:8.8.8.8]/":                CodeAddress,
		"https://[0:0:0:0:0:ffff:7f00:1]/":         CodeAddress,
		"https://[fe80::1%25eth0]/":                CodeAddress,
		"https://0.0.0.0/":                         CodeAddress,
		"https://169.254.169.254/latest/meta-data": CodeAddress,
		"https://localhost/":                       CodeAddress,
		"https://inner.example/":                   CodeAddress,
		"https://meta.example:8443/":               CodeAddress,
		"https://mapped.example/":                  CodeAddress,
		"https://nat64.example/":                   CodeAddress,
		"https://ula.example/":                     CodeAddress,
		"https://nobody.example/":                  CodeDNS,
	} {
		t.Run(url[:min(len(url), 60)], func(t *testing.T) {
			err := get(c, url)
			wantCode(t, err, code)
			if f, ok := fault.From(err); !ok || strings.Contains(f.Message, "10.0.0.1") {
				t.Errorf("the message shows the inner address: %v", err)
			}
		})
	}
}

func long(n int) string { return strings.Repeat("a", n) }

func TestCheck(t *testing.T) {
	strict, private := New(Options{Ports: []int{443}}), New(Options{AllowPrivate: true, Ports: []int{443}})
	for _, u := range []string{"https://idp.example/x", "https://idp.example:443/", "https://8.8.8.8/", "https://localhost/"} {
		if err := strict.Check(u); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
	for _, u := range []string{"http://localhost:8080/x", "http://127.0.0.1:1/", "https://[::1]:9/"} {
		if err := private.Check(u); err != nil {
			t.Errorf("%s with AllowPrivate: %v", u, err)
		}
		if strict.Check(u) == nil {
			t.Errorf("%s passes the strict client", u)
		}
	}
	wantCode(t, private.Check("http://169.254.169.254/"), CodeAddress)
}

// A name that resolves differently each time: what counts is the address of
// the connection, so the second answer is refused when it is dialled.
func TestRebinding(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close") // every request resolves and dials again
		_, _ = io.WriteString(w, "ok")
	}))
	defer srv.Close()
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	n := &names{answers: map[string][]string{"rebind.example": {"127.0.0.1"}}}
	c := New(Options{AllowPrivate: true, Resolver: n.resolver()})
	url := "http://rebind.example:" + port + "/"
	if err := get(c, url); err != nil {
		t.Fatal(err)
	}
	n.mu.Lock()
	n.answers["rebind.example"] = []string{"169.254.169.254"}
	n.mu.Unlock()
	wantCode(t, get(c, url), CodeAddress)

	// The strict client refuses the loopback answer of the same name.
	wantCode(t, get(New(Options{Resolver: n.resolver()}), "https://rebind.example:"+port+"/"), CodeAddress)
}

func TestAnswers(t *testing.T) {
	var elsewhere int
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere++ }))
	defer other.Close()
	stop := make(chan struct{})
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(make([]byte, 50<<20))
	_ = z.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "" || r.UserAgent() != userAgent {
			http.Error(w, "unexpected headers", http.StatusBadRequest)
		}
		w.Header().Set("X-Seen", "1")
		_, _ = io.WriteString(w, "hello")
	})
	mux.HandleFunc("/exact", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1000)) })
	mux.HandleFunc("/over", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1001)) })
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		chunk := make([]byte, 64<<10)
		for range 50 << 20 / len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/bomb", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(zipped.Bytes())
	})
	mux.HandleFunc("/headers", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Big", long(maxHeader+10))
	})
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusFound)
	})
	mux.HandleFunc("/missing", http.NotFound)
	mux.HandleFunc("/silent", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-stop:
		}
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) { // slow-loris: a byte, then nothing
		_, _ = w.Write([]byte("a"))
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
		case <-stop:
		}
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	defer close(stop)

	c := New(Options{AllowPrivate: true, MaxBody: 1000})
	body, header, err := c.Get(context.Background(), srv.URL+"/ok")
	if err != nil || string(body) != "hello" || header.Get("X-Seen") != "1" {
		t.Errorf("got %q, %v", body, err)
	}
	if body, _, err := c.Get(context.Background(), srv.URL+"/exact"); err != nil || len(body) != 1000 {
		t.Errorf("a body of exactly the limit: %d bytes, %v", len(body), err)
	}
	wantCode(t, get(c, srv.URL+"/over"), CodeTooLarge)
	wantCode(t, get(c, srv.URL+"/endless"), CodeTooLarge)
	wantCode(t, get(c, srv.URL+"/bomb"), CodeTooLarge)
	wantCode(t, get(c, srv.URL+"/headers"), CodeFailed)
	wantCode(t, get(c, srv.URL+"/missing"), CodeStatus)
	wantCode(t, get(c, srv.URL+"/redirect"), CodeRedirect)
	if elsewhere != 0 {
		t.Error("the redirect was followed")
	}

	// A library that holds HTTP() meets the same limits.
	resp, err := c.HTTP().Get(srv.URL + "/endless")
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if len(got) != 1000 {
		t.Errorf("read %d bytes through HTTP()", len(got))
	}
	wantCode(t, err, CodeTooLarge)
	_, err = c.HTTP().Get(srv.URL + "/redirect")
	wantCode(t, Fault(err), CodeRedirect)

	short := New(Options{AllowPrivate: true, Timeout: 50 * time.Millisecond})
	wantCode(t, get(short, srv.URL+"/silent"), CodeTimeout)
	wantCode(t, get(short, srv.URL+"/slow"), CodeTimeout)

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := c.Get(ctx, srv.URL+"/ok"); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled fetch gives %v", err)
	}
}

func TestProxyEnvironmentIsIgnored(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	n := &names{answers: map[string][]string{"idp.example": {"127.0.0.1"}}}
	// A proxy of the environment is never used for loopback, so ask by name.
	if err := get(New(Options{AllowPrivate: true, Resolver: n.resolver()}), "http://idp.example:"+port+"/"); err != nil {
		t.Error(err)
	}
}

func TestCertificates(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	wantCode(t, get(New(Options{AllowPrivate: true}), srv.URL), CodeTLS)

	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer plain.Close()
	wantCode(t, get(New(Options{AllowPrivate: true}), "https"+strings.TrimPrefix(plain.URL, "http")), CodeTLS)

	plain.Close()
	wantCode(t, get(New(Options{AllowPrivate: true}), plain.URL), CodeFailed)
	if Fault(nil) != nil {
		t.Error("no error is a fault")
	}
}
