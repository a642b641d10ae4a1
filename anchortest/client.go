package anchortest

import "github.com/anchorconnect/connect/anchorhttp"

// Client returns a client of the API that is wired to this fake. opts come
// last, so they can replace what it sets. A fake made by [New] needs
// [Server.SetURL] before, and when it is served over TLS, a client that trusts
// its certificate:
//
//	fake.Client(anchorhttp.WithHTTPClient(server.Client()))
func (s *Server) Client(opts ...anchorhttp.Option) *anchorhttp.Client {
	wired := []anchorhttp.Option{anchorhttp.WithBaseURL(s.URL()), anchorhttp.WithAppURL(s.URL())}
	return anchorhttp.New(s.APIKey(), append(wired, opts...)...)
}
