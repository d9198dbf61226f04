// Package streams holds answers that last against the built binary: websockets
// over HTTP/1.1, 2 and 3, server-sent events and calls of gRPC. What may not
// be is refused before it reaches the upstream, and what was let in ends
// within seconds of the sign-in behind it, and with nothing else.
package streams
