package signin

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/page"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/prompt"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// Families ends what clients were given; token.Service does.
type Families interface {
	// EndClient ends all that a client was given for a user, for good before it returns.
	EndClient(ctx context.Context, p *pool.Pool, sub pool.UserID, client pool.ClientID) error
}

const (
	passwordPath = accountPath + "/password"
	fieldDone    = "done"
	fieldPlace   = "place" // name of the session that a form was made for
	fieldName    = "name"
	// accountTicket stands before the session's name in the tickets of these
	// forms, so that they sign nobody out.
	accountTicket = "account:"
)

func (s *pages) mountAccount(m *mux.Mux) {
	m.Page("GET "+accountPath, s.signedInPage(s.showAccount))
	m.Page("POST "+accountPath, s.signedInForm(s.changeAccount, s.accountExpired))
	m.Page("GET "+passwordPath, s.signedInPage(s.showPassword))
	m.Page("POST "+passwordPath, s.signedInForm(s.changePassword, s.passwordExpired))
}

// mine is a request to one of the account's pages by somebody who is signed in.
type mine struct {
	*http.Request
	live *session.Live
	form url.Values // of a POST
}

func (m mine) sub() pool.UserID { return m.live.User.Sub }

// self is the person as who changes something.
func (m mine) self() pool.Caller {
	return pool.Caller{Kind: pool.Self, Name: string(m.sub()), Address: mux.ClientOf(m.Request).Address}
}

// signedInPage sends who is not signed in to do that first.
func (s *pages) signedInPage(show func(http.ResponseWriter, mine) error) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		live, err := s.live(r)
		switch {
		case err != nil:
			return err
		case live == nil:
			mux.Redirect(w, r, s.url(s.signInFirst()))
			return nil
		}
		mux.EventOf(r.Context()).User = string(live.User.Sub)
		return show(w, mine{Request: r, live: live})
	}
}

// signInFirst leads to the sign-in, and from there to the account page.
func (s *pages) signInFirst() string { return loginPath + "?next=account" }

// signedInForm takes a form that was made for the session that sends it; one
// that was not, or lay open for too long, is shown again.
func (s *pages) signedInForm(take, expired func(http.ResponseWriter, mine) error) func(http.ResponseWriter, *http.Request) error {
	return s.signedInPage(func(w http.ResponseWriter, m mine) error {
		var err error
		if m.form, err = mux.BodyForm(m.Request); err != nil {
			return err
		}
		name, err := s.config.Flow.OpenLogoutTicket(m.Context(), s.site.Pool, mux.One(m.form, fieldTicket))
		switch {
		case err != nil:
			return err
		case name != accountTicket+m.live.Name:
			mux.EventOf(m.Context()).Outcome = string(page.AttemptExpired)
			return expired(w, m)
		}
		return take(w, m)
	})
}

// hidden binds a form to the session it is shown to.
func (s *pages) hidden(m mine) ([]page.Hidden, error) {
	ticket, err := s.config.Flow.SealLogoutTicket(m.Context(), s.site.Pool, accountTicket+m.live.Name)
	return []page.Hidden{{Name: fieldTicket, Value: ticket}, {Name: fieldPlace, Value: m.live.Name}}, err
}

// done leads back to the account page, which says what was done.
func (s *pages) done(w http.ResponseWriter, m mine, what page.Done) error {
	to := s.url(accountPath)
	if what != page.NothingDone {
		to += "?" + url.Values{fieldDone: {string(what)}}.Encode()
	}
	mux.Redirect(w, m.Request, to)
	return nil
}

// doneCodes are what an address may claim to have been done.
func doneCodes() []page.Done {
	return []page.Done{page.ProfileSaved, page.PasswordChanged, page.SessionEnded, page.SessionsEnded, page.ConsentWithdrawn}
}

func (s *pages) showAccount(w http.ResponseWriter, m mine) error {
	done := page.Done(m.URL.Query().Get(fieldDone))
	if !slices.Contains(doneCodes(), done) {
		done = page.NothingDone
	}
	return s.account(w, m, http.StatusOK, profileOf(m.live.User), done, page.NoProblem)
}

