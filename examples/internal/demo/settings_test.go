package demo

import (
	"errors"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPublicAddress(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name      string
		settings  Settings
		listening string
		want      string
	}{
		{"PUBLIC_URL", Settings{PublicURL: "https://your-app.com", Addr: "localhost:8080"}, "127.0.0.1:8080", "https://your-app.com"},
		{"PUBLIC_URL with a slash at its end", Settings{PublicURL: "https://your-app.com/", Addr: "localhost:8080"}, "127.0.0.1:8080", "https://your-app.com"},
		{"the name in ADDR", Settings{Addr: "localhost:8080"}, "127.0.0.1:8080", "http://localhost:8080"},
		{"a free port", Settings{Addr: "127.0.0.1:0"}, "127.0.0.1:45678", "http://127.0.0.1:45678"},
		{"every address of the machine", Settings{Addr: ":8080"}, "[::]:8080", "http://localhost:8080"},
		{"every address of the machine, in numbers", Settings{Addr: "0.0.0.0:8080"}, "0.0.0.0:8080", "http://localhost:8080"},
		{"IPv6", Settings{Addr: "[::1]:8080"}, "[::1]:8080", "http://[::1]:8080"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			listening, err := net.ResolveTCPAddr("tcp", row.listening)
			require.NoError(t, err)
			require.Equal(t, row.want, row.settings.PublicAddress(listening))
		})
	}
}

func TestDatabaseError(t *testing.T) {
	t.Parallel()
	err := DatabaseError(errors.New("failed to connect:\n\tone: refused\n\ttwo: refused\n"))
	require.EqualError(t, err, "DATABASE_URL: failed to connect: one: refused two: refused")
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	const current, previous = "current-0123456789abcdef0123456789", "previous-0123456789abcdef012345678"
	variables := map[string]string{"ADDR": "localhost:1", "CONNECT_SECRET": " " + current + " , " + previous, "SESSION_SECRET": current}
	s, err := ReadSettings(func(name string) string { return variables[name] }, Settings{})
	require.NoError(t, err)
	require.Equal(t, [][]byte{[]byte(current), []byte(previous)}, s.Secrets)
	require.Equal(t, []byte(current), s.SessionSecret)
	require.Empty(t, s.Notices)

	read := func() Settings {
		s, err := ReadSettings(func(string) string { return "" }, Settings{Addr: "localhost:1"})
		require.NoError(t, err)
		require.Len(t, s.Notices, 2)
		return s
	}
	first, second := read(), read()
	require.NotEqual(t, first.Secrets, second.Secrets, "each start has a random secret of its own")
	require.NotEqual(t, first.SessionSecret, second.SessionSecret)
	require.Len(t, first.Secrets[0], 32)
}
