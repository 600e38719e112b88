package api

import (
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/limit"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// takeRequest takes a request of the credential's bucket, and of that which all
// credentials of its tenant share. The answer tells, refused or not, how large they
// are and what is left of the one that will refuse first
// (draft-ietf-httpapi-ratelimit-headers-10 §4, §5).
func (h *Handler) takeRequest(header http.Header, a actor.Actor) error {
	if h.Limit == nil {
		return nil
	}
	now := h.Clock.Now()
	err := h.Limit.Take(a.Subject, now)
	policy, left, rest := bucket("api", h.Limit, a.Subject, now)
	if a.Tenant != "" && h.TenantLimit != nil {
		refused := err != nil // then it takes nothing from its neighbours
		if !refused {
			err = h.TenantLimit.Take(a.Tenant, now)
		}
		shared, leftShared, restShared := bucket("tenant", h.TenantLimit, a.Tenant, now)
		policy += ", " + shared
		if leftShared < left || !refused && err != nil {
			rest = restShared
		}
	}
	header.Set("RateLimit-Policy", policy)
	header.Set("RateLimit", rest)
	return err
}

// bucket describes a bucket, and what is left of it.
func bucket(name string, l *limit.Limiter, key string, now time.Time) (policy string, left int, rest string) {
	left, full := l.Left(key, now)
	burst, window := l.Size()
	return fmt.Sprintf(`"%s";q=%d;w=%d`, name, burst, seconds(window)), left, fmt.Sprintf(`"%s";r=%d;t=%d`, name, left, seconds(full))
}

// seconds rounds up.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// Wrong credentials are counted by address, so that guessing is bounded: an
// address may try failedBurst and then one in two seconds. The same wrong
// credential sent again and again, as by a program whose key has expired, is one
// guess a minute: its neighbours at the address are not shut out with it.
const (
	failedRate  = 0.5
	failedBurst = 60
)

// guesses counts wrong credentials of one replica.
type guesses struct{ addresses, repeats *limit.Limiter }

func newGuesses() guesses {
	return guesses{addresses: limit.New(failedRate, failedBurst), repeats: limit.New(1.0/60, 1)}
}

// open fails with fault.Limited while the address has guessed too often.
func (g guesses) open(ip netip.Addr, now time.Time) error {
	left, full := g.addresses.Left(network(ip), now)
	if left > 0 {
		return nil
	}
	f := fault.New(fault.Limited, "too_many_attempts", "Too many wrong credentials came from this address. Wait and send the request again.")
	f.RetryAfter = max(full-time.Duration(float64(failedBurst-1)/failedRate*float64(time.Second)), 0).Truncate(time.Second) + time.Second
	return f
}

// wrong counts a wrong credential.
func (g guesses) wrong(ip netip.Addr, credential string, now time.Time) {
	if g.repeats.Take(secret.Hash(credential), now) == nil {
		g.addresses.Charge(network(ip), now, 1)
	}
}

// network is what counts as one address: whoever has an IPv6 address usually has
// all of its /64.
func network(ip netip.Addr) string {
	if ip.Is6() && !ip.Is4In6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.Unmap().String()
}
