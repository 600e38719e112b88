package webapp

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/gatehouse-id/gatehouse/client"
)

// readProjects is a permission of the vendor's own.
const readProjects = "projects.read"

// projects is a page: the session holds the access token, which is checked at each
// request, so that it ends with the token and not with the session.
func (a *App) projects(w http.ResponseWriter, r *http.Request) {
	s := a.session(r)
	if s == nil {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	s.mu.Lock()
	token := s.token
	s.mu.Unlock()
	if token == nil {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	who, err := a.verifier.Verify(r.Context(), token.AccessToken)
	switch {
	case err != nil:
		http.Redirect(w, r, "/", http.StatusSeeOther) // refresh there
	case !who.HasPermission(readProjects):
		http.Error(w, "You may not see the projects. Ask your administrator for a role with "+readProjects+".", http.StatusForbidden)
	default:
		fmt.Fprintf(w, "The projects of %s, for %s.\n", who.TenantID, who.Subject)
	}
}

// listProjects runs behind client.Protect, which has checked token and permission.
// Whose projects they are stands in the token, never in the request.
func (a *App) listProjects(w http.ResponseWriter, r *http.Request) {
	who, _ := client.ClaimsOf(r.Context())
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"tenant": who.TenantID, "projects": []string{}}) // a reader that went away is not worth a word
}
