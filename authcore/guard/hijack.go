package guard

import (
	"bufio"
	"net"
	"net/http"
)

// Hijack hands the connection over. Nobody knows what will be said on it, or
// when the handler is done with it: it is watched until it is closed.
func (w *streamWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	if w.stream == nil {
		w.watch()
	}
	w.stream.mu.Lock()
	w.conn = conn
	over := w.stream.over()
	w.stream.mu.Unlock()
	if over {
		_ = conn.Close()
		w.end()
		return nil, nil, errCut
	}
	taken := &takenConn{Conn: conn, end: w.end}
	if half, ok := conn.(halfCloser); ok {
		return &takenHalves{taken, half}, buffered, nil
	}
	return taken, buffered, nil
}

// takenConn is a connection that a handler took over from the server.
type takenConn struct {
	net.Conn
	end func()
}

// Close ends the watch over the connection as well.
func (c *takenConn) Close() error {
	c.end()
	return c.Conn.Close()
}

// halfCloser is a connection whose one direction can be closed, as TCP's and TLS's can.
type halfCloser interface{ CloseWrite() error }

// takenHalves is a takenConn of such a connection.
type takenHalves struct {
	*takenConn
	halfCloser
}
