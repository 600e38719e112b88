package db

import "runtime"

// enter runs a transaction function or a batch. It is a frame of its own so that nested can find it on the
// stack of a call that f makes.
//
//go:noinline
func enter(f func() error) error {
	return f()
}

var enterEntry = entryOf(enter)

// nested reports whether the calling goroutine is inside a transaction function. Without the check a
// nested write would wait for the SQLite writer, which waits for it; on PostgreSQL it would hold two
// connections and starve the pool under load. A transaction hidden in the context would find it more
// cheaply (this walk takes a few microseconds), but functions close over the outer context.
func nested() bool {
	var buf [64]uintptr
	for skip := 2; ; skip += len(buf) {
		n := runtime.Callers(skip, buf[:])
		for _, pc := range buf[:n] {
			if f := runtime.FuncForPC(pc - 1); f != nil && f.Entry() == enterEntry {
				return true
			}
		}
		if n < len(buf) {
			return false
		}
	}
}

func entryOf(f func(func() error) error) (entry uintptr) {
	_ = f(func() error {
		var pc [1]uintptr
		// Skipped: runtime.Callers and this literal; what is left is f.
		runtime.Callers(2, pc[:])
		entry = runtime.FuncForPC(pc[0] - 1).Entry()
		return nil
	})
	return entry
}
