package mux

import (
	"net/http"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
)

// WriteAPIError renders err as the JSON of our own APIs: a code, and a message
// for people. What is ours to fix shows nothing but its code.
func WriteAPIError(w http.ResponseWriter, r *http.Request, err error) {
	status := prepareError(w.Header(), err)
	if status == http.StatusUnsupportedMediaType {
		status = http.StatusMethodNotAllowed
	}
	WriteJSON(w, status, struct {
		Error   fault.Code `json:"error"`
		Message string     `json:"message,omitempty"`
	}{codeOf(err), fault.TextOf(err)})
}
