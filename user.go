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

// User is who is signed in to the app: a person, or a person who acts for an
// organisation.
type User struct {
	// ID is the owner of the connections: the app's own id of the person or, if
	// connections belong to an organisation, of that. It is compared byte by byte, and
	// is written into the identity's metadata as externalUserId. Use an id that never
	// changes and is never given to somebody else: a primary key, not an email
	// address. It has at most 255 bytes.
	//
	// An empty ID means that nobody is signed in, and so does one of nothing but
	// spaces, zeros and hyphens, such as "0" or an all-zero UUID: the zero value of a
	// field that was never set would make one user of everybody who is signed out.
	ID string
	// Actor is the app's own id of the person who acts, if ID is an organisation's.
	// Everybody with the same ID sees, uses and ends the same connections, but only
	// the Actor who began a flow can finish it. It is written into the metadata as
	// connectedBy. Leave it empty if the owner acts. One of nothing but spaces, zeros
	// and hyphens means that nobody is signed in. It has at most 255 bytes.
	Actor string
	// Name is shown by Anchor as the identity's name. It may be empty.
	Name string
}

// TenantUserID returns a User.ID for an app whose tenants have users of their own, so
// that equal ids of two tenants are two users:
//
//	connect.User{ID: connect.TenantUserID("acme", "7")} // "acme/7"
//
// Two different pairs never give the same id: a slash or a percent sign within them is
// escaped. If either is nobody's id (see [User]), it returns "", which is nobody's.
func TenantUserID(tenant, id string) string {
	if isNobody(tenant) || isNobody(id) {
		return ""
	}
	escape := strings.NewReplacer("%", "%25", "/", "%2F")
	return escape.Replace(tenant) + "/" + escape.Replace(id)
}

// isNobody reports whether an id is that of nobody: see [User].
func isNobody(id string) bool {
	return strings.Trim(id, " \t\r\n0-") == ""
}

// signedIn asks the app who is there.
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

// SessionUser reads the signed-in user's id from a gorilla session: the value
// under key in the session called name. The value may be a string, an integer or
// a fmt.Stringer. Nobody is signed in if there is no session or no value, if the
// value is the zero value of its type or its text names nobody (see [User]), or if
// the session cookie cannot be opened. A store that fails is an error.
//
// It is for Config.User. It knows no names: for the connect page to say whose it
// is, and for other session libraries, write a function of a few lines.
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

// isZero reports whether a value, or what it points to, is the zero value of its
// type. Its String method may well have a text for that.
func isZero(value any) bool {
	v := reflect.ValueOf(value)
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	return !v.IsValid() || v.IsZero()
}

// isForgedSession tells a session that the browser brought and that cannot be
// opened (forged, too long, sealed with a retired key, its file gone) from a
// session store that failed.
func isForgedSession(err error) bool {
	var several securecookie.MultiError
	var one securecookie.Error
	return errors.As(err, &several) ||
		errors.As(err, &one) && one.IsDecode() ||
		errors.Is(err, fs.ErrNotExist)
}
