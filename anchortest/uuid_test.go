package anchortest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUUID(t *testing.T) {
	t.Parallel()
	require.Regexp(t, uuidPattern, newUUID())
	require.NotEqual(t, newUUID(), newUUID())
	for text, want := range map[string]bool{
		unknownID:                               true,
		"ABCDEFAB-CDEF-abcd-efab-cdefabcdefab":  true,
		"":                                      false,
		"00000000000040008000000000000000":      false,
		"{00000000-0000-4000-8000-00000000000}": false,
		"00000000-0000-4000-8000-00000000000g":  false,
		"00000000-0000-4000-8000_000000000000":  false,
		"00000000_0000-4000-8000-000000000000":  false,
		"00000000-0000_4000-8000-000000000000":  false,
		"00000000-0000-4000_8000-000000000000":  false,
		"0000000-00000-4000-8000-000000000000":  false,
		unknownID + "0":                         false,
		unknownID + "00":                        false,
		unknownID + "\n":                        false,
	} {
		_, ok := parseUUID(text)
		require.Equal(t, want, ok, text)
	}
}
