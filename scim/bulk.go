package scim

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/id"
	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// bulkPrefix marks a reference to a resource that the same request creates.
const bulkPrefix = "bulkId:"

// bulkOp is one operation of a bulk request (RFC 7644 §3.7).
type bulkOp struct {
	method, path, bulkID, version string
	data                          *schema.Object
	kind                          schema.Kind
	target                        string     // resource id or reference; empty with POST
	refs                          []string   // bulkIds that it names
	later                         []deferred // references that a circle leaves for after the creation

	begun  bool
	done   bool
	err    *wireError
	status int
	id     string
	tag    string
}

// deferred is an attribute that is set when the resource that it names exists.
type deferred struct {
	path  string
	value any
}

// bulk is POST /Bulk: every operation is a transaction of its own; references
// forward are resolved by running what they name first, circles by creating a
// resource without the reference and adding that afterwards.
func (h *Handler) bulk(w http.ResponseWriter, r *http.Request, c *call) error {
	body, err := c.readBody(r)
	if err != nil {
		return err
	}
	ops, byID, failOn, err := parseBulk(body)
	if err != nil {
		return err
	}
	c.h.Limiter.Charge(c.conn.ID, c.now, len(ops)-1) // the limit counts operations
	b := &bulkRun{c: c, ops: ops, byID: byID, failOn: failOn}
	b.run(r.Context())
	c.entry.Status, c.entry.Body = http.StatusOK, "" // each operation has an entry of its own
	writeBody(w, http.StatusOK, b.response().Bytes())
	return nil
}

func parseBulk(body *schema.Object) (ops []*bulkOp, byID map[string]*bulkOp, failOn int, err error) {
	byID = map[string]*bulkOp{}
	_, v, _ := body.Fold("failOnErrors")
	if failOn, err = whole("failOnErrors", v, 0); err != nil {
		return nil, nil, 0, err
	}
	_, v, _ = body.Fold("Operations")
	list, ok := v.([]any)
	switch {
	case !ok:
		return nil, nil, 0, refuse(http.StatusBadRequest, "invalidSyntax", "A bulk request has a list of Operations.")
	case len(list) > schema.MaxOperations:
		return nil, nil, 0, refuse(http.StatusRequestEntityTooLarge, "", "At most "+strconv.Itoa(schema.MaxOperations)+" operations in one request.")
	}
	for _, v := range list {
		op := parseBulkOp(v)
		ops = append(ops, op)
		if op.bulkID == "" {
			continue
		}
		if byID[op.bulkID] != nil {
			return nil, nil, 0, refuse(http.StatusBadRequest, "invalidValue", "Two operations have the same bulkId.")
		}
		byID[op.bulkID] = op
	}
	return ops, byID, failOn, nil
}

func parseBulkOp(v any) *bulkOp {
	op := &bulkOp{}
	o, ok := v.(*schema.Object)
	if !ok {
		return op.fail(http.StatusBadRequest, "invalidSyntax", "An operation is an object.")
	}
	for key, v := range o.All() {
		s, isString := v.(string)
		switch strings.ToLower(key) {
		case "method":
			op.method = strings.ToUpper(s)
		case "path":
			op.path = s
		case "bulkid":
			op.bulkID = s
		case "version":
			op.version = s
		case "data":
			op.data, _ = v.(*schema.Object)
			continue
		default:
			continue
		}
		if !isString && v != nil {
			return op.fail(http.StatusBadRequest, "invalidSyntax", key+" is a string.")
		}
	}
	endpoint, target, _ := strings.Cut(strings.TrimPrefix(op.path, "/"), "/")
	op.target = target
	switch endpoint {
	case "Users":
		op.kind = schema.User
	case "Groups":
		op.kind = schema.Group
	default:
		return op.fail(http.StatusBadRequest, "invalidPath", "The path of an operation is /Users or /Groups, with an id but for POST.")
	}
	switch {
	case op.method != http.MethodPost && op.method != http.MethodPut && op.method != http.MethodPatch && op.method != http.MethodDelete:
		return op.fail(http.StatusBadRequest, "invalidSyntax", "The method of an operation is POST, PUT, PATCH or DELETE.")
	case (op.method == http.MethodPost) != (target == "") || strings.Contains(target, "/"):
		return op.fail(http.StatusBadRequest, "invalidPath", "POST goes to /Users or /Groups, the other methods to a resource.")
	case op.method == http.MethodPost && op.bulkID == "":
		return op.fail(http.StatusBadRequest, "invalidValue", "POST in a bulk request needs a bulkId.")
	case op.method != http.MethodDelete && op.data == nil:
		return op.fail(http.StatusBadRequest, "invalidSyntax", "The operation needs data.")
	}
	op.refs = references(references(nil, target), op.data)
	return op
}

