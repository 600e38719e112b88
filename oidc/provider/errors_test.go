package provider

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/clock"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// A host that is no environment's has no grants that could be invalid.
func TestUnknownHost(t *testing.T) {
	d := sqlite(t)
	h := New(Deps{DB: d, Environments: tenants.NewEnvironments(d, clock.System{}, "https://login.example.com")})
	for _, fail := range []failure{h.fail, h.failBearer} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://evil.example/oauth2/jwks", nil)
		w := httptest.NewRecorder()
		h.public(h.jwks, fail).ServeHTTP(w, r)
		if want := `{"error":"` + oidc.InvalidRequest + `"`; w.Code != http.StatusBadRequest || w.Body.Len() < len(want) || w.Body.String()[:len(want)] != want {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}

// A request that its client gave up is no defect of ours.
func TestInterruptedIsUnavailable(t *testing.T) {
	for _, err := range []error{context.Canceled, context.DeadlineExceeded} {
		if err := fmt.Errorf("statement 0: %w", err); asWire(err) != nil || !unavailable(err) {
			t.Error(err)
		}
	}
}
