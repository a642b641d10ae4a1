package anchortest

import "github.com/anchorconnect/connect/anchorhttp"

// Client returns a client of this fake's API. opts override its settings. A fake
// created by [New] needs [Server.SetURL] first. If it is served over TLS, it also
// needs an HTTP client that trusts its certificate:
//
//	fake.Client(anchorhttp.WithHTTPClient(server.Client()))
func (s *Server) Client(opts ...anchorhttp.Option) *anchorhttp.Client {
	own := []anchorhttp.Option{anchorhttp.WithBaseURL(s.URL()), anchorhttp.WithAppURL(s.URL())}
	return anchorhttp.New(s.APIKey(), append(own, opts...)...)
}
