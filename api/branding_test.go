package api

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/png"
	"maps"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

func pixels(width, height int) string {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, width, height))); err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

func init() {
	maps.Copy(bodies, map[string]object{
		"putBranding": {"name": "x"}, "putEnvironmentBranding": {"name": "x"},
		"putBrandingLogo": {"data": pixels(1, 1)}, "putEnvironmentBrandingLogo": {"data": pixels(1, 1)},
	})
}

// product 8: name, logo and accent of a tenant and of the environment; the accent
// is checked when it is saved.
func TestBranding(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		f := newFixture(t, d)
		f.do(201, "POST", "/tenants", object{"name": "Acme", "key": "acme"})
		f.do(201, "POST", "/tenants", object{"name": "Other", "key": "other"})
		for _, path := range []string{"/tenants/acme/branding", "/environment/branding"} {
			if got := f.do(200, "GET", path, nil); got["name"] != "" || got["logo"] != nil || got["shown"] != nil {
				t.Errorf("%s at first: %v", path, got)
			}
			got := f.do(200, "PUT", path, object{"name": "Acme Corp", "accent": "#0B6E4F", "locale": "de-at"})
			if got["name"] != "Acme Corp" || got["accent"] != "#0b6e4f" || got["locale"] != "de-AT" || got["shown"].(object)["light"] != "#0b6e4f" || got["shown"].(object)["dark"] == "#0b6e4f" {
				t.Errorf("%s: %v", path, got)
			}
			logo := f.do(200, "PUT", path+"/logo", object{"data": pixels(40, 30)})["logo"].(object)
			if logo["type"] != "image/png" || logo["width"] != 40.0 || logo["height"] != 30.0 || !strings.Contains(text(logo, "url"), "/branding/") {
				t.Errorf("%s: %v", path, logo)
			}
			if got := f.do(200, "PUT", path, object{"name": "Acme"}); got["logo"] == nil || got["accent"] != "" {
				t.Errorf("%s: the logo did not stay: %v", path, got)
			}
			for body, code := range map[string]string{
				`{"accent":"red"}`:              "invalid_accent",
				`{"accent":"#12345"}`:           "invalid_accent",
				`{"accent":"#ffff00"}`:          "accent_contrast",
				`{"accent":"#ffffff"}`:          "accent_contrast",
				`{"locale":"</style>"}`:         "invalid_locale",
				`{"name":"a\u0000b"}`:           "invalid_name",
				`{"name":"x","logo":"x"}`:       "validation_failed",
				`{"accent":"#123;}"}`:           "invalid_accent",
				`{"accent":"#1234567;}body{}"}`: "validation_failed",
			} {
				f.refused(422, code, "PUT", path, body)
			}
			svg := base64.StdEncoding.EncodeToString([]byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`))
			for _, data := range []string{svg, pixels(2049, 1), "", "AAAA", base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("\x89PNG\r\n\x1a\n"), 40<<10))} {
				if res := f.send("PUT", "/api/v1"+path+"/logo", object{"data": data}); res.StatusCode < 400 || res.StatusCode >= 500 {
					t.Errorf("%s/logo with %.40s: %d", path, data, res.StatusCode)
				}
			}
			f.do(204, "DELETE", path+"/logo", nil)
			if got := f.do(200, "GET", path, nil); got["logo"] != nil || got["name"] != "Acme" {
				t.Errorf("%s without the logo: %v", path, got)
			}
			f.do(204, "DELETE", path, nil)
			f.do(204, "DELETE", path, nil)
		}
		f.do(200, "PUT", "/tenants/acme/branding", object{"name": "Acme"})
		if got := f.do(200, "GET", "/tenants/other/branding", nil); got["name"] != "" {
			t.Errorf("another tenant has it too: %v", got)
		}
		if message := text(f.do(422, "PUT", "/tenants/acme/branding", object{"accent": "#ffff00"}), "detail"); !strings.Contains(message, "#") {
			t.Errorf("the refusal names no colour that passes: %q", message)
		}
		f.do(204, "DELETE", "/tenants/acme", nil) // and with it what it looks like
	})
}
