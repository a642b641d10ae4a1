package connect

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestClip(t *testing.T) {
	t.Parallel()
	require.Equal(t, "https://app.example", clip("https://app.example"))
	require.Equal(t, strings.Repeat("a", maxClip), clip(strings.Repeat("a", maxClip)))
	require.Equal(t, strings.Repeat("a", maxClip)+"…", clip(strings.Repeat("a", maxClip+1)))
	require.Equal(t, "a\uFFFDb\uFFFDc", clip("a\nb\x1bc"), "a line is a line")
	for n := maxClip - 3; n <= maxClip; n++ {
		got := clip(strings.Repeat("a", n) + strings.Repeat("語", 10))
		require.True(t, utf8.ValidString(got))
		require.LessOrEqual(t, len(got), maxClip+len("…"))
	}
	long := errors.New(strings.Repeat("語", maxErrorText))
	require.LessOrEqual(t, len(clipError(long)), maxErrorText+len("…"))
	require.True(t, utf8.ValidString(clipError(long)))
}

func TestLooksRandom(t *testing.T) {
	t.Parallel()
	for range 1000 {
		raw := make([]byte, 32)
		_, _ = rand.Read(raw)
		require.True(t, looksRandom(raw))
		require.True(t, looksRandom([]byte(hex.EncodeToString(raw))))
	}
	require.False(t, looksRandom(make([]byte, 64)))
	require.False(t, looksRandom([]byte(strings.Repeat("0123456", 10))))
}

func TestALogRate(t *testing.T) {
	t.Parallel()
	var rate logRate
	require.True(t, rate.allows(noon))
	require.False(t, rate.allows(noon.Add(logInterval-time.Second)))
	require.True(t, rate.allows(noon.Add(logInterval)))
}
