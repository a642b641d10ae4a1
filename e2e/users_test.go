package e2e

import (
	"bytes"
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/gin-gonic/gin"
	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/sessions"
	"github.com/labstack/echo/v5"
	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// The recipes.

func gorillaSessionUser(sessionStore sessions.Store) connect.Config {
	return connect.Config{
		// docs: gorilla/sessions
		User: connect.SessionUser(sessionStore, "session", "user_id"),
		// docs: end
	}
}

func scsUser(sessionManager *scs.SessionManager) connect.Config {
	return connect.Config{
		// docs: scs
		User: func(r *http.Request) (connect.User, error) {
			return connect.User{ID: sessionManager.GetString(r.Context(), "user_id")}, nil
		},
		// docs: end
	}
}

func contextUser() connect.Config {
	return connect.Config{
		// docs: context
		User: func(r *http.Request) (connect.User, error) {
			id, _ := r.Context().Value(userKey{}).(string) // none is the empty id: nobody
			return connect.User{ID: id}, nil
		},
		// docs: end
	}
}

// docs: jwt
type userKey struct{}

// withUser puts the subject of the token in the cookie "token" into the request's context.
func withUser(key []byte, next http.Handler) http.Handler {
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if cookie, err := r.Cookie("token"); err == nil {
			var claims jwt.RegisteredClaims
			if _, err := parser.ParseWithClaims(cookie.Value, &claims, func(*jwt.Token) (any, error) { return key, nil }); err == nil {
				r = r.WithContext(context.WithValue(r.Context(), userKey{}, claims.Subject))
			}
		}
		next.ServeHTTP(w, r)
	})
}

// docs: end

// docs: gin, user
func ginUser(c *gin.Context) {
	if id := c.GetString("user_id"); id != "" { // where your own middleware has put it
		c.Request = c.Request.WithContext(context.WithValue(c.Request.Context(), userKey{}, id))
	}
}

// docs: end

// docs: echo, user
func echoUser(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c *echo.Context) error {
		if id, _ := c.Get("user_id").(string); id != "" { // where your own middleware has put it
			r := c.Request()
			c.SetRequest(r.WithContext(context.WithValue(r.Context(), userKey{}, id)))
		}
		return next(c)
	}
}

// docs: end

// userCase is a way to identify the signed-in user.
type userCase struct {
	name string
	cfg  connect.Config
	// wire returns the app, with its own sign-in.
	wire func(parts) http.Handler
	// forged are cookies that must not sign anybody in.
	forged []string
}

func userCases() []userCase {
	gorillaStore := sessions.NewCookieStore(bytes.Repeat([]byte("g"), 32))
	gorillaStore.Options = &sessions.Options{Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	sessionManager := scs.New()
	sessionManager.Cookie.Secure = true
	key := bytes.Repeat([]byte("j"), 32)
	token := func(method jwt.SigningMethod, key any, claims jwt.RegisteredClaims) string {
		text, err := jwt.NewWithClaims(method, claims).SignedString(key)
		if err != nil {
			panic(err)
		}
		return text
	}
	anHour := jwt.NewNumericDate(time.Now().Add(time.Hour))
	const plain = "user" // a cookie that is believed, in the place of a real sign-in

	signInWith := func(cookie string, value func(user string) string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.SetCookie(w, &http.Cookie{
				Name: cookie, Value: value(r.FormValue("user")),
				Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
			})
		})
	}
	name := func(user string) string { return user }

	return []userCase{
		{"gorilla/sessions", gorillaSessionUser(gorillaStore), func(p parts) http.Handler {
			mux := newServeMux(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				session, _ := gorillaStore.Get(r, "session")
				session.Values["user_id"] = r.FormValue("user")
				_ = session.Save(r, w)
			}))
			serveMuxAtTheRoot(mux, p.connect, p.reports)
			return mux
		}, []string{"session=forged"}},
		{"scs", scsUser(sessionManager), func(p parts) http.Handler {
			mux := newServeMux(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_ = sessionManager.RenewToken(r.Context())
				sessionManager.Put(r.Context(), "user_id", r.FormValue("user"))
			}))
			serveMuxAtTheRoot(mux, p.connect, p.reports)
			return sessionManager.LoadAndSave(mux)
		}, []string{"session=forged"}},
		{"a JWT", contextUser(), func(p parts) http.Handler {
			mux := newServeMux(signInWith("token", func(user string) string {
				return token(jwt.SigningMethodHS256, key, jwt.RegisteredClaims{Subject: user, ExpiresAt: anHour})
			}))
			serveMuxAtTheRoot(mux, p.connect, p.reports)
			return withUser(key, mux)
		}, []string{
			"token=" + token(jwt.SigningMethodHS256, bytes.Repeat([]byte("x"), 32), jwt.RegisteredClaims{Subject: "ada", ExpiresAt: anHour}),
			"token=" + token(jwt.SigningMethodHS512, key, jwt.RegisteredClaims{Subject: "ada", ExpiresAt: anHour}),
			"token=" + token(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, jwt.RegisteredClaims{Subject: "ada", ExpiresAt: anHour}),
			"token=" + token(jwt.SigningMethodHS256, key, jwt.RegisteredClaims{Subject: "ada", ExpiresAt: jwt.NewNumericDate(time.Now().Add(-time.Hour))}),
			"token=" + token(jwt.SigningMethodHS256, key, jwt.RegisteredClaims{Subject: "ada"}),
		}},
		{"gin's context", contextUser(), func(p parts) http.Handler {
			r := gin.New()
			r.HandleMethodNotAllowed = true
			r.Use(func(c *gin.Context) {
				user, _ := c.Cookie(plain)
				c.Set("user_id", user)
			}, ginUser)
			r.POST("/login", gin.WrapH(signInWith(plain, name)))
			ginAtTheRoot(r, p.connect, p.reports)
			return r
		}, nil},
		{"echo's context", contextUser(), func(p parts) http.Handler {
			e := echo.New()
			e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
				return func(c *echo.Context) error {
					if cookie, err := c.Cookie(plain); err == nil {
						c.Set("user_id", cookie.Value)
					}
					return next(c)
				}
			}, echoUser)
			e.POST("/login", echo.WrapHandler(signInWith(plain, name)))
			echoAtTheRoot(e, p.connect, p.reports)
			return e
		}, nil},
	}
}

func TestSessionsOfEveryLibrary(t *testing.T) {
	t.Parallel()
	for _, test := range userCases() {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := startApp(t, wiring{reports: "/reports", wire: test.wire}, 1, func(c *connect.Config) { c.User = test.cfg.User })
			requireFlow(t, a)
			for _, cookie := range test.forged {
				got := a.visitor(t).do(http.MethodGet, "/connect", "", "Cookie", cookie)
				require.Equal(t, http.StatusUnauthorized, got.status, cookie)
			}
		})
	}
}
