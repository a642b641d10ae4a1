package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/anchorconnect/connect/anchorhttp"
)

const applicationID = "0a1b2c3d-0000-4000-8000-00000000aaaa"

// anchor is Anchor's API in this process: a transport with canned responses, so that the
// network is not measured. It is not safe for concurrent use.
type anchor struct {
	header      http.Header
	tokenEnd    string // of the answer with a token, after what is each token's own
	identityEnd string // of the answer with an identity, after its id
	application string

	tokens      int    // how many were issued
	remember    bool   // whether to keep callbackURL
	callbackURL string // of the last token
}

func newAnchor() *anchor {
	now := time.Now().UTC()
	stamp := now.Format(time.RFC3339Nano)
	return &anchor{
		header: http.Header{
			"Content-Type": {"application/json; charset=utf-8"},
			"Date":         {now.Format(http.TimeFormat)},
		},
		tokenEnd: `","expires_at":"` + now.Add(15*time.Minute).Format(time.RFC3339Nano) + `"}}`,
		identityEnd: `","name":"Ann","source":"https://shop.example.com/login","status":"validated","metadata":{},` +
			`"created_at":"` + stamp + `","updated_at":"` + stamp + `"}`,
		application: `{"id":"` + applicationID + `","name":"Shop","url":"https://shop.example.com","created_at":"` + stamp + `"}`,
	}
}

func (a *anchor) client() *anchorhttp.Client {
	return anchorhttp.New("sk-key-of-a-benchmark", anchorhttp.WithHTTPClient(&http.Client{Transport: a}))
}

// RoundTrip implements [http.RoundTripper].
func (a *anchor) RoundTrip(r *http.Request) (*http.Response, error) {
	path := r.URL.Path
	var body []byte
	switch {
	case strings.HasSuffix(path, "/tokens"):
		if a.remember {
			var asked struct{ CallbackURL string }
			if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
				return nil, err
			}
			a.callbackURL = asked.CallbackURL
		}
		a.tokens++
		body = fmt.Appendf(make([]byte, 0, 256),
			`{"data":{"token":"5cb2a07d41e84f6f9a0e8a7b2c53%08x","token_hash":"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15%08x`,
			a.tokens, a.tokens)
		body = append(body, a.tokenEnd...)
	case strings.HasPrefix(path, "/v1/identities/"):
		body = append(make([]byte, 0, 320), `{"id":"`...)
		body = append(body, path[len("/v1/identities/"):]...)
		body = append(body, a.identityEnd...)
	case path == "/v1/applications":
		body = []byte(`{"applications":[` + a.application + `]}`)
	default:
		body = []byte(a.application)
	}
	return canned(r, a.header, body), nil
}

// canned returns a response with status 200.
func canned(r *http.Request, header http.Header, body []byte) *http.Response {
	if r.Body != nil {
		r.Body.Close()
	}
	return &http.Response{
		StatusCode:    http.StatusOK,
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        header,
		Body:          io.NopCloser(bytes.NewReader(body)),
		ContentLength: int64(len(body)),
		Request:       r,
	}
}
