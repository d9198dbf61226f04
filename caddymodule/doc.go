// Package caddymodule is Gatehouse inside Caddy: the app `gatehouse`, the
// handlers gatehouse_login and gatehouse_require, their Caddyfile words, the
// admin socket and the command line.
//
// It owns configuration (JSON is the API, the Caddyfile an adapter), the
// pairing of handlers with the origins that lead to them, and what reloads
// share. It knows no protocol: requests are answered by authcore.
//
// It imports more than nine of our packages: it is where stores, pages and the
// engine are chosen, configured and put together with what Caddy knows.
package caddymodule
