package webapp

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"embed"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/gatehouse-id/gatehouse/client"
)

//go:embed page.html app.css
var files embed.FS

// Config says how the application reaches Gatehouse.
type Config struct {
	Name         string
	BaseURL      string // of this application, without a slash at its end
	Issuer       string // Gatehouse's base URL
	ClientID     string
	ClientSecret string
	// Organizations are offered on the first page, key and name.
	Organizations [][2]string
	HTTP          *http.Client // nil: http.DefaultClient
	// WebhookSecret is that of the endpoint which sends to /webhooks; empty: none does.
	WebhookSecret string
}

// App is the application. Sessions are kept in memory, at most maxSessions.
type App struct {
	Config
	oauth    *oauth2.Config
	verifier *client.Verifier
	page     *template.Template
	mux      *http.ServeMux

	mu       sync.Mutex
	sessions map[string]*session
	events   []client.Webhook // the latest maxEvents, the newest first
}

const (
	maxSessions = 1000
	cookieName  = "__Host-sample"
)

// session is one browser's. Its handlers take turns: two tabs may act at once.
type session struct {
	mu sync.Mutex

	state, verifier, nonce string
	token                  *oauth2.Token
	idToken                string
	problem                string
	refreshed              int
	created                time.Time
}

// New makes the application.
func New(c Config) (*App, error) {
	page, err := template.ParseFS(files, "page.html")
	if err != nil {
		return nil, err
	}
	verifier, err := client.NewVerifier(client.VerifierConfig{Issuer: c.Issuer, Audience: c.ClientID, HTTP: c.HTTP})
	if err != nil {
		return nil, err
	}
	a := &App{
		Config: c, verifier: verifier, page: page, mux: http.NewServeMux(), sessions: map[string]*session{},
		oauth: &oauth2.Config{
			ClientID: c.ClientID, ClientSecret: c.ClientSecret, RedirectURL: c.BaseURL + "/callback",
			Scopes: []string{"openid", "profile", "email", "offline_access"},
			Endpoint: oauth2.Endpoint{
				AuthURL: c.Issuer + "/oauth2/authorize", TokenURL: c.Issuer + "/oauth2/token", AuthStyle: oauth2.AuthStyleInHeader,
			},
		},
	}
	// Unsafe methods from other origins are refused.
	csrf := http.NewCrossOriginProtection()
	a.mux.HandleFunc("GET /{$}", a.home)
	a.mux.HandleFunc("GET /login", a.login)
	a.mux.HandleFunc("GET /callback", a.callback)
	a.mux.Handle("POST /refresh", csrf.Handler(http.HandlerFunc(a.refresh)))
	a.mux.Handle("POST /logout", csrf.Handler(http.HandlerFunc(a.logout)))
	a.mux.HandleFunc("GET /projects", a.projects)
	a.mux.Handle("GET /api/projects", verifier.Protect(client.RequirePermission(readProjects))(http.HandlerFunc(a.listProjects)))
	a.mux.HandleFunc("POST /webhooks", a.webhook)
	a.mux.HandleFunc("GET /app.css", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, "app.css") })
	return a, nil
}

// ServeHTTP implements http.Handler.
func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	a.mux.ServeHTTP(w, r)
}

func (a *App) login(w http.ResponseWriter, r *http.Request) {
	if iss := r.URL.Query().Get("iss"); iss != "" && iss != a.Issuer {
		http.Error(w, "This application does not know that issuer.", http.StatusBadRequest)
		return
	}
	s := &session{state: random(), verifier: oauth2.GenerateVerifier(), nonce: random(), created: time.Now()}
	key := a.put(s)
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: key, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(s.verifier), oauth2.SetAuthURLParam("nonce", s.nonce)}
	for _, name := range []string{"organization", "connection", "login_hint", "prompt"} {
		if v := r.URL.Query().Get(name); v != "" {
			options = append(options, oauth2.SetAuthURLParam(name, v))
		}
	}
	http.Redirect(w, r, a.oauth.AuthCodeURL(s.state, options...), http.StatusSeeOther)
}

