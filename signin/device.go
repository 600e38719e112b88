package signin

import (
	"context"
	"net/netip"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/signin/factor"
)

// userCodes bounds the guesses at codes that devices show: those of one person,
// over all of his browsers and addresses.
var userCodes = factor.Lock{MaxAttempts: 10, For: 10 * time.Minute}

// TryUserCode counts a guess at a device's code, before it is judged, against the
// person who is signed in and against his address (RFC 8628 §5.1).
//
// Fault: SIGNIN_TOO_MANY_ATTEMPTS of kind limited.
func (s *Service) TryUserCode(ctx context.Context, environment, user string, ip netip.Addr) (factor.Try, error) {
	return s.factors.Count(ctx, environment, factor.Known("device:"+user), ip, userCodes)
}

// UserCodeHeld takes back a guess that was none. Those before it stay: one's own
// device does not pay for guesses at others'.
func (s *Service) UserCodeHeld(ctx context.Context, q db.Queryer, t factor.Try) error {
	return q.Batch(ctx, s.factors.TakeBackStmts(t))
}
