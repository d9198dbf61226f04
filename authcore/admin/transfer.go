package admin

import (
	"fmt"
	"net/http"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// Bounds of a batch of an import.
const (
	MaxBatch      = 500
	maxBatchBytes = 8 << 20
)

// Batch is a part of an import.
type Batch struct {
	DryRun bool             `json:"dry_run,omitempty"`
	Users  []account.Record `json:"users"`
}

// Outcomes says what became of each user of a batch, in its order.
type Outcomes struct {
	Outcomes []account.Outcome `json:"outcomes"`
}

// Records is a page of an export.
type Records struct {
	Users []account.Record `json:"users"`
	Next  string           `json:"next,omitempty"` // the parameter after of the next page
}

// Transfer puts import and export, which carry the hashes of passwords, in
// front of the socket's API. They are not in the table of operations, so that
// the login host never has them.
func (a *API) Transfer(next http.Handler) http.Handler {
	m := http.NewServeMux()
	m.Handle("POST "+inPool+"/import", a.transfer(a.takeIn))
	m.Handle("GET "+inPool+"/export", a.transfer(a.giveOut))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := m.Handler(r); pattern == "" {
			next.ServeHTTP(w, r)
			return
		}
		m.ServeHTTP(w, r)
	})
}

// transfer answers with what do returns.
func (a *API) transfer(do func(w http.ResponseWriter, r *http.Request, by pool.Caller, p *pool.Pool) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := a.config.Pool(r.Context(), r.PathValue("pool"))
		var answer any
		if err == nil {
			answer, err = do(w, r, pool.Caller{Kind: pool.Operator, Name: "admin socket"}, p)
		}
		if err != nil {
			mux.WriteAPIError(w, r, err)
			return
		}
		mux.WriteJSON(w, http.StatusOK, answer)
	})
}

func (a *API) takeIn(w http.ResponseWriter, r *http.Request, by pool.Caller, p *pool.Pool) (any, error) {
	var in Batch
	if err := decode(http.MaxBytesReader(w, r.Body, maxBatchBytes), &in); err != nil {
		return nil, err
	}
	if len(in.Users) > MaxBatch {
		return nil, fault.New(fault.TooLarge, fmt.Sprintf("a batch holds at most %d users", MaxBatch))
	}
	out, err := a.config.Accounts.Import(r.Context(), by, p, in.Users, in.DryRun)
	return Outcomes{out}, err
}

func (a *API) giveOut(_ http.ResponseWriter, r *http.Request, by pool.Caller, p *pool.Pool) (any, error) {
	users, next, err := a.config.Accounts.Export(r.Context(), by, p, r.URL.Query().Get("after"))
	return Records{users, next}, err
}
