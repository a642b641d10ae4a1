package connect

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/anchorconnect/connect/anchorhttp"
)

// upstreamError returns the error for a failed call to Anchor.
func upstreamError(doing string, err error) error {
	return fmt.Errorf("%w: %s: %w", upstreamCause(err), doing, err)
}

func upstreamCause(err error) error {
	var answer *anchorhttp.Error
	var network net.Error
	switch {
	case errors.Is(err, anchorhttp.ErrInvalidAnswer):
		return ErrUpstreamInvalid
	case errors.As(err, &answer):
		switch code := answer.StatusCode; {
		case code == http.StatusGatewayTimeout || code == http.StatusRequestTimeout:
			return ErrUpstreamTimeout
		case code == http.StatusTooManyRequests || code >= 500:
			return ErrUpstreamUnavailable
		}
		// A refused key, an unknown application, a redirect.
		return ErrUpstreamInvalid
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return ErrUpstreamTimeout
	}
	return ErrUpstreamUnavailable
}

// storeError returns the error for a failed call to the store: a refusal that the contract
// of [Store] names, or else ErrStoreFailed.
func storeError(doing string, err error) error {
	var answer *causeError
	if errors.As(err, &answer) {
		return fmt.Errorf("%w: %s", err, doing)
	}
	return fmt.Errorf("%w: %s: %w", ErrStoreFailed, doing, err)
}
