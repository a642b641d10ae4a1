package drivers

import (
	"database/sql"
	"testing"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"
	gormpostgres "gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/anchorconnect/connect/sqlstore"
	"github.com/anchorconnect/connect/storetest"
)

// The store shares the handle of an app's own library.
func TestHandles(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T, address string) *sql.DB{
		"pgxpool": func(t *testing.T, address string) *sql.DB {
			pool, err := pgxpool.New(t.Context(), address)
			require.NoError(t, err)
			t.Cleanup(pool.Close)
			return stdlib.OpenDBFromPool(pool)
		},
		"GORM": func(t *testing.T, address string) *sql.DB {
			db, err := gorm.Open(gormpostgres.Open(address), &gorm.Config{Logger: logger.Discard})
			require.NoError(t, err)
			handle, err := db.DB()
			require.NoError(t, err)
			return handle
		},
		"sqlx": func(t *testing.T, address string) *sql.DB {
			db, err := sqlx.Open("pgx", address)
			require.NoError(t, err)
			return db.DB
		},
		"ent": func(t *testing.T, address string) *sql.DB {
			db, err := sql.Open("pgx", address)
			require.NoError(t, err)
			return entsql.OpenDB(dialect.Postgres, db).DB()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := open(t, fast(need(t, postgres)))
			t.Cleanup(func() { db.Close() })
			db.SetMaxOpenConns(8)
			storetest.Run(t, newTables(t, db, sqlstore.PostgreSQL).store)
		})
	}
}