func (op *bulkOp) fail(status int, scimType, detail string) *bulkOp {
	op.status, op.err = status, &wireError{status: status, scimType: scimType, detail: detail}
	return op
}

// references appends the bulkIds that a value names.
func references(refs []string, v any) []string {
	switch v := v.(type) {
	case *schema.Object:
		for _, w := range v.All() {
			refs = references(refs, w)
		}
	case []any:
		for _, w := range v {
			refs = references(refs, w)
		}
	case string:
		if ref, ok := strings.CutPrefix(v, bulkPrefix); ok {
			refs = append(refs, ref)
		}
	}
	return refs
}

type bulkRun struct {
	c      *call
	ops    []*bulkOp
	byID   map[string]*bulkOp
	failOn int
	errors int
}

func (b *bulkRun) stopped() bool { return b.failOn > 0 && b.errors >= b.failOn }

func (b *bulkRun) run(ctx context.Context) {
	for _, op := range b.ops {
		b.reach(ctx, op)
	}
	b.complete(ctx)
}

// reach runs an operation after those that it names. One that is being reached
// already closes a circle: what names it is left for afterwards.
func (b *bulkRun) reach(ctx context.Context, op *bulkOp) {
	if op.done || op.begun {
		return
	}
	op.begun = true
	circle := false
	for _, ref := range op.refs {
		other := b.byID[ref]
		if other == nil {
			continue
		}
		b.reach(ctx, other)
		circle = circle || !other.done
	}
	if b.stopped() || ctx.Err() != nil {
		return // not processed: it is not in the answer
	}
	if op.err == nil {
		if circle && op.method == http.MethodPost {
			op.postpone(b)
		}
		op.err = b.missing(op)
	}
	if op.err != nil { // counts in its turn: failOnErrors lets run what comes before
		op.done = true
		b.failed(ctx, b.sub(op, op.data), op, op.err)
		return
	}
	b.execute(ctx, op)
}

// missing tells why op can never run: nothing creates what it names, or that
// failed.
func (b *bulkRun) missing(op *bulkOp) *wireError {
	for _, ref := range op.refs {
		switch other := b.byID[ref]; {
		case other == nil:
			return &wireError{status: http.StatusBadRequest, scimType: "invalidValue", detail: "No operation has the bulkId " + cut(ref, 64) + "."}
		case !other.done || other.err != nil || other.id == "":
			return &wireError{status: http.StatusConflict, scimType: "invalidValue", detail: "The operation with the bulkId " + cut(ref, 64) + " did not create a resource."}
		}
	}
	return nil
}

// postpone takes the attributes that name resources to come out of a creation.
func (op *bulkOp) postpone(b *bulkRun) {
	data := op.data.Clone()
	take := func(home *schema.Object, prefix string) {
		var names []string
		for name, v := range home.All() {
			if slices.ContainsFunc(references(nil, v), func(ref string) bool { return b.byID[ref] != nil && !b.byID[ref].done }) {
				names = append(names, name)
				op.later = append(op.later, deferred{prefix + name, v})
			}
		}
		for _, name := range names {
			home.Delete(name)
		}
	}
	for name, v := range data.All() {
		if o, ok := v.(*schema.Object); ok && strings.Contains(name, ":") { // an extension
			take(o, name+":")
		}
	}
	take(data, "")
	op.data, op.refs = data, references(nil, data)
}

// resolved replaces references by the ids of what was created.
func (b *bulkRun) resolved(v any) any {
	switch v := v.(type) {
	case *schema.Object:
		out := schema.NewObject(v.Len())
		for key, w := range v.All() {
			out.Set(key, b.resolved(w))
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = b.resolved(v[i])
		}
		return out
	case string:
		if ref, ok := strings.CutPrefix(v, bulkPrefix); ok && b.byID[ref] != nil && b.byID[ref].id != "" {
			return b.byID[ref].id
		}
	}
	return v
}

// sub is the call of one operation: its own log entry and rules.
func (b *bulkRun) sub(op *bulkOp, data *schema.Object) *call {
	c := *b.c
	c.dialect, c.logged = b.c.dialect.Start(), false
	c.entry = Entry{
		ID: id.New(id.Log), Tenant: c.conn.Tenant, Connection: c.conn.ID, At: c.now, Method: op.method, Path: bulkPath(op.path),
		RequestID: b.c.entry.RequestID, start: time.Now(),
	}
	if data != nil {
		c.entry.Body = c.redact(data.Bytes(), data)
	}
	return &c
}

