package connect

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gorilla/sessions"
	"github.com/stretchr/testify/require"
)

// uuid is such a type as apps keep in their sessions.
type uuid [16]byte

func (u uuid) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

type userNumber int

func (n userNumber) String() string { return fmt.Sprintf("user %d", int(n)) }

func TestSessionUserReadsAGorillaSession(t *testing.T) {
	t.Parallel()
	type id string
	tests := []struct {
		name  string
		value any
		want  string
		err   error
	}{
		{"a string", "ada", "ada", nil},
		{"an int", 42, "42", nil},
		{"an int64", int64(42), "42", nil},
		{"a uint", uint(42), "42", nil},
		{"a small int", int16(42), "42", nil},
		{"a Stringer", &url.URL{Path: "/ada"}, "/ada", nil},
		{"no value", nil, "", ErrNotSignedIn},
		{"a zero that was never set", 0, "", ErrNotSignedIn},
		{"a zero of another type", int64(0), "", ErrNotSignedIn},
		{"an empty string", "", "", ErrNotSignedIn},
		{"spaces", " \t\n", "", ErrNotSignedIn},
		{"a zero in letters", "0", "", ErrNotSignedIn},
		{"several zeros", "000", "", ErrNotSignedIn},
		{"an all-zero UUID in letters", "00000000-0000-0000-0000-000000000000", "", ErrNotSignedIn},
		{"an all-zero UUID", uuid{}, "", ErrNotSignedIn},
		{"a pointer to an all-zero UUID", &uuid{}, "", ErrNotSignedIn},
		{"a nil pointer", (*uuid)(nil), "", ErrNotSignedIn},
		{"a typed zero that prints as a text", userNumber(0), "", ErrNotSignedIn},
		{"a Stringer that prints nothing", &url.URL{OmitHost: true}, "", ErrNotSignedIn},
		{"a UUID", uuid{15: 1}, "00000000-0000-0000-0000-000000000001", nil},
		{"a typed number", userNumber(7), "user 7", nil},
		{"a number that ends in zeros", 1000, "1000", nil},
		{"another type", id("ada"), "", errors.New("any")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			store := sessions.NewCookieStore(secretA)
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			session, err := store.Get(r, "session")
			require.NoError(t, err)
			session.Values["user_id"] = test.value

			user, err := SessionUser(store, "session", "user_id")(r)
			require.Equal(t, test.want, user.ID)
			switch {
			case test.err == nil:
				require.NoError(t, err)
			case errors.Is(test.err, ErrNotSignedIn):
				require.ErrorIs(t, err, ErrNotSignedIn)
			default:
				require.Error(t, err)
				require.NotErrorIs(t, err, ErrNotSignedIn)
			}
		})
	}
}

func TestSessionUserReturnsNobodyForAForgedSession(t *testing.T) {
	t.Parallel()
	store := sessions.NewCookieStore(secretA)
	for _, value := range []string{"", "forged", strings.Repeat("A", 5000), "MTIz|x|y"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.AddCookie(&http.Cookie{Name: "session", Value: value})
		_, err := SessionUser(store, "session", "user_id")(r)
		require.ErrorIs(t, err, ErrNotSignedIn, "%.20q", value)
	}

	files := sessions.NewFilesystemStore(t.TempDir(), secretA)
	r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
	session, err := files.Get(r, "session")
	require.NoError(t, err)
	require.NoError(t, session.Save(r, w))
	gone := sessions.NewFilesystemStore(t.TempDir(), secretA)
	r = httptest.NewRequest(http.MethodGet, "/", nil)
	r.AddCookie(w.Result().Cookies()[0])
	_, err = SessionUser(gone, "session", "user_id")(r)
	require.ErrorIs(t, err, ErrNotSignedIn, "its file is gone")
}

func TestSessionUserReturnsTheStoresError(t *testing.T) {
	t.Parallel()
	down := errors.New("redis is down")
	_, err := SessionUser(failingSessions{down}, "session", "user_id")(httptest.NewRequest(http.MethodGet, "/", nil))
	require.ErrorIs(t, err, down)
	require.NotErrorIs(t, err, ErrNotSignedIn)
}

type failingSessions struct{ err error }

func (f failingSessions) Get(*http.Request, string) (*sessions.Session, error) { return nil, f.err }
func (f failingSessions) New(*http.Request, string) (*sessions.Session, error) { return nil, f.err }
func (f failingSessions) Save(*http.Request, http.ResponseWriter, *sessions.Session) error {
	return f.err
}

func TestSignedInDistinguishesUsersNobodyAndFaults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		user User
		err  error
		want error
	}{
		{name: "a user", user: User{ID: "ada"}},
		{name: "an id of 255 bytes", user: User{ID: strings.Repeat("a", 255)}},
		{name: "nobody", want: ErrNotSignedIn},
		{name: "an id of spaces is nobody's", user: User{ID: " \t"}, want: ErrNotSignedIn},
		{name: "a zero is nobody's id", user: User{ID: "0"}, want: ErrNotSignedIn},
		{name: "an all-zero UUID is nobody's", user: User{ID: "00000000-0000-0000-0000-000000000000"}, want: ErrNotSignedIn},
		{name: "an id with a zero", user: User{ID: "0a"}},
		{name: "nobody, as an error", err: ErrNotSignedIn, want: ErrNotSignedIn},
		{name: "nobody, wrapped", err: fmt.Errorf("no session: %w", ErrNotSignedIn), want: ErrNotSignedIn},
		{name: "an id beside an error counts for nothing", user: User{ID: "ada"}, err: ErrNotSignedIn, want: ErrNotSignedIn},
		{name: "a fault", err: errors.New("database is down"), want: ErrUserLookup},
		{name: "an id that is too long", user: User{ID: strings.Repeat("a", 256)}, want: ErrUserLookup},
		{name: "an id with a NUL byte", user: User{ID: "a\x00"}, want: ErrUserLookup},
		{name: "an id that is no UTF-8", user: User{ID: "a\xff"}, want: ErrUserLookup},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cfg := goodConfig()
			cfg.User = func(*http.Request) (User, error) { return test.user, test.err }
			h, err := New(cfg)
			require.NoError(t, err)
			user, err := h.signedIn(httptest.NewRequest(http.MethodGet, "/", nil))
			require.ErrorIs(t, err, test.want)
			if test.want == nil {
				require.Equal(t, test.user, user)
			} else {
				require.Zero(t, user)
			}
		})
	}
}
