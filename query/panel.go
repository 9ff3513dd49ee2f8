package query

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

// panelFiles are the live panel as browsers get it: there is nothing to build. They hold no data, so they are open to
// everyone; what they show they ask the API for, with the key of who looks.
//
//go:embed panel
var panelFiles embed.FS

// panelPolicy lets the page run its own files only, and talk to its own server only. Whatever a name or an error text
// holds cannot run, even where the page made a mistake in showing it.
const panelPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// panelTypes are the types of the files by extension. The machine's own table of types may say otherwise, and a browser
// that must not guess runs no module of another type.
var panelTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
	"":      "text/plain; charset=utf-8", // licences
	".md":   "text/plain; charset=utf-8",
}

// asset is a file of the panel.
type asset struct {
	name, contentType, etag string
	body                    []byte
}

// routePanel serves the panel at / and its files below /panel/.
func (s *server) routePanel() error {
	assets, err := readAssets()
	if err != nil {
		return err
	}
	for i := range assets {
		s.mux.Handle("GET /panel/"+assets[i].name, &assets[i])
		if assets[i].name == "index.html" {
			s.mux.Handle("GET /{$}", &assets[i])
		}
	}
	return nil
}

// readAssets reads all files of the panel.
func readAssets() ([]asset, error) {
	var assets []asset
	err := fs.WalkDir(panelFiles, "panel", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := panelFiles.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		assets = append(assets, asset{
			name:        strings.TrimPrefix(name, "panel/"),
			contentType: panelTypes[path.Ext(name)],
			etag:        `"` + hex.EncodeToString(sum[:16]) + `"`,
			body:        body,
		})
		return nil
	})
	return assets, err
}

// ServeHTTP answers with the file. Browsers keep it and ask each time whether it is still the one, so that a new version
// of the program never runs with files of an old one.
func (a *asset) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", panelPolicy)
	h.Set("Content-Type", a.contentType)
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", a.etag)
	if r.Header.Get("If-None-Match") == a.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(a.body) // an error means that the client is gone
}
