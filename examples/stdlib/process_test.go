package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchortest"
	"github.com/anchorconnect/connect/sqlstore"
)

// buildDemo builds the demo once for all tests.
var buildDemo = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "connect-demo")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "demo")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := buildDemo(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// database is an empty database that the demo and the test use.
type database struct {
	name string
	url  string
	db   *sql.DB
	// hold keeps every other transaction from writing, until release.
	hold func(t *testing.T) (release func())
}

// databases returns the kinds to test with: SQLite always, and the servers that the
// environment names.
func databases() map[string]func(*testing.T) database {
	return map[string]func(*testing.T) database{
		"sqlite":   sqliteDatabase,
		"postgres": postgresDatabase,
		"mysql":    mysqlDatabase,
	}
}

func sqliteDatabase(t *testing.T) database {
	d := database{name: "sqlite", url: "file:" + filepath.Join(t.TempDir(), "demo.db")}
	d.open(t)
	d.hold = func(t *testing.T) func() {
		conn, err := d.db.Conn(t.Context())
		require.NoError(t, err)
		_, err = conn.ExecContext(t.Context(), "BEGIN IMMEDIATE")
		require.NoError(t, err)
		return func() {
			_, err := conn.ExecContext(context.Background(), "ROLLBACK")
			require.NoError(t, err)
			require.NoError(t, conn.Close())
		}
	}
	return d
}

func postgresDatabase(t *testing.T) database {
	d := serverDatabase(t, "CONNECT_TEST_POSTGRES", "DROP DATABASE %s WITH (FORCE)")
	d.name = "postgres"
	d.hold = func(t *testing.T) func() {
		tx, err := d.db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, err = tx.Exec("LOCK TABLE connect_pending, connect_connections, connect_tasks IN SHARE MODE")
		require.NoError(t, err)
		return func() { require.NoError(t, tx.Rollback()) }
	}
	return d
}

func mysqlDatabase(t *testing.T) database {
	d := serverDatabase(t, "CONNECT_TEST_MYSQL", "DROP DATABASE %s")
	d.name = "mysql"
	d.hold = func(t *testing.T) func() {
		conn, err := d.db.Conn(t.Context())
		require.NoError(t, err)
		_, err = conn.ExecContext(t.Context(), "LOCK TABLES connect_pending READ, connect_connections READ, connect_tasks READ")
		require.NoError(t, err)
		return func() {
			_, err := conn.ExecContext(context.Background(), "UNLOCK TABLES")
			require.NoError(t, err)
			require.NoError(t, conn.Close())
		}
	}
	return d
}

// serverDatabase creates a database for the test on the server that the variable
// names.
func serverDatabase(t *testing.T, variable, drop string) database {
	address := os.Getenv(variable)
	if address == "" {
		t.Skipf("%s is not set: not tested on that server", variable)
	}
	server := database{url: address}
	server.open(t)
	name := "connect_demo_" + strings.ToLower(rand.Text()[:12])
	_, err := server.db.Exec("CREATE DATABASE " + name)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := server.db.Exec(fmt.Sprintf(drop, name))
		require.NoError(t, err)
	})
	u, err := url.Parse(address)
	require.NoError(t, err)
	u.Path = "/" + name
	d := database{url: u.String()}
	d.open(t)
	return d
}

func (d *database) open(t *testing.T) {
	driver, dsn, _, err := sqlstore.ParseURL(d.url)
	require.NoError(t, err)
	d.db, err = sql.Open(driver, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.db.Close()) })
}

// count returns the number that a query returns.
func (d *database) count(t *testing.T, query string) int {
	var n int
	require.NoError(t, d.db.QueryRow(query).Scan(&n))
	return n
}

// connections returns the identities of all connections.
func (d *database) connections(t *testing.T) map[string]string {
	rows, err := d.db.Query("SELECT user_id, identity_id FROM connect_connections")
	require.NoError(t, err)
	defer rows.Close()
	found := map[string]string{}
	for rows.Next() {
		var user, identity string
		require.NoError(t, rows.Scan(&user, &identity))
		require.NotContains(t, found, user, "a connection is doubled")
		found[user] = identity
	}
	require.NoError(t, rows.Err())
	return found
}

// program is the demo as a process.
type program struct {
	t      *testing.T
	addr   string
	env    []string
	cmd    *exec.Cmd
	output *output
}

