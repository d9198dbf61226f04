package mux

import (
	"fmt"
	"strings"
)

// Tree registers one of our own APIs: every path below path, whatever the
// method. It ignores cookies and never sees one. Errors become the JSON of our
// own APIs (WriteAPIError), responses are no-store.
func (m *Mux) Tree(path string, h Handler) {
	if m.trees == nil {
		m.trees = map[string]*route{}
	}
	below := m.options.Prefix + path + "/"
	if !strings.HasPrefix(path, "/") || h == nil || m.trees[below] != nil {
		panic(fmt.Sprintf("mux: tree %q", path))
	}
	m.trees[below] = &route{face: treeFace, pattern: path + "/", handle: h}
}

// tree returns the route of the tree that a path is in, or nil.
func (m *Mux) tree(path string) *route {
	for below, rt := range m.trees {
		if strings.HasPrefix(path, below) {
			return rt
		}
	}
	return nil
}
