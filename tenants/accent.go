package tenants

import (
	"fmt"
	"math"
	"strconv"
)

// Accent is a colour that pages set links and main buttons in, made fit for light
// and for dark pages: hue and chroma stay, the lightness moves as far as contrast
// asks (WCAG 2.2, 1.4.3 and 1.4.11).
type Accent struct {
	Light, Dark Shades
}

// Shades are the colours of one scheme, as #rrggbb.
type Shades struct {
	Accent string // text and grounds of controls
	Strong string // the same under the pointer
	Ink    string // text on either
	Soft   string // a tinted ground under the page's text
}

// Luminances that an accent has to keep so that it has 4.5:1 against every ground
// of the page, the darkest of the light ones and the lightest of the dark ones, and
// its text has 4.5:1 against it. portal/ui tests them against the style sheet.
const (
	lightMost = .148
	darkLeast = .305
	// maxShift is how far the lightness (OKLCH, 0 to 1) may move for light pages
	// before nobody knows the colour again.
	maxShift = .35
)

// ParseAccent takes #rrggbb.
//
// Faults: invalid_accent; accent_contrast, whose message names the nearest colour
// that passes.
func ParseAccent(s string) (Accent, error) {
	rgb, ok := parseHex(s)
	if !ok {
		return Accent{}, invalid("invalid_accent", "Give a colour as #rrggbb.", "accent")
	}
	c := toOKLCH(rgb)
	light := c.forLight()
	dark := c.until(.002, func(y float64) bool { return y >= darkLeast })
	if c.l-light.l > maxShift {
		nearest := c
		for i := 0; i < 200 && nearest.l-nearest.forLight().l > maxShift; i++ {
			nearest.l -= .005
			if shown, ok := parseHex(nearest.hex()); ok {
				nearest = toOKLCH(shown) // as it will come
			}
		}
		return Accent{}, invalid("accent_contrast", "The colour is too light for links and buttons on a white page: they need a contrast of 4.5:1. The nearest that passes is "+nearest.hex()+".", "accent")
	}
	return Accent{
		Light: Shades{light.hex(), light.at(light.l - .06).hex(), "#ffffff", oklch{.96, min(c.c, .022), c.h}.hex()},
		Dark:  Shades{dark.hex(), dark.at(min(1, dark.l+.06)).hex(), oklch{.16, min(c.c, .03), c.h}.hex(), oklch{.28, min(c.c, .05), c.h}.hex()},
	}, nil
}

// oklch is a colour in OKLCH (CSS Color 4 §9.4): lightness, chroma, hue in radians.
type oklch struct{ l, c, h float64 }

func (o oklch) forLight() oklch {
	return o.until(-.002, func(y float64) bool { return y <= lightMost })
}

func (o oklch) at(l float64) oklch { return oklch{max(0, l), o.c, o.h} }

// until moves the lightness by steps until the luminance of the colour as it is
// shown fits.
func (o oklch) until(step float64, fits func(luminance float64) bool) oklch {
	for !fits(o.luminance()) && o.l >= 0 && o.l <= 1 {
		o.l += step
	}
	return o
}

// luminance is that of WCAG 2.2, of the colour as hex gives it.
func (o oklch) luminance() float64 {
	rgb, _ := parseHex(o.hex())
	return .2126*rgb[0] + .7152*rgb[1] + .0722*rgb[2]
}

// hex gives the colour in sRGB; chroma that sRGB does not have is taken away.
func (o oklch) hex() string {
	rgb := o.linear()
	for i := 0; i < 100 && !shown(rgb); i++ {
		o.c *= .96
		rgb = o.linear()
	}
	var b [3]int
	for i, v := range rgb {
		v = min(1, max(0, v))
		if v <= .0031308 {
			v *= 12.92
		} else {
			v = 1.055*math.Pow(v, 1/2.4) - .055
		}
		b[i] = int(math.Round(v * 255))
	}
	return fmt.Sprintf("#%02x%02x%02x", b[0], b[1], b[2])
}

func shown(rgb [3]float64) bool {
	for _, v := range rgb {
		if v < -.0005 || v > 1.0005 {
			return false
		}
	}
	return true
}

func (o oklch) linear() [3]float64 {
	sin, cos := math.Sincos(o.h)
	a, b := o.c*cos, o.c*sin
	l := math.Pow(o.l+.3963377774*a+.2158037573*b, 3)
	m := math.Pow(o.l-.1055613458*a-.0638541728*b, 3)
	s := math.Pow(o.l-.0894841775*a-1.2914855480*b, 3)
	return [3]float64{
		4.0767416621*l - 3.3077115913*m + .2309699292*s,
		-1.2684380046*l + 2.6097574011*m - .3413193965*s,
		-.0041960863*l - .7034186147*m + 1.7076147010*s,
	}
}

func toOKLCH(rgb [3]float64) oklch {
	l := math.Cbrt(.4122214708*rgb[0] + .5363325363*rgb[1] + .0514459929*rgb[2])
	m := math.Cbrt(.2119034982*rgb[0] + .6806995451*rgb[1] + .1073969566*rgb[2])
	s := math.Cbrt(.0883024619*rgb[0] + .2817188376*rgb[1] + .6299787005*rgb[2])
	a := 1.9779984951*l - 2.4285922050*m + .4505937099*s
	b := .0259040371*l + .7827717662*m - .8086757660*s
	return oklch{.2104542553*l + .7936177850*m - .0040720468*s, math.Hypot(a, b), math.Atan2(b, a)}
}

// parseHex reads #rrggbb as linear sRGB.
func parseHex(s string) (rgb [3]float64, ok bool) {
	if len(s) != 7 || s[0] != '#' {
		return rgb, false
	}
	n, err := strconv.ParseUint(s[1:], 16, 24)
	if err != nil {
		return rgb, false
	}
	for i := range rgb {
		v := float64(n>>(16-8*i)&255) / 255
		if v <= .04045 {
			rgb[i] = v / 12.92
		} else {
			rgb[i] = math.Pow((v+.055)/1.055, 2.4)
		}
	}
	return rgb, true
}
