package sqlstore

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseURLRefusesCharsets(t *testing.T) {
	t.Parallel()
	for _, charset := range []string{
		"armscii8", "ascii", "big5", "binary", "cp1250", "cp1251", "cp1256", "cp1257", "cp850", "cp852", "cp866", "cp932", "dec8",
		"eucjpms", "euckr", "gb18030", "gb2312", "gbk", "geostd8", "greek", "hebrew", "hp8", "keybcs2", "koi8r", "koi8u", "latin1",
		"latin2", "latin5", "latin7", "macce", "macroman", "sjis", "swe7", "tis620", "ucs2", "ujis", "utf16", "utf16le", "utf32",
		"", "GBK", "Gbk", "'gbk'", "%27gbk%27", "g%62k", "%67bk", "gbk%20", "+gbk", "utf8mb4+COLLATE+gbk_bin", "utf8mb4%20", "utf8mb45",
		"utf8mb4,gbk", "gbk,utf8mb4", "utf8mb4,", ",utf8mb4", "utf8mb4,,utf8", "utf8mb4%2Cgbk", "nope,gbk", "utf8mb4&charset=gbk",
	} {
		refused(t, "charset="+charset, errCharset)
	}
	refused(t, "collation=utf8mb4_bin;", nil)
	for _, collation := range []string{
		"gbk_chinese_ci", "gbk_bin", "GBK_BIN", "big5_chinese_ci", "sjis_japanese_ci", "cp932_bin", "gb18030_bin", "latin1_swedish_ci",
		"binary", "", "utf8mb4", "'gbk_bin'", "utf8mb4_bin,gbk_bin", "utf8mb4_bin%20", "utf8mb4_bin&collation=gbk_bin",
	} {
		refused(t, "collation="+collation, errCollate)
		refused(t, "charset=utf8mb4&collation="+collation, errCollate)
	}
	for _, name := range []string{
		"character_set_client", "character_set_connection", "character_set_results", "character_set_database", "character_set_server",
		"CHARACTER_SET_CLIENT", "Character_Set_Client", "collation_connection", "COLLATION_CONNECTION", "collation_server",
		"names", "NAMES", "Charset", "CHARSET", "Collation", "charset%20", "character_set_client+",
	} {
		for _, value := range []string{"gbk", "'gbk'", "%27gbk%27", "utf8mb4"} {
			refused(t, name+"="+value, errSession)
		}
	}
	for _, parameter := range []string{
		// Names that contain SQL.
		"ch%61rset=gbk", "%20charset=gbk", "session+character_set_client=gbk", "session%20character_set_client=gbk",
		"session character_set_client=gbk", "@@character_set_client=gbk", "@@session.character_set_client=gbk", "session.character_set_client=gbk",
		"@a=1,character_set_client=gbk", "`character_set_client`=gbk", "global init_connect='SET NAMES gbk'", "a,character_set_client=gbk",
		"a/**/=1", "=gbk",
		// Values that contain SQL.
		"autocommit=1,character_set_client=gbk", "autocommit=1%2Ccharacter_set_client=gbk", "autocommit=1,+names+gbk",
		"sql_mode='',character_set_client='gbk'", "sql_mode=%27%27%2Ccharacter_set_client=gbk", `sql_mode='\',character_set_client=gbk%23'`,
		"autocommit=(SELECT+1)", "autocommit=1,2", "autocommit=@@autocommit", "autocommit=1%23", "autocommit=1/**/", "autocommit=", "autocommit='", `sql_mode="`,
		"timeout=5s,character_set_client=gbk",
		// Parameters that the driver ignores.
		"charset", "interpolateParams", "autocommit",
	} {
		refused(t, parameter, errVariable)
	}
}

// refused requires that a parameter is refused at any position among others.
func refused(t *testing.T, parameter string, want error) {
	t.Helper()
	for _, format := range []string{"%s", "timeout=5s&%s", "%s&timeout=5s", "&%s&", "interpolateParams=false&%s"} {
		address := "mysql://u:hunter2@h/app?" + fmt.Sprintf(format, parameter)
		t.Run(address, func(t *testing.T) {
			t.Parallel()
			_, dsn, _, err := ParseURL(address)
			require.Error(t, err)
			if want != nil {
				require.ErrorIs(t, err, want)
			}
			require.Empty(t, dsn)
			require.NotContains(t, err.Error(), "gbk", "it holds no part of the URL")
			require.NotContains(t, err.Error(), "\n")
		})
	}
}

// accepted are parameters with which a connection has UTF-8, and the driver's name for its
// character set.
var accepted = []struct{ parameters, charset string }{
	{"", "utf8mb4"},
	{"charset=utf8mb4", "utf8mb4"},
	{"charset=UTF8MB4", "utf8mb4"},
	{"charset=utf8mb4,utf8", "utf8mb4"},
	{"charset=utf8", "utf8mb3"},
	{"charset=utf8mb3", "utf8mb3"},
	{"collation=utf8mb4_bin", "utf8mb4"},
	{"collation=utf8_bin", "utf8mb3"},
	{"charset=utf8mb4&collation=utf8mb4_unicode_ci", "utf8mb4"},
	{"interpolateParams=false", "utf8mb4"},
	{"interpolateParams=true", "utf8mb4"},
	{"multiStatements=true", "utf8mb4"},
	{"multiStatements=true&interpolateParams=true", "utf8mb4"},
	{"sql_mode=%27NO_BACKSLASH_ESCAPES%27", "utf8mb4"},
	{"sql_mode=%27NO_BACKSLASH_ESCAPES,ANSI_QUOTES%27&multiStatements=true&interpolateParams=true", "utf8mb4"},
	{"sql_mode=ANSI_QUOTES", "utf8mb4"},
	{"time_zone=%27%2B02:00%27&loc=Europe%2FBerlin&timeout=1m0.5s&parseTime=true&connectionAttributes=program_name:a,b:c", "utf8mb4"},
}

