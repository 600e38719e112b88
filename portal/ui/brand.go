package ui

import (
	"net/http"
	"reflect"
	"strings"

	"github.com/gatehouse-id/gatehouse/tenants"
)

// dress gives the page its brand, and chooses its language: what was chosen for it,
// what the application asks for in this request, what its sign-in, person or
// organization prefer, what the browser prefers.
func (u *UI) dress(r *http.Request, page any) (dressed any, lang string) {
	var own Page
	if p, ok := page.(interface{ own() Page }); ok {
		own = p.own()
	}
	var look Look
	if u.look != nil {
		look = u.look(r, own.BrandOf)
	}
	if own.Brand == (Brand{}) && look.Brand != (Brand{}) {
		page = branded(page, look.Brand)
	}
	return page, u.texts.Match(own.Lang, r.URL.Query().Get("ui_locales"), look.Lang, r.Header.Get("Accept-Language"))
}

// branded is a copy of a page struct, which embeds Page, with the brand.
func branded(page any, b Brand) any {
	v := reflect.ValueOf(page)
	if v.Kind() != reflect.Struct {
		return page
	}
	c := reflect.New(v.Type()).Elem()
	c.Set(v)
	if f := c.FieldByName("Brand"); f.IsValid() && f.CanSet() && f.Type() == reflect.TypeFor[Brand]() {
		f.Set(reflect.ValueOf(b))
	}
	return c.Interface()
}

// accentPath is where the style sheet of an accent is served: its address carries
// the colour, so that no page needs a style of its own (style-src 'self').
func (u *UI) accentPath(colour string) string {
	if _, err := tenants.ParseAccent(colour); err != nil {
		return ""
	}
	return u.assetPath + "/accent." + strings.ToLower(colour[1:]) + ".css"
}

// accentAsset makes the style sheet of the colour in the name. It sets tokens
// outside of the layers of app.css and so goes before them.
func accentAsset(name string) (asset, bool) {
	hex, ok := strings.CutPrefix(name, "accent.")
	if !ok {
		return asset{}, false
	}
	hex, ok = strings.CutSuffix(hex, ".css")
	if !ok {
		return asset{}, false
	}
	a, err := tenants.ParseAccent("#" + hex)
	if err != nil {
		return asset{}, false
	}
	var b strings.Builder
	b.WriteString(":root{")
	for _, token := range []struct{ name, light, dark string }{
		{"accent", a.Light.Accent, a.Dark.Accent},
		{"accent-strong", a.Light.Strong, a.Dark.Strong},
		{"accent-ink", a.Light.Ink, a.Dark.Ink},
		{"accent-soft", a.Light.Soft, a.Dark.Soft},
		{"logo-from", a.Light.Accent, a.Dark.Accent},
		{"logo-to", a.Light.Strong, a.Dark.Strong},
		{"logo-ink", a.Light.Ink, a.Dark.Ink},
	} {
		b.WriteString("--" + token.name + ":light-dark(" + token.light + "," + token.dark + ");")
	}
	b.WriteString("}\n")
	return asset{contentType: contentTypes[".css"], plain: []byte(b.String())}, true
}
