package scim

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/scim/schema"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Why an entry of the log cannot be replayed. The texts are for administrators.
var (
	errReplayRead      = notReplayable("replay_read", "This request only read: there is nothing to repeat.")
	errReplayStranger  = notReplayable("replay_unauthenticated", "This request came without a valid credential, so nobody knows who sent it. It is not repeated.")
	errReplayBulk      = notReplayable("replay_bulk", "This is a bulk request. Each of its operations is in the log by itself: replay those.")
	errReplayBody      = notReplayable("replay_no_body", "The log holds no body for this request, because the client sent none or none that could be read. The client must send it again.")
	errReplayTruncated = notReplayable("replay_truncated", "The request is longer than the 16 KiB that the log keeps, so it cannot be repeated from here. Let the directory send it again.")
	errReplayWithheld  = notReplayable("replay_withheld", "The log withheld the body, because it could not be read and may hold a secret. Let the directory send it again.")
	errReplaySecret    = notReplayable("replay_hidden_value", "The log hid a value of this request that may be a secret, so a repetition would store something else. Let the directory send it again.")
	errReplayPaused    = notReplayable("connection_paused", "The connection is paused. Resume it first, or make a dry run.")
)

func notReplayable(code, message string) error { return fault.New(fault.Conflict, code, message) }

// errDryRun ends the transaction of a change that is only tried.
var errDryRun = errors.New("scim: dry run")

// replay is what a call keeps of a repetition.
type replay struct {
	dry     bool
	changes []Change
}

func (c *call) dry() bool { return c.replay != nil && c.replay.dry }

// Replay runs a request of the provisioning log again, as the connection is now
// and through the code that serves its client, and gives the entry that the new
// run wrote to the log. The outcome of a refused run is in that entry, no error.
// The actor of the changes is the connection, with a's subject.
//
// A dry run does everything and rolls it back: its entry says what would come of
// it, has no ID and is not in the log.
//
// The request's If-Match is not in the log: a replay applies to the version that
// it finds. A password is never in the log and is left out. Entries that cannot
// be repeated faithfully are refused with a fault of kind Conflict.
func (h *Handler) Replay(ctx context.Context, a actor.Actor, tenant, connection, entry string, dryRun bool) (Entry, error) {
	conn, err := h.Tenants.SCIMConnection(ctx, h.DB, tenant, connection)
	if err != nil {
		return Entry{}, err
	}
	old, err := h.Log.Get(ctx, h.DB, tenant, connection, entry)
	if err != nil {
		return Entry{}, err
	}
	body, err := replayBody(old)
	if err != nil {
		return Entry{}, err
	}
	if conn.Status == tenants.SCIMPaused && !dryRun {
		return Entry{}, errReplayPaused
	}
	c, err := h.callOf(ctx, conn, a.Subject, httpx.Info{RequestID: a.RequestID, IP: a.IP, UserAgent: a.UserAgent})
	if err != nil {
		return Entry{}, err
	}
	c.replay = &replay{dry: dryRun}
	c.entry.Method, c.entry.Path, c.entry.ReplayOf = old.Method, old.Path, old.ID
	// The context carries the route of the caller's request, below which chi would go on.
	ctx = context.WithValue(ctx, chi.RouteCtxKey, (*chi.Context)(nil))
	path, query, _ := strings.Cut(old.Path, "?")
	r := (&http.Request{
		Method: old.Method, URL: &url.URL{Path: path, RawQuery: query}, Header: http.Header{}, ContentLength: int64(len(body)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: io.NopCloser(strings.NewReader(body)),
	}).WithContext(ctx)
	router := chi.NewRouter()
	h.mount(router, func(*http.Request) (*call, error) { return c, nil })
	if err := serveDiscarding(router, r); err != nil {
		return Entry{}, err
	}
	c.finish(r, 0)
	c.entry.Changes = c.replay.changes
	if dryRun {
		c.entry.ID = ""
	}
	return c.entry, nil
}

// replayBody gives the body to send again.
func replayBody(e Entry) (string, error) {
	path, _, _ := strings.Cut(e.Path, "?")
	path = strings.TrimSuffix(path, "/")
	switch {
	case e.Method == http.MethodGet || e.Method == http.MethodHead || strings.HasSuffix(path, "/.search"):
		return "", errReplayRead
	case e.Status == http.StatusUnauthorized:
		return "", errReplayStranger
	case path == "/Bulk":
		return "", errReplayBulk
	case len(e.Path) >= maxLoggedPath:
		return "", errReplayTruncated
	case e.Method == http.MethodDelete:
		return "", nil
	case e.Body == "":
		return "", errReplayBody
	case e.Body == withheld:
		return "", errReplayWithheld
	}
	doc, err := schema.Decode([]byte(e.Body))
	switch {
	case err != nil && len(e.Body) >= maxLoggedBody:
		return "", errReplayTruncated
	case err != nil:
		return "", errReplayBody
	}
	if !dropPassword(doc) || holdsHidden(doc) {
		return "", errReplaySecret
	}
	return string(doc.Bytes()), nil
}

// dropPassword leaves out what the log hid of a password: nothing that a replay
// needs, because directories sign in elsewhere. ok is false when that was all of
// a PATCH.
func dropPassword(doc *schema.Object) (ok bool) {
	if name, v, found := doc.Fold("password"); found && v == hidden {
		doc.Delete(name)
	}
	name, v, _ := doc.Fold("Operations")
	ops, _ := v.([]any)
	kept := slices.DeleteFunc(slices.Clone(ops), func(op any) bool {
		o, _ := op.(*schema.Object)
		if o == nil {
			return false
		}
		_, path, _ := o.Fold("path")
		_, value, _ := o.Fold("value")
		if p, isText := path.(string); isText && value == hidden {
			return strings.EqualFold(p[strings.LastIndexByte(p, ':')+1:], "password")
		}
		if values, isObject := value.(*schema.Object); isObject {
			dropPassword(values)
		}
		return false
	})
	if len(kept) == len(ops) {
		return true
	}
	doc.Set(name, kept)
	return len(kept) > 0
}

func holdsHidden(v any) bool {
	switch v := v.(type) {
	case *schema.Object:
		for _, w := range v.All() {
			if holdsHidden(w) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, holdsHidden)
	case string:
		return v == hidden
	}
	return false
}

// serveDiscarding serves a request to nobody: the log entry says what came of it.
func serveDiscarding(h http.Handler, r *http.Request) (err error) {
	defer func() {
		// An answer that broke off after the change was made, see stream.fail.
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler {
				panic(p)
			}
			err = fault.New(fault.Unavailable, "interrupted", "The request was carried out, but its outcome could not be read. Look at the log.")
		}
	}()
	h.ServeHTTP(&nobody{header: http.Header{}}, r)
	return nil
}

// nobody is a client that does not listen.
type nobody struct{ header http.Header }

func (n *nobody) Header() http.Header         { return n.header }
func (n *nobody) Write(b []byte) (int, error) { return len(b), nil }
func (n *nobody) WriteHeader(int)             {}