// attack is a return_to of an attacker. If its letter swallows the backslash before the
// quote, the rest is SQL that adds a pending flow of another user.
func attack(letter string) string {
	return "/" + letter + "',0,9,FALSE,SPACE(0)),(CHAR(102),0x6170706c69636174696f6e,0x76696374696d,CHAR(47),0,9,FALSE,SPACE(0))#"
}

// letters end, in UTF-8, with bytes that begin a character of two bytes in some charset.
var letters = []string{"中", "é", "ü", "ß", "ァ", "表", "ソ", "한", "😀", "\u00ad", "\u07ff", "\uffee", "", `\`, "中\\"}

func TestCharsetLetsNoTextBreakOutOfItsQuotes(t *testing.T) {
	t.Parallel()
	d := on(t, MySQL)
	for _, row := range accepted {
		t.Run(row.parameters, func(t *testing.T) {
			t.Parallel()
			db := d.open(t, withParameters(d.url(t), row.parameters))
			db.SetMaxOpenConns(2)
			s := d.emptyIn(t, db)
			require.Equal(t, row.charset, scalar[string](t, db, "SELECT @@character_set_client"))
			require.NoError(t, s.Migrate(t.Context()))
			require.NoError(t, s.Verify(t.Context()))
			for i, letter := range letters {
				user := letter + "' or 1=1#"
				p := flow(user, fmt.Sprint("flow ", i))
				p.ReturnTo = attack(letter)
				bind(t, s, p)
				found, err := s.Pending(t.Context(), p.TokenHash)
				require.NoError(t, err)
				require.Equal(t, p.ReturnTo, found.ReturnTo)
				require.Equal(t, p.UserID, found.UserID)
				requireConnection(t, s, user, "")
				connected(t, s, user, letter+"' or 1=1# identity")
				requireConnection(t, s, user, letter+"' or 1=1# identity")
			}
			require.Equal(t, len(letters), scalar[int](t, s.db, prefixed(s, "SELECT COUNT(*) FROM connect_connections")))
			require.Equal(t, 2*len(letters), scalar[int](t, s.db, prefixed(s, "SELECT COUNT(*) FROM connect_pending")))
		})
	}
}

// An app may open the database without ParseURL. Migrate then refuses the connection by what
// the server reports, before it changes anything.
func TestCharsetOfTheConnection(t *testing.T) {
	t.Parallel()
	d := on(t, MySQL)
	_, dsn, _, err := ParseURL(d.url(t))
	require.NoError(t, err)
	base, _, _ := strings.Cut(dsn, "?")
	openRaw := func(t *testing.T, parameters string) *sql.DB {
		t.Helper()
		db, err := sql.Open("mysql", base+"?"+parameters)
		require.NoError(t, err)
		db.SetMaxOpenConns(1)
		t.Cleanup(func() { db.Close() })
		require.NoError(t, db.PingContext(t.Context()), "the driver and the server take it")
		return db
	}

	for _, parameters := range []string{
		"charset=gbk", "charset=GBK", "charset=big5", "charset=sjis", "charset=cp932", "charset=gb2312", "charset=euckr", "charset=ujis",
		"charset=eucjpms", "charset=latin1", "charset=ascii", "charset=binary", "charset=nope,gbk", "collation=gbk_chinese_ci",
		"charset=gbk&collation=gbk_bin", "character_set_client=gbk", "CHARACTER_SET_CLIENT=gbk",
		"@@character_set_client=gbk", "@@session.character_set_client=gbk", "autocommit=1,character_set_client=gbk",
		"character_set_connection=latin1", "collation_connection=gbk_chinese_ci", "charset=utf8mb3&character_set_connection=utf8mb4",
	} {
		t.Run(parameters, func(t *testing.T) {
			t.Parallel()
			s := d.emptyIn(t, openRaw(t, parameters))
			for _, check := range []func() error{
				func() error { return s.Migrate(t.Context()) }, func() error { return s.Verify(t.Context()) },
			} {
				err := check()
				require.ErrorContains(t, err, "use charset=utf8mb4 and no other setting")
				require.ErrorContains(t, err, "character_set_client is ")
				require.NotContains(t, err.Error(), "\n")
			}
			other, err := d.pool()
			require.NoError(t, err)
			found, err := New(other, MySQL, WithTablePrefix(s.prefix)).findTables(t.Context(), other, tableNames...)
			require.NoError(t, err)
			require.Empty(t, found, "nothing was made")
		})
	}

	t.Run("the attack works in gbk, or the tests above show nothing", func(t *testing.T) {
		t.Parallel()
		s := d.migrated(t)
		db := openRaw(t, "charset=gbk&interpolateParams=true")
		_, err := db.ExecContext(t.Context(), prefixed(s, `INSERT INTO connect_pending
			(token_hash, application_id, user_id, return_to, issued_at, expires_at, spent, identity_id) VALUES (?, ?, ?, ?, 0, 9, FALSE, '')`),
			"hash", application, "anna", attack("中"))
		require.NoError(t, err)
		require.Equal(t, 1, scalar[int](t, s.db, prefixed(s, "SELECT COUNT(*) FROM connect_pending WHERE user_id = 'victim'")))
	})
}
