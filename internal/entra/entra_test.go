package entra_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/entra"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/safehttp"
)

const (
	tenant = "8a5e0b52-60a4-4cf1-9b0b-9a2ca46b6a5c"
	oid    = "0f3c7a1e-1111-4222-8333-444455556666"
)

func TestTenantOf(t *testing.T) {
	good := func(issuer, want string) {
		t.Helper()
		if got := entra.TenantOf(issuer); got != want {
			t.Errorf("%s: %q, want %q", issuer, got, want)
		}
	}
	good("https://login.microsoftonline.com/"+tenant+"/v2.0", tenant)
	good("https://login.microsoftonline.com/"+strings.ToUpper(tenant)+"/v2.0", tenant)
	good("https://sts.windows.net/"+tenant+"/", tenant)
	for issuer, why := range map[string]string{
		"https://login.microsoftonline.com/common/v2.0":                               "any directory",
		"https://login.microsoftonline.com/organizations/v2.0":                        "any directory",
		"https://login.microsoftonline.com/consumers/v2.0":                            "any person",
		"https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0": "any person, by GUID",
		"https://login.microsoftonline.com/{tenantid}/v2.0":                           "a template",
		"https://login.microsoftonline.com/acme.onmicrosoft.com/v2.0":                 "a name",
		"https://login.microsoftonline.com/v2.0":                                      "none",
		"https://login.microsoftonline.com":                                           "none",
		"https://login.microsoftonline.com/8a5e0b52-60a4-4cf1-9b0b-9a2ca46b6a5g/v2.0": "not hexadecimal",
		"https://login.microsoftonline.com/8a5e0b52060a404cf109b0b09a2ca46b6a5c/v2.0": "no dashes",
		"https://login.microsoftonline.com/v2.0/" + tenant:                            "elsewhere in the path",
		"%": "no address",
	} {
		if got := entra.TenantOf(issuer); got != "" {
			t.Errorf("%s (%s): %q", issuer, why, got)
		}
	}
}

func TestCloudOf(t *testing.T) {
	for address, want := range map[string]entra.Cloud{
		"https://login.microsoftonline.com/" + tenant + "/v2.0":        entra.Global,
		"https://LOGIN.microsoftonline.com/" + tenant + "/v2.0":        entra.Global,
		"https://sts.windows.net/" + tenant + "/":                      entra.Global,
		"https://login.microsoftonline.us/" + tenant + "/v2.0":         entra.USGov,
		"https://login.partner.microsoftonline.cn/" + tenant + "/v2.0": entra.China,
	} {
		if got, ok := entra.CloudOf(address); !ok || got != want {
			t.Errorf("%s: %v %v", address, got, ok)
		}
	}
	for _, address := range []string{"https://login.microsoftonline.com.evil.example/", "https://evil.example/login.microsoftonline.com", "https://acme.okta.com", ":", ""} {
		if got, ok := entra.CloudOf(address); ok {
			t.Errorf("%s: %v", address, got)
		}
	}
}

// graph is a cloud that answers as Microsoft's does.
type graph struct {
	*httptest.Server
	token, groups http.HandlerFunc
	asked         []string
}

func newGraph(t *testing.T) *graph {
	t.Helper()
	g := &graph{}
	g.token = func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"token_type":"Bearer","access_token":"at-1"}`)
	}
	g.groups = func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"@odata.context":"x","value":["g-1","g-2"]}`)
	}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.asked = append(g.asked, r.Method+" "+r.URL.Path)
		if r.URL.Path == "/"+tenant+"/oauth2/v2.0/token" {
			g.token(w, r)
			return
		}
		g.groups(w, r)
	}))
	t.Cleanup(g.Close)
	return g
}

func (g *graph) app() entra.App {
	return entra.App{Cloud: entra.Cloud{Login: g.URL, Graph: g.URL}, Tenant: tenant, Client: "c-1", Secret: "s&1"}
}

func fetch() *http.Client { return safehttp.New(safehttp.Options{AllowPrivate: true}).HTTP() }

