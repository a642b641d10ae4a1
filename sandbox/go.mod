module github.com/anchorconnect/connect/sandbox

go 1.25.0

require (
	github.com/anchorconnect/connect v0.0.0-00010101000000-000000000000
	github.com/coder/websocket v1.8.15
)

require github.com/cenkalti/backoff/v5 v5.0.3 // indirect

replace github.com/anchorconnect/connect => ../
