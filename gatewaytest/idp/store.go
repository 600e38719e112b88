package idp

import (
	"crypto/rand"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/clock"
)

// maxStored bounds each store; the oldest entries go first.
const maxStored = 10_000

// store keeps values under random handles for a while.
type store[T any] struct {
	clock clock.Clock
	mu    sync.Mutex
	m     map[string]stored[T]
	order []string
}

type stored[T any] struct {
	value   T
	expires time.Time
}

func newStore[T any](c clock.Clock) *store[T] {
	return &store[T]{clock: c, m: map[string]stored[T]{}}
}

// put keeps v for ttl and returns its handle.
func (s *store[T]) put(v T, ttl time.Duration) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.order) >= maxStored {
		delete(s.m, s.order[0])
		s.order = s.order[1:]
	}
	handle := rand.Text()
	s.m[handle] = stored[T]{v, s.clock.Now().Add(ttl)}
	s.order = append(s.order, handle)
	return handle
}

func (s *store[T]) get(handle string) (T, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.m[handle]
	if !ok || !s.clock.Now().Before(e.expires) {
		var none T
		return none, false
	}
	return e.value, true
}

// take is get, once.
func (s *store[T]) take(handle string) (T, bool) {
	v, ok := s.get(handle)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, still := s.m[handle]; !still {
		ok = false
	}
	delete(s.m, handle)
	return v, ok
}
