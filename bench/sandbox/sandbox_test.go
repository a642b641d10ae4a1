package main

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/sandbox"
)

func TestCompare(t *testing.T) {
	t.Parallel()
	table, err := compare(t.Context(), 1)
	if errors.Is(err, sandbox.ErrNoBrowser) {
		t.Skip(err)
	}
	require.NoError(t, err)
	require.Regexp(t, `(?m)^\| NewSession, the inbox \| [0-9.]+ ms \| [0-9.]+ ms \| [0-9.]+ \|$`, table)
}
