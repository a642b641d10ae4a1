package connect

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadReturnReadsEachQuery(t *testing.T) {
	t.Parallel()
	const upper = "AAAAAAAA-AAAA-4AAA-8AAA-AAAAAAAAAAAA"
	const lower = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
	tests := []struct {
		name, query, want string
		err               error
	}{
		{name: "today's names", query: "identity_id=" + identityA + "&status=success", want: identityA},
		{name: "the older name", query: "identityId=" + identityA, want: identityA},
		{name: "today's name without a status", query: "identity_id=" + identityA, want: identityA},
		{name: "both names that agree", query: "identity_id=" + identityA + "&identityId=" + identityA, want: identityA},
		{name: "both names that agree but for case", query: "identity_id=" + upper + "&identityId=" + lower, want: lower},
		{name: "capitals are the same identity", query: "identityId=" + upper, want: lower},
		{name: "one name empty", query: "identity_id=&identityId=" + identityA, want: identityA},
		{name: "other parameters do not matter", query: "identityId=" + identityA + "&utm=x&utm=y", want: identityA},

		{name: "both names that differ", query: "identity_id=" + identityA + "&identityId=" + identityB, err: ErrBadIdentityID},
		{name: "a repeated name", query: "identityId=" + identityA + "&identityId=" + identityB, err: ErrBadIdentityID},
		{name: "a repeated name with the same value", query: "identity_id=" + identityA + "&identity_id=" + identityA, err: ErrBadIdentityID},
		{name: "a repeated status", query: "identity_id=" + identityA + "&status=success&status=failed", err: ErrBadIdentityID},
		{name: "no UUID", query: "identityId=42", err: ErrBadIdentityID},
		{name: "a path", query: "identityId=" + url.QueryEscape("../applications"), err: ErrBadIdentityID},
		{name: "a path behind a UUID", query: "identityId=" + identityA + url.QueryEscape("/credentials"), err: ErrBadIdentityID},
		{name: "a query behind a UUID", query: "identityId=" + identityA + url.QueryEscape("?x=y"), err: ErrBadIdentityID},
		{name: "a line end behind a UUID", query: "identityId=" + identityA + "%0d%0aX: y", err: ErrBadIdentityID},
		{name: "a UUID in braces", query: "identityId=" + url.QueryEscape("{"+identityA+"}"), err: ErrBadIdentityID},

		{name: "nothing", query: "", err: ErrNotFinished},
		{name: "an empty identity", query: "identityId=", err: ErrNotFinished},
		{name: "success without an identity", query: "status=success", err: ErrNotFinished},
		{name: "a cancel", query: "status=cancelled", err: ErrCancelled},
		{name: "a cancel spelt the other way", query: "status=Canceled", err: ErrCancelled},
		{name: "a cancel in OAuth's words", query: "error=access_denied", err: ErrCancelled},
		{name: "a cancel with an identity", query: "status=cancelled&identity_id=" + identityA, err: ErrCancelled},
		{name: "a failure", query: "status=failed", err: ErrSignInFailed},
		{name: "a failure with an identity", query: "status=failed&identity_id=" + identityA, err: ErrSignInFailed},
		{name: "an unknown status, with an identity", query: "status=ok&identity_id=" + identityA, err: ErrSignInFailed},
		{name: "an error", query: "error=server_error&error_description=x", err: ErrSignInFailed},
		{name: "an error beside success", query: "error=x&status=success&identity_id=" + identityA, err: ErrSignInFailed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			query, err := url.ParseQuery(test.query)
			require.NoError(t, err)
			result := readReturn(query)
			require.Equal(t, test.want, result.identityID)
			require.ErrorIs(t, result.err, test.err)
		})
	}
}

func TestReturnThatIsRepeatedReadsTheSame(t *testing.T) {
	t.Parallel()
	query, err := url.ParseQuery(`identity_id=a"><script>&identity_id=b&status=success&other=x`)
	require.NoError(t, err)
	first := readReturn(query)
	require.False(t, first.repeated)

	u, err := url.Parse(first.repeat())
	require.NoError(t, err)
	require.Equal(t, url.Values{
		"identity_id": {`a"><script>`, "b"}, "status": {"success"}, repeated: {"1"},
	}, u.Query())
	require.NotContains(t, first.repeat(), `"`)
	require.True(t, readReturn(u.Query()).repeated)
}
