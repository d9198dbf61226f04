package signin

import (
	"net/http"
	"strconv"

	"github.com/gatehouse-auth/gatehouse/authcore/flow"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/page"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// showSelect asks with which of the browser's accounts to go on. Where nobody
// is signed in there is nothing to choose.
func (s *pages) showSelect(w http.ResponseWriter, r *http.Request) error {
	c, err := s.carry(r)
	if err != nil {
		return err
	}
	all, err := s.accounts(r)
	if err != nil {
		return err
	}
	return s.askAccount(w, r, c, http.StatusOK, all)
}

// askAccount shows the accounts.
func (s *pages) askAccount(w http.ResponseWriter, r *http.Request, c carried, status int, all []*session.Live) error {
	if len(all) == 0 {
		mux.Redirect(w, r, s.url(loginPath)+c.suffix())
		return nil
	}
	other := c.with(flow.ParamFresh, strconv.FormatInt(s.config.Now().UnixMilli(), 10))
	return s.showOnTheWay(w, r, status, page.SelectAccount{
		Frame: s.frame(r), Action: s.path(selectPath) + c.suffix(), Accounts: views(all),
		Other: s.path(loginPath) + suffix(other), ClientName: c.clientName,
	}, c.scheme)
}

// choose goes on with the account that was chosen, if it is one of the
// browser's own; it may have ended since the page was shown.
func (s *pages) choose(w http.ResponseWriter, r *http.Request) error {
	c, err := s.carry(r)
	if err != nil {
		return err
	}
	form, err := mux.BodyForm(r)
	if err != nil {
		return err
	}
	all, err := s.accounts(r)
	if err != nil {
		return err
	}
	name := mux.One(form, page.FieldAccount)
	for _, live := range all {
		if live.Name == name {
			c.chooses = true
			return s.goOnAs(w, r, c, all, live)
		}
	}
	mux.EventOf(r.Context()).Outcome = "unknown_account"
	return s.askAccount(w, r, c, http.StatusBadRequest, all)
}

// goOnAs makes one of the browser's accounts the one in use and leads on.
func (s *pages) goOnAs(w http.ResponseWriter, r *http.Request, c carried, all []*session.Live, chosen *session.Live) error {
	mux.EventOf(r.Context()).User = string(chosen.User.Sub)
	if all[0] != chosen {
		s.keep(w, append([]*session.Live{chosen}, without(all, []*session.Live{chosen})...))
	}
	if c.fresh > chosen.Session.AuthTime.UnixMilli() {
		c.query = c.with(flow.ParamFresh, "") // the authorization endpoint says anew whether that matters
	}
	mux.Redirect(w, r, s.nextAs(c, chosen.Name))
	return nil
}

// choices are the accounts that may be used in the place of a sign-in: none if
// no application waits, and none that would be asked to sign in again.
func choices(all []*session.Live, c carried) []page.Account {
	var usable []*session.Live
	for _, live := range all {
		if c.waiting && (!c.again || c.fresh <= live.Session.AuthTime.UnixMilli()) {
			usable = append(usable, live)
		}
	}
	return views(usable)
}

// views are accounts as pages show them.
func views(all []*session.Live) []page.Account {
	var list []page.Account
	for _, live := range all {
		list = append(list, page.Account{Value: live.Name, Label: live.User.Label()})
	}
	return list
}
