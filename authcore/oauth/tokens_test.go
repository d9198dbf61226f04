package oauth_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// reply is an answer whose body was read.
type reply struct {
	*http.Response
	body string
}

// send posts a form with headers, given in pairs.
func (h *host) send(path string, form url.Values, header ...string) reply {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), "POST", h.URL+path, strings.NewReader(form.Encode()))
	must(h.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return h.sent(r, header)
}

func (h *host) sent(r *http.Request, header []string) reply {
	h.t.Helper()
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	must(h.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	must(h.t, err)
	return reply{res, string(b)}
}

// machineToken is a token of the client batch.
func (h *host) machineToken() string {
	h.t.Helper()
	a := h.token("client_id", "batch", "client_secret", "batch-secret", "grant_type", "client_credentials")
	if a.status != 200 {
		h.t.Fatalf("%+v", a)
	}
	return a.Access
}

// addAPI registers an upstream that has tokens for a resource explained to it.
func (h *host) addAPI(id pool.ClientID, resource string, alg jose.Alg) {
	h.pool.Clients[id] = &pool.Client{ID: id, Secrets: secrets("api-secret"), Resources: []string{resource},
		AuthMethods: []string{pool.AuthBasic, pool.AuthPost}, IDAlg: alg}
}

func (h *host) wantRefusal(name string, got reply, status int, code string) {
	h.t.Helper()
	if got.StatusCode != status || !strings.Contains(got.body, `"error":"`+code+`"`) || got.Header.Get("Cache-Control") != "no-store" {
		h.t.Errorf("%s: %d %s %q", name, got.StatusCode, got.body, got.Header.Get("Cache-Control"))
	}
}

// refusedClients are the requests that every endpoint for clients refuses.
func (h *host) refusedClients(path string) {
	h.t.Helper()
	for _, c := range []struct {
		name   string
		form   url.Values
		header []string
		status int
		code   string
	}{
		{"no client", url.Values{"token": {"x"}}, nil, 401, "invalid_client"},
		{"an unknown client", url.Values{"token": {"x"}, "client_id": {"nobody"}}, nil, 401, "invalid_client"},
		{"a wrong secret", url.Values{"token": {"x"}}, []string{"Authorization", basic("web", "wrong")}, 401, "invalid_client"},
		{"a secret left out", url.Values{"token": {"x"}, "client_id": {"web"}}, nil, 401, "invalid_client"},
		{"a disabled client", url.Values{"token": {"x"}, "client_id": {"off"}, "client_secret": {"off-secret"}}, nil, 401, "invalid_client"},
		{"a gate", url.Values{"token": {"x"}, "client_id": {"site:https://app.example.com"}}, nil, 401, "invalid_client"},
		{"the wrong method", url.Values{"token": {"x"}, "client_id": {"basic"}, "client_secret": {"basic-secret"}}, nil, 401, "invalid_client"},
		{"two methods", url.Values{"token": {"x"}, "client_id": {"web"}, "client_secret": {"older"}},
			[]string{"Authorization", basic("web", "older")}, 400, "invalid_request"},
		{"no token", url.Values{}, []string{"Authorization", basic("web", "older")}, 400, "invalid_request"},
		{"an empty token", url.Values{"token": {""}}, []string{"Authorization", basic("web", "older")}, 400, "invalid_request"},
		{"two tokens", url.Values{"token": {"x", "y"}}, []string{"Authorization", basic("web", "older")}, 400, "invalid_request"},
	} {
		got := h.send(path, c.form, c.header...)
		h.wantRefusal(c.name, got, c.status, c.code)
		tried := c.header != nil && c.status == 401
		if is := strings.HasPrefix(got.Header.Get("WWW-Authenticate"), "Basic "); is != tried {
			h.t.Errorf("%s: WWW-Authenticate is %q", c.name, got.Header.Get("WWW-Authenticate"))
		}
	}
	h.wantRefusal("a token in the address", h.send(path+"?token=x", url.Values{}, "Authorization", basic("web", "older")), 400, "invalid_request")
	r, err := http.NewRequestWithContext(h.t.Context(), "POST", h.URL+path, strings.NewReader(`{"token":"x"}`))
	must(h.t, err)
	r.Header.Set("Content-Type", "application/json")
	h.wantRefusal("JSON", h.sent(r, []string{"Authorization", basic("web", "older")}), 400, "invalid_request")
	r, err = http.NewRequestWithContext(h.t.Context(), "GET", h.URL+path+"?token=x", nil)
	must(h.t, err)
	if got := h.sent(r, nil); got.StatusCode != 405 || got.Header.Get("Allow") != "POST, OPTIONS" {
		h.t.Errorf("GET: %d, Allow %q", got.StatusCode, got.Header.Get("Allow"))
	}
}

// What is about tokens says nothing of them to the log.
func (h *host) wantQuietLog(t *testing.T, raw ...string) {
	t.Helper()
	for _, s := range raw {
		if s != "" && strings.Contains(h.log.String(), s) {
			t.Errorf("the log holds %.12s…", s)
		}
	}
}
