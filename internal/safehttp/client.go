package safehttp

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// What applies where Options say nothing.
const (
	DefaultTimeout = 5 * time.Second
	DefaultMaxBody = 1 << 20 // bytes
	maxHeader      = 64 << 10
	maxURL         = 2048
	userAgent      = "Gatehouse"
)

// Codes of the failures.
const (
	CodeURL      = "fetch_refused_url"     // Invalid: scheme, port or form of the URL
	CodeAddress  = "fetch_refused_address" // Invalid: it leads into a network that may not be reached
	CodeRedirect = "fetch_redirect"        // Invalid: the answer is a redirect
	CodeTooLarge = "fetch_too_large"       // TooLarge: the body passes the limit
	CodeTimeout  = "fetch_timeout"         // Unavailable
	CodeStatus   = "fetch_status"          // Unavailable: Get saw another status than 200
	CodeDNS      = "fetch_dns"             // Unavailable: the name does not resolve
	CodeTLS      = "fetch_tls"             // Unavailable: no acceptable certificate
	CodeFailed   = "fetch_failed"          // Unavailable: anything else on the network
)

// Options of a Client. The zero value is the strict one.
type Options struct {
	// AllowPrivate lets plain http, loopback and private addresses pass
	// (--allow-private-networks, for development). Link-local addresses, where
	// clouds keep machine credentials, stay refused.
	AllowPrivate bool
	// Timeout of a whole exchange, the body included; 0 is DefaultTimeout.
	Timeout time.Duration
	// MaxBody is the greatest body in bytes; 0 is DefaultMaxBody.
	MaxBody int64
	// Ports that may be dialled; none: any. AllowPrivate lifts it.
	Ports []int
	// Resolver of names; nil is the system's.
	Resolver *net.Resolver
}

// Client fetches from addresses that tenants give. It is safe for concurrent
// use; make one and keep it, because it pools connections.
type Client struct {
	opts Options
	http *http.Client
}

// New makes a client.
func New(o Options) *Client {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.MaxBody <= 0 {
		o.MaxBody = DefaultMaxBody
	}
	c := &Client{opts: o}
	d := &net.Dialer{Timeout: o.Timeout, Resolver: o.Resolver, Control: c.control}
	t := &transport{client: c, next: &http.Transport{
		Proxy:                  nil, // a proxy would resolve the name, past the check
		DialContext:            d.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // the limit counts what is read, so nothing may inflate
		MaxResponseHeaderBytes: maxHeader,
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    2,
		IdleConnTimeout:        30 * time.Second,
	}}
	c.http = &http.Client{
		Transport:     t,
		Timeout:       o.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirect },
	}
	return c
}

var (
	errRedirect = fault.New(fault.Invalid, CodeRedirect, "The address answers with a redirect. Enter the address that it redirects to.")
	errAddress  = fault.New(fault.Invalid, CodeAddress, "The address leads to a network that may not be reached from here.")
)

// HTTP gives the guarded client for libraries that want one. Its bodies fail
// with CodeTooLarge past the limit. Errors arrive inside *url.Error; Fault
// turns them into *fault.Error.
func (c *Client) HTTP() *http.Client { return c.http }

// Response is an answer that was read to its end.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do sends the request and reads the answer, whatever its status; a redirect
// is an error.
func (c *Client) Do(r *http.Request) (*Response, error) {
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, Fault(err)
	}
	defer resp.Body.Close()
	if resp.ContentLength > c.opts.MaxBody {
		return nil, tooLarge(c.opts.MaxBody)
	}
	var b bytes.Buffer
	if _, err := io.Copy(&b, resp.Body); err != nil {
		return nil, Fault(err)
	}
	return &Response{Status: resp.StatusCode, Header: resp.Header, Body: b.Bytes()}, nil
}

// Get fetches a document; any status but 200 is an error.
func (c *Client) Get(ctx context.Context, rawURL string) ([]byte, http.Header, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
	if err != nil {
		return nil, nil, badURL("This is not a URL.")
	}
	resp, err := c.Do(r)
	if err != nil {
		return nil, nil, err
	}
	if resp.Status != http.StatusOK {
		return nil, nil, fault.New(fault.Unavailable, CodeStatus, fmt.Sprintf("The address answers with status %d.", resp.Status))
	}
	return resp.Body, resp.Header, nil
}

