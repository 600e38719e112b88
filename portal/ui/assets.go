package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// asset is one file in the two encodings that it is served in.
type asset struct {
	contentType string
	plain       []byte
	gzipped     []byte
}

var contentTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
}

// loadAssets names every file by its content (app.css → app.0f3a….css), so that
// browsers may keep it for ever and a new release needs no purge.
func (u *UI) loadAssets() error {
	u.assets, u.assetNames = map[string]asset{}, map[string]string{}
	return fs.WalkDir(assetFiles, "assets", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		ext := path.Ext(file)
		contentType, ok := contentTypes[ext]
		if !ok {
			return fmt.Errorf("ui: asset %s: unknown content type", file)
		}
		data, err := assetFiles.ReadFile(file)
		if err != nil {
			return err
		}
		var buf bytes.Buffer
		zw, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
		if err != nil {
			return err
		}
		if _, err := zw.Write(data); err != nil {
			return err
		}
		if err := zw.Close(); err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		name := path.Base(file)
		served := strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(sum[:8]) + ext
		u.assets[served] = asset{contentType: contentType, plain: data, gzipped: buf.Bytes()}
		u.assetNames[name] = u.assetPath + "/" + served
		return nil
	})
}

// AssetURL is the path under which the asset name is served, "" if there is no
// such asset.
func (u *UI) AssetURL(name string) string { return u.assetNames[name] }

func (u *UI) assetOrError(name string) (string, error) {
	if p, ok := u.assetNames[name]; ok {
		return p, nil
	}
	return "", fmt.Errorf("no asset %q", name)
}

// Assets serves the assets. It looks at the last segment of the path only, so
// it can be mounted with or without a prefix stripped.
func (u *UI) Assets() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		a, ok := u.assets[path.Base(r.URL.Path)]
		if !ok {
			a, ok = accentAsset(path.Base(r.URL.Path))
		}
		if !ok {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Type", a.contentType)
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
		h.Set("Vary", "Accept-Encoding")
		body := a.plain
		if len(a.gzipped) > 0 && acceptsGzip(r.Header.Get("Accept-Encoding")) {
			h.Set("Content-Encoding", "gzip")
			body = a.gzipped
		}
		h.Set("Content-Length", strconv.Itoa(len(body)))
		if r.Method != http.MethodHead {
			_, _ = w.Write(body) // the visitor has gone away; nobody is left to tell
		}
	})
}

// acceptsGzip reads RFC 9110 §12.5.3 as far as needed: gzip is named and not
// refused by a weight of zero.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		coding, params, _ := strings.Cut(part, ";")
		if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			continue
		}
		_, weight, found := strings.Cut(params, "=")
		if !found {
			return true
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(weight), 64)
		return err == nil && q > 0
	}
	return false
}
