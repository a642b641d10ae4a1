package anchorhttp_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

func TestParseID(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, want string }{
		{"lower case stays", "123e4567-e89b-12d3-a456-426614174000", "123e4567-e89b-12d3-a456-426614174000"},
		{"upper case is lowered", "ABCDEF01-2345-6789-ABCD-EFabcdef0123", "abcdef01-2345-6789-abcd-efabcdef0123"},
		{"no version or variant is asked for", "ffffffff-ffff-ffff-ffff-ffffffffffff", "ffffffff-ffff-ffff-ffff-ffffffffffff"},
		{"empty", "", ""},
		{"no hyphens", "123e4567e89b12d3a456426614174000", ""},
		{"36 digits", "123e4567e89b12d3a456426614174000abcd", ""},
		{"braces", "{123e4567-e89b-12d3-a456-426614174000}", ""},
		{"urn", "urn:uuid:123e4567-e89b-12d3-a456-426614174000", ""},
		{"a space before", " 123e4567-e89b-12d3-a456-426614174000", ""},
		{"a line break after", "123e4567-e89b-12d3-a456-426614174000\n", ""},
		{"a digit too few", "123e4567-e89b-12d3-a456-42661417400", ""},
		{"a digit too many", "123e4567-e89b-12d3-a456-4266141740001", ""},
		{"a hyphen at another place", "123e456-7e89b-12d3-a456-426614174000", ""},
		{"a hyphen for a digit", "-23e4567-e89b-12d3-a456-426614174000", ""},
		{"a slash for a hyphen", "123e4567/e89b-12d3-a456-426614174000", ""},
		{"the last hyphen is missing", "123e4567-e89b-12d3-a456a426614174000", ""},
		{"a letter after f", "123e4567-e89b-12d3-a456-42661417400g", ""},
		{"a letter after F", "123e4567-e89b-12d3-a456-42661417400G", ""},
		{"a colon after 9", "123e4567-e89b-12d3-a456-42661417400:", ""},
		{"two dots", "../e4567-e89b-12d3-a456-4266141740000", ""},
		{"a digit of two bytes", "123e4567-e89b-12d3-a456-4266141740é", ""},
		{"a NUL byte", "123e4567-e89b-12d3-a456-42661417400\x00", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, ok := anchorhttp.ParseID(tt.in)
			require.Equal(t, tt.want, got)
			require.Equal(t, tt.want != "", ok)
		})
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("123e4567-e89b-12d3-a456-426614174000")
	f.Add("{123e4567-e89b-12d3-a456-426614174000}")
	f.Fuzz(func(t *testing.T, s string) {
		id, ok := anchorhttp.ParseID(s)
		if !ok {
			require.Empty(t, id)
			return
		}
		require.Regexp(t, `\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\z`, id)
		again, ok := anchorhttp.ParseID(id)
		require.True(t, ok)
		require.Equal(t, id, again)
	})
}
