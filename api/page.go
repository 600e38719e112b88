package api

import (
	"crypto/subtle"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// list is the shape of every list.
type list[T any] struct {
	Data       []T     `json:"data" doc:"The page"`
	NextCursor *string `json:"next_cursor" doc:"Give it as cursor for the next page; null on the last"`
}

func (l list[T]) next() *string { return l.NextCursor }

// PageQuery is what lists take.
type PageQuery struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"How many at most"`
	Cursor string `query:"cursor" maxLength:"2000" doc:"next_cursor of the page before"`
}

// TenantPath names the tenant; guard has resolved it.
type TenantPath struct {
	Tenant string `path:"t" maxLength:"63" doc:"Id or key of the tenant"`
}

// TenantList is what lists of a tenant take. It is exported, as every embedded shape here, because the framework reads exported fields only.
type TenantList struct {
	TenantPath
	PageQuery
}

var errCursor = fault.New(fault.Invalid, "invalid_cursor", "The cursor is not one that this list returned.").In("cursor")

// cursorMAC is how many characters of the MAC a cursor carries (96 bits).
const cursorMAC = 16

// cursor seals a position of a list, so that it is opaque and serves that list only.
func (h *Handler) cursor(s scope, name, position string) *string {
	if position == "" {
		return nil
	}
	c := base64.RawURLEncoding.EncodeToString([]byte(position)) + "." + h.cursorMAC(s, name, position)
	return &c
}

// position opens a cursor; an empty one is the beginning.
func (h *Handler) position(s scope, name, cursor string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	text, mac, ok := strings.Cut(cursor, ".")
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if !ok || err != nil || subtle.ConstantTimeCompare([]byte(mac), []byte(h.cursorMAC(s, name, string(raw)))) != 1 {
		return "", errCursor
	}
	return string(raw), nil
}

func (h *Handler) cursorMAC(s scope, name, position string) string {
	return h.Vault.MAC("api-cursor", s.environment.ID, s.tenant.ID, name, position)[:cursorMAC]
}

// created turns a position in a list ordered by creation into text and back.
func created(p *tenants.Position) string {
	if p == nil {
		return ""
	}
	return strconv.FormatInt(p.At.UnixMicro(), 10) + "~" + p.ID
}

func parseCreated(s string) (tenants.Position, error) {
	if s == "" {
		return tenants.Position{}, nil
	}
	at, id, ok := strings.Cut(s, "~")
	n, err := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil {
		return tenants.Position{}, errCursor
	}
	return tenants.Position{At: time.UnixMicro(n).UTC(), ID: id}, nil
}

// whole is a list that always fits one page.
func whole[T, U any](in []T, show func(T) U) list[U] { return paged(in, show, nil) }

func paged[T, U any](in []T, show func(T) U, next *string) list[U] {
	out := list[U]{Data: make([]U, 0, len(in)), NextCursor: next}
	for _, v := range in {
		out.Data = append(out.Data, show(v))
	}
	return out
}

// optional shows a time that may not be.
func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// optionalText shows a text that may not be.
func optionalText(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
