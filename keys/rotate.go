package keys

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// JobRotate is the kind of the job that rotates what is due, every hour.
const JobRotate = "keys.rotate"

const (
	// keyLife is how long a key signs.
	keyLife = 90 * 24 * time.Hour
	// publishNext is how long a key is in the set before it signs.
	publishNext = 7 * 24 * time.Hour
)

// Rotate makes the environment sign with another key at once: the next one, or
// a new one where none waits. The key before it stays published until its tokens
// have expired.
func (r *Ring) Rotate(ctx context.Context, environment, alg string) error {
	if !known(alg) {
		return fault.New(fault.Invalid, "unknown_algorithm", "The algorithm is not one that signing keys have.").In("alg")
	}
	now := r.clock.Now()
	fresh, err := generate(r.vault, environment, alg, active, now)
	if err != nil {
		return err
	}
	err = r.db.Tx(ctx, func(q db.Queryer) error {
		current, waiting, err := lock(ctx, q, environment, alg)
		if err != nil {
			return err
		}
		var stmts []db.Stmt
		to := fresh.kid
		if waiting != "" {
			to = waiting
		}
		if current != "" {
			stmts = append(stmts, db.Stmt{SQL: sqlRetireKey, Args: []any{environment, current, db.At(now)}})
		}
		if waiting != "" {
			stmts = append(stmts, db.Stmt{SQL: sqlActivateKey, Args: []any{environment, waiting, db.At(now)}})
		} else {
			stmts = append(stmts, fresh.insert(environment))
		}
		event, err := audit.Stmts(audit.Event{
			Environment: environment, Action: "signing_key.rotated", Actor: actor.Actor{Environment: environment, Kind: actor.System}, At: now,
			Targets: []audit.Target{{Type: "signing_key", ID: to, Name: alg}}, Changes: map[string]audit.Change{"kid": {From: current, To: to}},
		})
		if err != nil {
			return err
		}
		return q.Batch(ctx, append(stmts, event...))
	})
	if err != nil {
		return err
	}
	_, err = r.load(ctx, environment)
	return err
}

// lock reads which keys of the algorithm sign and wait, and keeps other
// rotations of them away until the transaction ends.
func lock(ctx context.Context, q db.Queryer, environment, alg string) (current, waiting string, err error) {
	rows, err := q.Query(ctx, sqlLockKeys+q.Dialect().ForUpdate, environment, alg)
	if err != nil {
		return "", "", err
	}
	defer rows.Close()
	for rows.Next() {
		var kid, state string
		if err := rows.Scan(&kid, &state); err != nil {
			return "", "", err
		}
		if state == active {
			current = kid
		} else {
			waiting = kid
		}
	}
	return current, waiting, rows.Err()
}

func known(alg string) bool {
	for _, a := range Algorithms {
		if a == alg {
			return true
		}
	}
	return false
}

// RotateDue is the job JobRotate: in every environment it publishes the next
// key of an algorithm a week before the active one is 90 days old, lets it take
// over when it is, and drops keys whose tokens have long expired.
func (r *Ring) RotateDue(ctx context.Context) error {
	type due struct {
		environment, alg string
		active, next     db.Time // since when
	}
	rows, err := r.db.Query(ctx, sqlAllKeys)
	if err != nil {
		return err
	}
	defer rows.Close()
	var all []*due
	for rows.Next() {
		var environment, kid, alg, state string
		var created, activated db.Time
		if err := rows.Scan(&environment, &kid, &alg, &state, &created, &activated); err != nil {
			return err
		}
		if len(all) == 0 || all[len(all)-1].environment != environment || all[len(all)-1].alg != alg {
			all = append(all, &due{environment: environment, alg: alg})
		}
		if state == active {
			all[len(all)-1].active = activated
		} else {
			all[len(all)-1].next = created
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	rows.Close()
	now := r.clock.Now()
	var errs []error
	for i, d := range all {
		age := now.Sub(d.active.Time)
		switch {
		case age >= keyLife && !d.next.IsZero() && now.Sub(d.next.Time) >= publishNext:
			errs = append(errs, r.Rotate(ctx, d.environment, d.alg))
		case age >= keyLife-publishNext && d.next.IsZero():
			errs = append(errs, r.publish(ctx, d.environment, d.alg, now))
		}
		if i == 0 || all[i-1].environment != d.environment {
			_, err := r.db.Exec(ctx, sqlDropRetired, d.environment, db.At(now.Add(-publishRetired)))
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// publish puts the key into the set that will sign next.
func (r *Ring) publish(ctx context.Context, environment, alg string, now time.Time) error {
	k, err := generate(r.vault, environment, alg, next, now)
	if err != nil {
		return err
	}
	return r.db.Batch(ctx, []db.Stmt{k.insert(environment)})
}
