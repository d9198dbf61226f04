// Package browser drives a real Chromium against the built binary: the hosted
// pages with and without JavaScript, on one host and on two, over plain
// loopback HTTP and TLS, as a person, a password manager and a screen reader
// meet them. The steps are in JavaScript beside it; the tests here start the
// servers and look at what reached the upstream.
package browser
