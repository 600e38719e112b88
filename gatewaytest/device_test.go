package gatewaytest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// A device without a browser, a person with one, and the pages as they are served
// (RFC 8628 §3.3).
func TestDevice(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		v := newVendor(t, d, "okta")
		post := func(path string, form url.Values, into any) int {
			t.Helper()
			form.Set("client_id", v.app.ClientID)
			form.Set("client_secret", v.app.Secret)
			res, err := http.PostForm(v.URL+path, form)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if err != nil || json.Unmarshal(body, into) != nil {
				t.Fatalf("%s: %s %v", path, body, err)
			}
			return res.StatusCode
		}
		var begun struct {
			DeviceCode string `json:"device_code"`
			Complete   string `json:"verification_uri_complete"`
		}
		post("/oauth2/device_authorization", url.Values{"scope": {"openid"}}, &begun)

		b := browser.New(t)
		v.LogIn(b, v.app, ada.ID, "connection", v.saml)
		page := b.Get(begun.Complete)
		action, form, ok := page.Form()
		if !ok || form.Get("user_code") == "" || form.Get("tenant") != v.tenant {
			t.Fatalf("%s: %v in\n%s", action, form, page)
		}
		form.Set("decision", "approve")
		if p := b.Post(v.URL+"/oauth2/device", form, "https://elsewhere.example"); p.Status != http.StatusForbidden {
			t.Errorf("from another site: %d", p.Status)
		}
		if p := b.Post(v.URL+"/oauth2/device", form, page.Origin()); p.Status != http.StatusOK {
			t.Fatalf("%d\n%s", p.Status, p)
		}
		v.clock.Advance(5 * time.Second)
		var got struct {
			AccessToken string `json:"access_token"`
			Error       string `json:"error"`
		}
		status := post("/oauth2/token", url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:device_code"}, "device_code": {begun.DeviceCode}}, &got)
		if status != http.StatusOK || v.Claims(got.AccessToken)["email"] != ada.Email {
			t.Errorf("%d %+v", status, got)
		}
	})
}
