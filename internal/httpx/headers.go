package httpx

import (
	"net/http"
	"strings"
)

// Page says which headers a page needs beyond the strict set. The zero value
// is the strict page.
type Page struct {
	// AnyFormAction leaves form-action out: Chromium applies it to the
	// redirects after a POST too, so a page whose POST may end on another
	// origin (identifier, consent, logout, auto-post) cannot name it.
	AnyFormAction bool
	// ScriptHashes are CSP hashes of inline scripts ('sha256-…' without the
	// quotes), for auto-post pages.
	ScriptHashes []string
	// HTTPS says that the environment's base URL is https; adds HSTS.
	HTTPS bool
	// Cacheable leaves Cache-Control to the caller: for assets that are the
	// same for everybody.
	Cacheable bool
}

// CSP gives the value of Content-Security-Policy.
func (p Page) CSP() string {
	var b strings.Builder
	b.WriteString("default-src 'none'; script-src 'self'")
	for _, h := range p.ScriptHashes {
		b.WriteString(" '" + h + "'")
	}
	b.WriteString("; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; ")
	if !p.AnyFormAction {
		b.WriteString("form-action 'self'; ")
	}
	b.WriteString("frame-ancestors 'none'; base-uri 'none'")
	return b.String()
}

// Set writes the headers of the page; call it before the status.
func (p Page) Set(h http.Header) {
	h.Set("Content-Security-Policy", p.CSP())
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY") // for browsers without frame-ancestors
	// Paths carry one-time tokens, which no other origin may learn.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if p.HTTPS {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	if !p.Cacheable {
		h.Set("Cache-Control", "no-store")
	}
}
