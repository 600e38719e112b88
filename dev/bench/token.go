package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
)

const (
	redirectURI = "https://app.bench.example/callback" // nobody listens there: the answer is in the address
	password    = "correct horse battery"
)

// provider is the gateway as applications and their people know it.
type provider struct {
	*server
	saml    string // connection whose people need no password here
	web     client
	service map[string]client // by the algorithm of their tokens
}

type client struct {
	ID     string `json:"client_id"`
	Secret string `json:"client_secret"`
}

type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

// provider sets applications up, a tenant whose people have passwords, and one with
// an identity provider, which runs here and so does not count as the server's work.
func (s *server) provider(ctx context.Context, people int) (*provider, error) {
	p := &provider{server: s, service: map[string]client{}}
	api := func(path string, body, into any) error {
		return s.call(ctx, http.MethodPost, s.url+"/api/v1"+path, s.key, body, into)
	}
	if err := api("/applications", map[string]any{"name": "Web", "type": "web", "redirect_uris": []string{redirectURI}, "token_endpoint_auth_method": "client_secret_post"}, &p.web); err != nil {
		return nil, err
	}
	for _, algorithm := range []string{"ES256", "RS256"} {
		var c client
		if err := api("/applications", map[string]any{
			"name": algorithm, "type": "service", "token_endpoint_auth_method": "client_secret_post", "access_token_alg": algorithm,
		}, &c); err != nil {
			return nil, err
		}
		p.service[algorithm] = c
	}
	for _, tenant := range []string{"plain", "corp"} {
		if err := api("/tenants", map[string]any{"name": tenant, "key": tenant}, nil); err != nil {
			return nil, err
		}
	}
	for n := range people {
		if err := api("/tenants/plain/users", map[string]any{"email": person(n), "password": password}, nil); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	there, err := idp.New(idp.Config{BaseURL: "http://" + l.Addr().String(), People: []idp.Person{{ID: "ada", Email: "ada@corp.example", FirstName: "Ada"}}})
	if err != nil {
		return nil, err
	}
	go func() { _ = http.Serve(l, there) }() // ends with the process
	if err := api("/tenants/corp/domains", map[string]any{"domain": "corp.example", "verified": true}, nil); err != nil {
		return nil, err
	}
	var made struct{ ID string }
	err = api("/tenants/corp/sso-connections", map[string]any{
		"type": "saml", "name": "SAML", "idp_metadata_xml": string(there.Metadata()), "jit": true, "status": "active",
	}, &made)
	p.saml = made.ID
	return p, err
}

func person(n int) string { return "person" + strconv.Itoa(n) + "@plain.example" }

// measureTokens measures what applications do all day, and sign-ins as a whole: from
// the application's request to its tokens.
func measureTokens(ctx context.Context, s *server, o options, r *report) error {
	p, err := s.provider(ctx, 4*o.c)
	if err != nil {
		return err
	}
	first, err := p.logIn(ctx, "organization", "plain", person(0))
	if err != nil {
		return err
	}
	chains := make(chan tokens, o.c) // each refresh token serves once
	for n := range o.c {
		t, err := p.logIn(ctx, "organization", "plain", person(n))
		if err != nil {
			return err
		}
		chains <- t
	}
	logins := min(o.operations/4, 300)
	var next atomic.Int64
	password := func(ctx context.Context, _ int) error {
		_, err := p.logIn(ctx, "organization", "plain", person(int(next.Add(1))%(4*o.c))) // nobody twice at a moment
		return err
	}
	saml := func(ctx context.Context, _ int) error {
		_, err := p.logIn(ctx, "connection", p.saml, "ada")
		return err
	}
	for _, step := range []struct {
		name string
		n    int
		f    func(ctx context.Context, n int) error
	}{
		{"client_credentials ES256", o.operations, func(ctx context.Context, _ int) error { return p.credentials(ctx, "ES256") }},
		{"client_credentials RS256", o.operations, func(ctx context.Context, _ int) error { return p.credentials(ctx, "RS256") }},
		{"introspection", o.operations, func(ctx context.Context, _ int) error {
			var found struct{ Active bool }
			err := p.post(ctx, "/oauth2/introspect", p.web, url.Values{"token": {first.Access}}, &found)
			if err == nil && !found.Active {
				err = fmt.Errorf("the token is not active")
			}
			return err
		}},
		{"refresh", o.operations, func(ctx context.Context, _ int) error {
			t := <-chains
			var got tokens
			err := p.post(ctx, "/oauth2/token", p.web, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {t.Refresh}}, &got)
			if err == nil && (got.Refresh == "" || got.Refresh == t.Refresh) {
				err = fmt.Errorf("the refresh token was not changed")
			}
			chains <- got
			return err
		}},
		{"login by SAML", logins, saml},
		{"login by password", logins, password},
	} {
		m, err := s.measure(ctx, step.n, o.c, step.f)
		if err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		r.add(step.name, m)
	}
	// Single sign-on while passwords are guessed as fast as they are answered.
	flooded, stop := context.WithCancel(ctx)
	defer stop()
	for n := range 4 * o.c {
		go p.guess(flooded, n)
	}
	time.Sleep(time.Second)
	m, err := s.measure(ctx, logins, o.c, saml)
	if err != nil {
		return fmt.Errorf("login by SAML under a flood: %w", err)
	}
	stop()
	r.add("login by SAML, passwords guessed", m)
	of := func(a, b string) float64 { return ratio(r.Results[a].CPU, r.Results[b].CPU) }
	r.Ratios["CPU, RS256/ES256"] = of("client_credentials RS256", "client_credentials ES256")
	r.Ratios["CPU, refresh/client_credentials"] = of("refresh", "client_credentials ES256")
	r.Ratios["CPU, login by password/by SAML"] = of("login by password", "login by SAML")
	r.Ratios["rate of logins by SAML, passwords guessed/quiet"] = ratio(r.Results["login by SAML, passwords guessed"].PerSecond, r.Results["login by SAML"].PerSecond)
	return nil
}

