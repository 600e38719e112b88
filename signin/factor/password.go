package factor

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// MaxPassword is the greatest length of a password, in bytes of its normal form.
const MaxPassword = 1024

// cost of argon2id, as OWASP's Password Storage Cheat Sheet gives it: 19 MiB, two
// passes, one lane.
type cost struct {
	memory, time uint32
	lanes        uint8
}

var currentCost = cost{memory: 19 << 10, time: 2, lanes: 1}

const (
	saltLen = 16
	hashLen = 32
	// maxWaiting is how many hashes may wait, per one that runs; some 1.5 s of work.
	maxWaiting = 60
)

// ErrBusy turns away who would have to wait for too long.
var ErrBusy = &fault.Error{Kind: fault.Unavailable, Code: "SIGNIN_BUSY", Message: "Too many people are signing in at this moment. Try again in a few seconds.", RetryAfter: 2 * time.Second}

// Hasher hashes passwords, a bounded number at a time. It is safe for concurrent
// use.
type Hasher struct {
	running chan struct{}
	waiting chan struct{}
	dummy   string // a hash of nobody's, against which unknown people are checked
}

// NewHasher makes a hasher that uses half of the processors: the other half is for
// who needs no hash, however many passwords come.
func NewHasher() *Hasher {
	n := max(runtime.GOMAXPROCS(0)/2, 1)
	h := &Hasher{running: make(chan struct{}, n), waiting: make(chan struct{}, n*maxWaiting)}
	h.dummy = encode(currentCost, salt(), make([]byte, hashLen))
	return h
}

func salt() []byte {
	b := make([]byte, saltLen)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	return b
}

// Place is a place among those who hash, or wait to.
type Place struct{ h *Hasher }

// Enter takes a place, to be left again. Who has other work to do for a password
// enters first, so that being turned away costs nothing.
//
// Fault: SIGNIN_BUSY.
func (h *Hasher) Enter() (Place, error) {
	select {
	case h.waiting <- struct{}{}:
		return Place{h}, nil
	default:
		return Place{}, ErrBusy
	}
}

// Leave gives the place to somebody else.
func (p Place) Leave() { <-p.h.waiting }

// Hash gives the stored form of a password, in the PHC string format.
//
// Fault: SIGNIN_BUSY.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	p, err := h.Enter()
	if err != nil {
		return "", err
	}
	defer p.Leave()
	return p.hash(ctx, password)
}

func (p Place) hash(ctx context.Context, password string) (string, error) {
	s := salt()
	sum, err := p.h.sum(ctx, currentCost, s, password)
	return encode(currentCost, s, sum), err
}

// Verify reports whether the password belongs to the hash, and whether it should
// be hashed anew because the cost has changed. An empty hash belongs to nobody,
// and takes as long.
//
// Fault: SIGNIN_BUSY.
func (h *Hasher) Verify(ctx context.Context, hash, password string) (ok, stale bool, err error) {
	p, err := h.Enter()
	if err != nil {
		return false, false, err
	}
	defer p.Leave()
	return p.verify(ctx, hash, password)
}

func (p Place) verify(ctx context.Context, hash, password string) (ok, stale bool, err error) {
	known := hash != ""
	if !known {
		hash = p.h.dummy
	}
	c, s, want, ok := decode(hash)
	if !ok {
		return false, false, fmt.Errorf("factor: a stored password hash cannot be read")
	}
	got, err := p.h.sum(ctx, c, s, password)
	if err != nil {
		return false, false, err
	}
	ok = known && subtle.ConstantTimeCompare(got, want) == 1
	return ok, ok && c != currentCost, nil
}

// sum waits for its turn and hashes.
func (h *Hasher) sum(ctx context.Context, c cost, salt []byte, password string) ([]byte, error) {
	select {
	case h.running <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-h.running }()
	return argon2.IDKey([]byte(Normal(password)), salt, c.time, c.memory, c.lanes, hashLen), nil
}

// Normal is the form of a password that is hashed: NFKC, so that it is the same
// from every keyboard (NIST SP 800-63B §3.1.1.2).
func Normal(password string) string { return norm.NFKC.String(password) }

func encode(c cost, salt, sum []byte) string {
	b := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.memory, c.time, c.lanes, b.EncodeToString(salt), b.EncodeToString(sum))
}

func decode(hash string) (c cost, salt, sum []byte, ok bool) {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return c, nil, nil, false
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &c.memory, &c.time, &c.lanes); err != nil || c.memory > 1<<20 || c.time == 0 || c.time > 100 || c.lanes == 0 {
		return c, nil, nil, false
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return c, nil, nil, false
	}
	sum, err = base64.RawStdEncoding.DecodeString(parts[5])
	return c, salt, sum, err == nil && len(sum) == hashLen
}
