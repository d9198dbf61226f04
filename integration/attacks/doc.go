// Package attacks tries, against the built binary and over raw connections
// where a client library would tidy the bytes, what published advisories of
// identity-aware proxies teach: one table per class of attack, each row with
// its siblings. A protected upstream remembers the bytes that reach it; for an
// attack that must be refused it must have seen none.
//
// The classes are A (identity headers), D (tokens at the gate), E (OAuth
// endpoints) and F (sessions). What cannot be reached from outside, such as a
// token of ours with a foreign second audience, is tested beside its code.
package attacks
