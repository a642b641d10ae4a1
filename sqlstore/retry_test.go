package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
)

// sqliteError has the shape of modernc.org/sqlite's error, which only the driver can create.
type sqliteError int

func (sqliteError) Error() string { return "SQLite has failed" }
func (e sqliteError) Code() int   { return int(e) }

// mattnError, ncrucesError and ncrucesCode have the shapes of two other drivers' errors. The
// module sqlstore/drivers tests the drivers.
type (
	mattnError struct {
		Code         mattnCode
		ExtendedCode mattnCode
	}
	mattnCode       int
	ncrucesError    struct{ code ncrucesCode }
	ncrucesCode     uint8
	ncrucesExtended uint16
)

func (mattnError) Error() string          { return "SQLite has failed" }
func (*ncrucesError) Error() string       { return "SQLite has failed" }
func (e *ncrucesError) Code() ncrucesCode { return e.code }
func (e *ncrucesError) Temporary() bool   { return true }
func (ncrucesCode) Error() string         { return "SQLite has failed" }
func (ncrucesCode) Temporary() bool       { return true }
func (ncrucesExtended) Error() string     { return "SQLite has failed" }
func (ncrucesExtended) Temporary() bool   { return true }

func TestRetryReactions(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		err                 error
		how                 reaction
		duplicate, repeated bool
	}{
		"PostgreSQL, serialization failure": {err: &pgconn.PgError{Code: "40001"}, how: tryAgain},
		"PostgreSQL, deadlock":              {err: &pgconn.PgError{Code: "40P01"}, how: tryAgain},
		"PostgreSQL, lock timeout":          {err: &pgconn.PgError{Code: "55P03"}, how: tryAgain},
		"PostgreSQL, starting up":           {err: &pgconn.PgError{Code: "57P03"}, how: tryAgain},
		"PostgreSQL, admin shutdown":        {err: &pgconn.PgError{Code: "57P01"}, how: tryElsewhere},
		"PostgreSQL, crash shutdown":        {err: &pgconn.PgError{Code: "57P02"}, how: tryElsewhere},
		"PostgreSQL, idle session":          {err: &pgconn.PgError{Code: "57P05"}, how: tryElsewhere},
		"PostgreSQL, idle in transaction":   {err: &pgconn.PgError{Code: "25P03"}, how: tryElsewhere},
		"PostgreSQL, read-only":             {err: &pgconn.PgError{Code: "25006"}, how: tryElsewhere},
		"PostgreSQL, cached plan":           {err: &pgconn.PgError{Code: "0A000", Message: "cached plan must not change result type"}, how: tryAgain},
		"PostgreSQL, a missing feature":     {err: &pgconn.PgError{Code: "0A000", Message: "cannot do that"}},
		"PostgreSQL, connection lost":       {err: &pgconn.PgError{Code: "08006"}},
		"PostgreSQL, duplicate":             {err: &pgconn.PgError{Code: "23505"}, duplicate: true},
		"PostgreSQL, null":                  {err: &pgconn.PgError{Code: "23502"}},
		"PostgreSQL, cancelled":             {err: &pgconn.PgError{Code: "57014"}},
		"MySQL, deadlock":                   {err: &mysql.MySQLError{Number: 1213}, how: tryAgain},
		"MySQL, lock wait timeout":          {err: &mysql.MySQLError{Number: 1205}, how: tryAgain},
		"MySQL, record changed":             {err: &mysql.MySQLError{Number: 1020}, how: tryAgain},
		"MySQL, rolled back by a plugin":    {err: &mysql.MySQLError{Number: 3101}, how: tryAgain},
		"MySQL, table definition changed":   {err: &mysql.MySQLError{Number: 1412}, how: tryAgain},
		"MySQL, needs to be re-prepared":    {err: &mysql.MySQLError{Number: 1615}, how: tryAgain},
		"MySQL, read-only transaction":      {err: &mysql.MySQLError{Number: 1792}, how: tryElsewhere},
		"MySQL, read-only server":           {err: &mysql.MySQLError{Number: 1290}, how: tryElsewhere},
		"MySQL, read-only mode":             {err: &mysql.MySQLError{Number: 1836}, how: tryElsewhere},
		"MySQL, disconnected as idle":       {err: &mysql.MySQLError{Number: 4031}, how: tryElsewhere},
		"Galera, not ready":                 {err: &mysql.MySQLError{Number: 1047}, how: tryElsewhere},
		"MySQL, killed":                     {err: &mysql.MySQLError{Number: 1927}},
		"MySQL, a lost connection":          {err: mysql.ErrInvalidConn},
		"MySQL, duplicate":                  {err: &mysql.MySQLError{Number: 1062}, duplicate: true},
		"MySQL, no such table":              {err: &mysql.MySQLError{Number: 1146}},
		"MySQL, duplicate column":           {err: &mysql.MySQLError{Number: 1060}, repeated: true},
		"MySQL, duplicate key name":         {err: &mysql.MySQLError{Number: 1061}, repeated: true},
		"SQLite, busy":                      {err: sqliteError(5), how: tryAgain},
		"SQLite, busy with an old snapshot": {err: sqliteError(5 | 2<<8), how: tryAgain},
		"SQLite, locked":                    {err: sqliteError(6), how: tryAgain},
		"SQLite, protocol":                  {err: sqliteError(15), how: tryAgain},
		"SQLite, read-only":                 {err: sqliteError(8)},
		"mattn, busy":                       {err: mattnError{Code: 5, ExtendedCode: 517}, how: tryAgain},
		"mattn, constraint":                 {err: mattnError{Code: 19, ExtendedCode: 2067}},
		"ncruces, busy":                     {err: &ncrucesError{5}, how: tryAgain},
		"ncruces, the code alone":           {err: ncrucesCode(6), how: tryAgain},
		"ncruces, the extended code alone":  {err: ncrucesExtended(5 | 2<<8), how: tryAgain},
		"ncruces, constraint":               {err: &ncrucesError{19}},
		"ncruces, nil":                      {err: (*ncrucesError)(nil)},
		"SQLite, constraint":                {err: sqliteError(19)},
		"SQLite, constraint, extended":      {err: sqliteError(19 | 5<<8)},
		"a connection that was never used":  {err: driver.ErrBadConn, how: tryElsewhere},
		"overtaken":                         {err: errOvertaken, how: tryAgain},
		"any other":                         {err: errors.New("1213")},
		"none":                              {},
		"a struct with a number of its own": {err: numberError{Number: "1213"}},
		"a nil pointer":                     {err: (*numberError)(nil)},
		"that ctx has ended":                {err: context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, row.how, reactionTo(row.err))
			require.Equal(t, row.duplicate, isDuplicate(row.err))
			require.Equal(t, row.repeated, isRepeated(row.err))
			if row.err != nil {
				wrapped := fmt.Errorf("wrapped: %w", row.err)
				require.Equal(t, row.how, reactionTo(wrapped), "wrapped")
				require.Equal(t, row.duplicate, isDuplicate(wrapped), "wrapped")
			}
		})
	}
}

