package rig

import (
	"net/http"
	"net/http/httptest"
	"sync"
)

// Hosts plays hosts of the world, such as login.microsoftonline.com: requests to
// them end at handlers, all others on the network. It is the transport of the
// gateway's fetches, and of browsers that ask for it.
type Hosts struct {
	next http.RoundTripper
	mu   sync.Mutex
	m    map[string]http.Handler
}

// Set lets a handler play a host.
func (h *Hosts) Set(host string, handler http.Handler) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.m == nil {
		h.m = map[string]http.Handler{}
	}
	h.m[host] = handler
}

// RoundTrip implements http.RoundTripper.
func (h *Hosts) RoundTrip(r *http.Request) (*http.Response, error) {
	h.mu.Lock()
	handler := h.m[r.URL.Host]
	h.mu.Unlock()
	if handler == nil {
		return h.next.RoundTrip(r)
	}
	in := r.Clone(r.Context())
	in.Host, in.RequestURI, in.RemoteAddr = r.URL.Host, r.URL.RequestURI(), "192.0.2.1:1"
	if in.Body == nil {
		in.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, in)
	res := w.Result()
	res.Request = r
	return res, nil
}
