// Package gatewaytest runs a whole gateway in the process of a test: the same
// wiring as the command's, on a throw-away store, behind a real listener.
//
//	g := gatewaytest.New(t, gatewaytest.Options{})
//	i := g.IdP(idp.Config{People: …})              // a SAML and OpenID provider to log in at
//	g.Call("POST", "/tenants", …, &tenant)         // the management API
//	okta := gatewaytest.NewOkta(t, baseURL, token) // SCIM as Okta speaks it
//	tokens := g.LogIn(browser.New(t), app, "ada@acme.example", "organization", "acme")
//
// Browser, identity provider and page checks are packages of their own below.
package gatewaytest
