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

// readPost is what every POST begins with: it came from our pages, somebody is
// signed in, and the way back stays on this site.
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

// fromOurPages refuses what a page of another origin sent, and what one of our
// own pages sent that was opened at another address than the one that the request is
// at. The pages of the app's other hosts are of another origin, too: what runs on one
// tenant's host acts for nobody on another's.
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
	// Origin is the browser's own view; Host may be a proxy's. Clients that
	// send none (curl, and pages under no-referrer: "null") have passed the
	// check above and are let through.
	if origin != "" && origin != "null" {
		return &WrongOriginError{Origin: clip(origin), PublicOrigin: own}
	}
	return nil
}

// postForm is what a POST may say.
type postForm struct {
	ReturnTo   string `json:"return_to"`  // a local path, or empty
	Connection string `json:"connection"` // the ID of a connection, or empty
	Label      string `json:"label"`
	Popup      bool   `json:"popup"` // in JSON only: connect.js has opened one
}

// readForm reads a form or a JSON object. A plain button sends neither.
func readForm(w http.ResponseWriter, r *http.Request) (form postForm, err error) {
	if r.Body == nil { // A request that no server read, as in a test.
		r.Body = http.NoBody
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	limitReading(w, formTimeout) // Anew: the app may have taken its time to say who is signed in.
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch mediaType {
	case "application/json":
		if err = json.NewDecoder(r.Body).Decode(&form); errors.Is(err, io.EOF) {
			err = nil // A body is not needed.
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
	if _, err := io.Copy(io.Discard, r.Body); err == nil { // A parser may have stopped before.
		hasRead(w)
	}
	if form.ReturnTo != "" && !isLocalPath(form.ReturnTo) {
		return postForm{}, ErrReturnTo
	}
	return form, nil
}
