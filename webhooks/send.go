package webhooks

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/safehttp"
)

// Bounds of an attempt (product 7.1).
const (
	Timeout       = 15 * time.Second
	maxAnswer     = 64 << 10 // bytes that are read
	keptAnswer    = 4 << 10  // bytes that the log keeps
	maxRetryAfter = time.Hour
)

// schedule is how long after an attempt the next one follows: ten attempts in 75
// hours and 35 minutes.
var schedule = []time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

const (
	jitterPart = 0.1 // of a wait, up and down
	// failingFor is how long an endpoint may fail before it is switched off.
	failingFor = 5 * 24 * time.Hour
)

func random() float64 { return rand.Float64() }

// NewFetch makes the client that webhooks are sent with: the public internet on
// ports 443 and 8443, no redirects. allowPrivate is --allow-private-networks.
func NewFetch(allowPrivate bool) *safehttp.Client {
	return safehttp.New(safehttp.Options{AllowPrivate: allowPrivate, Timeout: Timeout, MaxBody: maxAnswer, Ports: []int{443, 8443}})
}

// Attempt is one request of a delivery.
type Attempt struct {
	N        int // from 1
	At       time.Time
	Duration time.Duration
	Status   int    // of HTTP; 0: no answer
	Error    string // a code: status, or one of safehttp; empty: it went well
	Response string // the answer's first 4 kB

	retryAfter time.Duration
	cut        bool // the server stopped: it does not count
}

// codeStatus: the answer is no 2xx.
const codeStatus = "status"

func (a *Attempt) ok() bool { return a.Error == "" }

// unreachable reports whether the next request to the endpoint would fare alike:
// it did not answer, or asks for a rest.
func (a *Attempt) unreachable() bool {
	switch a.Status {
	case 0, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return !a.ok()
	}
	return false
}

// attempt sends one request, signed now with every secret.
func (s *Service) attempt(ctx context.Context, address string, secrets []signing, d waiting) Attempt {
	a := Attempt{N: d.attempts + 1, At: s.clock.Now()}
	body := []byte(d.body)
	signatures := make([]string, len(secrets))
	for i, secret := range secrets {
		signatures[i] = sign(secret.plain, d.message, a.At, body)
	}
	work, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	start := time.Now()
	defer func() { a.Duration = time.Since(start) }()
	r, err := http.NewRequestWithContext(work, http.MethodPost, address, strings.NewReader(d.body))
	if err != nil {
		a.Error = safehttp.CodeURL
		return a
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Gatehouse-Webhooks")
	r.Header.Set("webhook-id", d.message)
	r.Header.Set("webhook-timestamp", strconv.FormatInt(a.At.Unix(), 10))
	r.Header.Set("webhook-signature", strings.Join(signatures, " "))
	resp, err := s.fetch.HTTP().Do(r)
	if resp != nil {
		a.Status = resp.StatusCode
		defer resp.Body.Close()
	}
	if err != nil {
		a.Error = fault.CodeOf(safehttp.Fault(err))
		a.cut = ctx.Err() != nil && errors.Is(ctx.Err(), context.Canceled)
		return a
	}
	if a.Status < 200 || a.Status > 299 {
		a.Error = codeStatus
		a.retryAfter = retryAfter(resp.Header.Get("Retry-After"), a.At)
	}
	// The status has decided; the text is for people who read the log.
	a.Response = readAnswer(resp.Body)
	return a
}

// readAnswer keeps the beginning of an answer, in a form that both engines store,
// and reads on to the bound, so that the connection can serve again.
func readAnswer(body io.Reader) string {
	kept, err := io.ReadAll(io.LimitReader(body, keptAnswer))
	if err == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(body, maxAnswer-keptAnswer)) // what fails here changes nothing
	}
	return strings.ReplaceAll(strings.ToValidUTF8(string(kept), "\uFFFD"), "\x00", "\uFFFD")
}

// retryAfter reads seconds or a date (RFC 9110 §10.2.3), at most an hour.
func retryAfter(value string, now time.Time) time.Duration {
	var d time.Duration
	if n, err := strconv.ParseUint(value, 10, 32); err == nil {
		d = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}

// wait is how long after the nth attempt the next one follows; false when it was
// the last.
func (s *Service) wait(n int, a Attempt) (time.Duration, bool) {
	if n > len(schedule) {
		return 0, false
	}
	d := time.Duration(float64(schedule[n-1]) * (1 - jitterPart + 2*jitterPart*s.jitter()))
	if a.unreachable() {
		d = max(d, a.retryAfter)
	}
	return d, true
}
