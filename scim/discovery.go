package scim

import (
	"net/http"
	"net/url"

	"github.com/go-chi/chi/v5"

	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// The discovery endpoints (RFC 7644 §4) send bytes that were made once.

func (h *Handler) schemas(w http.ResponseWriter, r *http.Request, c *call) error {
	return c.document(w, r, c.ix.Schemas(c.base), true)
}

func (h *Handler) schema(w http.ResponseWriter, r *http.Request, c *call) error {
	urn, err := url.PathUnescape(chi.URLParam(r, "id"))
	if err != nil {
		return errNoDocument
	}
	d, ok := c.ix.Schema(c.base, urn)
	return c.document(w, r, d, ok)
}

func (h *Handler) resourceTypes(w http.ResponseWriter, r *http.Request, c *call) error {
	return c.document(w, r, c.ix.ResourceTypes(c.base), true)
}

func (h *Handler) resourceType(w http.ResponseWriter, r *http.Request, c *call) error {
	d, ok := c.ix.ResourceType(c.base, chi.URLParam(r, "id"))
	return c.document(w, r, d, ok)
}

func (h *Handler) config(w http.ResponseWriter, r *http.Request, c *call) error {
	return c.document(w, r, c.ix.ServiceProviderConfig(c.base), true)
}

func (c *call) document(w http.ResponseWriter, r *http.Request, d schema.Document, ok bool) error {
	p, err := parameters(r)
	switch {
	case err != nil:
		return err
	case p.filter != "":
		return errDiscovery
	case !ok:
		return errNoDocument
	}
	w.Header().Set("ETag", d.ETag)
	if fresh(r, d.ETag) {
		c.entry.Status = http.StatusNotModified
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	c.entry.Status = http.StatusOK
	writeBody(w, http.StatusOK, d.JSON)
	return nil
}
