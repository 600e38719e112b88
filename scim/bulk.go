package scim

import (
	"net/http"
)

func (h *Handler) bulk(http.ResponseWriter, *http.Request, *call) error {
	return refuse(http.StatusNotImplemented, "", "Bulk is not supported.")
}
