package scim

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/scim/schema"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// CheckSchema tells whether an extension schema of a tenant can serve. Errors
// are fault.Invalid, "invalid_schema".
func CheckSchema(x tenants.SCIMSchema) error {
	text, err := x.Definition()
	if err != nil {
		return err
	}
	if _, err = schema.ParseDefinition(text); err == nil {
		return nil
	}
	f, ok := fault.From(err)
	if !ok {
		return err
	}
	return fault.New(fault.Invalid, "invalid_schema", f.Message).In(f.Field)
}

// indexes keeps what tenants with schemas of their own have for schema.Core: one
// immutable index per tenant, of the version that was asked for last.
type indexes struct {
	mu sync.Mutex
	by map[string]versioned // by tenant
}

type versioned struct {
	version int64
	index   *schema.Index
}

// maxIndexes bounds the memory; an index is built again in a millisecond.
const maxIndexes = 500

// indexOf gives the attributes that the connection knows. A tenant that never
// had a schema shares one index with all others.
func (h *Handler) indexOf(ctx context.Context, conn tenants.SCIMConnection) (*schema.Index, error) {
	if conn.SchemaVersion == 0 {
		return schema.Core(), nil
	}
	h.indexes.mu.Lock()
	v := h.indexes.by[conn.Tenant]
	h.indexes.mu.Unlock()
	if v.version == conn.SchemaVersion {
		return v.index, nil
	}
	list, err := h.Tenants.SCIMSchemas(ctx, h.DB, conn.Tenant)
	if err != nil {
		return nil, err
	}
	var definitions []schema.Definition
	for _, x := range list {
		text, err := x.Definition()
		if err != nil {
			return nil, err
		}
		d, err := schema.ParseDefinition(text)
		if err != nil { // an older release allowed it: the connection goes on without it
			h.Logger.LogAttrs(ctx, slog.LevelError, "scim schema cannot be used", slog.String("tenant", conn.Tenant), slog.String("schema", x.URN), slog.Any("error", err))
			continue
		}
		definitions = append(definitions, d)
	}
	ix, err := schema.New(definitions...)
	if err != nil {
		return nil, err
	}
	h.indexes.mu.Lock()
	defer h.indexes.mu.Unlock()
	if h.indexes.by == nil || len(h.indexes.by) >= maxIndexes {
		h.indexes.by = map[string]versioned{}
	}
	if h.indexes.by[conn.Tenant].version < conn.SchemaVersion {
		h.indexes.by[conn.Tenant] = versioned{conn.SchemaVersion, ix}
	}
	return ix, nil
}

// sieve keeps out of answers the values of extensions that the tenant's schemas
// do not, or no longer, define in this form, and those that are never returned or
// only when asked for (RFC 7643 §7).
type sieve struct {
	ix    *schema.Index
	kind  schema.Kind
	asked map[*schema.Attribute]bool
}

func (s *sieve) apply(doc *schema.Object) *schema.Object {
	if s == nil {
		return doc
	}
	out := schema.NewObject(doc.Len())
	for key, v := range doc.All() {
		if !strings.Contains(key, ":") {
			out.Set(key, v)
			continue
		}
		e := s.ix.Extension(s.kind, key)
		if e == nil {
			continue
		}
		if o, ok := v.(*schema.Object); ok {
			out.Set(e.URN, s.object(o, e.Lookup))
		}
	}
	s.ix.Finish(s.kind, out)
	return out
}

func (s *sieve) object(o *schema.Object, lookup func(string) *schema.Attribute) *schema.Object {
	out := schema.NewObject(o.Len())
	for name, v := range o.All() {
		a := lookup(name)
		if a == nil || a.Returned == schema.Never || a.Returned == schema.OnRequest && !s.asked[a] || !a.Fits(v) {
			continue
		}
		switch v := v.(type) {
		case *schema.Object:
			if inner := s.object(v, a.Lookup); inner.Len() > 0 {
				out.Set(a.Name, inner)
			}
		case []any:
			list := make([]any, 0, len(v))
			for _, e := range v {
				if o, ok := e.(*schema.Object); ok {
					inner := s.object(o, a.Lookup)
					if inner.Len() == 0 {
						continue
					}
					e = inner
				}
				list = append(list, e)
			}
			if len(list) > 0 {
				out.Set(a.Name, list)
			}
		default:
			out.Set(a.Name, v)
		}
	}
	return out
}

// redact gives what the log keeps of a body: as for everybody, and without the
// values that the tenant's own schemas never return.
func (c *call) redact(raw []byte, doc *schema.Object) string {
	names := neverReturned(c.ix)
	if len(names) == 0 {
		return redact(raw, doc)
	}
	if doc == nil {
		lower := bytes.ToLower(raw)
		for name := range names {
			if bytes.Contains(lower, []byte(name)) || bytes.Contains(lower, []byte(`\u`)) {
				return withheld
			}
		}
		return redact(raw, nil)
	}
	doc, _ = hide(doc, names).(*schema.Object)
	return redact(doc.Bytes(), doc)
}

// neverReturned gives the names, folded, of the tenant's attributes and
// sub-attributes that are never returned.
func neverReturned(ix *schema.Index) map[string]bool {
	if ix == schema.Core() {
		return nil
	}
	names := map[string]bool{}
	for _, k := range []schema.Kind{schema.User, schema.Group} {
		for _, e := range ix.Extensions(k) {
			for _, a := range e.Attributes {
				if a.Returned == schema.Never {
					names[strings.ToLower(a.Name)] = true
				}
				for _, s := range a.Sub {
					if s.Returned == schema.Never && a.Returned != schema.Never {
						names[strings.ToLower(s.Name)] = true
					}
				}
			}
		}
	}
	return names
}

// hide replaces the values under the names, be they keys or the end of an
// operation's path.
func hide(v any, names map[string]bool) any {
	switch v := v.(type) {
	case *schema.Object:
		_, p, _ := v.Fold("path")
		path, _ := p.(string)
		out := schema.NewObject(v.Len())
		for key, w := range v.All() {
			if endsIn(key, names) || endsIn(path, names) && strings.EqualFold(key, "value") {
				out.Set(key, hidden)
				continue
			}
			out.Set(key, hide(hideCompared(key, w, names), names))
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = hide(v[i], names)
		}
		return out
	}
	return v
}

// endsIn tells whether the attribute that a path names, or the one that it is a
// part of, has one of the folded names.
func endsIn(path string, names map[string]bool) bool {
	head, tail, filtered := strings.Cut(path, "[")
	if filtered {
		tail = tail[strings.LastIndexByte(tail, ']')+1:]
	}
	for _, part := range []string{head[strings.LastIndexByte(head, ':')+1:], tail} {
		for name := range strings.SplitSeq(part, ".") {
			if names[strings.ToLower(name)] {
				return true
			}
		}
	}
	return false
}
