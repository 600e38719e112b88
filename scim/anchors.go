package scim

import (
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// anchor is the last resource of a page, in the order of creation or, for cursors,
// in that of a sort.
type anchor struct {
	created time.Time
	id      string
	key     sortKey // of the attribute that the list is sorted by
}

// anchors remembers where pages of index pagination ended, so that the next
// startIndex is a seek and not an offset. It is a hint of one process: a miss
// costs an OFFSET over the key index. An anchor is used for anchorFor only,
// because deletions move the numbers that startIndex counts.
type anchors struct {
	clock clock.Clock
	mu    sync.Mutex
	by    map[string]map[anchorKey]anchorValue // by connection
	n     int
}

type anchorKey struct {
	filter string
	kind   schema.Kind
	start  int
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
	return &anchors{clock: c, by: map[string]map[anchorKey]anchorValue{}}
}

func (a *anchors) find(connection string, k anchorKey) *anchor {
	a.mu.Lock()
	defer a.mu.Unlock()
	v, ok := a.by[connection][k]
	if !ok || a.clock.Now().Sub(v.at) > anchorFor {
		return nil
	}
	return &v.anchor
}

func (a *anchors) keep(connection string, k anchorKey, last row) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.n >= maxAnchors { // they are hints: begin again
		clear(a.by)
		a.n = 0
	}
	mine := a.by[connection]
	if mine == nil {
		mine = map[anchorKey]anchorValue{}
		a.by[connection] = mine
	}
	if _, known := mine[k]; !known {
		a.n++
	}
	mine[k] = anchorValue{anchor{created: last.Created, id: last.ID}, a.clock.Now()}
}

// forget drops the anchors of a connection of which a resource was deleted.
func (a *anchors) forget(connection string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.n -= len(a.by[connection])
	delete(a.by, connection)
}
