package guard

import (
	"context"
	"errors"
	"maps"
	"net/http"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// Middleware puts the gate in front of a handler of a plain Go server, which
// gets what an upstream of a proxy gets: a cleaned request with identity
// headers; IdentityOf tells the same. deny renders refusals to people
// (Denial.Browser), such as authcore's Engine.DenialPage; nil, and everybody
// else's, are a status with headers and no body.
//
// The request's own connection and Host say who is calling and which site is
// meant. A server behind a proxy that it trusts puts better knowledge into the
// request's context before the gate, with mux.WithClient.
func (g *Gate) Middleware(next http.Handler, deny func(http.ResponseWriter, *http.Request, *Denial)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := g.Handle(w, r, func(w http.ResponseWriter, r *http.Request, who Identity) error {
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), identityKey{}, who)))
			return nil
		})
		var d *Denial
		switch {
		case err == nil:
		case !errors.As(err, &d):
			g.guard.log.ErrorContext(r.Context(), "gate", "error", err)
			w.WriteHeader(http.StatusInternalServerError)
		default:
			maps.Copy(w.Header(), d.Header)
			if d.Browser && deny != nil {
				deny(w, r, d)
				return
			}
			w.WriteHeader(d.Status)
		}
	})
}

type identityKey struct{}

// IdentityOf returns who a request is that a Middleware let pass; an anonymous
// principal without one.
func IdentityOf(ctx context.Context) Identity {
	if who, ok := ctx.Value(identityKey{}).(Identity); ok {
		return who
	}
	return Identity{Principal: &pool.Principal{}}
}
