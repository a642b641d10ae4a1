package demo

import (
	"errors"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSettingsPublicAddress(t *testing.T) {
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

func TestSettingsSecrets(t *testing.T) {
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

func TestSettingsSwitchTheBrowserOff(t *testing.T) {
	t.Parallel()
	read := func(value string) (Settings, error) {
		variables := map[string]string{"ADDR": "localhost:1", "DEMO_BROWSER": value}
		return ReadSettings(func(name string) string { return variables[name] }, Settings{})
	}
	for value, off := range map[string]bool{"": false, "off": true} {
		s, err := read(value)
		require.NoError(t, err)
		require.Equal(t, off, s.NoBrowser)
	}
	_, err := read("no")
	require.EqualError(t, err, `DEMO_BROWSER is "no": set it to off, or not at all`)
}

func TestSettingsApplicationsAndWebhook(t *testing.T) {
	t.Parallel()
	const one, two = "6f1c9a52-0a3d-4c1e-9b7f-2d6c8e4f1a01", "6f1c9a52-0a3d-4c1e-9b7f-2d6c8e4f1a02"
	read := func(applications, secrets, key string) (Settings, error) {
		variables := map[string]string{
			"ADDR": "localhost:1", "ANCHORBROWSER_API_KEY": key,
			"ANCHOR_APPLICATIONS": applications, "ANCHOR_WEBHOOK_SECRET": secrets,
		}
		if key != "" {
			variables["ANCHOR_APPLICATION_ID"] = one
		}
		return ReadSettings(func(name string) string { return variables[name] }, Settings{})
	}
	s, err := read("calendar="+one+", files="+two, "whsec_new, whsec_old,", "key")
	require.NoError(t, err)
	require.Equal(t, map[string]string{"calendar": one, "files": two}, s.Applications)
	require.Equal(t, []string{"whsec_new", "whsec_old"}, s.WebhookSecrets)
	s, err = read("", "", "key")
	require.NoError(t, err)
	require.Empty(t, s.Applications)
	require.Empty(t, s.WebhookSecrets)

	for _, bad := range []string{"calendar", "calendar=", "=" + one, "Calendar=" + one, "status=" + one, one, ",", "a=" + one + ",a=" + two} {
		_, err := read(bad, "", "key")
		require.ErrorContains(t, err, "ANCHOR_APPLICATIONS", bad)
		require.NotContains(t, err.Error(), "\n")
	}
	_, err = read("calendar="+one, "", "")
	require.ErrorContains(t, err, "ANCHORBROWSER_API_KEY", "the fake has applications of its own")
}
