package connect

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRoutesListsWhatTheHandlerServes(t *testing.T) {
	t.Parallel()
	cfg := goodConfig()
	cfg.PublicURL = "https://app.example/tools"
	cfg.Applications = map[string]string{"mail": "44444444-4444-4444-8444-444444444444"}
	h, err := New(cfg)
	require.NoError(t, err)
	var all []string
	for method, path := range h.Routes(":state") {
		all = append(all, method+" "+path)
		require.Contains(t, methods[findRoute(path, h.hosts.prefix).kind], method, path)
	}
	require.ElementsMatch(t, []string{
		"GET /tools/identity-callback", "GET /tools/identity-callback/", "GET /tools/identity-callback/:state", "GET /tools/identity-callback/:state/",
		"GET /tools/connect/connect.js", "HEAD /tools/connect/connect.js",
		"GET /tools/connect", "HEAD /tools/connect", "POST /tools/connect", "GET /tools/connect/status", "HEAD /tools/connect/status",
		"POST /tools/connect/label", "POST /tools/disconnect",
		"GET /tools/connect/mail", "HEAD /tools/connect/mail", "POST /tools/connect/mail",
		"GET /tools/connect/mail/status", "HEAD /tools/connect/mail/status", "POST /tools/connect/mail/label", "POST /tools/disconnect/mail",
	}, all)

	for range h.Routes("{state}") {
		break // An iterator may be left at any time.
	}
}
