package drivers

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/sqlstore"
	"github.com/anchorconnect/connect/storetest"
)

// galera names the variable with the URLs of two nodes of one cluster, separated by a comma.
const galera = "CONNECT_TEST_GALERA"

// nodes connects to the nodes of a cluster in turn, as a balancer does.
type nodes struct {
	connectors []driver.Connector
	next       *atomic.Int64
}

func (n nodes) Driver() driver.Driver { return mysqldriver.MySQLDriver{} }

func (n nodes) Connect(ctx context.Context) (driver.Conn, error) {
	return n.connectors[int(n.next.Add(1))%len(n.connectors)].Connect(ctx)
}

func openNodes(t *testing.T, parameters string) *sql.DB {
	t.Helper()
	n := nodes{next: new(atomic.Int64)}
	for address := range strings.SplitSeq(need(t, galera), ",") {
		_, dsn, _, err := sqlstore.ParseURL(withParameters(address, parameters))
		require.NoError(t, err)
		config, err := mysqldriver.ParseDSN(dsn)
		require.NoError(t, err)
		connector, err := mysqldriver.NewConnector(config)
		require.NoError(t, err)
		n.connectors = append(n.connectors, connector)
	}
	db := sql.OpenDB(n)
	db.SetMaxOpenConns(12)
	db.SetMaxIdleConns(12)
	t.Cleanup(func() { db.Close() })
	return db
}

func TestGalera(t *testing.T) {
	t.Parallel()
	for _, parameters := range []string{"", "wsrep_sync_wait=0", "wsrep_sync_wait=1"} {
		db := openNodes(t, parameters)
		for _, err := range []error{sqlstore.New(db, sqlstore.MySQL).Migrate(t.Context()), sqlstore.New(db, sqlstore.MySQL).Verify(t.Context())} {
			require.ErrorContains(t, err, "add wsrep_sync_wait=3 to the connection string")
		}
	}

	db := openNodes(t, "wsrep_sync_wait=3")
	t.Run("the suite", func(t *testing.T) {
		t.Parallel()
		storetest.Run(t, newTables(t, db, sqlstore.MySQL).store)
	})
	t.Run("what is written on one node is found on the other at once", func(t *testing.T) {
		t.Parallel()
		// Each statement has a new connection, to the other node than the last one.
		alternating := openNodes(t, "wsrep_sync_wait=3")
		alternating.SetMaxIdleConns(-1)
		s := newStore(t, alternating, sqlstore.MySQL)
		now := time.Now()
		for i := range 300 {
			hash := fmt.Sprint("flow ", i)
			require.NoError(t, s.Bind(t.Context(), connect.Pending{
				TokenHash: hash, ApplicationID: "application", UserID: hash, ReturnTo: "/", IssuedAt: now, ExpiresAt: now.Add(time.Hour),
			}, 10))
			_, err := s.Pending(t.Context(), hash)
			require.NoError(t, err, fmt.Sprint(i))
			require.NoError(t, s.Spend(t.Context(), hash))
			p, err := s.Pending(t.Context(), hash)
			require.NoError(t, err)
			require.True(t, p.Spent)
		}
	})
}
