package connect

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"
)

const (
	// maxFormBytes bounds the body of a POST, and formTimeout the time in which
	// it is read.
	maxFormBytes = 16 << 10
	formTimeout  = 10 * time.Second
)

// readPost checks and reads a POST: it comes from our own pages, somebody is signed in, and
// the return path stays on this site.
func (h *Handler) readPost(w http.ResponseWriter, r *http.Request) (user User, form postForm, err error) {
	if err := h.fromOurPages(r); err != nil {
		return User{}, postForm{}, err
	}
	if user, err = h.signedIn(r); err != nil {
		return User{}, postForm{}, err
	}
	form, err = readForm(w, r)
	return user, form, err
}

// fromOurPages returns an error if a page of another origin sent the request, or a page of
// our own that was opened at another address than the request's. Pages of the app's other
// hosts are of another origin, too: one tenant's scripts must not act for users of another.
func (h *Handler) fromOurPages(r *http.Request) error {
	origin, own := r.Header.Get("Origin"), h.originAt(r)
	if origin == own {
		// Behind a proxy that rewrites Host an old browser's Origin would look
		// foreign to the check below.
		return nil
	}
	if err := h.crossOrigin.Check(r); err != nil {
		return fmt.Errorf("%w: %w", ErrCrossOrigin, err)
	}
	// Origin is the browser's view, Host perhaps a proxy's. Clients without an Origin
	// (curl) and pages under no-referrer ("null") have passed the check above.
	if origin != "" && origin != "null" {
		return &WrongOriginError{Origin: clip(origin), PublicOrigin: own}
	}
	return nil
}

// postForm are the fields of a POST.
type postForm struct {
	ReturnTo   string `json:"return_to"`  // a local path, or empty
	Connection string `json:"connection"` // the ID of a connection, or empty
	Label      string `json:"label"`
	Popup      bool   `json:"popup"` // in JSON only: connect.js has opened one
}

// readForm reads a form or a JSON object. A button alone sends neither.
func readForm(w http.ResponseWriter, r *http.Request) (form postForm, err error) {
	if r.Body == nil { // A request that no server has read, as in a test.
		r.Body = http.NoBody
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	limitReading(w, formTimeout) // Again, because Config.User may have taken long.
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch mediaType {
	case "application/json":
		if err = json.NewDecoder(r.Body).Decode(&form); errors.Is(err, io.EOF) {
			err = nil // The body is optional.
		}
	case "multipart/form-data":
		err = r.ParseMultipartForm(maxFormBytes)
	default:
		err = r.ParseForm()
	}
	if err != nil {
		return postForm{}, fmt.Errorf("%w: %s", ErrBadRequest, clip(err.Error()))
	}
	if r.Form != nil {
		form.ReturnTo, form.Connection, form.Label = r.FormValue("return_to"), r.FormValue("connection"), r.FormValue("label")
	}
	if _, err := io.Copy(io.Discard, r.Body); err == nil { // A parser may have stopped before the end.
		hasRead(w)
	}
	if form.ReturnTo != "" && !isLocalPath(form.ReturnTo) {
		return postForm{}, ErrReturnTo
	}
	return form, nil
}
