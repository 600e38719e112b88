package saml

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Parameters of the bindings that carry messages through the browser.
const (
	paramRequest  = "SAMLRequest"
	paramResponse = "SAMLResponse"
)

// carrier is how a browser takes a message to an identity provider: a redirect
// to action, or a form posted there when there are fields.
type carrier struct {
	action string
	fields [][2]string
}

// carry prepares a message for the browser; a nil signer leaves it unsigned.
// relayState is empty, or what the identity provider gives back unchanged.
func carry(binding, address, parameter string, doc []byte, relayState string, s *signer) (carrier, error) {
	if binding != tenants.BindingPOST {
		target, err := redirectURL(address, parameter, doc, relayState, s)
		return carrier{action: target}, err
	}
	if s != nil {
		var err error
		if doc, err = s.document(doc); err != nil {
			return carrier{}, err
		}
	}
	c := carrier{action: address, fields: [][2]string{{parameter, base64.StdEncoding.EncodeToString(doc)}}}
	if relayState != "" {
		c.fields = append(c.fields, [2]string{"RelayState", relayState})
	}
	return c, nil
}

// send sends the browser on its way.
func (h *Handler) send(w http.ResponseWriter, r *http.Request, c carrier) {
	w.Header().Set("Cache-Control", "no-store")
	if c.fields != nil {
		h.pages.AutoPost(w, r, c.action, c.fields)
		return
	}
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, c.action, http.StatusSeeOther)
}

// newRelayState is opaque: what to resume is kept here.
func newRelayState() string { return secret.Random()[:22] }

// redirectURL puts a message into the query (SAML bindings §3.4.4.1). The address
// may have a query of its own, which is not signed: the signature is over
// SAMLRequest or SAMLResponse, RelayState and SigAlg as they are encoded here,
// and nothing else.
func redirectURL(address, parameter string, doc []byte, relayState string, s *signer) (string, error) {
	var buf bytes.Buffer
	w, err := flate.NewWriter(&buf, flate.DefaultCompression)
	if err != nil {
		return "", err
	}
	if _, err := w.Write(doc); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	query := parameter + "=" + url.QueryEscape(base64.StdEncoding.EncodeToString(buf.Bytes()))
	if relayState != "" {
		query += "&RelayState=" + url.QueryEscape(relayState)
	}
	if s != nil {
		query += "&SigAlg=" + url.QueryEscape(algRSASHA256)
		signature, err := s.query(query)
		if err != nil {
			return "", err
		}
		query += "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(signature))
	}
	sep := "?"
	if strings.Contains(address, "?") {
		sep = "&"
	}
	return address + sep + query, nil
}
