package sandbox

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
)

//go:embed pages/style.css
var style string

//go:embed pages/live.js
var liveScript string

var (
	//go:embed pages/site.html
	siteSource string
	//go:embed pages/hosted.html
	hostedSource string
	//go:embed pages/overview.html
	overviewSource string
	//go:embed pages/live.html
	liveSource string

	siteTemplates    = parse(siteSource)
	hostedTemplates  = parse(hostedSource)
	overviewTemplate = parse(overviewSource)
	liveTemplate     = parse(liveSource)

	styleHash  = hash(style)
	scriptHash = hash(liveScript)
)

func parse(source string) *template.Template {
	return template.Must(template.New("").Funcs(template.FuncMap{
		"style":  func() template.CSS { return template.CSS(style) },
		"script": func() template.JS { return template.JS(liveScript) },
		"add":    func(a, b int) int { return a + b },
	}).Parse(source))
}

// hash returns the source expression that allows an inline style sheet or script (Content
// Security Policy Level 3, section 2.3.1).
func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// writePage answers with a page that loads nothing from other origins. Its forms may
// submit and redirect to formAction.
func writePage(w http.ResponseWriter, status int, formAction string, t *template.Template, name string, data any) {
	var body bytes.Buffer
	if err := t.ExecuteTemplate(&body, name, data); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	setPageHeaders(h)
	h.Set("Content-Security-Policy", "default-src 'none'; style-src "+styleHash+
		"; img-src data:; form-action "+formAction+"; base-uri 'none'; frame-ancestors 'none'")
	w.WriteHeader(status)
	w.Write(body.Bytes())
}

func setPageHeaders(h http.Header) {
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
}
