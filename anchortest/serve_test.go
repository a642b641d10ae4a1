package anchortest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRequestBodies(t *testing.T) {
	t.Parallel()
	s := start(t)
	identity := s.PutIdentity(Identity{})
	tokens := "/v1/applications/" + s.ApplicationID() + "/tokens"
	for what, body := range map[string]string{
		"no body": "", "no JSON": "callbackUrl=https://a.example", "a list": "[]",
		"cut": `{"callbackUrl":"https://a.example"`, "two values": `{"callbackUrl":"https://a.example"} {}`,
		"a stray brace": `{"callbackUrl":"https://a.example"}}`, "another type": `{"callbackUrl":1}`,
	} {
		t.Run(what+" is a 400", func(t *testing.T) {
			call(t, s, "POST", tokens, body).requireError(t, 400)
		})
	}
	for what, body := range map[string]string{"a name that is none": `{"name":1}`, "metadata that is none": `{"metadata":[]}`} {
		t.Run(what+" is a 400", func(t *testing.T) {
			call(t, s, "PUT", "/v1/identities/"+identity.ID, body).requireError(t, 400)
		})
	}
	t.Run("more than a megabyte is refused and has no effect", func(t *testing.T) {
		big := `{"name":"` + strings.Repeat("a", maxBody) + `"}`
		call(t, s, "PUT", "/v1/identities/"+identity.ID, big).requireError(t, http.StatusRequestEntityTooLarge)
		kept, _ := s.Identity(identity.ID)
		require.Equal(t, identity, kept)
		calls := s.Calls()
		require.Len(t, calls[len(calls)-1].Body, maxBody)
	})
	t.Run("none in chunks is the same as none", func(t *testing.T) {
		req := request(t, s, "POST", "/v1/sessions", "")
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader("")), -1
		r, err := try(t.Context(), req)
		require.NoError(t, err)
		require.Equal(t, 200, r.status, r.body)
	})
	t.Run("one that breaks off has no effect", func(t *testing.T) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "http://"))
		require.NoError(t, err)
		defer conn.Close()
		_, err = fmt.Fprintf(conn, "PUT /v1/identities/%s HTTP/1.1\r\nHost: x\r\nAnchor-Api-Key: %s\r\nContent-Length: 99\r\n\r\n{\"name\":\"cut\"}", identity.ID, s.APIKey())
		require.NoError(t, err)
		require.NoError(t, conn.(*net.TCPConn).CloseWrite())
		answer, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.Empty(t, answer)
		kept, _ := s.Identity(identity.ID)
		require.NotEqual(t, "cut", kept.Name)
	})
	t.Run("the caller's request is left as it was", func(t *testing.T) {
		req := httptest.NewRequest("POST", "/v1/sessions", io.NopCloser(strings.NewReader("{}")))
		s.ServeHTTP(httptest.NewRecorder(), req)
		require.EqualValues(t, -1, req.ContentLength)
	})
	t.Run("just under a megabyte is taken", func(t *testing.T) {
		big := `{"name":"` + strings.Repeat("a", maxBody-20) + `"}`
		require.Equal(t, 200, call(t, s, "PUT", "/v1/identities/"+identity.ID, big).status)
	})
}
