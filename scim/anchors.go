package scim

import (
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// anchor is the last resource of a page in the order of creation.
type anchor struct {
	created time.Time
	id      string
}

// anchors remembers where pages of index pagination ended, so that the next
// startIndex is a seek and not an offset. It is a hint of one process: a miss
// costs an OFFSET over the key index. An anchor is used for anchorFor only,
// because deletions move the numbers that startIndex counts.
type anchors struct {
	clock clock.Clock
	mu    sync.Mutex
	by    map[anchorKey]anchorValue
}

type anchorKey struct {
	connection, filter string
	kind               schema.Kind
	start              int
}

type anchorValue struct {
	anchor
	at time.Time
}

const (
	anchorFor  = 2 * time.Minute
	maxAnchors = 20_000
)

func newAnchors(c clock.Clock) *anchors {
	return &anchors{clock: c, by: map[anchorKey]anchorValue{}}
}

func (a *anchors) find(k anchorKey) *anchor {
	a.mu.Lock()
	defer a.mu.Unlock()
	v, ok := a.by[k]
	if !ok || a.clock.Now().Sub(v.at) > anchorFor {
		return nil
	}
	return &v.anchor
}

func (a *anchors) keep(k anchorKey, last row) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.clock.Now()
	if len(a.by) >= maxAnchors {
		for k, v := range a.by {
			if now.Sub(v.at) > anchorFor {
				delete(a.by, k)
			}
		}
		if len(a.by) >= maxAnchors {
			clear(a.by)
		}
	}
	a.by[k] = anchorValue{anchor{last.Created, last.ID}, now}
}

// forget drops the anchors of a connection of which a resource was deleted.
func (a *anchors) forget(connection string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for k := range a.by {
		if k.connection == connection {
			delete(a.by, k)
		}
	}
}
