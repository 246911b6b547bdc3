package monitor

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
)

var (
	inlineScript = regexp.MustCompile(`(?s)<script>(.*?)</script>`)
	// The fonts come from another site, which need not learn who watches which queues, and is out of
	// reach where this runs. The manifest would be fetched without the login.
	droppedLinks = regexp.MustCompile(`<link rel="(?:stylesheet" href="https?://|manifest" href=")[^>]*>`)
)

// fileTypes are the kinds of file that are served. Left out on purpose: source maps, and the page
// itself under its file name, where it is an unfinished template.
var fileTypes = map[string]string{
	".js":  "text/javascript; charset=utf-8",
	".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml",
	".png": "image/png",
	".ico": "image/vnd.microsoft.icon",
	".txt": "text/plain; charset=utf-8",
}

// page serves the one HTML page of asynqmon and the files that belong to it.
type page struct {
	files   http.Handler // asynqmon
	raw     []byte       // as asynqmon renders it
	before  []byte       // up to the nonce
	after   []byte
	scripts string // the hashes of the inline scripts, for the policy
}

// newPage renders the page once. It fails when asynqmon's page is not what it was when this was
// written, which can only come with another version of it.
func newPage(mon http.Handler) (*page, error) {
	rec := get(mon, "/")
	p := &page{files: mon, raw: rec.body.Bytes()}
	html := droppedLinks.ReplaceAll(p.raw, nil)

	found := inlineScript.FindAllSubmatch(html, -1)
	before, after, ok := bytes.Cut(html, []byte("<head>"))
	if rec.status != http.StatusOK || len(found) == 0 || !ok {
		return nil, errors.New("monitor: asynqmon's page has another form than this was made for; use the version in go.mod")
	}
	for _, script := range found {
		sum := sha256.Sum256(script[1])
		p.scripts += " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	// JSS, which asynqmon styles itself with, gives its style elements the nonce that it finds here.
	p.before = append(bytes.Clone(before), `<head><meta property="csp-nonce" content="`...)
	p.after = append([]byte(`"/>`), after...)
	return p, nil
}

// ServeHTTP answers GET and HEAD for everything that is not the API.
func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if isView(r.URL.Path) {
		p.serveView(w)
		return
	}
	contentType, ok := fileTypes[path.Ext(r.URL.Path)]
	if !ok {
		http.NotFound(w, r)
		return
	}
	rec := get(p.files, r.URL.Path)
	if rec.status != http.StatusOK || bytes.Equal(rec.body.Bytes(), p.raw) {
		// asynqmon answers a file that it does not have with its page.
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", contentType)
	if strings.HasPrefix(r.URL.Path, "/static/") {
		// Their names change with their content.
		w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
	}
	_, _ = w.Write(rec.body.Bytes())
}

func (p *page) serveView(w http.ResponseWriter) {
	nonce := rand.Text()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'self'"+p.scripts+
		"; style-src 'nonce-"+nonce+"'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	for _, part := range [][]byte{p.before, []byte(nonce), p.after} {
		_, _ = w.Write(part)
	}
}

// isView reports whether the page has something to show under the path. The names are asynqmon's own
// (ui/src/paths.ts).
func isView(urlPath string) bool {
	switch urlPath {
	case "/", "/settings", "/servers", "/schedulers", "/redis":
		return true
	}
	return strings.HasPrefix(urlPath, "/queues/")
}

// get asks a handler in this process.
func get(h http.Handler, urlPath string) *recording {
	rec := newRecording()
	h.ServeHTTP(rec, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: urlPath}, Header: make(http.Header), Body: http.NoBody})
	return rec
}
