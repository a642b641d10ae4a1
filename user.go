package connect

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"
)

// User is the person who is signed in to the app.
type User struct {
	// ID is the app's own id of the user, compared byte by byte. It is written
	// into the identity's metadata as externalUserId, so it should be one that
	// never changes and is never given to somebody else: a primary key, not an
	// email address. At most 255 bytes. Empty means that nobody is signed in.
	ID string
	// Name is shown by Anchor as the identity's name. It may be empty.
	Name string
}

// SessionUser reads the signed-in user's id from a gorilla session: the value
// under key in the session called name. The value may be a string, an integer
// or a fmt.Stringer. No session, no value, an empty one, zero and a session cookie that cannot be
// opened all mean that nobody is signed in; a store that fails is an error.
//
// It is for Config.User. Apps with other sessions write that function
// themselves; it is rarely longer than three lines.
func SessionUser(store sessions.Store, name, key string) func(*http.Request) (User, error) {
	return func(r *http.Request) (User, error) {
		session, err := store.Get(r, name)
		if err != nil {
			if isForgedSession(err) {
				return User{}, ErrNotSignedIn
			}
			return User{}, fmt.Errorf("read the session %q: %w", name, err)
		}
		switch id := session.Values[key].(type) {
		case nil:
			return User{}, ErrNotSignedIn
		case string:
			return User{ID: id}, nil
		case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
			if fmt.Sprint(id) == "0" {
				// The zero of a field that was never set. Taken for an id it
				// would make one user of everybody who is signed out.
				return User{}, ErrNotSignedIn
			}
			return User{ID: fmt.Sprint(id)}, nil
		case fmt.Stringer:
			return User{ID: id.String()}, nil
		default:
			return User{}, fmt.Errorf("the session value %q is a %T, not a string, an integer or a fmt.Stringer", key, id)
		}
	}
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