// Check says whether the URL could be fetched at all, without touching the
// network: for forms that store an address. Names are decided when dialled.
func (c *Client) Check(rawURL string) error {
	u, err := url.Parse(rawURL)
	if err != nil {
		return badURL("This is not a URL.")
	}
	return c.check(u)
}

func (c *Client) check(u *url.URL) error {
	host := u.Hostname()
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || !c.opts.AllowPrivate):
		return badURL("The address must begin with https://.")
	case host == "" || u.Opaque != "":
		return badURL("The address has no host.")
	case u.User != nil:
		return badURL("The address must not carry a user name or password.")
	case len(u.Host)+len(u.Path)+len(u.RawQuery) > maxURL:
		return badURL(fmt.Sprintf("The address is longer than %d characters.", maxURL))
	}
	if err := c.checkPort(u); err != nil {
		return err
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		if oddNumber(host) {
			return errAddress.Because(errors.New("odd spelling of an IP address: " + host))
		}
		return nil
	}
	// There is no honest reason to write a mapped address in a URL.
	if ip.Is4In6() {
		return errAddress.Because(errors.New("IPv4-mapped address: " + host))
	}
	return c.checkAddr(ip)
}

func (c *Client) checkPort(u *url.URL) error {
	if u.Port() == "" {
		return nil // 443
	}
	p, err := strconv.Atoi(u.Port())
	if err != nil || p < 1 || p > 65535 {
		return badURL("The port of the address is not a port.")
	}
	if len(c.opts.Ports) > 0 && !c.opts.AllowPrivate && !slices.Contains(c.opts.Ports, p) {
		return badURL(fmt.Sprintf("The port %d is not allowed.", p))
	}
	return nil
}

func (c *Client) checkAddr(ip netip.Addr) error {
	if why := reason(ip, c.opts.AllowPrivate); why != "" {
		return errAddress.Because(fmt.Errorf("%s is %s", ip, why))
	}
	return nil
}

// control runs after name resolution and before connect, for every connection.
func (c *Client) control(network, address string, _ syscall.RawConn) error {
	if network != "tcp4" && network != "tcp6" {
		return errAddress.Because(errors.New("network " + network))
	}
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return errAddress.Because(err)
	}
	return c.checkAddr(ap.Addr())
}

// transport checks URLs and caps bodies.
type transport struct {
	client *Client
	next   *http.Transport
}

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := t.client.check(r.URL); err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	if r.Header.Get("User-Agent") == "" {
		r = r.Clone(r.Context()) // a RoundTripper must not change its request
		r.Header.Set("User-Agent", userAgent)
	}
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = &capped{ReadCloser: resp.Body, left: t.client.opts.MaxBody, limit: t.client.opts.MaxBody}
	return resp, nil
}

// CloseIdleConnections lets http.Client.CloseIdleConnections work.
func (t *transport) CloseIdleConnections() { t.next.CloseIdleConnections() }

// capped is a body that fails once more than limit bytes were read.
type capped struct {
	io.ReadCloser
	left, limit int64
}

func (b *capped) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, tooLarge(b.limit)
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if int64(n) > b.left {
		n, err = int(b.left), tooLarge(b.limit)
		b.left = -1
		return n, err
	}
	b.left -= int64(n)
	return n, err
}

func tooLarge(limit int64) *fault.Error {
	return fault.New(fault.TooLarge, CodeTooLarge, fmt.Sprintf("The answer is larger than %d bytes.", limit))
}

func badURL(message string) *fault.Error { return fault.New(fault.Invalid, CodeURL, message) }

// Fault turns an error of HTTP() into the *fault.Error that fits; nil gives nil.
func Fault(err error) error {
	if err == nil {
		return nil
	}
	if f, ok := fault.From(err); ok {
		return f
	}
	f := fault.New(fault.Unavailable, CodeFailed, "The address does not answer.")
	var timeout interface{ Timeout() bool }
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	switch {
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		f = fault.New(fault.Unavailable, CodeTimeout, "The address did not answer in time.")
	case errors.As(err, &dns):
		f = fault.New(fault.Unavailable, CodeDNS, "The host name of the address does not resolve.")
	case errors.As(err, &cert):
		f = fault.New(fault.Unavailable, CodeTLS, "The certificate of the address is not trusted.")
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record), errors.As(err, &alert):
		f = fault.New(fault.Unavailable, CodeTLS, "No secure connection to the address could be made.")
	}
	return f.Because(err)
}
