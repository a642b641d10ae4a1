package connect_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

func TestValidateNamesTheFieldAndTheLimit(t *testing.T) {
	t.Parallel()

	pending := func(edit func(p *connect.Pending)) connect.Pending {
		p := connect.Pending{TokenHash: "hash", ApplicationID: "application", UserID: "user", ReturnTo: "/reports"}
		edit(&p)
		return p
	}
	connection := func(edit func(c *connect.Connection)) connect.Connection {
		c := connect.Connection{ID: "id", ApplicationID: "application", UserID: "user", IdentityID: "identity", Health: connect.HealthOK}
		edit(&c)
		return c
	}

	for name, row := range map[string]struct {
		value interface{ Validate() error }
		want  string // empty: it is valid
	}{
		"a flow":                       {pending(func(p *connect.Pending) {}), ""},
		"a flow without a return path": {pending(func(p *connect.Pending) { p.ReturnTo = "" }), ""},
		"a flow whose texts are as long as allowed": {pending(func(p *connect.Pending) {
			p.TokenHash, p.ApplicationID, p.UserID = strings.Repeat("h", 255), strings.Repeat("a", 255), strings.Repeat("ü", 127)+"u"
			p.ReturnTo = "/" + strings.Repeat("r", 1023)
		}), ""},
		"a flow with line breaks and emoji":    {pending(func(p *connect.Pending) { p.UserID = " 🍣\r\n\t\x01 " }), ""},
		"a flow whose odd identity is ignored": {pending(func(p *connect.Pending) { p.IdentityID = "\x00" }), ""},

		"a flow without a token hash":       {pending(func(p *connect.Pending) { p.TokenHash = "" }), "TokenHash is empty"},
		"a flow without an application":     {pending(func(p *connect.Pending) { p.ApplicationID = "" }), "ApplicationID is empty"},
		"a flow without a user":             {pending(func(p *connect.Pending) { p.UserID = "" }), "UserID is empty"},
		"a token hash of 256 bytes":         {pending(func(p *connect.Pending) { p.TokenHash = strings.Repeat("h", 256) }), "TokenHash has 256 bytes, over the limit of 255"},
		"a flow's application too long":     {pending(func(p *connect.Pending) { p.ApplicationID = strings.Repeat("a", 256) }), "ApplicationID has 256 bytes, over the limit of 255"},
		"128 characters that are 256 bytes": {pending(func(p *connect.Pending) { p.UserID = strings.Repeat("ü", 128) }), "UserID has 256 bytes, over the limit of 255"},
		"a return path of 1025 bytes":       {pending(func(p *connect.Pending) { p.ReturnTo = strings.Repeat("/", 1025) }), "ReturnTo has 1025 bytes, over the limit of 1024"},
		"a return path with a NUL byte":     {pending(func(p *connect.Pending) { p.ReturnTo = "/\x00" }), "ReturnTo has a NUL byte"},
		"a return path that is no UTF-8":    {pending(func(p *connect.Pending) { p.ReturnTo = "/\xff" }), "ReturnTo is not valid UTF-8"},
		"a token hash with a NUL byte":      {pending(func(p *connect.Pending) { p.TokenHash = "\x00" }), "TokenHash has a NUL byte"},
		"a user that is half an emoji":      {pending(func(p *connect.Pending) { p.UserID = "🍣"[:3] }), "UserID is not valid UTF-8"},

		"a connection":                        {connection(func(c *connect.Connection) {}), ""},
		"a connection without an application": {connection(func(c *connect.Connection) { c.ApplicationID = "" }), "ApplicationID is empty"},
		"a connection without a user":         {connection(func(c *connect.Connection) { c.UserID = "" }), "UserID is empty"},
		"a connection without an identity":    {connection(func(c *connect.Connection) { c.IdentityID = "" }), "IdentityID is empty"},
		"a connection's user with a NUL byte": {connection(func(c *connect.Connection) { c.UserID = "u\x00" }), "UserID has a NUL byte"},
		"an identity that is no UTF-8":        {connection(func(c *connect.Connection) { c.IdentityID = "\xc0\x80" }), "IdentityID is not valid UTF-8"},
		"an identity of 256 bytes":            {connection(func(c *connect.Connection) { c.IdentityID = strings.Repeat("i", 256) }), "IdentityID has 256 bytes, over the limit of 255"},
		"a connection's application too long": {connection(func(c *connect.Connection) { c.ApplicationID = strings.Repeat("a", 256) }), "ApplicationID has 256 bytes, over the limit of 255"},
		"an identity of 255 bytes":            {connection(func(c *connect.Connection) { c.IdentityID = strings.Repeat("i", 255) }), ""},
		"a connection that needs a sign-in":   {connection(func(c *connect.Connection) { c.Health = connect.HealthNeedsSignIn }), ""},
		"a connection without a health":       {connection(func(c *connect.Connection) { c.Health = "" }), `Health is "", neither "ok" nor "needs_sign_in"`},
		"a connection with another health":    {connection(func(c *connect.Connection) { c.Health = "expired" }), `Health is "expired", neither "ok" nor "needs_sign_in"`},

		"HealthOK":                 {connect.HealthOK, ""},
		"HealthNeedsSignIn":        {connect.HealthNeedsSignIn, ""},
		"no health":                {connect.Health(""), `Health is "", neither "ok" nor "needs_sign_in"`},
		"a health in upper case":   {connect.Health("OK"), `Health is "OK", neither "ok" nor "needs_sign_in"`},
		"a health with a NUL byte": {connect.Health("ok\x00"), `Health is "ok\x00", neither "ok" nor "needs_sign_in"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := row.value.Validate()
			if row.want == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, row.want)
		})
	}
}
