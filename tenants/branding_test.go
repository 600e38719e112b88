package tenants_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Whatever colour is taken: its tints are colours, and it is told when it is not.
func TestEveryAccentIsFitOrRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		colour := fmt.Sprintf("#%06x", rapid.IntRange(0, 0xffffff).Draw(t, "colour"))
		a, err := tenants.ParseAccent(colour)
		if err != nil {
			f, _ := fault.From(err)
			if f == nil || f.Code != "accent_contrast" {
				t.Fatalf("%s: %v", colour, err)
			}
			nearest := f.Message[strings.LastIndex(f.Message, "#"):][:7]
			if _, err := tenants.ParseAccent(nearest); err != nil {
				t.Fatalf("%s: the nearest that passes, %s, does not: %v", colour, nearest, err)
			}
			return
		}
		for _, s := range []tenants.Shades{a.Light, a.Dark} {
			for _, c := range []string{s.Accent, s.Strong, s.Ink, s.Soft} {
				if _, err := fmt.Sscanf(c, "#%06x", new(int)); err != nil || len(c) != 7 {
					t.Fatalf("%s: %q", colour, c)
				}
			}
		}
	})
}

func TestAccentThatFitsStaysAsItIs(t *testing.T) {
	for colour, want := range map[string][2]string{
		"#0b6e4f": {"#0b6e4f", ""},
		"#5b4bd6": {"#5b4bd6", ""},
		"#f2a900": {"", "#f2a900"},
	} {
		a, err := tenants.ParseAccent(colour)
		if err != nil {
			t.Fatal(err)
		}
		if want[0] != "" && a.Light.Accent != want[0] || want[1] != "" && a.Dark.Accent != want[1] {
			t.Errorf("%s: %+v", colour, a)
		}
	}
	for _, colour := range []string{"", "#fff", "0b6e4f", "#0b6e4g", "#0b6e4f;", "red", "#+12345", "#0x1234"} {
		if _, err := tenants.ParseAccent(colour); fault.CodeOf(err) != "invalid_accent" {
			t.Errorf("%q: %v", colour, err)
		}
	}
}

func webp(kind string, chunk []byte) []byte {
	b := []byte("RIFF\x00\x00\x00\x00WEBP" + kind + "\x00\x00\x00\x00")
	b = append(b, chunk...)
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-8))
	return b
}

func TestReadLogo(t *testing.T) {
	draw := image.NewPaletted(image.Rect(0, 0, 20, 10), color.Palette{color.Black, color.White})
	var p, j, g bytes.Buffer
	if err := png.Encode(&p, draw); err != nil {
		t.Fatal(err)
	}
	if err := jpeg.Encode(&j, draw, nil); err != nil {
		t.Fatal(err)
	}
	if err := gif.Encode(&g, draw, nil); err != nil {
		t.Fatal(err)
	}
	extended := webp("VP8X", []byte{0, 0, 0, 0, 19, 0, 0, 9, 0, 0})
	lossy := webp("VP8 ", []byte{0, 0, 0, 0x9d, 0x01, 0x2a, 20, 0, 10, 0})
	lossless := webp("VP8L", []byte{0x2f, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	binary.LittleEndian.PutUint32(lossless[21:], 19|9<<14)
	for kind, data := range map[string][]byte{"image/png": p.Bytes(), "image/jpeg": j.Bytes(), "image/gif": g.Bytes()} {
		l, err := tenants.ReadLogo(data)
		if err != nil || l.Type != kind || l.Width != 20 || l.Height != 10 || len(l.Hash) != 64 {
			t.Errorf("%s: %+v %v", kind, l, err)
		}
		if _, err := tenants.ReadLogo(data[:len(data)/2]); err == nil {
			t.Errorf("%s: half of it is taken", kind)
		}
	}
	for name, data := range map[string][]byte{"extended": extended, "lossy": lossy, "lossless": lossless} {
		if l, err := tenants.ReadLogo(data); err != nil || l.Type != "image/webp" || l.Width != 20 || l.Height != 10 {
			t.Errorf("webp %s: %+v %v", name, l, err)
		}
	}
	huge := bytes.Clone(p.Bytes())
	binary.BigEndian.PutUint32(huge[16:], 1<<30) // a width that would fill memory
	for name, data := range map[string][]byte{
		"nothing":      nil,
		"svg":          []byte(`<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>`),
		"html":         []byte("<!doctype html><script>alert(1)</script>"),
		"huge":         huge,
		"webp and on":  append(bytes.Clone(extended), "<script>"...),
		"webp, cut":    extended[:20],
		"webp, other":  webp("ALPH", make([]byte, 20)),
		"webp, broken": webp("VP8 ", make([]byte, 20)),
		"too large":    append(bytes.Clone(p.Bytes()), make([]byte, tenants.MaxLogo)...),
	} {
		if l, err := tenants.ReadLogo(data); err == nil || fault.KindOf(err) == 0 {
			t.Errorf("%s: %+v %v", name, l, err)
		}
	}
}

func FuzzReadLogo(f *testing.F) {
	f.Add([]byte("\x89PNG\r\n\x1a\n"))
	f.Add(webp("VP8X", []byte{0, 0, 0, 0, 19, 0, 0, 9, 0, 0}))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := tenants.ReadLogo(data)
		if err == nil && (l.Width > tenants.MaxLogoSide || l.Height > tenants.MaxLogoSide || l.Type == "") {
			t.Errorf("%+v", l)
		}
	})
}

