// Package reload reloads the running binary again and again under traffic,
// beside a bare Caddy that does the same: sessions stay, the store is opened
// once, and no more is dropped or kept than bare Caddy drops and keeps.
package reload
