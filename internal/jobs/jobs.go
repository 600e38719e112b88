package jobs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

// MaxPayload is the greatest payload in bytes. Big things stay in their tables
// and the payload names them.
const MaxPayload = 64 << 10

// Job is one piece of work.
type Job struct {
	ID          string // job_…; set by Enqueue's store, given to handlers
	Environment string // empty: of the instance
	Tenant      string // empty: of the environment
	Kind        string // names the handler: "oidc.backchannel_logout"
	// Key, when set, makes the job unique in its environment, tenant and kind:
	// enqueuing it again while it waits keeps one job with the earlier time and
	// the later payload; while it runs, it runs once more afterwards. Every
	// enqueuing locks the row until the transaction ends: a key that most
	// transactions share would serialise them; use Every for such work.
	Key     string
	Payload []byte // UTF-8 text without NUL, JSON by custom; at most MaxPayload
	// RunAt is when it is due; zero: at once.
	RunAt time.Time
	// Attempt counts from 1; set for handlers.
	Attempt int

	owner string
}

// Enqueue adds the job in the caller's transaction.
func Enqueue(ctx context.Context, q db.Queryer, j Job) error {
	if err := j.check(); err != nil {
		return err
	}
	s := Stmt(j)
	_, err := q.Exec(ctx, s.SQL, s.Args...)
	return err
}

// Stmt is Enqueue as a statement, for a batch. The caller answers for the
// limits of the payload.
func Stmt(j Job) db.Stmt {
	// Only for people to read; no decision depends on it.
	created := clock.System{}.Now()
	if j.RunAt.IsZero() {
		j.RunAt = created
	}
	return db.Stmt{SQL: sqlEnqueue, Args: []any{
		j.Environment, j.Tenant, id.New(id.Job), j.Kind, j.Key, string(j.Payload), db.At(j.RunAt), db.At(created),
	}}
}

func (j Job) check() error {
	switch {
	case j.Kind == "":
		return errors.New("jobs: a job without kind")
	case len(j.Payload) > MaxPayload:
		return fmt.Errorf("jobs: payload of %s is larger than %d bytes", j.Kind, MaxPayload)
	case !utf8.Valid(j.Payload) || bytes.IndexByte(j.Payload, 0) >= 0: // PostgreSQL stores neither
		return fmt.Errorf("jobs: payload of %s is not text", j.Kind)
	}
	return nil
}