type numberError struct{ Number string }

func (numberError) Error() string { return "" }

func TestRetry(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")

	// try runs do with an operation that returns errs, one after the other. It returns
	// the number of attempts and how long they took.
	try := func(ctx context.Context, takes time.Duration, errs ...error) (attempts int, took time.Duration, err error) {
		begun := time.Now()
		err = new(Store).do(ctx, "try", func() error {
			time.Sleep(takes)
			err := errs[min(attempts, len(errs)-1)]
			attempts++
			return err
		})
		return attempts, time.Since(begun), err
	}
	inBubble := func(name string, test func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, test)
		})
	}

	inBubble("what succeeds is done once", func(t *testing.T) {
		attempts, took, err := try(t.Context(), 0, nil)
		require.NoError(t, err)
		require.Equal(t, 1, attempts)
		require.Zero(t, took)
	})
	inBubble("a fault is not tried again", func(t *testing.T) {
		attempts, took, err := try(t.Context(), 0, broken)
		require.EqualError(t, err, "sqlstore: try: broken")
		require.ErrorIs(t, err, broken)
		require.Equal(t, 1, attempts)
		require.Zero(t, took)
	})
	inBubble("an answer is passed on as it is, and not tried again", func(t *testing.T) {
		for _, answer := range []error{
			connect.ErrStateUnknown, connect.ErrAnotherUser, connect.ErrStateSpent, connect.ErrStateExpired,
			connect.ErrIdentityRetired, connect.ErrIdentityTaken, connect.ErrIdentityTooOld, connect.ErrNotConnected,
		} {
			attempts, _, err := try(t.Context(), 0, answer)
			require.Equal(t, answer, err)
			require.Equal(t, 1, attempts)
		}
	})
	inBubble("a deadlock is tried again until it succeeds", func(t *testing.T) {
		deadlock := &pgconn.PgError{Code: "40P01"}
		attempts, took, err := try(t.Context(), 0, deadlock, deadlock, nil)
		require.NoError(t, err)
		require.Equal(t, 3, attempts)
		require.Less(t, took, 3*firstWait)
	})
	inBubble("a deadlock is tried again until it fails in another way", func(t *testing.T) {
		attempts, _, err := try(t.Context(), 0, sqliteError(5), broken)
		require.ErrorIs(t, err, broken)
		require.Equal(t, 2, attempts)
	})
	inBubble("after so many attempts it is given up, with the last error", func(t *testing.T) {
		attempts, took, err := try(t.Context(), 0, sqliteError(5))
		require.EqualError(t, err, "sqlstore: try: SQLite has failed")
		require.Equal(t, maxAttempts, attempts)
		require.NotZero(t, took)
		require.Less(t, took, 2*time.Second)
	})
	inBubble("the waits are random", func(t *testing.T) {
		_, one, _ := try(t.Context(), 0, sqliteError(5))
		_, other, _ := try(t.Context(), 0, sqliteError(5))
		require.NotEqual(t, one, other)
	})
	inBubble("a database that has waited for long itself is not tried so often", func(t *testing.T) {
		attempts, _, err := try(t.Context(), 2*time.Second, sqliteError(5))
		require.Error(t, err)
		require.Equal(t, 3, attempts)
	})
	inBubble("waiting ends with ctx, which is the cause then", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		attempts, took, err := try(ctx, 20*time.Millisecond, sqliteError(5))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "SQLite has failed")
		require.Equal(t, 2, attempts)
		require.LessOrEqual(t, took, 40*time.Millisecond+firstWait)
	})
	inBubble("that ctx has ended is said once", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, _, err := try(ctx, 0, fmt.Errorf("the driver says: %w", context.Canceled))
		require.EqualError(t, err, "sqlstore: try: the driver says: context canceled")
	})
}

