package httpx

import (
	"net/http"
	"time"
)

// invitationCookie holds the token of an invitation between the first GET, whose
// address carried it, and the end of the sign-in.
const (
	invitationCookie = "__Host-invitation"
	invitationTime   = 30 * time.Minute
	maxInvitation    = 128 // bytes of a token
)

// Invitation gives the token of the invitation that the browser opened last;
// empty when there is none.
func Invitation(r *http.Request) string {
	c, err := r.Cookie(invitationCookie)
	if err != nil || len(c.Value) > maxInvitation {
		return ""
	}
	return c.Value
}

// SetInvitation has the browser keep the token for half an hour.
func SetInvitation(w http.ResponseWriter, token string) {
	if len(token) > maxInvitation {
		token = ""
	}
	http.SetCookie(w, &http.Cookie{
		Name: invitationCookie, Value: token, Path: "/", MaxAge: int(invitationTime.Seconds()), Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}

// ClearInvitation makes the browser forget it.
func ClearInvitation(w http.ResponseWriter) {
	http.SetCookie(w, &http.Cookie{Name: invitationCookie, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}
