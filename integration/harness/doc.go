// Package harness runs the built binary for black-box tests: it builds it
// once, starts it on a Caddyfile with ports of its own, watches its output,
// and stops it by its process id. With it come an upstream that remembers what
// reached it, a client that behaves as a browser does, and the OAuth calls
// that tests repeat.
//
// It knows the product only from outside: addresses, pages, headers, files.
package harness
