//go:build interop

package interop

import (
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

const person = "ada@interop.example"

// TestInterop signs Ada in through each provider and set-up, from the
// application to its token and out again; and to applications of others.
func TestInterop(t *testing.T) {
	g := startGateway(t)
	app := startApplication(t, g)
	browser := openBrowser(t)

	t.Run("SimpleSAMLphp", func(t *testing.T) {
		for _, s := range []struct {
			name     string
			settings map[string]any
			remote   string // of saml20-sp-remote.php
		}{
			{"plain", nil, `'saml20.sign.response' => true, 'saml20.sign.assertion' => true`},
			{"assertion signed alone", nil, `'saml20.sign.response' => false, 'saml20.sign.assertion' => true`},
			{
				"signed requests and encrypted assertions",
				map[string]any{"sign_requests": true, "want_encrypted": true},
				`'validate.authnrequest' => true, 'validate.logout' => true, 'sign.logout' => true, 'assertion.encryption' => true, 'saml20.sign.assertion' => true`,
			},
		} {
			t.Run(s.name, func(t *testing.T) {
				sp := startSimpleSAML(t)
				body := map[string]any{"type": "saml", "name": "SimpleSAMLphp", "idp_metadata_url": sp.metadata, "status": "active"}
				for k, v := range s.settings {
					body[k] = v
				}
				tenant, c := g.connect(t, body)
				sp.trust(t, g.get(t, c.SAML.MetadataURL), s.remote)
				tab := freshTab(t, browser)
				signIn := func() {
					do(t, tab, chromedp.Navigate(app+"/login?organization="+tenant+"&connection="+c.ID),
						chromedp.SendKeys(chromedp.CSS("#username"), "ada"), chromedp.SendKeys(chromedp.CSS("#password"), "secret"),
						chromedp.Click(chromedp.CSS("#submit_button")), chromedp.WaitVisible(chromedp.CSS("#access")))
				}
				signIn()
				wantToken(t, tab)
				signOut(t, tab)
				signIn() // logging out here ended the session there, or it asks again
				g.wantLogins(t, tenant, c.ID, 2)
			})
		}
	})

	t.Run("SimpleSAMLphp begins", func(t *testing.T) {
		sp := startSimpleSAML(t)
		tenant, c := g.connect(t, map[string]any{
			"type": "saml", "name": "SimpleSAMLphp", "idp_metadata_url": sp.metadata, "status": "active", "allow_idp_initiated": true,
		})
		sp.trust(t, g.get(t, c.SAML.MetadataURL), `'saml20.sign.assertion' => true, 'sign.logout' => true`)
		tab := freshTab(t, browser)
		// From the identity provider's page to the application, signed in.
		do(t, tab, chromedp.Navigate(sp.base+"saml2/idp/SSOService.php?spentityid="+url.QueryEscape(c.SAML.EntityID)),
			chromedp.SendKeys(chromedp.CSS("#username"), "ada"), chromedp.SendKeys(chromedp.CSS("#password"), "secret"),
			chromedp.Click(chromedp.CSS("#submit_button")), chromedp.WaitVisible(chromedp.CSS("#access")))
		wantToken(t, tab)
		g.wantLogins(t, tenant, c.ID, 1)
		// Signing out there ends the session here.
		do(t, tab, chromedp.Navigate(sp.base+"saml2/idp/initSLO.php?RelayState="+url.QueryEscape(sp.base)), chromedp.WaitVisible(chromedp.CSS("body")),
			chromedp.Navigate(app), chromedp.Click(`//button[contains(., "Refresh the tokens")]`), chromedp.WaitVisible(chromedp.CSS("[role=alert]")))
	})

	for _, library := range []string{"openid-client", "oauth4webapi"} {
		t.Run(library, func(t *testing.T) { application(t, g, browser, library) })
	}
	t.Run("mod_auth_openidc", func(t *testing.T) { apache(t, g, browser) })

	t.Run("oidc-provider", func(t *testing.T) {
		for _, s := range []struct {
			name     string
			settings map[string]any
			client   map[string]any
		}{
			{"client_secret_basic", map[string]any{"client_secret": secret}, map[string]any{"client_secret": secret}},
			{
				"client_secret_post",
				map[string]any{"client_secret": secret, "token_endpoint_auth_method": "client_secret_post"},
				map[string]any{"client_secret": secret, "token_endpoint_auth_method": "client_secret_post"},
			},
			{
				"private_key_jwt",
				map[string]any{"token_endpoint_auth_method": "private_key_jwt"},
				map[string]any{"token_endpoint_auth_method": "private_key_jwt"},
			},
			{"form_post", map[string]any{"client_secret": secret, "response_mode": "form_post"}, map[string]any{"client_secret": secret}},
		} {
			t.Run(s.name, func(t *testing.T) {
				port := freePort(t)
				body := map[string]any{"type": "oidc", "name": "oidc-provider", "issuer": "http://127.0.0.1:" + port, "client_id": "gatehouse", "status": "active"}
				for k, v := range s.settings {
					body[k] = v
				}
				tenant, c := g.connect(t, body)
				client := map[string]any{
					"client_id": "gatehouse", "redirect_uris": []string{c.OIDC.RedirectURI}, "response_types": []string{"code"}, "grant_types": []string{"authorization_code"},
					"backchannel_logout_uri": c.OIDC.BackchannelLogoutURL, "backchannel_logout_session_required": true,
				}
				for k, v := range s.client {
					client[k] = v
				}
				if client["token_endpoint_auth_method"] == "private_key_jwt" {
					client["jwks_uri"] = c.OIDC.JWKSURL
				}
				op := startProvider(t, port, client)
				tab := freshTab(t, browser)
				do(t, tab, chromedp.Navigate(app+"/login?organization="+tenant+"&connection="+c.ID),
					chromedp.SendKeys(chromedp.CSS("input[name=login]"), "ada"), chromedp.SendKeys(chromedp.CSS("input[name=password]"), "any"),
					chromedp.Click(chromedp.CSS("button[type=submit]")),
					chromedp.Click(`//button[contains(., "Continue")]`), chromedp.WaitVisible(chromedp.CSS("#access")))
				wantToken(t, tab)
				g.wantLogins(t, tenant, c.ID, 1)

				// Logging out at the provider ends the session here: its back-channel
				// logout refuses the refresh token.
				do(t, tab, chromedp.Navigate(op+"/session/end"), chromedp.Click(`//button[contains(., "Yes")]`),
					chromedp.WaitVisible(`//h1[contains(., "Sign-out Success")]`))
				do(t, tab, chromedp.Navigate(app), chromedp.Click(`//button[contains(., "Refresh the tokens")]`), chromedp.WaitVisible(chromedp.CSS("[role=alert]")))
			})
		}
	})
}

func wantToken(t *testing.T, tab tabContext) {
	t.Helper()
	access := textOf(t, tab, "#access")
	for _, want := range []string{`"` + person + `"`, `"engineer"`, `"Ada Lovelace"`} {
		if !strings.Contains(access, want) {
			t.Errorf("the access token lacks %s:\n%s", want, access)
		}
	}
}