// accountExpired shows what was typed again, unless it was typed for another
// account of this browser.
func (s *pages) accountExpired(w http.ResponseWriter, m mine) error {
	profile := profileOf(m.live.User)
	if mux.One(m.form, page.FieldVerb) == page.VerbSaveProfile && mux.One(m.form, fieldPlace) == m.live.Name {
		profile = m.profile()
	}
	return s.account(w, m, http.StatusBadRequest, profile, page.NothingDone, page.AttemptExpired)
}

// account shows the page with a profile as it is, or as it was typed.
func (s *pages) account(w http.ResponseWriter, m mine, status int, profile account.Profile, done page.Done, problem page.Problem) error {
	hidden, err := s.hidden(m)
	if err != nil {
		return err
	}
	sessions, err := s.config.Sessions.List(m.Context(), s.site.Pool, m.sub())
	if err != nil {
		return err
	}
	consents, err := s.config.Accounts.Consents(m.Context(), s.site.Pool, m.sub())
	if err != nil {
		return err
	}
	return s.show(w, m.Request, status, page.AccountPage{
		Frame: s.frame(m.Request), Action: s.path(accountPath), Hidden: hidden, Account: m.live.User.Label(),
		Fields: profileFields(profile), Problem: problem, Done: done, Password: s.path(passwordPath),
		Sessions: sessionViews(sessions, m.live), Consents: s.consentViews(consents), SignOut: s.path(logoutPath),
	})
}

// sessionViews lists a person's sessions, first the one that looks at them.
func sessionViews(all []*session.Live, current *session.Live) []page.SessionView {
	if !slices.ContainsFunc(all, func(l *session.Live) bool { return l.Name == current.Name }) {
		all = append([]*session.Live{current}, all...) // made by a build that kept no list
	}
	views := make([]page.SessionView, 0, len(all))
	for _, l := range all {
		views = append(views, page.SessionView{
			Value: l.Name, Device: deviceOf(l.Session.Agent), Address: l.Session.Address,
			Begun: l.Session.Created, Used: l.Session.Used, Current: l.Name == current.Name,
		})
	}
	slices.SortStableFunc(views, func(a, b page.SessionView) int {
		switch {
		case a.Current == b.Current:
			return 0
		case a.Current:
			return -1
		}
		return 1
	})
	return views
}

// consentViews lists the clients that a person lets have something.
func (s *pages) consentViews(all []pool.Consent) []page.ConsentView {
	byClient := map[pool.ClientID]page.ConsentView{}
	for _, c := range all {
		v := byClient[c.Client]
		v.Value, v.ClientName = string(c.Client), string(c.Client)
		if client := s.site.Pool.Client(c.Client); client != nil {
			v.ClientName = cmp.Or(client.Name, v.ClientName)
		}
		v.Scopes = slices.Compact(slices.Sorted(slices.Values(slices.Concat(v.Scopes, c.Scopes))))
		if c.At.After(v.At) {
			v.At = c.At
		}
		byClient[c.Client] = v
	}
	return slices.SortedFunc(maps.Values(byClient), func(a, b page.ConsentView) int {
		return cmp.Or(strings.Compare(a.ClientName, b.ClientName), strings.Compare(a.Value, b.Value))
	})
}

// profileClaims are those that people are asked for here. The others are kept.
func profileClaims() []string {
	return []string{"given_name", "family_name", "nickname", "birthdate", "website", "zoneinfo", "locale", "address"}
}

func profileOf(u *pool.User) account.Profile { return account.Profile{Name: u.Name, Claims: u.Claims} }

func profileFields(p account.Profile) []prompt.Field {
	fields := []prompt.Field{{Name: fieldName, Type: prompt.Text, Value: p.Name}}
	for _, claim := range profileClaims() {
		fields = append(fields, prompt.Field{Name: claim, Type: prompt.Text, Value: p.Claims[claim]})
	}
	return fields
}

// profile is the person's, with what the form says in its place. What the form
// does not ask for stays.
func (m mine) profile() account.Profile {
	p := profileOf(m.live.User)
	if len(m.form[fieldName]) == 1 {
		p.Name = m.form.Get(fieldName)
	}
	claims := map[string]string{}
	maps.Copy(claims, p.Claims)
	for _, claim := range profileClaims() {
		if len(m.form[claim]) == 1 {
			claims[claim] = m.form.Get(claim)
		}
	}
	p.Claims = claims
	return p
}

