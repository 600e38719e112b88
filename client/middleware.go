package client

import (
	"context"
	"errors"
	"net/http"
	"strings"
)

// Rule is what a request must satisfy beyond a valid token.
type Rule func(*http.Request, Claims) bool

// RequirePermission asks for a permission; held wildcards count.
func RequirePermission(key string) Rule {
	return func(_ *http.Request, c Claims) bool { return c.HasPermission(key) }
}

// RequireRole asks for a role by its key. Prefer permissions: roles change their meaning.
func RequireRole(key string) Rule {
	return func(_ *http.Request, c Claims) bool { return c.HasRole(key) }
}

// RequireTenant asks that the token is for the tenant with that id.
func RequireTenant(id string) Rule {
	return func(_ *http.Request, c Claims) bool { return id != "" && c.TenantID == id }
}

// RequireTenantInPath asks that the token is for the tenant whose id the path has at the
// wildcard with that name, such as {tenant}.
func RequireTenantInPath(name string) Rule {
	return func(r *http.Request, c Claims) bool { return c.TenantID != "" && r.PathValue(name) == c.TenantID }
}

// RequireAny asks for one of the rules; without any it is satisfied by none.
func RequireAny(rules ...Rule) Rule {
	return func(r *http.Request, c Claims) bool {
		for _, rule := range rules {
			if rule(r, c) {
				return true
			}
		}
		return false
	}
}

type claimsKey struct{}

// ClaimsOf gives the claims that [Verifier.Protect] found; ok is false in a handler
// that it does not guard.
func ClaimsOf(ctx context.Context) (c Claims, ok bool) {
	c, ok = ctx.Value(claimsKey{}).(Claims)
	return c, ok
}

// Protect guards a handler: it runs with a valid access token in Authorization that
// satisfies every rule. Otherwise the answer is 401 or 403 with WWW-Authenticate as
// RFC 6750 §3 has it, or 503 while the issuer's keys cannot be read. Which check
// failed is not told.
func (v *Verifier) Protect(rules ...Rule) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			list := r.Header.Values("Authorization")
			if len(list) == 0 {
				refuse(w, http.StatusUnauthorized, `Bearer realm="application"`)
				return
			}
			scheme, token, _ := strings.Cut(list[0], " ")
			if len(list) > 1 || !strings.EqualFold(scheme, "Bearer") {
				refuse(w, http.StatusUnauthorized, `Bearer realm="application"`)
				return
			}
			c, err := v.Verify(r.Context(), strings.TrimSpace(token))
			switch {
			case errors.Is(err, ErrToken):
				refuse(w, http.StatusUnauthorized, `Bearer realm="application", error="invalid_token", error_description="The access token is not valid"`)
				return
			case err != nil:
				w.Header().Set("Retry-After", "30")
				http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
				return
			}
			for _, rule := range rules {
				if !rule(r, c) {
					refuse(w, http.StatusForbidden, `Bearer realm="application", error="insufficient_scope"`)
					return
				}
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), claimsKey{}, c)))
		})
	}
}

func refuse(w http.ResponseWriter, status int, challenge string) {
	w.Header().Set("WWW-Authenticate", challenge)
	http.Error(w, http.StatusText(status), status)
}