func (b *bulkRun) execute(ctx context.Context, op *bulkOp) {
	data, _ := b.resolved(op.data).(*schema.Object)
	c := b.sub(op, data)
	target, _ := b.resolved(op.target).(string)
	if target != op.target { // a replay finds the resource under its id only
		c.entry.Path = op.kind.Endpoint() + "/" + target
	}
	out, err := c.bulkOperation(ctx, op, target, data)
	op.done = true
	if err != nil {
		b.failed(ctx, c, op, err)
		return
	}
	if op.id = target; out.row.ID != "" {
		op.id, op.tag = out.row.ID, etag(out.row.Version)
	}
	op.status = out.status
	if !c.logged {
		b.log(c, out.status)
	}
}

func (c *call) bulkOperation(ctx context.Context, op *bulkOp, target string, data *schema.Object) (outcome, error) {
	pre := precondition(op.version)
	switch op.method {
	case http.MethodPost:
		return c.createResource(ctx, op.kind, data)
	case http.MethodPut:
		return c.replaceResource(ctx, op.kind, target, pre, false, data)
	case http.MethodPatch:
		return c.patchResource(ctx, op.kind, target, pre, false, false, data)
	}
	return c.removeResource(ctx, op.kind, target, pre)
}

// complete adds what circles left open.
func (b *bulkRun) complete(ctx context.Context) {
	for _, op := range b.ops {
		if len(op.later) == 0 || op.err != nil || op.id == "" {
			continue
		}
		operations := make([]any, len(op.later))
		for i, l := range op.later {
			o := schema.NewObject(3)
			o.Set("op", "add")
			o.Set("path", l.path)
			o.Set("value", b.resolved(l.value))
			operations[i] = o
		}
		body := schema.NewObject(2)
		body.Set("schemas", []any{schema.PatchOpURN})
		body.Set("Operations", operations)
		c := b.sub(op, body)
		c.entry.Method, c.entry.Path = http.MethodPatch, op.kind.Endpoint()+"/"+op.id
		out, err := c.patchResource(ctx, op.kind, op.id, "", false, false, body)
		if err != nil {
			b.failed(ctx, c, op, unresolved(err))
			continue
		}
		op.tag = etag(out.row.Version)
		if !c.logged {
			b.log(c, out.status)
		}
	}
}

// bulkPath is an operation's path as the log shows it.
func bulkPath(path string) string {
	path, query, found := strings.Cut(strings.TrimPrefix(path, "/"), "?")
	if path = "/" + path; found {
		path += "?" + hideQuery(query, nil)
	}
	return cut(path, maxLoggedPath)
}

// unresolved is the failure of a circle that cannot be closed, such as that of
// two groups within each other: 409 (RFC 7644 §3.7.1).
func unresolved(err error) error {
	if e, _ := onWire(err); e.status == http.StatusBadRequest {
		return refuse(http.StatusConflict, e.scimType, e.detail)
	}
	return err
}

func (b *bulkRun) failed(ctx context.Context, c *call, op *bulkOp, err error) {
	e, known := onWire(err)
	if !known {
		c.h.Logger.LogAttrs(ctx, slog.LevelError, "scim bulk operation failed", slog.Any("error", err))
	}
	op.status, op.err = e.status, e
	b.errors++
	c.entry.Detail = c.detailOf(err, e)
	b.log(c, e.status)
}

func (b *bulkRun) log(c *call, status int) {
	c.entry.Status, c.entry.Rules, c.entry.Duration = status, c.dialect.Fired.Names(), time.Since(c.entry.start)
	c.h.Log.enqueue(c.entry)
}

// resource is the id of the location in the answer, which only a POST that
// failed has not (RFC 7644 §3.7.3), nor what names no resource.
func (op *bulkOp) resource() string {
	if op.id != "" || op.kind == 0 || op.method == http.MethodPost || strings.ContainsAny(op.target, "/:") {
		return op.id
	}
	return url.PathEscape(op.target)
}

// response lists the operations that were processed, in the order of the
// request (RFC 7644 §3.7.3).
func (b *bulkRun) response() *schema.Object {
	list := []any{}
	for _, op := range b.ops {
		if !op.done {
			continue
		}
		o := schema.NewObject(6)
		o.Set("method", op.method)
		if op.bulkID != "" {
			o.Set("bulkId", op.bulkID)
		}
		if at := op.resource(); at != "" {
			o.Set("location", b.c.location(op.kind, at))
		}
		if op.tag != "" && op.err == nil {
			o.Set("version", op.tag)
		}
		o.Set("status", strconv.Itoa(op.status))
		if op.err != nil {
			o.Set("response", op.err.object())
		}
		list = append(list, o)
	}
	out := schema.NewObject(2)
	out.Set("schemas", []any{schema.BulkResponseURN})
	out.Set("Operations", list)
	return out
}
