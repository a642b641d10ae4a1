package connect_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/anchorconnect/connect"
	"github.com/anchorconnect/connect/anchortest"
)

func ExampleHandler_Verify() {
	app := newDemoApp()
	defer app.close()
	ctx, h, mux, logger := context.Background(), app.connect, app.mux, slog.New(slog.DiscardHandler)
	// docs: running
	if err := h.Verify(ctx); err != nil {
		logger.ErrorContext(ctx, "connect is not ready", "error", err)
	}
	// docs: end
	// docs: running
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := h.Verify(r.Context()); err != nil {
			logger.ErrorContext(r.Context(), "connect is not ready", "error", err)
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	// docs: end
	app.get("/readyz")
	app.fake.Fault(anchortest.Fault{Status: http.StatusUnauthorized})
	app.get("/readyz")
	// Output:
	// 200 ready
	// 503 not ready
}

var logger = slog.New(slog.DiscardHandler)

// docs: running
func checkAll(ctx context.Context, h *connect.Handler) error {
	pace := time.NewTicker(time.Minute / 30)
	defer pace.Stop()
	for c, err := range h.Application("").List(ctx, connect.ListOptions{}) {
		if err != nil {
			return err
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if _, err := h.Check(ctx, c, connect.CheckStatus); err != nil && !errors.Is(err, connect.ErrNotConnected) {
			logger.WarnContext(ctx, "check a connection", "connection", c.ID, "error", err)
		}
	}
	return nil
}

// docs: end

func ExampleHandler_Check() {
	app := newDemoApp()
	defer app.close()
	app.connectAda()
	ctx := context.Background()
	c, err := app.connect.Connection(ctx, "ada")
	fmt.Println(c.Health, err)
	app.fake.SetStatus(c.IdentityID, anchortest.StatusFailed)
	fmt.Println(checkAll(ctx, app.connect))
	c, err = app.connect.Connection(ctx, "ada")
	fmt.Println(c.Health, err)
	// Output:
	// ok <nil>
	// <nil>
	// needs_sign_in <nil>
}

func ExampleApplication_Reconcile() {
	app := newDemoApp()
	defer app.close()
	app.connectAda()
	_, _ = app.fake.WaitTagged(context.Background(), app.fake.Identities()[0].ID)
	app.fake.AddOrphans(2, 48*time.Hour)
	ctx, h := context.Background(), app.connect
	reconcile := func() error {
		// docs: running
		report, err := h.Application("").Reconcile(ctx, connect.ReconcileOptions{CallsPerMinute: 120})
		fmt.Print(report)
		// docs: end
		return err
	}
	fmt.Println(reconcile())
	// Output:
	// compared 1 connections and 2 other identities, with 6 calls
	// orphan: 2, of which 0 repaired
	// <nil>
}

// docs: running
func takeOver(ctx context.Context, db *sql.DB, h *connect.Handler) error {
	rows, err := db.QueryContext(ctx, "SELECT id, anchor_identity_id FROM users WHERE anchor_identity_id IS NOT NULL")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var userID, identityID string
		if err := rows.Scan(&userID, &identityID); err != nil {
			return err
		}
		if _, err := h.Application("").Adopt(ctx, connect.User{ID: userID}, identityID, ""); err != nil {
			logger.WarnContext(ctx, "adopt an identity", "user", userID, "error", err)
		}
	}
	return rows.Err()
}

// docs: end

func ExampleApplication_Adopt() {
	app := newDemoApp()
	defer app.close()
	old := app.fake.PutIdentity(anchortest.Identity{CreatedAt: time.Now().AddDate(-1, 0, 0)})
	other := app.fake.PutIdentity(anchortest.Identity{Metadata: map[string]any{"externalUserId": "eve"}})
	db := sql.OpenDB(usersTable{{"ada", old.ID}, {"grace", other.ID}})
	defer db.Close()
	ctx := context.Background()
	for range 2 { // It is idempotent.
		fmt.Println(takeOver(ctx, db, app.connect))
	}
	for _, user := range []string{"ada", "grace"} {
		c, err := app.connect.Connection(ctx, user)
		fmt.Println(user, c.IdentityID == old.ID, err)
	}
	identity, _ := app.fake.Identity(old.ID)
	fmt.Println(identity.Metadata["externalUserId"])
	// Output:
	// <nil>
	// <nil>
	// ada true <nil>
	// grace false connect: the user is not connected
	// ada
}

// An app's audit log.
func ExampleConfig_onEvent_audit() {
	lines := make(chan string, 10)
	audit := slog.New(slog.NewTextHandler(lineWriter(lines), &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == "identity" || a.Key == "application" || a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
	app := newDemoApp(func(config *connect.Config) {
		// docs: running
		config.OnEvent = func(ctx context.Context, e connect.Event) {
			audit.InfoContext(ctx, string(e.Kind), "user", e.UserID, "application", e.ApplicationID,
				"identity", e.IdentityID, "health", e.Health, "proof", e.Proof, "reason", e.Reason)
		}
		// docs: end
	})
	defer app.close()
	app.connectAda()
	for range 2 {
		fmt.Print(<-lines)
	}
	// Output:
	// level=INFO msg=started user=ada health="" proof=0 reason=<nil>
	// level=INFO msg=connected user=ada health="" proof=0 reason=<nil>
}

type lineWriter chan string

func (w lineWriter) Write(line []byte) (int, error) {
	w <- string(line)
	return len(line), nil
}
