package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/gatehouse-id/gatehouse/client"
)

// gatehouse stands for a server in the examples.
func gatehouse(answers map[string]string) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.Method+" "+r.URL.Path]
		if !ok {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusNotFound)
			answer = `{"status":404,"code":"tenant_not_found","detail":"There is no such tenant."}`
		}
		_, _ = io.WriteString(w, answer)
	}))
}

func Example() {
	server := gatehouse(map[string]string{
		"POST /api/v1/tenants":           `{"id":"ten_1","key":"acme","name":"Acme"}`,
		"GET /api/v1/tenants/acme/users": `{"data":[{"email":"ann@acme.example"},{"email":"bob@acme.example"}],"next_cursor":null}`,
	})
	defer server.Close()
	ctx := context.Background()

	c, err := client.New(server.URL, "gwm_…")
	if err != nil {
		log.Fatal(err)
	}
	tenant, err := c.CreateTenant(ctx, client.NewTenant{Name: "Acme", Key: "acme"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(tenant.ID)
	for user, err := range c.Users(ctx, "acme", nil) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(user.Email)
	}
	_, err = c.Tenant(ctx, "other")
	fmt.Println(client.CodeOf(err))
	// Output:
	// ten_1
	// ann@acme.example
	// bob@acme.example
	// tenant_not_found
}

// What has no method of its own is one line and a type.
func ExamplePut() {
	server := gatehouse(map[string]string{"PUT /api/v1/tenants/acme/policies/mfa": `{"enforce":"unless_sso"}`})
	defer server.Close()
	c, err := client.New(server.URL, "gwm_…")
	if err != nil {
		log.Fatal(err)
	}

	type mfa struct {
		Enforce string `json:"enforce"`
	}
	policy, err := client.Put[mfa](context.Background(), c, "/tenants/acme/policies/mfa", mfa{Enforce: "unless_sso"})
	fmt.Println(policy.Enforce, err)
	// Output: unless_sso <nil>
}

// Guard handlers by what access tokens say.
func ExampleVerifier_Protect() {
	v, err := client.NewVerifier(client.VerifierConfig{Issuer: "https://id.example.com", Audience: "app_…"})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	remove := func(w http.ResponseWriter, r *http.Request) {
		who, _ := client.ClaimsOf(r.Context())
		fmt.Fprintln(w, who.Subject, "of", who.TenantID, "deleted", r.PathValue("id"))
	}
	mux.Handle("DELETE /tenants/{tenant}/invoices/{id}",
		v.Protect(client.RequireTenantInPath("tenant"), client.RequirePermission("invoices.delete"))(http.HandlerFunc(remove)))

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("DELETE", "/tenants/ten_1/invoices/7", nil))
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	// Output: 401 Bearer realm="application"
}

// Take deliveries only from Gatehouse, each once.
func ExampleVerifyWebhook() {
	const secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	hooks := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
		if err != nil {
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			return
		}
		hook, err := client.VerifyWebhook(secret, r.Header, body, time.Now())
		if err != nil {
			http.Error(w, "not yours", http.StatusUnauthorized)
			return
		}
		var user struct{ ID string }
		if json.Unmarshal(hook.Data, &user) == nil {
			log.Println(hook.ID, hook.Type, user.ID) // keep hook.ID, and skip one that was handled
		}
		w.WriteHeader(http.StatusNoContent)
	}

	w := httptest.NewRecorder()
	hooks(w, httptest.NewRequest("POST", "/webhooks", nil))
	fmt.Println(w.Code)
	// Output: 401
}
