package httpx

import (
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// The cookies. The prefix binds them to the host and to Secure; browsers
// treat loopback as secure, so they also work on http://localhost.
const (
	browserCookie = "__Host-browser"
	sessionCookie = "__Host-session"
	deviceCookie  = "__Host-device"
	opaqueLen     = 43 // of secret.Random
)

// Browser gives the browser id that the request carries; empty when it carries
// none of the right form. It is a nonce for binding sign-in flows to the browser
// that began them, and proves nobody's identity.
func Browser(r *http.Request) string { return opaqueCookie(r, browserCookie) }

// BrowserID gives the browser id of the request, and sets a fresh one when it
// carries none. One id serves all flows of a browser at once.
func BrowserID(w http.ResponseWriter, r *http.Request) string {
	if v := Browser(r); v != "" {
		return v
	}
	v := secret.Random()
	setCookie(w, browserCookie, v)
	return v
}

// SessionCookie gives the session secret that the request carries; empty when
// there is none.
func SessionCookie(r *http.Request) string { return opaqueCookie(r, sessionCookie) }

// SetSessionCookie hands the session secret to the browser, for as long as the
// browser stays open; the server's own limits end the session.
func SetSessionCookie(w http.ResponseWriter, value string) { setCookie(w, sessionCookie, value) }

// ClearSessionCookie makes the browser forget its session.
func ClearSessionCookie(w http.ResponseWriter) {
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// Device gives the secret of a browser that is not to be asked for a second factor
// again; empty when there is none.
func Device(r *http.Request) string { return opaqueCookie(r, deviceCookie) }

// SetDevice hands such a secret to the browser.
func SetDevice(w http.ResponseWriter, value string, life time.Duration) {
	http.SetCookie(w, &http.Cookie{Name: deviceCookie, Value: value, Path: "/", MaxAge: int(life.Seconds()), Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

func setCookie(w http.ResponseWriter, name, value string) {
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

func opaqueCookie(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil || len(c.Value) != opaqueLen {
		return ""
	}
	return c.Value
}
