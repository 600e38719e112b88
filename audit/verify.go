package audit

import (
	"context"
	"errors"
	"time"
)

// FaultKind says what is wrong at a place of a chain.
type FaultKind string

// The faults of a chain.
const (
	Changed FaultKind = "changed" // the event is not what was sealed
	Missing FaultKind = "missing" // the event is gone
	Gap     FaultKind = "gap"     // one or more seals before this one are gone
	Hash    FaultKind = "hash"    // the seal itself was changed; the event is as it was
	// Checkpoint: what retention left behind was changed, or contradicts what the
	// chain tells of it.
	Checkpoint FaultKind = "checkpoint"
)

// Fault is something wrong in a chain.
type Fault struct {
	Kind  FaultKind
	Seq   int64
	Event string // id
}

// Result is what Verify found.
type Result struct {
	Events int // sealed events
	Purged int // events that retention deleted; the chain is verified from behind them
	// PurgedFaults counts the places among them that did not verify when they were
	// deleted.
	PurgedFaults int
	PurgedAt     time.Time // of the last time; zero: never
	Unsealed     int       // committed events that wait for the sealer
	Head         string    // the newest hash, to be compared with a copy kept elsewhere
	Faults       []Fault
}

// OK reports whether the chain is whole.
func (r Result) OK() bool { return len(r.Faults) == 0 }

const verifyBatch = 1000

// Verify recomputes the chain of the tenant, from its checkpoint on where retention
// has cut it; "" is that of the events above tenants. It reads in stretches, so
// events may be recorded, sealed and purged meanwhile.
func (l *Log) Verify(ctx context.Context, tenant string) (Result, error) {
	var v verifier
	if err := l.begin(ctx, tenant, &v); err != nil {
		return Result{}, err
	}
	for {
		n, err := l.verifyStretch(ctx, tenant, &v)
		if err != nil {
			return Result{}, err
		}
		if n < verifyBatch {
			break
		}
	}
	v.settle()
	if err := l.db.QueryRow(ctx, sqlCountUnsealed, tenant).Scan(&v.result.Unsealed); err != nil {
		return Result{}, err
	}
	v.result.Head = v.stored
	return v.result, nil
}

// begin puts the verifier behind the checkpoint.
func (l *Log) begin(ctx context.Context, tenant string, v *verifier) error {
	c, told, err := l.toldCheckpoint(ctx, tenant)
	if err != nil {
		return err
	}
	v.settle()
	if !c.holds(told) {
		v.fault(Fault{Checkpoint, c.seq, told.event})
	}
	v.seq, v.stored, v.computed = c.seq, c.hash, c.hash
	v.result.Purged, v.result.PurgedFaults, v.result.PurgedAt = int(c.events), int(c.faults), c.at.Time
	return nil
}

// errCut: the chain goes on behind a place that was not read. Retention may have
// cut it there since.
var errCut = errors.New("audit: a gap at the beginning of a stretch")

func (l *Log) verifyStretch(ctx context.Context, tenant string, v *verifier) (int, error) {
	n, err := l.readStretch(ctx, tenant, v, true)
	if !errors.Is(err, errCut) {
		return n, err
	}
	c, err := readCheckpoint(ctx, l.db, tenant)
	if err != nil {
		return 0, err
	}
	if c.seq > v.seq {
		if err := l.begin(ctx, tenant, v); err != nil {
			return 0, err
		}
	}
	return l.readStretch(ctx, tenant, v, false)
}

// readStretch walks along the next places. With whole, a gap before the first of
// them is errCut, and nothing was walked along.
func (l *Log) readStretch(ctx context.Context, tenant string, v *verifier, whole bool) (int, error) {
	rows, err := l.db.Query(ctx, sqlChain, tenant, v.seq, int64(verifyBatch))
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		var r row
		var seq int64
		var event, hash string
		if err := r.scan(rows, &seq, &event, &hash); err != nil {
			return 0, err
		}
		if n == 0 && whole && seq != v.seq+1 {
			return 0, errCut
		}
		if err := v.next(&r, seq, event, hash); err != nil {
			return 0, err
		}
		n++
	}
	return n, rows.Err()
}

// verifier walks along a chain. After a place whose hash does not fit, the next
// place tells what was changed: if it continues from the recomputed hash, the
// seal was; otherwise the event was.
type verifier struct {
	result   Result
	seq      int64
	stored   string // the hash of the place before, as stored
	computed string // the same, as recomputed; empty when it cannot be known
	doubt    *Fault // at the place before
}

func (v *verifier) next(r *row, seq int64, event, hash string) error {
	v.result.Events++
	gap := seq != v.seq+1
	if gap {
		v.settle()
		v.fault(Fault{Gap, seq, event})
	}
	v.seq = seq
	if r.ID == "" {
		v.settle()
		v.fault(Fault{Missing, seq, event})
		v.stored, v.computed = hash, hash
		return nil
	}
	fromStored, err := r.hash(v.stored)
	if err != nil {
		return err
	}
	computed := fromStored
	switch {
	case gap:
		computed = hash // what came before is unknown, so this place cannot be checked
	case fromStored == hash:
		v.settle()
	case v.doubt != nil:
		fromComputed, err := r.hash(v.computed)
		if err != nil {
			return err
		}
		if fromComputed == hash {
			v.doubt.Kind = Hash
			v.settle()
			computed = hash
		} else {
			v.settle()
			v.doubt = &Fault{Changed, seq, event}
		}
	default:
		v.doubt = &Fault{Changed, seq, event}
	}
	v.stored, v.computed = hash, computed
	return nil
}

func (v *verifier) settle() {
	if v.doubt != nil {
		v.fault(*v.doubt)
		v.doubt = nil
	}
}

func (v *verifier) fault(f Fault) { v.result.Faults = append(v.result.Faults, f) }
