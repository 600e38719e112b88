package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/internal/id"
)

// Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-07): a POST that is
// sent again under its key takes effect once and gets the first answer. The answer
// is stored in the transaction of the change, so that neither is there without the
// other. A request that was refused has changed nothing: its key is free again,
// and the same request is judged anew.

const (
	// keyLife is how long an answer is kept (product 7.3).
	keyLife = 24 * time.Hour
	// keyLock is how long a request may hold its key; it is longer than any request
	// may run.
	keyLock = time.Minute
	maxKey  = 255 // characters
	// purgeRows keeps a statement of the purge short.
	purgeRows = 1000
)

const replayedHeader = "Idempotency-Replayed"

var (
	errKeyForm   = fault.New(fault.Invalid, "invalid_idempotency_key", "An Idempotency-Key has 1 to 255 visible ASCII characters.")
	errKeyReused = fault.New(fault.Invalid, "idempotency_key_reused", "The Idempotency-Key was used for another request. Make a new one for each.")
	errKeyHeld   = fault.New(fault.Conflict, "request_in_flight", "A request with this Idempotency-Key has not been answered yet. Send it again later.")
)

// claim is a request's hold on its key.
type claim struct {
	environment, subject, key string
	id                        string
	status                    int // of success
	kept                      bool
}

// answer is what is stored of an answer, and sent again.
type answer struct {
	Status int    `json:"status"`
	ETag   string `json:"etag,omitempty"`
	Body   []byte `json:"body,omitempty"`
}

// idempotencyKey reads the header: a quoted string, as the draft has it, or the
// bare characters.
func idempotencyKey(h http.Header) (string, error) {
	list := h.Values("Idempotency-Key")
	if len(list) == 0 {
		return "", nil
	}
	key := strings.TrimSpace(list[0])
	if n := len(key); n > 1 && key[0] == '"' && key[n-1] == '"' {
		key = key[1 : n-1]
	}
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' || key[i] == '"' {
			return "", errKeyForm
		}
	}
	if len(list) > 1 || key == "" || len(key) > maxKey {
		return "", errKeyForm
	}
	return key, nil
}

// subjectOf is whose keys are told apart: credentials, and tenants of a person,
// with the one that he came from, and whoever impersonates him.
func subjectOf(a actor.Actor) string {
	return strings.Join([]string{string(a.Kind), a.Subject, a.Tenant, a.Home, a.Impersonator.ID}, "/")
}

// claim takes hold of the request's key, or gives the answer that is stored under
// it. Without a key both are nil. The body is read, and given back.
func (h *Handler) claim(ctx context.Context, s scope, rt route, r *http.Request) (*claim, *answer, error) {
	if r.Method != http.MethodPost || rt.unkept {
		return nil, nil, nil
	}
	key, err := idempotencyKey(r.Header)
	if err != nil || key == "" {
		return nil, nil, err
	}
	body, err := httpx.ReadBody(r, rt.maxBody)
	if err != nil {
		return nil, nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	hash := sha256.New()
	_, _ = io.WriteString(hash, r.Method+"\n"+r.URL.RequestURI()+"\n") // a hash takes everything
	_, _ = hash.Write(body)
	// Under the master key: a body may hold a secret that somebody could guess.
	fingerprint := h.Vault.MAC("idempotency", hex.EncodeToString(hash.Sum(nil)))

	c := &claim{environment: s.environment.ID, subject: subjectOf(s.actor), key: key, id: id.New("clm"), status: rt.status}
	for range 3 { // another request may let go of the key, or take it, in between
		now := h.Clock.Now()
		until, end := db.At(now.Add(keyLock)), db.At(now.Add(keyLife))
		n, err := h.DB.Exec(ctx, sqlClaimKey, c.environment, c.subject, key, c.id, fingerprint, until, end)
		if err != nil || n == 1 {
			return c, nil, err
		}
		var before, stored, sealed string
		var locked, expires int64
		err = h.DB.QueryRow(ctx, sqlKey, c.environment, c.subject, key).Scan(&before, &stored, &sealed, &locked, &expires)
		if errors.Is(err, db.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		switch {
		case now.UnixMicro() >= expires, sealed == "" && now.UnixMicro() >= locked:
			n, err := h.DB.Exec(ctx, sqlTakeKey, c.environment, c.subject, key, before, c.id, fingerprint, until, end, sealed)
			if err != nil || n == 1 {
				return c, nil, err
			}
		case stored != fingerprint:
			return nil, nil, errKeyReused
		case sealed == "":
			return nil, nil, errKeyHeld
		default:
			a, err := h.openAnswer(before, sealed)
			return nil, a, err
		}
	}
	return nil, nil, errKeyHeld
}

func (h *Handler) openAnswer(claim, sealed string) (*answer, error) {
	text, err := h.Vault.Open("idempotency_keys", "answer", claim, sealed)
	if err != nil {
		return nil, err
	}
	var a answer
	return &a, json.Unmarshal(text, &a)
}

// keep stores the answer of a request that holds a key; body nil is no body. It
// runs in the transaction of the change. A request that lost its key, because it
// ran too long, is undone: another one may have taken effect.
func (h *Handler) keep(ctx context.Context, s scope, q db.Queryer, body any) error {
	c := s.claim
	if c == nil {
		return nil
	}
	a := answer{Status: c.status, ETag: s.header.Get("ETag")}
	if body != nil {
		var b bytes.Buffer
		if err := jsonFormat.Marshal(&b, body); err != nil {
			return err
		}
		a.Body = b.Bytes()
	}
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	sealed, err := h.Vault.Seal("idempotency_keys", "answer", c.id, text)
	if err != nil {
		return err
	}
	n, err := q.Exec(ctx, sqlKeepAnswer, c.environment, c.subject, c.key, c.id, sealed)
	if err == nil && n == 0 {
		err = errKeyHeld
	}
	return err
}

// release frees the key of a request that was refused. The request itself may
// have been given up, which must not keep the key.
func (h *Handler) release(ctx context.Context, c *claim) {
	if c == nil || c.kept {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, err := h.DB.Exec(ctx, sqlReleaseKey, c.environment, c.subject, c.key, c.id); err != nil {
		h.Logger.LogAttrs(ctx, slog.LevelWarn, "an idempotency key stays held for a minute", slog.String("error", err.Error()))
	}
}

func writeAnswer(w http.ResponseWriter, a *answer) {
	w.Header().Set(replayedHeader, "true")
	if a.ETag != "" {
		w.Header().Set("ETag", a.ETag)
	}
	if len(a.Body) > 0 {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // a reader that went away is not worth a word
}

// commit runs f in one transaction, which may run it again, and stores its
// outcome for the request's Idempotency-Key in the same. A POST that changes
// something goes through it.
func commit[O any](ctx context.Context, h *Handler, s scope, f func(db.Queryer) (O, error)) (out O, err error) {
	err = h.DB.Tx(ctx, func(q db.Queryer) (err error) {
		if out, err = f(q); err != nil {
			return err
		}
		s.answer(out)
		return h.keep(ctx, s, q, out)
	})
	if err == nil && s.claim != nil {
		s.claim.kept = true
	}
	return out, err
}

// PurgeJob is the kind of the job that runs Purge.
const PurgeJob = "api.purge"

// Purge forgets answers that are older than a day.
func (h *Handler) Purge(ctx context.Context) error {
	for {
		n, err := h.DB.Exec(ctx, sqlPurgeKeys, db.At(h.Clock.Now()), purgeRows)
		if err != nil || n < purgeRows {
			return err
		}
	}
}
