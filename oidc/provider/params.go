package provider

import (
	"mime"
	"net/http"
	"net/url"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/oidc"
)

// params are the parameters of a request, each at most once. A parameter
// without a value counts as left out (RFC 6749 §3.1).
type params map[string]string

// maxParams bounds the number of parameters; unknown ones are ignored, not
// refused (RFC 6749 §3.1).
const maxParams = 100

// parse reads form-encoded text. repeated names a parameter that came more than
// once (RFC 6749 §3.1); values that are no text are an error.
func parse(text string) (p params, repeated []string, err error) {
	values, err := url.ParseQuery(text)
	if err != nil || len(values) > maxParams {
		return nil, nil, refuse(oidc.InvalidRequest, "The parameters cannot be read.")
	}
	p = make(params, len(values))
	for name, v := range values {
		if len(v) > 1 {
			repeated = append(repeated, name)
		}
		if !text8(name) || !text8(v[0]) {
			return nil, nil, refuse(oidc.InvalidRequest, "A parameter is not text.")
		}
		if v[0] != "" {
			p[name] = v[0]
		}
	}
	return p, repeated, nil
}

// text8 reports whether s can be stored and shown: UTF-8 without NUL.
func text8(s string) bool {
	for i := range len(s) {
		if s[i] == 0 {
			return false
		}
	}
	return utf8.ValidString(s)
}

// form reads the body of a POST.
func form(r *http.Request) (text string, err error) {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/x-www-form-urlencoded" {
		return "", refuse(oidc.InvalidRequest, "Send the parameters as application/x-www-form-urlencoded.")
	}
	body, err := httpx.ReadBody(r, maxBody)
	return string(body), err
}

// posted gives the parameters of an endpoint that takes them in the body only:
// addresses end up in logs (RFC 6749 §2.3.1).
func posted(r *http.Request) (params, error) {
	if r.URL.RawQuery != "" {
		return nil, refuse(oidc.InvalidRequest, "Send the parameters in the body, not in the address.")
	}
	text, err := form(r)
	if err != nil {
		return nil, err
	}
	p, repeated, err := parse(text)
	if err == nil && len(repeated) > 0 {
		err = refuse(oidc.InvalidRequest, "A parameter came more than once.")
	}
	return p, err
}

// asked gives the parameters of a page, from the address. A POST is sent again
// as a GET, and done is true: it came from another site, so it carries no
// SameSite=Lax cookie, while our own redirect does.
func asked(w http.ResponseWriter, r *http.Request) (p params, repeated []string, done bool, err error) {
	text := r.URL.RawQuery
	if r.Method == http.MethodPost {
		if text, err = form(r); err != nil {
			return nil, nil, false, err
		}
	}
	if len(text) > maxQuery {
		return nil, nil, false, refuse(oidc.InvalidRequest, "The request is too long.")
	}
	if p, repeated, err = parse(text); err != nil {
		return nil, nil, false, err
	}
	if r.Method == http.MethodPost {
		values := url.Values{}
		for name, v := range p {
			values.Set(name, v)
		}
		for _, name := range repeated {
			values.Add(name, p[name]) // refused there, as it is here
		}
		pageHeaders(w)
		http.Redirect(w, r, r.URL.Path+"?"+values.Encode(), http.StatusSeeOther)
		return nil, nil, true, nil
	}
	return p, repeated, false, nil
}

// pageHeaders keeps what stands in the address from caches and other sites.
func pageHeaders(w http.ResponseWriter) {
	noStore(w)
	w.Header().Set("Referrer-Policy", "no-referrer")
}
