package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client calls the management API of one environment. It is safe for concurrent
// use. Set its fields before the first call.
type Client struct {
	// HTTP sends the requests; [New] sets one that follows no redirects and gives
	// up after 30 seconds.
	HTTP *http.Client
	// Attempts is how often a request is sent at most; 4 by [New], 1 never repeats.
	Attempts int
	// MaxWait bounds a pause between two attempts, also one that the server asks
	// for; 30 s by [New]. A server that asks for more has the call fail at once.
	MaxWait time.Duration
	// UserAgent names the application to the server.
	UserAgent string

	base       string
	credential string
	sleep      func(context.Context, time.Duration) error
}

// New makes a client of the environment with that base URL, such as
// https://id.example.com. credential is a management key, an API token or an access
// token. It is sent in plain, so http serves loopback addresses only.
func New(baseURL, credential string) (*Client, error) {
	base, err := checkBase(baseURL)
	if err != nil {
		return nil, err
	}
	if credential == "" || strings.ContainsAny(credential, "\r\n ") {
		return nil, errors.New("client: the credential is empty or cannot be sent")
	}
	return &Client{HTTP: newHTTP(30 * time.Second), Attempts: 4, MaxWait: 30 * time.Second, UserAgent: "gatehouse-go", base: base, credential: credential, sleep: sleep}, nil
}

// checkBase accepts https, and http at loopback names.
func checkBase(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("client: the base URL is not an address such as https://id.example.com")
	}
	host := u.Hostname()
	loopback := host == "localhost" || strings.HasSuffix(host, ".localhost") || host == "127.0.0.1" || host == "::1"
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback) {
		return "", errors.New("client: the base URL must be https")
	}
	return strings.TrimSuffix(address, "/"), nil
}

func newHTTP(timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Request is one call of the API, for what the functions do not say.
type Request struct {
	Method string
	Path   string     // below /api/v1, such as /tenants/acme; escaped
	Query  url.Values // may be nil
	Body   any        // sent as JSON; nil: none
	// Header is added: If-Match with the ETag of what was read, or an
	// Idempotency-Key that outlives the process.
	Header http.Header
}

// Response is what came back.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// maxBody bounds an answer in bytes.
const maxBody = 32 << 20

// Do sends a request, again where that is safe and helps, and gives the answer of
// success (2xx). Any other answer is an [*Error].
func (c *Client) Do(ctx context.Context, r Request) (Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = json.Marshal(r.Body); err != nil {
			return Response{}, fmt.Errorf("client: %w", err)
		}
	}
	header := r.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	if r.Method == http.MethodPost && header.Get("Idempotency-Key") == "" {
		header.Set("Idempotency-Key", `"`+rand.Text()+`"`)
	}
	// A change that named a version would find its own, and be told that somebody
	// else came first.
	again := header.Get("If-Match") == ""
	for attempt := 1; ; attempt++ {
		res, err := c.send(ctx, r, header, body)
		if err == nil {
			return res, nil
		}
		wait, ok := retry(err, attempt)
		if !ok || !again && !refusedUntouched(err) || attempt >= c.Attempts || wait > c.MaxWait || ctx.Err() != nil {
			return res, err
		}
		if c.sleep(ctx, wait) != nil {
			return res, err
		}
	}
}

func (c *Client) send(ctx context.Context, r Request, header http.Header, body []byte) (Response, error) {
	address := c.base + "/api/v1" + r.Path
	if len(r.Query) > 0 {
		address += "?" + r.Query.Encode()
	}
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, address, reader)
	if err != nil {
		return Response{}, fmt.Errorf("client: %w", err)
	}
	req.Header = header.Clone()
	req.Header.Set("Authorization", "Bearer "+c.credential)
	req.Header.Set("User-Agent", c.UserAgent)
	req.Header.Set("Accept", "application/json, application/problem+json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.HTTP.Do(req)
	if err != nil {
		return Response{}, fmt.Errorf("client: %w", err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if err != nil {
		return Response{}, fmt.Errorf("client: %w", err)
	}
	if len(text) > maxBody {
		return Response{}, errors.New("client: the answer is too large")
	}
	out := Response{Status: res.StatusCode, Header: res.Header, Body: text}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return out, newError(out)
	}
	return out, nil
}

// call is Do with a decoded answer. Fields that T does not have are left out, so
// that a newer server serves an older application.
func call[T any](ctx context.Context, c *Client, r Request) (out T, err error) {
	res, err := c.Do(ctx, r)
	if err != nil || len(res.Body) == 0 {
		return out, err
	}
	if err := json.Unmarshal(res.Body, &out); err != nil {
		return out, fmt.Errorf("client: %s %s: %w", r.Method, r.Path, err)
	}
	return out, nil
}

// Get reads an object. query may be nil.
func Get[T any](ctx context.Context, c *Client, path string, query url.Values) (T, error) {
	return call[T](ctx, c, Request{Method: http.MethodGet, Path: path, Query: query})
}

// Post makes something, or does something. body may be nil.
func Post[T any](ctx context.Context, c *Client, path string, body any) (T, error) {
	return call[T](ctx, c, Request{Method: http.MethodPost, Path: path, Body: body})
}

// Put replaces an object.
func Put[T any](ctx context.Context, c *Client, path string, body any) (T, error) {
	return call[T](ctx, c, Request{Method: http.MethodPut, Path: path, Body: body})
}

// Patch changes the fields that body names.
func Patch[T any](ctx context.Context, c *Client, path string, body any) (T, error) {
	return call[T](ctx, c, Request{Method: http.MethodPatch, Path: path, Body: body})
}

// Delete removes an object.
func (c *Client) Delete(ctx context.Context, path string) error {
	_, err := c.Do(ctx, Request{Method: http.MethodDelete, Path: path})
	return err
}
