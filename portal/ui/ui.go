package ui

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/httpx"
	"github.com/gatehouse-id/gatehouse/internal/i18n"
)

//go:embed assets
var assetFiles embed.FS

//go:embed templates
var templateFiles embed.FS

//go:embed locale
var localeFiles embed.FS

// Config says where assets are mounted and which pages there are. The zero
// value serves the pages of this package alone.
type Config struct {
	// AssetPath is the URL path of the assets, without a trailing slash;
	// "/assets" when empty.
	AssetPath string
	// Product is the name shown where a page names no brand; "Gatehouse" when
	// empty.
	Product string
	// Templates are the pages of other packages. The name of a page is its path
	// without ".html"; a name may be given once.
	Templates []fs.FS
	// Look gives brand and language of the page that answers the request; tenant is
	// Page.BrandOf. nil: the product's own.
	Look func(r *http.Request, tenant string) Look
	// HTTPS says that the base URL is https; pages then send HSTS.
	HTTPS bool
}

// UI holds the parsed pages and the assets. It is safe for concurrent use and
// does not change after New.
type UI struct {
	product    string
	look       func(r *http.Request, tenant string) Look
	https      bool
	assetPath  string
	assets     map[string]asset  // by served name
	assetNames map[string]string // "app.css" → URL path
	texts      *i18n.Catalogue
	pages      map[string]map[string]*template.Template // language → name
}

// Page is what the layouts need; every page struct embeds it.
type Page struct {
	Title string // in English; the layout translates it
	// Lang is the language that the person or his organization chose: a BCP 47 tag,
	// or several in the order of preference with spaces between, as ui_locales.
	// Empty, or none that there is: the browser decides (Accept-Language).
	Lang string
	// BrandOf is the tenant whose brand the page shows, where the request's sign-in does not tell.
	BrandOf string
	Brand   Brand // of the environment or the tenant; Render sets it where it is zero
}

// Brand is whose pages these are. The zero value is the product itself.
type Brand struct {
	Name   string // beside the logo
	Logo   string // path of the image; none: the name's first letter
	Accent string // #rrggbb; none: the product's
}

// Look is how a page is shown to one request.
type Look struct {
	Brand Brand
	Lang  string // as Page.Lang
}

func (p Page) own() Page { return p }

// New is NewWith with the default asset path and product name.
func New(templates ...fs.FS) (*UI, error) { return NewWith(Config{Templates: templates}) }

// NewWith parses every template and prepares every asset, so that a broken page
// stops the start and not a visitor.
func NewWith(c Config) (*UI, error) {
	u := &UI{product: c.Product, look: c.Look, https: c.HTTPS, assetPath: c.AssetPath, pages: map[string]map[string]*template.Template{}}
	if u.product == "" {
		u.product = "Gatehouse"
	}
	if u.assetPath == "" {
		u.assetPath = "/assets"
	}
	if err := u.loadAssets(); err != nil {
		return nil, err
	}
	texts, err := localeTexts()
	if err != nil {
		return nil, err
	}
	u.texts = texts
	own, err := fs.Sub(templateFiles, "templates/pages")
	if err != nil {
		return nil, err
	}
	for _, lang := range texts.Languages() {
		base, err := u.parseLayouts(lang)
		if err != nil {
			return nil, err
		}
		u.pages[lang] = map[string]*template.Template{}
		for _, fsys := range append([]fs.FS{own}, c.Templates...) {
			if err := u.parsePages(u.pages[lang], base, fsys); err != nil {
				return nil, err
			}
		}
	}
	return u, nil
}

func (u *UI) parseLayouts(lang string) (*template.Template, error) {
	base := template.New("").Option("missingkey=error").Funcs(template.FuncMap{
		"asset":   u.assetOrError,
		"product": func() string { return u.product },
		"initial": initial,
		"accent":  u.accentPath,
	}).Funcs(u.textFuncs(lang))
	layouts, err := base.ParseFS(templateFiles, "templates/layouts/*.html")
	if err != nil {
		return nil, fmt.Errorf("ui: layouts: %w", err)
	}
	return layouts, nil
}

// parsePages parses the partials of fsys, then each page on a copy of layouts
// and partials, so that every page may define "content" for itself.
func (u *UI) parsePages(into map[string]*template.Template, base *template.Template, fsys fs.FS) error {
	var partials, pages []string
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() || path.Ext(name) != ".html":
		case strings.HasPrefix(path.Base(name), "_"):
			partials = append(partials, name)
		default:
			pages = append(pages, name)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("ui: templates: %w", err)
	}
	set, err := base.Clone()
	if err != nil {
		return err
	}
	for _, file := range partials {
		if err := parseFile(set, fsys, file); err != nil {
			return err
		}
	}
	for _, file := range pages {
		name := strings.TrimSuffix(file, ".html")
		if into[name] != nil {
			return fmt.Errorf("ui: page %q is defined twice", name)
		}
		page, err := set.Clone()
		if err != nil {
			return err
		}
		if err := parseFile(page, fsys, file); err != nil {
			return err
		}
		into[name] = page.Lookup(name)
	}
	return nil
}

func parseFile(set *template.Template, fsys fs.FS, file string) error {
	text, err := fs.ReadFile(fsys, file)
	if err != nil {
		return fmt.Errorf("ui: template %s: %w", file, err)
	}
	if _, err := set.New(strings.TrimSuffix(file, ".html")).Parse(string(text)); err != nil {
		return fmt.Errorf("ui: template %s: %w", file, err)
	}
	return nil
}

// initial is the letter in the logo: the first letter or digit of the name.
func initial(name string) string {
	for _, r := range name {
		if r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			return string(unicode.ToUpper(r))
		}
	}
	return "·"
}

type options struct {
	crossOriginForm bool
	noReferrer      bool
	scriptHashes    []string
}

// Option changes the headers of one page.
type Option func(*options)

// CrossOriginForm says that the answer to the page's form may end on another
// origin. The page then sends no form-action directive: Chromium applies it to
// redirects as well and would block the 303 to an identity provider.
func CrossOriginForm() Option { return func(o *options) { o.crossOriginForm = true } }

// NoReferrer has the browser tell no page where it came from: of pages that a
// secret address led to.
func NoReferrer() Option { return func(o *options) { o.noReferrer = true } }

func inlineScript(hash string) Option {
	return func(o *options) { o.scriptHashes = append(o.scriptHashes, hash) }
}

// Render sends the page name with the security headers. A page that cannot be
// rendered is logged and answered with a plain 500; nothing of it is sent.
func (u *UI) Render(w http.ResponseWriter, r *http.Request, status int, name string, page any, opts ...Option) {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	var buf bytes.Buffer
	page, lang := u.dress(r, page)
	if err := u.execute(&buf, lang, name, page); err != nil {
		slog.ErrorContext(r.Context(), "page not rendered", "page", name, "error", err)
		http.Error(w, "The page could not be shown.", http.StatusInternalServerError)
		return
	}
	httpx.Page{AnyFormAction: o.crossOriginForm, ScriptHashes: o.scriptHashes, HTTPS: u.https}.Set(w.Header())
	if o.noReferrer {
		w.Header().Set("Referrer-Policy", "no-referrer")
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", lang)
	w.Header().Add("Vary", "Accept-Language")
	w.Header().Set("Content-Length", strconv.Itoa(buf.Len()))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(buf.Bytes()) // the visitor has gone away; nobody is left to tell
	}
}

func (u *UI) execute(buf *bytes.Buffer, lang, name string, page any) error {
	t := u.pages[lang][name]
	if t == nil {
		return errors.New("no such page")
	}
	return t.Execute(buf, page)
}
