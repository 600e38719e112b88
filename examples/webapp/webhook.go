package webapp

import (
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/client"
)

const (
	maxEvents  = 20
	maxWebhook = 64 << 10 // bytes
)

// webhook takes a delivery: first the signature, then the id, because a delivery
// may come twice. It answers at once; slow work belongs into a queue.
func (a *App) webhook(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxWebhook))
	if err != nil {
		http.Error(w, "too large", http.StatusRequestEntityTooLarge)
		return
	}
	hook, err := client.VerifyWebhook(a.WebhookSecret, r.Header, body, time.Now())
	if err != nil {
		http.Error(w, "not signed by Gatehouse", http.StatusUnauthorized)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !slices.ContainsFunc(a.events, func(e client.Webhook) bool { return e.ID == hook.ID }) {
		a.events = slices.Insert(a.events, 0, hook)
		a.events = a.events[:min(len(a.events), maxEvents)]
	}
	w.WriteHeader(http.StatusNoContent)
}
