package ui

import (
	"fmt"
	"maps"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// WCAG 2.2: 1.4.3 text 4.5:1, 1.4.11 borders of controls and focus marks 3:1.
// Computed from the tokens of the style sheet, for light and dark.
func TestContrast(t *testing.T) { checkContrast(t, "", readTokens(t)) }

// Whatever accent an organization chooses, the pages stay readable: its tints hold
// against every ground (product 8).
func TestContrastOfAccents(t *testing.T) {
	tokens := readTokens(t)
	taken := 0
	for r := 0; r < 256; r += 51 {
		for g := 0; g < 256; g += 51 {
			for b := 0; b < 256; b += 51 {
				name := fmt.Sprintf("%02x%02x%02x", r, g, b)
				a, ok := accentAsset("accent." + name + ".css")
				if !ok {
					continue
				}
				taken++
				own := maps.Clone(tokens)
				found := regexp.MustCompile(`--([a-z-]+):light-dark\((#[0-9a-f]{6}),(#[0-9a-f]{6})\);`).FindAllStringSubmatch(string(a.plain), -1)
				if len(found) != 7 {
					t.Fatalf("%s: %s", name, a.plain)
				}
				for _, m := range found {
					if _, ok := own[m[1]]; !ok {
						t.Fatalf("app.css has no --%s", m[1])
					}
					own[m[1]] = [2]string{m[2], m[3]}
				}
				checkContrast(t, name+": ", own)
			}
		}
	}
	if taken < 150 {
		t.Errorf("only %d of 216 colours are taken", taken)
	}
	for _, name := range []string{"accent.css", "accent.fff.css", "accent.ffff00.css", "accent.0b6e4f", "accent.0b6e4f;}body{}.css", "app.0b6e4f.css"} {
		if _, ok := accentAsset(name); ok {
			t.Errorf("%s is served", name)
		}
	}
}

func checkContrast(t *testing.T, of string, tokens map[string][2]string) {
	t.Helper()
	const text, control = 4.5, 3.0
	for _, pair := range []struct {
		min    float64
		fore   string
		ground []string
	}{
		{text, "text", []string{"bg", "surface", "raised", "hover", "accent-soft", "ok-soft", "warn-soft", "bad-soft"}},
		{text, "muted", []string{"bg", "surface", "raised", "hover"}},
		{text, "accent", []string{"bg", "surface", "raised", "hover", "accent-soft", "ok-soft", "warn-soft", "bad-soft"}},
		{text, "ok", []string{"bg", "surface", "raised", "ok-soft"}},
		{text, "warn", []string{"bg", "surface", "raised", "warn-soft"}},
		{text, "bad", []string{"bg", "surface", "raised", "hover", "bad-soft"}},
		{text, "accent-ink", []string{"accent", "accent-strong"}},
		{text, "ok-ink", []string{"ok"}},
		{text, "bad-ink", []string{"bad"}},
		{text, "logo-ink", []string{"logo-from", "logo-to"}},
		{control, "line-strong", []string{"bg", "surface", "raised", "hover"}},
		{control, "accent", []string{"bg", "surface", "raised", "hover"}},
		{control, "bad", []string{"bg", "surface", "raised"}},
	} {
		for _, ground := range pair.ground {
			for scheme, name := range []string{"light", "dark"} {
				got := contrast(color(t, tokens, pair.fore, scheme), color(t, tokens, ground, scheme))
				if got < pair.min {
					t.Errorf("%s%s: --%s on --%s has %.2f:1, want %.1f:1", of, name, pair.fore, ground, got, pair.min)
				}
			}
		}
	}
}

// The computation agrees with known values: black on white is 21:1, and the
// oklch of sRGB red is red.
func TestContrastComputation(t *testing.T) {
	black, white := parseColor(t, "#000"), parseColor(t, "#fff")
	if got := contrast(black, white); math.Abs(got-21) > .001 {
		t.Errorf("black on white: %f", got)
	}
	red, want := parseColor(t, "oklch(62.7955% .25768 29.2339)"), parseColor(t, "#ff0000")
	for i := range red {
		if math.Abs(red[i]-want[i]) > .002 {
			t.Errorf("oklch red = %v", red)
		}
	}
	if got := contrast(parseColor(t, "#767676"), white); math.Abs(got-4.54) > .01 {
		t.Errorf("#767676 on white: %f, want 4.54", got)
	}
}

// Every custom property that is used is defined, and the other way round.
func TestTokensAreDefinedAndUsed(t *testing.T) {
	css := stylesheet(t)
	defined, used := map[string]bool{}, map[string]bool{}
	for _, m := range regexp.MustCompile(`(--[a-z0-9-]+):`).FindAllStringSubmatch(css, -1) {
		defined[m[1]] = true
	}
	for _, m := range regexp.MustCompile(`var\((--[a-z0-9-]+)\)`).FindAllStringSubmatch(css, -1) {
		used[m[1]] = true
	}
	for name := range used {
		if !defined[name] {
			t.Errorf("%s is used and not defined", name)
		}
	}
	for name := range defined {
		if !used[name] {
			t.Errorf("%s is defined and not used", name)
		}
	}
	if strings.Count(css, "{") != strings.Count(css, "}") {
		t.Error("braces do not match")
	}
}

func stylesheet(t *testing.T) string {
	t.Helper()
	css, err := assetFiles.ReadFile("assets/app.css")
	if err != nil {
		t.Fatal(err)
	}
	return string(css)
}

// readTokens maps a token to its light and dark colour.
func readTokens(t *testing.T) map[string][2]string {
	t.Helper()
	const one = `(#[0-9a-f]+|oklch\([^)]*\))`
	tokens := map[string][2]string{}
	for _, m := range regexp.MustCompile(`--([a-z-]+): light-dark\(`+one+`, `+one+`\);`).FindAllStringSubmatch(stylesheet(t), -1) {
		tokens[m[1]] = [2]string{m[2], m[3]}
	}
	return tokens
}

func color(t *testing.T, tokens map[string][2]string, name string, scheme int) [3]float64 {
	t.Helper()
	pair, ok := tokens[name]
	if !ok {
		t.Fatalf("no token --%s", name)
	}
	return parseColor(t, pair[scheme])
}

// parseColor gives linear sRGB.
func parseColor(t *testing.T, s string) [3]float64 {
	t.Helper()
	if hex, ok := strings.CutPrefix(s, "#"); ok {
		if len(hex) == 3 {
			hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
		}
		var rgb [3]float64
		for i := range rgb {
			v, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
			if err != nil {
				t.Fatalf("colour %q: %v", s, err)
			}
			rgb[i] = linear(float64(v) / 255)
		}
		return rgb
	}
	var l, c, h float64
	if _, err := fmt.Sscanf(s, "oklch(%f%% %f %f)", &l, &c, &h); err != nil {
		t.Fatalf("colour %q: %v", s, err)
	}
	return oklch(l/100, c, h)
}

func linear(v float64) float64 {
	if v <= .04045 {
		return v / 12.92
	}
	return math.Pow((v+.055)/1.055, 2.4)
}

// oklch is the conversion of CSS Color 4 §9.4, clipped to sRGB.
func oklch(lightness, chroma, hue float64) [3]float64 {
	sin, cos := math.Sincos(hue * math.Pi / 180)
	a, b := chroma*cos, chroma*sin
	l := math.Pow(lightness+.3963377774*a+.2158037573*b, 3)
	m := math.Pow(lightness-.1055613458*a-.0638541728*b, 3)
	s := math.Pow(lightness-.0894841775*a-1.2914855480*b, 3)
	rgb := [3]float64{
		4.0767416621*l - 3.3077115913*m + .2309699292*s,
		-1.2684380046*l + 2.6097574011*m - .3413193965*s,
		-.0041960863*l - .7034186147*m + 1.7076147010*s,
	}
	for i := range rgb {
		rgb[i] = min(1, max(0, rgb[i]))
	}
	return rgb
}

// contrast is the ratio of WCAG 2.2 "contrast ratio".
func contrast(a, b [3]float64) float64 {
	ya, yb := luminance(a), luminance(b)
	return (max(ya, yb) + .05) / (min(ya, yb) + .05)
}

func luminance(c [3]float64) float64 { return .2126*c[0] + .7152*c[1] + .0722*c[2] }
