package browser

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/gatewaytest/idp"
)

// maxPage bounds what is read of a page, and maxSteps how many forms are sent on
// the way to a page.
const (
	maxPage  = 4 << 20
	maxSteps = 12
)

// Browser keeps the cookies of one person. Addresses on loopback count as secure,
// as in real browsers, so that Secure cookies reach them.
type Browser struct {
	Client *http.Client
	t      testing.TB
	ctx    context.Context
}

// New makes a browser without cookies. A request that fails on the network ends
// the test.
func New(t testing.TB) *Browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Browser{Client: &http.Client{Jar: jar}, t: t, ctx: t.Context()}
}

// Page is where the browser arrived.
type Page struct {
	Status int
	URL    *url.URL // after redirects
	Header http.Header
	Body   string
}

// Get goes to an address and follows redirects.
func (b *Browser) Get(address string) Page {
	b.t.Helper()
	return b.send(http.MethodGet, address, nil, "")
}

// Post sends a form as a page of origin would; origin empty: as the server's own
// page.
func (b *Browser) Post(address string, form url.Values, origin string) Page {
	b.t.Helper()
	return b.send(http.MethodPost, address, form, origin)
}

func (b *Browser) send(method, address string, form url.Values, origin string) Page {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.ctx, method, address, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if origin == "" {
			origin = r.URL.Scheme + "://" + r.URL.Host
		}
		r.Header.Set("Origin", origin)
	}
	return b.Do(r)
}

// Do sends any request with the browser's cookies.
func (b *Browser) Do(r *http.Request) Page {
	b.t.Helper()
	res, err := b.Client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxPage))
	if err != nil {
		b.t.Fatal(err)
	}
	return Page{Status: res.StatusCode, URL: res.Request.URL, Header: res.Header, Body: string(body)}
}

// Stop makes the browser stop at the first redirect instead of following it, and
// gives a function that undoes that.
func (b *Browser) Stop() (undo func()) {
	b.Client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return func() { b.Client.CheckRedirect = nil }
}

// Cookie gives the value of a cookie that would be sent to the address.
func (b *Browser) Cookie(address, name string) string {
	b.t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range b.Client.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// Form reads the page's first form: the absolute address it is sent to, and its
// fields. ok is false when the page has none.
func (p Page) Form() (action string, fields url.Values, ok bool) {
	action, fields, err := idp.ReadForm(strings.NewReader(p.Body))
	if err != nil {
		return "", nil, false
	}
	target, err := p.URL.Parse(action)
	if err != nil {
		return "", nil, false
	}
	return target.String(), fields, true
}

// Origin is the page's own, as browsers send it with its forms.
func (p Page) Origin() string { return p.URL.Scheme + "://" + p.URL.Host }

// LogIn goes to an address and on through everything that needs no thought:
// redirects, forms that post themselves, and the test identity provider's page,
// where it chooses the person (by ID or e-mail). It stops at the first other page.
func (b *Browser) LogIn(address, person string) Page {
	b.t.Helper()
	return b.Continue(b.Get(address), person)
}

// Continue goes on from a page as LogIn does.
func (b *Browser) Continue(p Page, person string) Page {
	b.t.Helper()
	for range maxSteps {
		action, fields, ok := p.Form()
		switch {
		case !ok || p.Status != http.StatusOK:
			return p
		case fields.Has("SAMLRequest"), fields.Has("SAMLResponse"), fields.Has("state"): // form_post
		case fields.Has("handle"):
			fields = url.Values{"handle": fields["handle"], "person": {person}}
			if strings.Contains(person, "@") {
				fields.Set("email", person)
			}
		default:
			return p
		}
		p = b.Post(action, fields, p.Origin())
	}
	b.t.Fatal("the sign-in goes round in circles")
	return p
}

// String shows the page in messages of failed tests.
func (p Page) String() string {
	body := p.Body
	if len(body) > 1500 {
		body = body[:1500] + "…"
	}
	return fmt.Sprintf("%d %s\n%s", p.Status, p.URL, body)
}
