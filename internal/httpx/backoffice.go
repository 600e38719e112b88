package httpx

import (
	"net/http"
	"time"
)

// The cookies of the back office. They are apart from those of tenants' people:
// one opens nothing at the other's door.
const (
	backofficeCookie     = "__Host-backoffice"
	backofficeFlowCookie = "__Host-backoffice-flow"
	backofficeLinkCookie = "__Host-backoffice-link"
	backofficeLinkTime   = 30 * time.Minute
)

// Backoffice gives the secret of a session of the back office; empty when there is
// none.
func Backoffice(r *http.Request) string { return opaqueCookie(r, backofficeCookie) }

// SetBackoffice hands it to the browser, for as long as that stays open; the
// server's own limits end the session.
func SetBackoffice(w http.ResponseWriter, value string) { setCookie(w, backofficeCookie, value) }

// ClearBackoffice makes the browser forget it.
func ClearBackoffice(w http.ResponseWriter) { clearCookie(w, backofficeCookie) }

// BackofficeFlow gives the secret of a sign-in under way; empty when there is none.
func BackofficeFlow(r *http.Request) string { return opaqueCookie(r, backofficeFlowCookie) }

// SetBackofficeFlow hands it to the browser.
func SetBackofficeFlow(w http.ResponseWriter, value string) {
	setCookie(w, backofficeFlowCookie, value)
}

// ClearBackofficeFlow makes the browser forget it.
func ClearBackofficeFlow(w http.ResponseWriter) { clearCookie(w, backofficeFlowCookie) }

// BackofficeLink gives the token of the link that the browser opened last.
func BackofficeLink(r *http.Request) string { return opaqueCookie(r, backofficeLinkCookie) }

// SetBackofficeLink has the browser keep it for half an hour.
func SetBackofficeLink(w http.ResponseWriter, token string) {
	if len(token) != opaqueLen {
		token = ""
	}
	http.SetCookie(w, &http.Cookie{
		Name: backofficeLinkCookie, Value: token, Path: "/", MaxAge: int(backofficeLinkTime.Seconds()), Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// ClearBackofficeLink makes the browser forget it.
func ClearBackofficeLink(w http.ResponseWriter) { clearCookie(w, backofficeLinkCookie) }

func clearCookie(w http.ResponseWriter, name string) {
	http.SetCookie(w, &http.Cookie{Name: name, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}
