module github.com/anchorconnect/connect/sandbox

go 1.25.0

require github.com/coder/websocket v1.8.15

replace github.com/anchorconnect/connect => ../