func TestGroups(t *testing.T) {
	g := newGraph(t)
	g.token = func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		form, err := url.ParseQuery(string(body))
		if err != nil || form.Get("grant_type") != "client_credentials" || form.Get("client_id") != "c-1" || form.Get("client_secret") != "s&1" || form.Get("scope") != g.URL+"/.default" {
			t.Errorf("%v, %v", form, err)
		}
		fmt.Fprint(w, `{"access_token":"at-1"}`)
	}
	g.groups = func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer at-1" {
			t.Errorf("Authorization %q", r.Header.Get("Authorization"))
		}
		if r.Method == http.MethodPost {
			var body map[string]any
			if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body["securityEnabledOnly"] != true {
				t.Errorf("%v, %v", body, err)
			}
			fmt.Fprintf(w, `{"value":["g-1","g-2"],"@odata.nextLink":%q}`, g.URL+"/v1.0/next")
			return
		}
		fmt.Fprint(w, `{"value":["g-3"]}`)
	}
	list, err := entra.Groups(t.Context(), fetch(), g.app(), oid)
	if err != nil || fmt.Sprint(list) != "[g-1 g-2 g-3]" {
		t.Errorf("%v, %v", list, err)
	}
	want := []string{"POST /" + tenant + "/oauth2/v2.0/token", "POST /v1.0/users/" + oid + "/getMemberObjects", "GET /v1.0/next"}
	if fmt.Sprint(g.asked) != fmt.Sprint(want) {
		t.Errorf("asked %q, want %q", g.asked, want)
	}
	g.groups = func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"value":[]}`) }
	if list, err := entra.Groups(t.Context(), fetch(), g.app(), oid); err != nil || list == nil || len(list) != 0 {
		t.Errorf("nobody's groups: %v, %v", list, err)
	}
}

func TestGroupsFails(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another address was asked") }))
	t.Cleanup(elsewhere.Close)
	many, err := json.Marshal(map[string]any{"value": make([]string, entra.MaxGroups+1)})
	if err != nil {
		t.Fatal(err)
	}
	text := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); fmt.Fprint(w, body) }
	}
	for name, set := range map[string]func(*graph){
		"token refused":     func(g *graph) { g.token = text(401, `{"error":"invalid_client"}`) },
		"no token":          func(g *graph) { g.token = text(200, `{}`) },
		"token is HTML":     func(g *graph) { g.token = text(200, `<html>`) },
		"token redirects":   func(g *graph) { g.token = http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect).ServeHTTP },
		"forbidden":         func(g *graph) { g.groups = text(403, `{"error":{"code":"Authorization_RequestDenied"}}`) },
		"unknown person":    func(g *graph) { g.groups = text(404, `{"error":{"code":"Request_ResourceNotFound"}}`) },
		"no value":          func(g *graph) { g.groups = text(200, `{}`) },
		"null":              func(g *graph) { g.groups = text(200, `{"value":null}`) },
		"not strings":       func(g *graph) { g.groups = text(200, `{"value":[1]}`) },
		"too many":          func(g *graph) { g.groups = text(200, string(many)) },
		"too large":         func(g *graph) { g.groups = text(200, `{"value":["`+strings.Repeat("x", 1<<20)+`"]}`) },
		"goes on elsewhere": func(g *graph) { g.groups = text(200, `{"value":[],"@odata.nextLink":"`+elsewhere.URL+`/"}`) },
		"goes on elsewhere, by prefix": func(g *graph) {
			g.groups = text(200, `{"value":[],"@odata.nextLink":"`+g.URL+`.evil.example/"}`)
		},
		"has no end": func(g *graph) { g.groups = text(200, `{"value":["g"],"@odata.nextLink":"`+g.URL+`/again"}`) },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGraph(t)
			set(g)
			list, err := entra.Groups(t.Context(), fetch(), g.app(), oid)
			if err == nil || list != nil {
				t.Errorf("%d groups, %v", len(list), err)
			}
			if (name == "too many") != errors.Is(err, entra.ErrTooMany) {
				t.Error(err)
			}
		})
	}
	g := newGraph(t)
	for name, a := range map[string]entra.App{
		"no secret": {Tenant: tenant, Client: "c"}, "no client": {Tenant: tenant, Secret: "s"}, "no tenant": {Client: "c", Secret: "s"}, "name": {Tenant: "acme", Client: "c", Secret: "s"},
	} {
		a.Cloud = entra.Cloud{Login: g.URL, Graph: g.URL}
		if _, err := entra.Groups(t.Context(), fetch(), a, oid); err == nil || a.Usable() {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := entra.Groups(t.Context(), fetch(), g.app(), "../admin"); err == nil {
		t.Error("an object id that is a path was taken")
	}
	if len(g.asked) != 0 {
		t.Errorf("asked %q", g.asked)
	}
	// Without the switch for private networks the guarded client goes nowhere inside.
	_, err = entra.Groups(t.Context(), safehttp.New(safehttp.Options{}).HTTP(), g.app(), oid)
	if code := fault.CodeOf(err); code != safehttp.CodeURL {
		t.Errorf("private address: %v", err)
	}
}
