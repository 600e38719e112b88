package login_test

import (
	"bytes"
	"image"
	"image/png"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/gatewaytest/browser"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/tenants"
)

func (w *world) brand(tenant string, n tenants.NewBranding) {
	w.TB.Helper()
	w.Tx(func(q db.Queryer) error {
		_, err := w.Tenants.PutBranding(w.TB.Context(), w.Vendor, q, tenant, n)
		return err
	})
}

// product 8: the pages of a sign-in carry the brand of the organization that it
// goes to, the environment's otherwise, and say nothing of one whose address
// somebody merely typed.
func TestPagesCarryTheBrand(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		var logo bytes.Buffer
		if err := png.Encode(&logo, image.NewGray(image.Rect(0, 0, 40, 20))); err != nil {
			t.Fatal(err)
		}
		w.brand("", tenants.NewBranding{Name: "Vendor Suite", Accent: "#0b6e4f"})
		w.brand(w.globex, tenants.NewBranding{Name: "Globex GmbH", Accent: "#7a1fa2", Locale: "de"})
		w.Tx(func(q db.Queryer) error {
			info, err := tenants.ReadLogo(logo.Bytes())
			if err == nil {
				_, err = w.Tenants.PutLogo(t.Context(), w.Vendor, q, w.globex, info, logo.Bytes())
			}
			return err
		})
		holds := func(p browser.Page, want, not string) {
			t.Helper()
			if !strings.Contains(p.Body, want) || strings.Contains(p.Body, not) {
				t.Errorf("want %q and not %q: %s", want, not, p)
			}
		}

		b := browser.New(t)
		p := b.Get(w.StartURL())
		holds(p, "· Vendor Suite</title>", "Globex")
		holds(p, "/assets/accent.0b6e4f.css", "7a1fa2")
		// Several ways of one organization: the page asks which, under the vendor's brand.
		p = send(t, b, p, "email", "x@globex.example")
		shows(t, p, http.StatusOK, "Entra ID")
		holds(p, "· Vendor Suite</title>", "accent.7a1fa2")

		// The application names the organization.
		p = browser.New(t).Get(w.StartURL("organization", "globex"))
		holds(p, "· Globex GmbH</title>", "Vendor Suite")
		holds(p, "/assets/accent.7a1fa2.css", "0b6e4f")
		holds(p, `<html lang="de">`, "Sign in")
		at := strings.Index(p.Body, `src="/branding/`)
		if at < 0 {
			t.Fatalf("no logo: %s", p)
		}
		path, _, _ := strings.Cut(p.Body[at+len(`src="`):], `"`)
		res := b.Get(w.URL + path)
		if res.Status != http.StatusOK || res.Body != logo.String() {
			t.Errorf("logo: %d, %d bytes", res.Status, len(res.Body))
		}
		for name, want := range map[string]string{
			"Content-Type": "image/png", "X-Content-Type-Options": "nosniff", "Cache-Control": "public, max-age=31536000, immutable",
			"Content-Security-Policy": "default-src 'none'; sandbox",
		} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("logo: %s %q", name, got)
			}
		}
		for _, other := range []string{
			strings.Replace(path, w.globex, w.acme, 1), strings.Replace(path, w.globex, tenants.LogoOfEnvironment, 1), path[:len(path)-1] + "0", path + "00",
			"/branding/" + w.globex + "/", "/branding/" + w.acme + "/",
		} {
			if res := b.Get(w.URL + other); other != path && res.Status != http.StatusNotFound {
				t.Errorf("%s: %d", other, res.Status)
			}
		}

		// Another browser that knows the address of the sign-in is shown nothing of it.
		q := browser.New(t).Get(p.URL.String())
		holds(q, "Vendor Suite", "Globex")

		// Taken back, and seen within ten seconds.
		w.Tx(func(q db.Queryer) error { return w.Tenants.DeleteBranding(t.Context(), w.Vendor, q, w.globex) })
		w.Clock.Advance(11 * time.Second)
		holds(browser.New(t).Get(w.StartURL("organization", "globex")), "Vendor Suite", "Globex GmbH")
	})
}

// product 7.7: the application's ui_locales decide before the organization's
// language, and that before the browser's.
func TestLanguageOfASignIn(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.brand("", tenants.NewBranding{Locale: "de"})
		if p := browser.New(t).Get(w.StartURL()); !strings.Contains(p.Body, `<html lang="de">`) {
			t.Errorf("the environment's language is not used: %s", p)
		}
		if p := browser.New(t).Get(w.StartURL("ui_locales", "fr en")); !strings.Contains(p.Body, `<html lang="en">`) {
			t.Errorf("ui_locales are not used: %s", p)
		}
	})
}