type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// newProgram prepares a demo on a free port with the test's own fake. It does not
// start it.
func newProgram(t *testing.T, fake *anchortest.Server, databaseURL string, env ...string) *program {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := listener.Addr().String()
	require.NoError(t, listener.Close())
	return &program{t: t, addr: addr, env: append([]string{
		"ADDR=" + addr,
		"ANCHORBROWSER_API_KEY=" + fake.APIKey(),
		"ANCHORBROWSER_BASE_URL=" + fake.URL(),
		"ANCHOR_APP_URL=" + fake.URL(),
		"ANCHOR_APPLICATION_ID=" + fake.ApplicationID(),
		"DATABASE_URL=" + databaseURL,
		"CONNECT_SECRET=a-secret-of-the-tests-not-random",
		"SESSION_SECRET=" + strings.Repeat("s", 32),
	}, env...)}
}

// start starts the process and waits until it answers.
func (p *program) start() {
	p.t.Helper()
	p.launch()
	p.await()
}

func (p *program) launch() {
	p.t.Helper()
	path, err := buildDemo()
	require.NoError(p.t, err)
	p.output = new(output)
	p.cmd = exec.Command(path)
	p.cmd.Dir = p.t.TempDir()
	p.cmd.Env = append(os.Environ(), p.env...)
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	require.NoError(p.t, p.cmd.Start())
	p.t.Cleanup(p.kill)
}

func (p *program) await() {
	p.t.Helper()
	require.Eventually(p.t, func() bool {
		res, err := http.Get("http://" + p.addr + "/")
		if err != nil {
			return false
		}
		// What it printed before may arrive a moment later.
		return res.Body.Close() == nil && strings.Contains(p.output.String(), "\nOpen http")
	}, 20*time.Second, 20*time.Millisecond, "the demo does not answer: %s", p.output)
}

// kill ends the process with SIGKILL.
func (p *program) kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill() // It may have ended.
	_ = p.cmd.Wait()
	p.cmd = nil
}

// browser is a user's browser that follows no redirects.
type browser struct {
	t      *testing.T
	client *http.Client
}

func newBrowser(t *testing.T) *browser {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &browser{t, &http.Client{
		Jar:           jar,
		Timeout:       time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// post and get return the status, the Location and the body.
func (b *browser) post(address string, form url.Values) (int, string, string, error) {
	return read(b.client.PostForm(address, form))
}

func (b *browser) get(address string) (int, string, string, error) {
	return read(b.client.Get(address))
}

func read(res *http.Response, err error) (int, string, string, error) {
	if err != nil {
		return 0, "", "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, res.Header.Get("Location"), string(body), err
}

// signIn signs a user in to the demo at addr.
func (b *browser) signIn(addr, user string) {
	b.t.Helper()
	status, _, _, err := b.post("http://"+addr+"/login", url.Values{"user": {user}})
	require.NoError(b.t, err)
	require.Equal(b.t, http.StatusSeeOther, status)
}

// begin submits the form, with fields as name and value, and returns the URL of the
// hosted page.
func (b *browser) begin(addr string, fields ...string) string {
	b.t.Helper()
	status, hosted, body, err := b.post("http://"+addr+"/connect", form(fields...))
	require.NoError(b.t, err)
	require.Equal(b.t, http.StatusSeeOther, status, "%s", body)
	return hosted
}

// form returns a form's fields from names and values.
func form(fields ...string) url.Values {
	values := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		values.Set(fields[i], fields[i+1])
	}
	return values
}

// connected is an account in the response of the status route.
type connected struct{ ID, Label, IdentityID, Health, ConnectedBy string }

// accounts returns the mail accounts of the signed-in user.
func (b *browser) accounts(addr string) []connected {
	b.t.Helper()
	_, _, body, err := b.get("http://" + addr + "/connect/status")
	require.NoError(b.t, err)
	var status struct{ Connections []connected }
	require.NoError(b.t, json.Unmarshal([]byte(body), &status), "%s", body)
	return status.Connections
}

// finish opens a callback and requires success.
func (b *browser) finish(callback string) {
	b.t.Helper()
	status, to, body, err := b.get(callback)
	require.NoError(b.t, err)
	require.Equal(b.t, http.StatusSeeOther, status, "%s", body)
	require.Equal(b.t, "/dashboard?connected=true", to)
}

func identityIn(callback string) string {
	u, err := url.Parse(callback)
	if err != nil {
		return ""
	}
	return u.Query().Get("identity_id")
}

func startedFake(t *testing.T) *anchortest.Server {
	fake, err := anchortest.Start()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, fake.Close()) })
	return fake
}

// owner returns the owner in an identity's metadata at Anchor.
func owner(fake *anchortest.Server, identityID string) any {
	identity, _ := fake.Identity(identityID)
	return identity.Metadata["externalUserId"]
}