var errVerb = fault.New(fault.InvalidRequest, "The form does not say what is to be done.")

// changeAccount does what the form says.
func (s *pages) changeAccount(w http.ResponseWriter, m mine) error {
	var done page.Done
	var err error
	switch mux.One(m.form, page.FieldVerb) {
	case page.VerbSaveProfile:
		return s.saveProfile(w, m)
	case page.VerbEndSession:
		if mux.One(m.form, page.FieldSession) == m.live.Name {
			return s.endThis(w, m)
		}
		done, err = s.endOne(m)
	case page.VerbEndSessions:
		done, err = s.endOthers(m)
	case page.VerbWithdraw:
		done, err = s.withdraw(m)
	default:
		return errVerb
	}
	if errors.Is(err, fault.Conflict) || busy(err) {
		mux.EventOf(m.Context()).Err = err
		return s.account(w, m, http.StatusServiceUnavailable, profileOf(m.live.User), page.NothingDone, page.TooBusy)
	}
	if err != nil {
		return err
	}
	return s.done(w, m, done)
}

func (s *pages) saveProfile(w http.ResponseWriter, m mine) error {
	typed := m.profile()
	_, err := s.config.Accounts.SetProfile(m.Context(), m.self(), s.site.Pool, m.sub(), typed)
	switch {
	case errors.Is(err, fault.Invalid):
		mux.EventOf(m.Context()).Outcome = string(page.ProfileInvalid)
		return s.account(w, m, http.StatusBadRequest, typed, page.NothingDone, page.ProfileInvalid)
	case busy(err):
		mux.EventOf(m.Context()).Err = err
		return s.account(w, m, http.StatusServiceUnavailable, typed, page.NothingDone, page.TooBusy)
	case err != nil:
		return err
	}
	return s.done(w, m, page.ProfileSaved)
}

// endThis signs out here: the logout page does it, by a ticket.
func (s *pages) endThis(w http.ResponseWriter, m mine) error {
	ticket, err := s.config.Flow.SealLogoutTicket(m.Context(), s.site.Pool, m.live.Name)
	if err != nil {
		return err
	}
	mux.Redirect(w, m.Request, s.url(logoutPath)+"?"+url.Values{fieldTicket: {ticket}}.Encode())
	return nil
}

// endOne ends another session of the person's; one that is not, or has
// ended already, is no error and nothing done.
func (s *pages) endOne(m mine) (page.Done, error) {
	err := s.config.Sessions.EndNamed(m.Context(), s.site.Pool, m.sub(), mux.One(m.form, page.FieldSession))
	if errors.Is(err, fault.NotFound) {
		return page.NothingDone, nil
	}
	return page.SessionEnded, err
}

// endOthers ends all sessions of the person's but this one.
func (s *pages) endOthers(m mine) (page.Done, error) {
	all, err := s.config.Sessions.List(m.Context(), s.site.Pool, m.sub())
	if err != nil {
		return page.NothingDone, err
	}
	for _, l := range all {
		if l.Name == m.live.Name {
			continue
		}
		err := s.config.Sessions.EndNamed(m.Context(), s.site.Pool, m.sub(), l.Name)
		if err != nil && !errors.Is(err, fault.NotFound) {
			return page.NothingDone, err
		}
	}
	return page.SessionsEnded, nil
}

// withdraw forgets what the person lets a client have, and ends what it was
// given: before, so that this can be tried again if it fails, and after, for
// what it was given meanwhile.
func (s *pages) withdraw(m mine) (page.Done, error) {
	ctx, p, client := m.Context(), s.site.Pool, pool.ClientID(mux.One(m.form, page.FieldConsent))
	given, err := s.config.Accounts.Consents(ctx, p, m.sub())
	if err != nil || !slices.ContainsFunc(given, func(c pool.Consent) bool { return c.Client == client }) {
		return page.NothingDone, err
	}
	if err := s.config.Families.EndClient(ctx, p, m.sub(), client); err != nil {
		return page.NothingDone, err
	}
	if err := s.config.Accounts.Withdraw(ctx, m.self(), p, m.sub(), client); err != nil {
		return page.NothingDone, err
	}
	return page.ConsentWithdrawn, s.config.Families.EndClient(ctx, p, m.sub(), client)
}
