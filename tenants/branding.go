package tenants

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"image"
	_ "image/gif" // the formats of logos
	_ "image/jpeg"
	_ "image/png"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/text/language"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Bounds of a logo.
const (
	MaxLogo     = 256 << 10 // bytes
	MaxLogoSide = 2048      // pixels
	// maxLogoScans bounds what a progressive JPEG costs: encoders write about ten
	// scans, a scan takes twenty bytes, and each walks over the whole image.
	maxLogoScans = 24
)

// reading lets one logo at a time be decoded: it may take tens of megabytes.
var reading sync.Mutex

// Branding is how sign-in pages look: an environment's, or a tenant's over it. The
// zero value is the product's own look.
type Branding struct {
	Environment string
	Tenant      string // empty: the environment's
	Name        string // shown beside the logo; empty: that of the environment, or the product
	Accent      string // #rrggbb; empty: that of the environment, or the product
	// Locale is the language of pages and mails for people who chose none: a BCP 47
	// tag; empty: the browser decides.
	Locale    string
	Logo      LogoInfo
	Version   int64 // 0: nothing is set
	UpdatedAt time.Time
}

// LogoInfo tells what a logo is without its bytes. The zero value is none.
type LogoInfo struct {
	Type          string // image/png, image/jpeg, image/gif, image/webp
	Hash          string // SHA-256 of the bytes in hex
	Width, Height int    // pixels
}

// LogoPath is where the logo is served, on the environment's host; empty: there is none.
func (b Branding) LogoPath() string {
	if b.Logo.Hash == "" {
		return ""
	}
	owner := b.Tenant
	if owner == "" {
		owner = LogoOfEnvironment
	}
	return "/branding/" + owner + "/" + b.Logo.Hash
}

// LogoOfEnvironment stands in the path of a logo where a tenant's id would.
const LogoOfEnvironment = "environment"

// Over gives the look of a tenant's pages in an environment. A name or an accent
// that the tenant lacks is the environment's; a logo goes with its own name.
func (b Branding) Over(environment Branding) Branding {
	if b.Version == 0 {
		return environment
	}
	if b.Name == "" && b.Logo.Hash == "" {
		b.Name, b.Logo, b.Tenant = environment.Name, environment.Logo, environment.Tenant
	}
	if b.Accent == "" {
		b.Accent = environment.Accent
	}
	if b.Locale == "" {
		b.Locale = environment.Locale
	}
	return b
}

// NewBranding is what PutBranding takes; the logo stays as it is.
type NewBranding struct{ Name, Accent, Locale string }

func (n *NewBranding) check() error {
	if n.Name != "" {
		name, err := checkName(n.Name, "name")
		if err != nil {
			return err
		}
		if n.Name = name; !utf8.ValidString(name) {
			return invalid("invalid_name", "Give the name in UTF-8.", "name")
		}
	}
	if n.Accent != "" {
		n.Accent = strings.ToLower(n.Accent)
		if _, err := ParseAccent(n.Accent); err != nil {
			return err
		}
	}
	if n.Locale != "" {
		tag, err := language.Parse(n.Locale)
		if err != nil || len(n.Locale) > 35 {
			return invalid("invalid_locale", "Give a language tag, such as de or en-GB.", "locale")
		}
		n.Locale = tag.String()
	}
	return nil
}

var errLogo = fault.New(fault.Invalid, "invalid_logo", "Give a PNG, JPEG, GIF or WebP image.").In("data")

// ReadLogo checks an image by decoding it; what the sender says of its type does
// not count. SVG is never taken: it is a document that can hold scripts. It may take
// some tenths of a second: no transaction should be open.
//
// Faults: invalid_logo, logo_too_large.
func ReadLogo(data []byte) (LogoInfo, error) {
	if len(data) > MaxLogo {
		return LogoInfo{}, fault.New(fault.TooLarge, "logo_too_large", "The logo is larger than 256 KiB.").In("data")
	}
	width, height, kind := 0, 0, logoType(data)
	switch kind {
	case "image/webp":
		width, height = webpSize(data)
	case "image/png", "image/jpeg", "image/gif":
		if kind == "image/jpeg" && bytes.Count(data, []byte{0xff, 0xda}) > maxLogoScans { // markers are not in coded data
			return LogoInfo{}, errLogo
		}
		c, _, err := image.DecodeConfig(bytes.NewReader(data))
		if err != nil {
			return LogoInfo{}, errLogo.Because(err)
		}
		width, height = c.Width, c.Height
	}
	if width <= 0 || height <= 0 {
		return LogoInfo{}, errLogo
	}
	if width > MaxLogoSide || height > MaxLogoSide {
		return LogoInfo{}, fault.New(fault.TooLarge, "logo_too_large", "The logo is wider or higher than 2048 pixels.").In("data")
	}
	if kind != "image/webp" { // the size is known to be harmless now
		reading.Lock()
		_, _, err := image.Decode(bytes.NewReader(data))
		reading.Unlock()
		if err != nil {
			return LogoInfo{}, errLogo.Because(err)
		}
	}
	sum := sha256.Sum256(data)
	return LogoInfo{Type: kind, Hash: hex.EncodeToString(sum[:]), Width: width, Height: height}, nil
}

// logoType tells the type by the first bytes; empty: none that is taken.
func logoType(data []byte) string {
	for _, t := range []struct{ begins, kind string }{
		{"\x89PNG\r\n\x1a\n", "image/png"}, {"\xff\xd8\xff", "image/jpeg"}, {"GIF87a", "image/gif"}, {"GIF89a", "image/gif"},
	} {
		if bytes.HasPrefix(data, []byte(t.begins)) {
			return t.kind
		}
	}
	if len(data) > 12 && string(data[:4]) == "RIFF" && string(data[8:12]) == "WEBP" {
		return "image/webp"
	}
	return ""
}

// webpSize reads the canvas of a WebP image (RFC 9649 §2.5 to §2.7); 0 for what is
// none. The file must be as long as its header says: nothing hangs behind it.
func webpSize(data []byte) (width, height int) {
	if len(data) < 30 || binary.LittleEndian.Uint32(data[4:])+8 != uint32(len(data)) {
		return 0, 0
	}
	chunk := data[20:]
	switch string(data[12:16]) {
	case "VP8X":
		return 1 + int24(chunk[4:]), 1 + int24(chunk[7:])
	case "VP8L":
		if chunk[0] != 0x2f {
			return 0, 0
		}
		bits := binary.LittleEndian.Uint32(chunk[1:])
		return 1 + int(bits&0x3fff), 1 + int(bits>>14&0x3fff)
	case "VP8 ":
		if !bytes.Equal(chunk[3:6], []byte{0x9d, 0x01, 0x2a}) {
			return 0, 0
		}
		return int(binary.LittleEndian.Uint16(chunk[6:]) & 0x3fff), int(binary.LittleEndian.Uint16(chunk[8:]) & 0x3fff)
	}
	return 0, 0
}

func int24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }
