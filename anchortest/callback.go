package anchortest

import (
	"net/url"
	"strings"
)

// A CallbackStyle is which parameters the browser brings back to the app.
type CallbackStyle int

const (
	// CurrentCallback is ?identity_id=…&status=success, as documented now. The
	// default.
	CurrentCallback CallbackStyle = iota
	// OlderCallback is ?identityId=…, as documented before.
	OlderCallback
	// BothCallback has the parameters of both.
	BothCallback
)

// SetCallbackStyle chooses the parameters of callbacks from now on.
func (s *Server) SetCallbackStyle(style CallbackStyle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.callbackStyle = style
}

// SetCallbackAppend chooses how the parameters get into a callback URL. With
// true they are put at its very end behind a question mark, even when it has
// one already; by default they are added to its query. What Anchor does with a
// query, its documentation does not say.
func (s *Server) SetCallbackAppend(blindly bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.appendBlindly = blindly
}

// SetSilentFailure chooses what the browser brings back when the person has
// cancelled or the sign-in has failed. With true it is nothing at all. By
// default it is status=cancelled or status=failed (not in [OlderCallback],
// which has no status) with error and error_description. What Anchor does, its
// documentation does not say.
func (s *Server) SetSilentFailure(silent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silentFailure = silent
}

// An outcome is how a person leaves the hosted page, named as the page's
// buttons are.
type outcome string

const (
	approve outcome = "approve"
	cancel  outcome = "cancel"
	fail    outcome = "fail"
)

// callbackParameters is the query that an outcome adds to the callback URL.
func callbackParameters(style CallbackStyle, o outcome, identityID string) string {
	var status, reason string
	switch o {
	case approve:
		switch style {
		case OlderCallback:
			return "identityId=" + identityID
		case BothCallback:
			return "identity_id=" + identityID + "&status=success&identityId=" + identityID
		default:
			return "identity_id=" + identityID + "&status=success"
		}
	case cancel:
		// The error is named as in RFC 6749, section 4.1.2.1.
		status, reason = "status=cancelled&", "error=access_denied&error_description="+url.QueryEscape("The person cancelled.")
	case fail:
		status, reason = "status=failed&", "error=authentication_failed&error_description="+url.QueryEscape("The sign-in failed.")
	}
	if style == OlderCallback {
		status = ""
	}
	return status + reason
}

// addParameters puts parameters into a callback URL, leaving the rest of it as
// it is to the byte.
func addParameters(callbackURL, parameters string, blindly bool) string {
	if parameters == "" {
		return callbackURL
	}
	if blindly {
		return callbackURL + "?" + parameters
	}
	address, fragment, hasFragment := strings.Cut(callbackURL, "#")
	switch {
	case !strings.Contains(address, "?"):
		address += "?"
	case !strings.HasSuffix(address, "?") && !strings.HasSuffix(address, "&"):
		address += "&"
	}
	address += parameters
	if hasFragment {
		address += "#" + fragment
	}
	return address
}
