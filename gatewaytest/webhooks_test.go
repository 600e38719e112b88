package gatewaytest_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/gatehouse-id/gatehouse/gatewaytest"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// A running gateway sends what happens to a subscriber by itself (product 71 to 73).
func TestWebhook(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		type message struct {
			header http.Header
			body   []byte
		}
		got := make(chan message, 10)
		receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			got <- message{r.Header.Clone(), body}
		}))
		t.Cleanup(receiver.Close)
		g := gatewaytest.New(t, gatewaytest.Options{DB: d})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { g.Run(ctx); close(ended) }()
		t.Cleanup(func() { stop(); <-ended })

		g.Call("POST", "/tenants", map[string]any{"name": "Acme", "key": "acme"}, nil)
		var hook struct{ Secret string }
		g.Call("POST", "/tenants/acme/webhooks", map[string]any{"url": receiver.URL, "event_types": []string{"group.created"}}, &hook)
		g.Call("POST", "/tenants/acme/groups", map[string]any{"name": "Engineering"}, nil)
		select {
		case m := <-got:
			wh, err := standardwebhooks.NewWebhook(hook.Secret)
			if err != nil {
				t.Fatal(err)
			}
			if err := wh.Verify(m.body, m.header); err != nil {
				t.Errorf("%v: %s", err, m.body)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("nothing came")
		}
	})
}
