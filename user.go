package connect

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"reflect"
	"strings"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"
)

// User is who is signed in to the app: a user, or somebody who acts for an organisation.
type User struct {
	// ID is the owner of the connections: the app's own id of the user or, if connections
	// belong to an organisation, of the organisation. It is compared byte by byte, and
	// written into the identity's metadata as externalUserId. Use an id that never changes
	// and is never reused: a primary key, not an email address. It has at most 255 bytes.
	//
	// An empty ID means that nobody is signed in, and so does one of only spaces, zeros
	// and hyphens, such as "0" or an all-zero UUID: if a field is never set, its zero value
	// would make everybody who is signed out one user.
	ID string
	// Actor is the app's own id of the user who acts, if ID is an organisation's. Users
	// with the same ID see, use and end the same connections, but only the Actor who began
	// a flow can finish it. It is written into the metadata as connectedBy. It is empty if
	// the owner acts. One of only spaces, zeros and hyphens means that nobody is signed in.
	// It has at most 255 bytes.
	Actor string
	// Name is shown on the connect page, and becomes the identity's name at Anchor. It may
	// be empty.
	Name string
}

// TenantUserID returns a User.ID for an app with tenants, whose ids are unique only within a
// tenant:
//
//	connect.User{ID: connect.TenantUserID("acme", "7")} // "acme/7"
//
// Two different pairs never have the same result: slashes and percent signs within them are
// escaped. If either means nobody (see [User]), it returns "".
func TenantUserID(tenant, id string) string {
	if isNobody(tenant) || isNobody(id) {
		return ""
	}
	escape := strings.NewReplacer("%", "%25", "/", "%2F")
	return escape.Replace(tenant) + "/" + escape.Replace(id)
}

// isNobody reports whether an id means that nobody is signed in: see [User].
func isNobody(id string) bool {
	return strings.Trim(id, " \t\r\n0-") == ""
}

// signedIn returns who is signed in to the app. The error is ErrNotSignedIn or
// ErrUserLookup.
func (h *Handler) signedIn(r *http.Request) (User, error) {
	user, err := h.user(r)
	switch {
	case errors.Is(err, ErrNotSignedIn):
		return User{}, err
	case err != nil:
		return User{}, fmt.Errorf("%w: %w", ErrUserLookup, err)
	case isNobody(user.ID), user.Actor != "" && isNobody(user.Actor):
		return User{}, ErrNotSignedIn
	}
	if user.Actor == user.ID {
		user.Actor = ""
	}
	err = cmp.Or(validateKey("the user's id", user.ID), validateText("the actor's id", user.Actor, maxKeyBytes))
	if err != nil {
		return User{}, fmt.Errorf("%w: %w", ErrUserLookup, err)
	}
	return user, nil
}

// SessionUser returns a function for Config.User that reads the user's id from a gorilla
// session: the value of key in the session called name. The value is a string, an integer
// or a fmt.Stringer. Nobody is signed in if there is no session or no value, if the value is
// the zero value of its type or its text means nobody (see [User]), or if the session cookie
// cannot be opened. If the session store fails, the function returns an error.
//
// It sets no name. To show the user's name on the connect page, or for other session
// libraries, write a function of a few lines.
func SessionUser(store sessions.Store, name, key string) func(*http.Request) (User, error) {
	return func(r *http.Request) (User, error) {
		session, err := store.Get(r, name)
		if err != nil {
			if isForgedSession(err) {
				return User{}, ErrNotSignedIn
			}
			return User{}, fmt.Errorf("read the session %q: %w", name, err)
		}
		value := session.Values[key]
		if isZero(value) {
			return User{}, ErrNotSignedIn
		}
		var id string
		switch value := value.(type) {
		case string:
			id = value
		case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
			id = fmt.Sprint(value)
		case fmt.Stringer:
			id = value.String()
		default:
			return User{}, fmt.Errorf("the session value %q is a %T, not a string, an integer or a fmt.Stringer", key, value)
		}
		if isNobody(id) {
			return User{}, ErrNotSignedIn
		}
		return User{ID: id}, nil
	}
}

// isZero reports whether a value, or what it points to, is the zero value of its type, for
// which its String method may return a text.
func isZero(value any) bool {
	v := reflect.ValueOf(value)
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	return !v.IsValid() || v.IsZero()
}

// isForgedSession reports whether a session cookie cannot be opened (it is forged, too long,
// sealed with a retired key, or its file is gone), rather than that the session store has
// failed.
func isForgedSession(err error) bool {
	var several securecookie.MultiError
	var one securecookie.Error
	return errors.As(err, &several) ||
		errors.As(err, &one) && one.IsDecode() ||
		errors.Is(err, fs.ErrNotExist)
}