func TestBrandingOver(t *testing.T) {
	env := tenants.Branding{Name: "Vendor", Accent: "#111111", Locale: "en", Logo: tenants.LogoInfo{Hash: "e"}, Version: 1}
	for name, x := range map[string]struct {
		tenant, want tenants.Branding
		logo         string
	}{
		"none":        {tenants.Branding{Tenant: "ten_1"}, env, "/branding/environment/e"},
		"name alone":  {tenants.Branding{Tenant: "ten_1", Name: "Acme", Version: 1}, tenants.Branding{Tenant: "ten_1", Name: "Acme", Accent: "#111111", Locale: "en", Version: 1}, ""},
		"logo":        {tenants.Branding{Tenant: "ten_1", Logo: tenants.LogoInfo{Hash: "t"}, Version: 1}, tenants.Branding{Tenant: "ten_1", Logo: tenants.LogoInfo{Hash: "t"}, Accent: "#111111", Locale: "en", Version: 1}, "/branding/ten_1/t"},
		"accent":      {tenants.Branding{Tenant: "ten_1", Accent: "#222222", Version: 1}, tenants.Branding{Name: "Vendor", Accent: "#222222", Locale: "en", Logo: env.Logo, Version: 1}, "/branding/environment/e"},
		"environment": {tenants.Branding{}, env, "/branding/environment/e"},
	} {
		if got := x.tenant.Over(env); got != x.want || got.LogoPath() != x.logo {
			t.Errorf("%s: %+v, logo %s", name, got, got.LogoPath())
		}
	}
}

// A progressive JPEG may hold any number of scans of twenty bytes, each of which walks
// over the whole image: a few kilobytes would take minutes.
func TestLogoOfManyScans(t *testing.T) {
	progressive := func(scans int) []byte {
		b := append([]byte{0xff, 0xd8, 0xff, 0xdb, 0, 67, 0}, bytes.Repeat([]byte{1}, 64)...)
		b = append(b, 0xff, 0xc2, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0)                    // 8 × 8 pixels
		b = append(append(b, 0xff, 0xc4, 0, 20, 0x00, 1), append(make([]byte, 15), 0)...) // DC: 0
		b = append(append(b, 0xff, 0xc4, 0, 20, 0x10, 1), append(make([]byte, 15), 0)...) // AC: end of the block
		b = append(b, 0xff, 0xda, 0, 8, 1, 1, 0, 0, 0, 0, 0)
		for range scans - 1 {
			b = append(b, 0xff, 0xda, 0, 8, 1, 1, 0, 1, 63, 0, 0)
		}
		return append(b, 0xff, 0xd9)
	}
	if _, err := tenants.ReadLogo(progressive(12)); err != nil {
		t.Error(err)
	}
	if _, err := tenants.ReadLogo(progressive(25)); fault.CodeOf(err) != "invalid_logo" {
		t.Errorf("many scans: %v", err)
	}
}
