package anchortest

import (
	"net/url"
	"strings"
)

// A CallbackStyle selects the parameters that a callback has.
type CallbackStyle int

const (
	// CurrentCallback is ?identity_id=…&status=success, as documented today. It is
	// the default.
	CurrentCallback CallbackStyle = iota
	// OlderCallback is ?identityId=…, as documented earlier.
	OlderCallback
	// BothCallback has the parameters of both.
	BothCallback
)

// SetCallbackStyle sets the parameters of callbacks from now on.
func (s *Server) SetCallbackStyle(style CallbackStyle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.callbackStyle = style
}

// SetCallbackAppend sets how parameters are added to a callback URL. By default they
// are added to its query. If blindly is true, they are appended to the URL after a
// question mark, even if it has one already. Anchor does not document what it does.
func (s *Server) SetCallbackAppend(blindly bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.appendBlindly = blindly
}

// SetSilentFailure sets the parameters of a callback after the user has cancelled or
// the sign-in has failed. By default they are status=cancelled or status=failed (not
// for [OlderCallback], which has no status), error and error_description. If silent
// is true there are none. Anchor does not document what it does.
func (s *Server) SetSilentFailure(silent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silentFailure = silent
}

// An outcome is how a user leaves the hosted page. Its values are those of the
// page's buttons.
type outcome string

const (
	approve outcome = "approve"
	cancel  outcome = "cancel"
	fail    outcome = "fail"
)

// callbackParameters returns the query that an outcome adds to the callback URL.
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
		// access_denied is defined in RFC 6749, section 4.1.2.1.
		status, reason = "status=cancelled&", "error=access_denied&error_description="+url.QueryEscape("The user cancelled.")
	case fail:
		status, reason = "status=failed&", "error=authentication_failed&error_description="+url.QueryEscape("The sign-in failed.")
	}
	if style == OlderCallback {
		status = ""
	}
	return status + reason
}

// addParameters adds parameters to a callback URL, and keeps all its other bytes.
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
