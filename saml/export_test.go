package saml

import (
	"context"
	"net/netip"

	"github.com/gatehouse-id/gatehouse/internal/entra"
)

// SetGraph puts a stand-in in the place of Microsoft Graph.
func (h *Handler) SetGraph(f func(ctx context.Context, app entra.App, objectID string) ([]string, error)) {
	h.graph = f
}

// Source is the part of an address that refusals are counted by.
func Source(a netip.Addr) string { return source(a) }

// ShownResponse is shownResponse at its greatest size.
func ShownResponse(doc []byte, full bool) string { return shownResponse(doc, full, maxShown) }
