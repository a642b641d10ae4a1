package main

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	"github.com/anchorconnect/connect"
)

// IDs are UUIDs and token hashes are 64 digits, in random order, as in an app and as is
// worst for indexes. Go and SQL derive the same ones from a name and a number.

func id(name string, i int) string {
	sum := md5.Sum([]byte(name + strconv.Itoa(i)))
	h := hex.EncodeToString(sum[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// sqlID returns the SQL of id, for an SQL expression and the column i.
func sqlID(name string) string { return "md5(" + name + "::text || i)::uuid::text" }

func tokenHash(name string, i int) string {
	sum := sha256.Sum256([]byte(name + strconv.Itoa(i)))
	return hex.EncodeToString(sum[:])
}

// sqlTokenHash returns the SQL of tokenHash, for an SQL expression and the column i.
func sqlTokenHash(name string) string {
	return "encode(sha256(convert_to(" + name + "::text || i, 'UTF8')), 'hex')"
}

// connection returns the connection of the flow with this name and number.
func connection(name string, i int, now time.Time) connect.Connection {
	return connect.Connection{
		ID:            id("connection "+name, i),
		ApplicationID: application,
		UserID:        id(name, i),
		IdentityID:    id("identity "+name, i),
		ConnectedAt:   now,
		Health:        connect.HealthOK,
		HealthAt:      now,
	}
}
