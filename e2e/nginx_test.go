package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// The recipes: lines of a server block in nginx.conf.
const (
	nginxStripped = `
# docs: nginx, stripped
location /tools/ {
	proxy_pass http://127.0.0.1:8080/; # the slash at the end strips /tools
}
# docs: end
`
	nginxKept = `
# docs: nginx
location /tools/ {
	proxy_pass http://127.0.0.1:8080;
}
# docs: end
`
)

// docs: nginx, guard
// addPrefix puts back what a proxy has stripped.
func addPrefix(prefix string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.Clone(r.Context())
		r.URL.Path = prefix + r.URL.Path
		if r.URL.RawPath != "" {
			r.URL.RawPath = prefix + r.URL.RawPath
		}
		next.ServeHTTP(w, r)
	})
}

// docs: end

func serveMuxBehindAProxy(mux *http.ServeMux, h *connect.Handler, reports http.Handler) {
	// docs: nginx, routes
	h.Register(mux)
	mux.Handle("GET /reports", addPrefix("/tools", h.RequireIdentity(reports)))
	// docs: end
}

// nginxConf is a complete configuration, which needs no other file and no privileges.
var nginxConf = template.Must(template.New("nginx.conf").Parse(`
daemon off;
master_process off;
pid {{.Dir}}/nginx.pid;
error_log {{.Dir}}/error.log;
events {}
http {
	access_log off;
	client_body_temp_path {{.Dir}}/body;
	proxy_temp_path {{.Dir}}/proxy;
	fastcgi_temp_path {{.Dir}}/fastcgi;
	uwsgi_temp_path {{.Dir}}/uwsgi;
	scgi_temp_path {{.Dir}}/scgi;
	server {
		listen {{.Addr}} ssl http2;
		ssl_certificate {{.Dir}}/certificate.pem;
		ssl_certificate_key {{.Dir}}/key.pem;
		{{.Server}}
	}
}
`))

// startNginx starts an nginx with TLS and HTTP/2 and these lines in its server block. It
// returns its origin and a client that trusts it.
func startNginx(t *testing.T, program, server string) (origin string, client *http.Client) {
	t.Helper()
	dir := t.TempDir()
	trusted := makeCertificate(t, dir)

	// nginx does not accept port 0, and another process may take a free port first.
	for range 5 {
		addr := freeAddr(t)
		var conf bytes.Buffer
		require.NoError(t, nginxConf.Execute(&conf, map[string]string{"Dir": dir, "Addr": addr, "Server": server}))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "nginx.conf"), conf.Bytes(), 0o600))
		if runNginx(t, program, dir, addr) {
			return "https://" + addr, &http.Client{Transport: &http.Transport{
				TLSClientConfig: &tls.Config{RootCAs: trusted}, ForceAttemptHTTP2: true,
			}}
		}
	}
	log, _ := os.ReadFile(filepath.Join(dir, "error.log"))
	require.Fail(t, "nginx does not start", "%s", log)
	return "", nil
}

// runNginx runs nginx until the test ends. It reports whether nginx listens.
func runNginx(t *testing.T, program, dir, addr string) bool {
	t.Helper()
	cmd := exec.Command(program, "-e", filepath.Join(dir, "error.log"), "-p", dir, "-c", filepath.Join(dir, "nginx.conf"))
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // It was killed, or ended too early, which is reported below.
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		select {
		case <-ended:
			t.Logf("nginx ended: %s", output.String())
			return false
		case <-ctx.Done():
			return false
		case <-time.After(10 * time.Millisecond):
		}
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err == nil {
			require.NoError(t, conn.Close())
			return true
		}
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}

// makeCertificate writes a self-signed certificate for 127.0.0.1 and its key.
func makeCertificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	for name, block := range map[string]*pem.Block{
		"certificate.pem": {Type: "CERTIFICATE", Bytes: certificate},
		"key.pem":         {Type: "PRIVATE KEY", Bytes: private},
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600))
	}
	parsed, err := x509.ParseCertificate(certificate)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return pool
}

func TestNginx(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("nginx is not installed: apt-get install nginx")
	}
	for _, test := range []struct {
		name, server string
		recipe       func(*http.ServeMux, *connect.Handler, http.Handler)
	}{
		{"that strips the path", nginxStripped, serveMuxBehindAProxy},
		{"that keeps the path", nginxKept, serveMuxUnderAPath},
		{"that writes another Host", "proxy_set_header Host app.internal;" + nginxStripped, serveMuxBehindAProxy},
		{"that passes on the browser's Host", "proxy_set_header Host $http_host;" + nginxKept, serveMuxUnderAPath},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewUnstartedServer(nil)
			t.Cleanup(server.Close)
			origin, client := startNginx(t, program, strings.ReplaceAll(test.server, "127.0.0.1:8080", server.Listener.Addr().String()))

			a := app{
				fake: newFake(t), origin: origin, base: "/tools", prefix: "/tools", reports: "/tools/reports",
				client: client, proto: 2,
			}
			p := newParts(t, a.fake, origin+"/tools")
			mux := newServeMux(p.login)
			mux.Handle("POST /tools/login", p.login)
			test.recipe(mux, p.connect, p.reports)
			server.Config.Handler = mux
			server.Start()

			requireFlow(t, a)
			requireNothingElse(t, a)
		})
	}
}
