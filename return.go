package connect

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/anchorconnect/connect/anchorhttp"
)

// returned is what a callback's query says. It comes from the browser, so none of it is
// trusted before it is proved.
type returned struct {
	identityID string
	err        error // why there is no identityID
	repeated   bool
	query      url.Values // as it was sent; see known
}

// returnParameters are the parameters of the hosted page that are read: identity_id and
// status today, identityId in the past, and error as OAuth has it (RFC 6749, section
// 4.1.2.1).
var returnParameters = []string{"identity_id", "identityId", "status", "error"}

// maxReturnValue is how many bytes of a parameter's value are kept. Valid values, a UUID
// or a word, are shorter.
const maxReturnValue = 64

// readReturn reads the query of a callback.
func readReturn(query url.Values) returned {
	result := returned{repeated: query.Has(repeated), query: query}
	result.identityID, result.err = readOutcome(query)
	return result
}

func readOutcome(query url.Values) (identityID string, err error) {
	for _, name := range returnParameters {
		if len(query[name]) > 1 {
			return "", fmt.Errorf("%w: %s is given %d times", ErrBadIdentityID, name, len(query[name]))
		}
	}
	switch status, failure := query.Get("status"), query.Get("error"); {
	case isCancel(status) || isCancel(failure):
		return "", ErrCancelled
	case status != "" && status != "success" || failure != "":
		// Even with an identity beside it.
		return "", ErrSignInFailed
	}
	current, older := query.Get("identity_id"), query.Get("identityId")
	if current != "" && older != "" && !strings.EqualFold(current, older) {
		return "", fmt.Errorf("%w: identity_id and identityId differ", ErrBadIdentityID)
	}
	if current == "" {
		current = older
	}
	if current == "" {
		return "", ErrNotFinished
	}
	id, ok := anchorhttp.ParseID(current)
	if !ok {
		return "", fmt.Errorf("%w: it is not a UUID", ErrBadIdentityID)
	}
	return id, nil
}

func isCancel(s string) bool {
	switch strings.ToLower(s) {
	case "cancel", "canceled", "cancelled", "access_denied":
		return true
	}
	return false
}

// says reports whether the query says anything about the sign-in.
func (r returned) says() bool {
	return slices.ContainsFunc(returnParameters, r.query.Has)
}

// keptReturn returns what the hosted page said before the user had to sign in or decide,
// if this browser has it for this state. Otherwise it returns result.
func (h *Handler) keptReturn(r *http.Request, state string, result returned) returned {
	query, ok := h.cookiesAt(r).keptReturn(r, state)
	if !ok {
		return result
	}
	kept := readReturn(query)
	kept.repeated = result.repeated
	return kept
}

// known returns the parameters that are read, to repeat the request with. They go into a
// page or a cookie, so they are cut to a bound that no valid value reaches.
func (r returned) known() url.Values {
	known := url.Values{}
	for _, name := range returnParameters {
		for _, value := range r.query[name][:min(len(r.query[name]), 2)] {
			known.Add(name, value[:min(len(value), maxReturnValue)])
		}
	}
	return known
}

// repeat returns the address, relative to the callback's own, that repeats the request.
func (r returned) repeat() string {
	query := r.known()
	query.Set(repeated, "1")
	return "?" + query.Encode()
}