func (r *report) add(name string, m measure) {
	r.Results[name] = m
	fmt.Fprintf(os.Stderr, "%-32s %8.0f/s  p50 %7.2f ms  p99 %7.2f ms  CPU %6.3f ms\n", name, m.PerSecond, m.P50, m.P99, m.CPU)
}

// post sends a form as the client.
func (p *provider) post(ctx context.Context, path string, c client, form url.Values, into any) error {
	form.Set("client_id", c.ID)
	form.Set("client_secret", c.Secret)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := p.client.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %d %s %w", path, res.StatusCode, text, err)
	}
	return json.Unmarshal(text, into)
}

func (p *provider) credentials(ctx context.Context, algorithm string) error {
	var got tokens
	err := p.post(ctx, "/oauth2/token", p.service[algorithm], url.Values{"grant_type": {"client_credentials"}}, &got)
	if err == nil && strings.Count(got.Access, ".") != 2 {
		err = fmt.Errorf("no token: %q", got.Access)
	}
	return err
}

// visit is a browser without cookies on its way to the application.
type visit struct {
	*http.Client
	at   *url.URL
	body string
	from string // network address that the load balancer in front would tell
}

func (v *visit) send(ctx context.Context, method, address string, form url.Values) error {
	r, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", v.at.Scheme+"://"+v.at.Host)
	}
	if v.from != "" {
		r.Header.Set("X-Forwarded-For", v.from)
	}
	res, err := v.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	v.at, v.body = res.Request.URL, string(text)
	if to := res.Header.Get("Location"); to != "" {
		v.at, err = url.Parse(to)
	}
	return err
}

// begin asks for a code and gives the page on which that ends.
func (p *provider) begin(ctx context.Context, name, value, verifier string) (*visit, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(verifier))
	v := &visit{Client: &http.Client{Jar: jar, Transport: p.client.Transport, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), redirectURI) {
			return http.ErrUseLastResponse
		}
		return nil
	}}}
	return v, v.send(ctx, http.MethodGet, p.url+"/oauth2/authorize?"+url.Values{
		"response_type": {"code"}, "client_id": {p.web.ID}, "redirect_uri": {redirectURI}, "scope": {"openid email offline_access"}, "state": {"s"}, name: {value},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}.Encode(), nil)
}

// logIn signs a person in, who starts with no session, and redeems the code.
func (p *provider) logIn(ctx context.Context, name, value, who string) (t tokens, err error) {
	verifier := rand.Text() + rand.Text()
	v, err := p.begin(ctx, name, value, verifier)
	for steps := 0; err == nil && !strings.HasPrefix(v.at.String(), redirectURI); steps++ {
		action, fields, e := idp.ReadForm(strings.NewReader(v.body))
		if e != nil || steps == 8 {
			return t, fmt.Errorf("stuck at %s: %.300s", v.at, v.body)
		}
		switch {
		case fields.Has("handle"):
			fields = url.Values{"handle": fields["handle"], "person": {who}}
		case fields.Has("flow"):
			fields = url.Values{"flow": fields["flow"], "email": {who}, "password": {password}}
			action = "/login/password"
		}
		to, e := v.at.Parse(action)
		if e != nil {
			return t, e
		}
		err = v.send(ctx, http.MethodPost, to.String(), fields)
	}
	if err != nil {
		return t, err
	}
	err = p.post(ctx, "/oauth2/token", p.web, url.Values{
		"grant_type": {"authorization_code"}, "code": {v.at.Query().Get("code")}, "redirect_uri": {redirectURI}, "code_verifier": {verifier},
	}, &t)
	if err == nil && t.Refresh == "" {
		err = fmt.Errorf("no refresh token")
	}
	return t, err
}

// guess tries wrong passwords of unknown people until ctx ends.
func (p *provider) guess(ctx context.Context, n int) {
	v, err := p.begin(ctx, "organization", "plain", rand.Text()+rand.Text())
	if err != nil {
		return
	}
	_, fields, err := idp.ReadForm(strings.NewReader(v.body))
	for i := 0; err == nil && ctx.Err() == nil; i++ {
		v.from = fmt.Sprintf("198.18.%d.%d", n%256, i%256) // a net of many addresses: none is slowed down
		err = v.send(ctx, http.MethodPost, p.url+"/login/password", url.Values{"flow": fields["flow"], "email": {fmt.Sprintf("nobody%d.%d@flood.example", n, i)}, "password": {"wrong"}})
	}
}