func TestContextOfAWrite(t *testing.T) {
	t.Parallel()
	inBubble := func(name string, test func(t *testing.T, longer context.Context, end, cancel func())) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, end := context.WithCancel(t.Context())
				defer end()
				longer, cancel := outlive(ctx)
				defer cancel()
				test(t, longer, end, cancel)
			})
		})
	}
	inBubble("what was sent has a while longer than ctx, and no more", func(t *testing.T, longer context.Context, end, cancel func()) {
		time.Sleep(time.Hour)
		end()
		time.Sleep(settle - time.Nanosecond)
		synctest.Wait()
		require.NoError(t, longer.Err())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.ErrorIs(t, longer.Err(), context.Canceled)
	})
	inBubble("it ends at once when it is done with", func(t *testing.T, longer context.Context, end, cancel func()) {
		end()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, longer.Err(), context.Canceled)
	})
}

// docs/databases.md lists every error that is retried, and those that close the connection.
func TestRetryDocumentListsTheErrors(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/databases.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "## Errors that are retried\n")
	require.True(t, found)
	table, rest, found := strings.Cut(section, "\nAfter ")
	require.True(t, found)
	closing, _, _ := strings.Cut(rest, "\n")
	numbers := regexp.MustCompile(`\b[0-9][0-9A-Z]*\b`)
	var listed, closed []string
	for row := range strings.Lines(table) {
		if strings.HasPrefix(row, "| ") {
			listed = append(listed, numbers.FindAllString(strings.Split(row, "|")[1], -1)...)
		}
	}
	closed = numbers.FindAllString(closing, -1)
	want, wantClosed := []string{"0A000"}, []string(nil)
	for code, how := range reactions {
		code = code[strings.LastIndexByte(code, ' ')+1:]
		want = append(want, code)
		if how == tryElsewhere {
			wantClosed = append(wantClosed, code)
		}
	}
	require.ElementsMatch(t, want, listed)
	require.ElementsMatch(t, wantClosed, closed)
}

func TestRetryOfOvertakenCalls(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		overtaken int
		then      error
		attempts  int
		says      string
	}{
		"as often as others are faster":         {overtaken: maxOvertaken - 1, attempts: maxOvertaken},
		"until it fails in another way":         {overtaken: 20, then: errHook, attempts: 21, says: "sqlstore: try: " + errHook.Error()},
		"until there is an answer":              {overtaken: 20, then: connect.ErrStateSpent, attempts: 21, says: connect.ErrStateSpent.Error()},
		"and again after it has begun at first": {overtaken: 3 * maxOvertaken, attempts: 3*maxOvertaken + 1},
		"but not without end":                   {overtaken: 1_000_000, attempts: 0, says: "sqlstore: try: overtaken by other transactions"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				attempts := 0
				begun := time.Now()
				err := new(Store).doOver(t.Context(), "try", func() error {
					if attempts++; attempts <= row.overtaken {
						return errOvertaken
					}
					return row.then
				})
				if row.says != "" {
					require.EqualError(t, err, row.says)
				} else {
					require.NoError(t, err)
				}
				if row.attempts != 0 {
					require.Equal(t, row.attempts, attempts)
				}
				require.Less(t, time.Since(begun), 10*time.Second)
			})
		})
	}
}
