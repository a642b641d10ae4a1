package connect

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect/anchorhttp"
)

func TestUpstreamErrorOfEachFailure(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		err  error
		want error
	}{
		{"down", &anchorhttp.Error{StatusCode: 503}, ErrUpstreamUnavailable},
		{"broken", &anchorhttp.Error{StatusCode: 500}, ErrUpstreamUnavailable},
		{"busy", &anchorhttp.Error{StatusCode: 429}, ErrUpstreamUnavailable},
		{"its own upstream is slow", &anchorhttp.Error{StatusCode: 504}, ErrUpstreamTimeout},
		{"it waited for us", &anchorhttp.Error{StatusCode: 408}, ErrUpstreamTimeout},
		{"it refuses our key", &anchorhttp.Error{StatusCode: 401}, ErrUpstreamInvalid},
		{"it does not know our application", &anchorhttp.Error{StatusCode: 404}, ErrUpstreamInvalid},
		{"a redirect", &anchorhttp.Error{StatusCode: 302}, ErrUpstreamInvalid},
		{"garbage", anchorhttp.ErrInvalidAnswer, ErrUpstreamInvalid},
		{"too slow", context.DeadlineExceeded, ErrUpstreamTimeout},
		{"too slow, says the network", &url.Error{Op: "Get", Err: timeoutError{}}, ErrUpstreamTimeout},
		{"no connection", errors.New("connection refused"), ErrUpstreamUnavailable},
		{"the browser went away", context.Canceled, ErrUpstreamUnavailable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := upstreamError("get the identity", test.err)
			require.ErrorIs(t, err, test.want)
			require.ErrorIs(t, err, test.err)
			require.Contains(t, []int{http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}, Explain(err).Status)
		})
	}
}

type timeoutError struct{}

func (timeoutError) Error() string   { return "slow" }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

func TestStoreErrorKeepsAnAnswerOfTheStore(t *testing.T) {
	t.Parallel()
	require.ErrorIs(t, storeError("complete", ErrIdentityTaken), ErrIdentityTaken)
	require.NotErrorIs(t, storeError("complete", ErrIdentityTaken), ErrStoreFailed)
	fault := errors.New("disk full")
	require.ErrorIs(t, storeError("complete", fault), ErrStoreFailed)
	require.ErrorIs(t, storeError("complete", fault), fault)
	require.Equal(t, http.StatusServiceUnavailable, Explain(storeError("complete", fault)).Status)
}
