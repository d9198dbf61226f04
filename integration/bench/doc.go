// Package bench measures what the gate costs: authorised proxying with a
// cached bearer token beside bare proxying, in one process of the built
// binary, as a ratio. It owns the load and the figures; it proves nothing
// about behaviour.
package bench
