package scim

import (
	"slices"
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

// anchors remembers where pages of index pagination ended, so that a startIndex
// is a seek to the nearest page end before it and not an offset from the first
// resource. It is a hint of one process: a miss costs an OFFSET over the key index.
// An anchor is used for anchorFor only, because deletions move the numbers that
// startIndex counts.
type anchors struct {
	clock clock.Clock
	mu    sync.Mutex
	by    map[string]map[listKey][]pageEnd // by connection; in the order of start
	n     int
}

type listKey struct {
	filter string
	kind   schema.Kind
}

// pageEnd is the resource before the one that start counts.
type pageEnd struct {
	anchor
	start int
	at    time.Time
}

const (
	anchorFor  = 2 * time.Minute
	maxAnchors = 20_000
)

func newAnchors(c clock.Clock) *anchors {
	return &anchors{clock: c, by: map[string]map[listKey][]pageEnd{}}
}

func byStart(e pageEnd, start int) int { return e.start - start }

// find gives the nearest anchor at or before start, and how many resources lie
// between the two. nil: there is none.
func (a *anchors) find(connection string, k listKey, start int) (after *anchor, skip int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	list, now := a.by[connection][k], a.clock.Now()
	i, exact := slices.BinarySearchFunc(list, start, byStart)
	if !exact {
		i--
	}
	if i >= 0 && now.Sub(list[i].at) > anchorFor {
		fresh := slices.DeleteFunc(list, func(e pageEnd) bool { return now.Sub(e.at) > anchorFor })
		a.n -= len(list) - len(fresh)
		a.by[connection][k], list = fresh, fresh
		if i, exact = slices.BinarySearchFunc(list, start, byStart); !exact {
			i--
		}
	}
	if i < 0 {
		return nil, 0
	}
	end := list[i]
	return &end.anchor, start - end.start
}

func (a *anchors) keep(connection string, k listKey, start int, last row) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.n >= maxAnchors { // they are hints: begin again
		clear(a.by)
		a.n = 0
	}
	mine := a.by[connection]
	if mine == nil {
		mine = map[listKey][]pageEnd{}
		a.by[connection] = mine
	}
	end := pageEnd{anchor{created: last.Created, id: last.ID}, start, a.clock.Now()}
	i, known := slices.BinarySearchFunc(mine[k], start, byStart)
	if known {
		mine[k][i] = end
		return
	}
	mine[k] = slices.Insert(mine[k], i, end)
	a.n++
}

// forget drops the anchors of a connection of which a resource was deleted.
func (a *anchors) forget(connection string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, list := range a.by[connection] {
		a.n -= len(list)
	}
	delete(a.by, connection)
}