func (a *App) callback(w http.ResponseWriter, r *http.Request) {
	s := a.session(r)
	if s == nil {
		http.Error(w, "This answer belongs to no sign-in of this browser. Start again.", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := r.URL.Query()
	switch {
	case s.state == "" || subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(s.state)) != 1:
		http.Error(w, "This answer belongs to no sign-in of this browser. Start again.", http.StatusBadRequest)
		return
	case q.Get("iss") != a.Issuer: // RFC 9207 §2.4
		http.Error(w, "This answer comes from another issuer.", http.StatusBadRequest)
		return
	}
	s.state = ""
	if q.Get("error") != "" {
		s.problem = q.Get("error") + ": " + q.Get("error_description")
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	token, err := a.oauth.Exchange(a.context(r), q.Get("code"), oauth2.VerifierOption(s.verifier))
	if err != nil {
		s.problem = err.Error()
	} else {
		s.token = token
		s.idToken, _ = token.Extra("id_token").(string)
		// The token came straight from the issuer's token endpoint, so its
		// signature may be left unchecked (OpenID Connect Core §3.1.3.7); the nonce may not.
		if claims(s.idToken)["nonce"] != s.nonce {
			s.token, s.problem = nil, "The ID token carries another sign-in's nonce."
		}
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (a *App) refresh(w http.ResponseWriter, r *http.Request) {
	if s := a.session(r); s != nil {
		s.refresh(a.context(r), a.oauth)
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *session) refresh(ctx context.Context, config *oauth2.Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token == nil {
		return
	}
	old := *s.token
	old.Expiry = time.Now().Add(-time.Minute) // so that the library refreshes it
	fresh, err := config.TokenSource(ctx, &old).Token()
	if err != nil {
		s.problem = "The refresh was refused: " + err.Error()
		return
	}
	s.token, s.problem = fresh, ""
	s.refreshed++
	if id, ok := fresh.Extra("id_token").(string); ok {
		s.idToken = id
	}
}

func (a *App) logout(w http.ResponseWriter, r *http.Request) {
	v := url.Values{"client_id": {a.ClientID}, "post_logout_redirect_uri": {a.BaseURL + "/"}}
	if s := a.session(r); s != nil {
		s.mu.Lock()
		if s.idToken != "" {
			v.Set("id_token_hint", s.idToken)
		}
		s.mu.Unlock()
	}
	if c, err := r.Cookie(cookieName); err == nil {
		a.mu.Lock()
		delete(a.sessions, c.Value)
		a.mu.Unlock()
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true})
	http.Redirect(w, r, a.Issuer+"/oauth2/logout?"+v.Encode(), http.StatusSeeOther)
}

type view struct {
	Name, Issuer  string
	Organizations [][2]string
	SignedIn      bool
	Problem       string
	Who, Org      string
	Roles, Perms  []string
	Refreshed     int
	Access, ID    string // decoded, as indented JSON
	MayProjects   bool
	Events        []client.Webhook
}

func (a *App) home(w http.ResponseWriter, r *http.Request) {
	v := view{Name: a.Name, Issuer: a.Issuer, Organizations: a.Organizations}
	if s := a.session(r); s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		v.Problem, v.Refreshed = s.problem, s.refreshed
		if s.token != nil {
			v.SignedIn = true
			if who, err := a.verifier.Verify(r.Context(), s.token.AccessToken); err != nil {
				v.Problem = err.Error()
			} else {
				v.Who, v.Org, v.Roles, v.Perms, v.MayProjects = who.Email, who.TenantID, who.Roles, who.Permissions, who.HasPermission(readProjects)
			}
			v.Access, v.ID = pretty(s.token.AccessToken), pretty(s.idToken)
		}
	}
	a.mu.Lock()
	v.Events = slices.Clone(a.events)
	a.mu.Unlock()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := a.page.Execute(w, v); err != nil {
		http.Error(w, "page failed", http.StatusInternalServerError)
	}
}

func (a *App) context(r *http.Request) context.Context {
	if a.HTTP == nil {
		return r.Context()
	}
	return context.WithValue(r.Context(), oauth2.HTTPClient, a.HTTP)
}

func (a *App) session(r *http.Request) *session {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sessions[c.Value]
}

func (a *App) put(s *session) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.sessions) >= maxSessions {
		clear(a.sessions)
	}
	key := random()
	a.sessions[key] = s
	return key
}

func random() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func payload(token string) []byte {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil
	}
	return b
}

func claims(token string) map[string]any {
	m := map[string]any{}
	if json.Unmarshal(payload(token), &m) != nil {
		return nil
	}
	return m
}

func pretty(token string) string {
	m := claims(token)
	if m == nil {
		return ""
	}
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return ""
	}
	return string(b)
}
