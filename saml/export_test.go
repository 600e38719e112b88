package saml

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/entra"
)

// SetGraph puts a stand-in in the place of Microsoft Graph.
func (h *Handler) SetGraph(f func(ctx context.Context, app entra.App, objectID string) ([]string, error)) {
	h.graph = f
}

// ShownResponse is shownResponse at its greatest size.
func ShownResponse(doc []byte, full bool) string { return shownResponse(doc, full, maxShown) }
