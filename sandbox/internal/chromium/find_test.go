package chromium

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFind(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no browser is started on Windows")
	}
	dir := t.TempDir()
	first, second, plain := filepath.Join(dir, "first"), filepath.Join(dir, "second"), filepath.Join(dir, "plain")
	require.NoError(t, os.WriteFile(second, nil, 0o700))
	require.NoError(t, os.WriteFile(plain, nil, 0o600))

	found, err := find("", []string{first, plain, second})
	require.NoError(t, err)
	require.Equal(t, second, found)
	found, err = find(second, []string{first})
	require.NoError(t, err)
	require.Equal(t, second, found)

	_, err = find("", []string{first, plain})
	require.ErrorIs(t, err, ErrNotFound)
	require.ErrorContains(t, err, "apt-get install chromium")
	// If CHROME_PATH is unusable, no other browser is used.
	_, err = find(plain, []string{second})
	require.ErrorIs(t, err, ErrNotFound)
	require.ErrorContains(t, err, "CHROME_PATH")
	require.ErrorIs(t, err, os.ErrPermission)
}
