package account

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/authcore/secret/hashes"
)

// Record is a user outside of the store: a line of an export, and of an
// import. docs/import.md describes the members.
type Record struct {
	Sub           string            `json:"sub,omitempty"`
	Username      string            `json:"username,omitempty"`
	Email         string            `json:"email,omitempty"`
	EmailVerified bool              `json:"email_verified,omitempty"`
	Phone         string            `json:"phone_number,omitempty"`
	PhoneVerified bool              `json:"phone_number_verified,omitempty"`
	Name          string            `json:"name,omitempty"`
	Claims        map[string]string `json:"claims,omitempty"`
	Groups        []string          `json:"groups,omitempty"`
	Status        string            `json:"status,omitempty"` // confirmed, must_set_password, must_change_password; empty: by whether there is a hash
	Disabled      bool              `json:"disabled,omitempty"`
	Epoch         uint32            `json:"epoch,omitempty"`
	Hash          string            `json:"password_hash,omitempty"`
	HashNorm      int               `json:"password_norm,omitempty"` // 0: of the password as it was typed
	HashSet       time.Time         `json:"password_set,omitzero"`
	Created       time.Time         `json:"created,omitzero"`
}

// What became of a record.
const (
	Added   = "added"
	Exists  = "exists"  // the user is there already: nothing was done
	Refused = "refused" // nothing was done; Reason says why
)

// Outcome is what became of a record.
type Outcome struct {
	Result string `json:"result"`
	Reason string `json:"reason,omitempty"` // holds no personal data and nothing of a hash
}

// importers is how many records of a batch are on their way at once, so that
// the store can put many into one write.
const importers = 128

// Import creates the users of records, each whole or not at all, in no
// particular order. A user who is there already is left alone, so that an
// import may be run again. dry checks everything and creates nobody. An error
// means that the rest may not have been done: the same call may be repeated.
func (s *Service) Import(ctx context.Context, by pool.Caller, p *pool.Pool, records []Record, dry bool) ([]Outcome, error) {
	if err := s.authorizeAndRecord(ctx, by, verbImport, target{p.ID, ""}); err != nil {
		return nil, err
	}
	outcomes := make([]Outcome, len(records))
	failures := make([]error, len(records))
	slots := make(chan struct{}, importers)
	var all sync.WaitGroup
	for i := range records {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			outcomes[i], failures[i] = outcome(s.importPatiently(ctx, p, &records[i], dry))
		})
	}
	all.Wait()
	return outcomes, errors.Join(failures...)
}

// outcome tells a record that will not do from a store that will not work.
func outcome(result string, err error) (Outcome, error) {
	switch fault.CodeOf(err) {
	case fault.Invalid, fault.Conflict:
		return Outcome{Result: Refused, Reason: fault.TextOf(err)}, nil
	}
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{Result: result}, nil
}

// patience is how long an import waits for what somebody else is changing: an
// import that died holds identifiers for seconds.
const patience = 15 * time.Second

// importPatiently is importOne, over again while identifiers are being changed.
func (s *Service) importPatiently(ctx context.Context, p *pool.Pool, rec *Record, dry bool) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		result, err := s.importOne(ctx, p, rec, dry)
		if !errors.Is(err, fault.Busy) {
			return result, err
		}
		select {
		case <-ctx.Done():
			return "", err
		case <-time.After(patience / 30):
		}
	}
}

// importOne creates the user of a record, unless it is there.
func (s *Service) importOne(ctx context.Context, p *pool.Pool, rec *Record, dry bool) (string, error) {
	u, err := s.fromRecord(rec)
	if err != nil {
		return "", err
	}
	if dry {
		there, err := s.present(ctx, p, u, rec.Sub != "")
		if there {
			return Exists, err
		}
		return Added, err
	}
	// Most are new: it is asked afterwards who is in the way.
	err = s.repo.CreateUser(ctx, p.ID, u)
	if !errors.Is(err, fault.Conflict) {
		return Added, err
	}
	there, other := s.present(ctx, p, u, rec.Sub != "")
	switch {
	case other != nil:
		return "", other
	case there:
		return Exists, nil
	}
	return "", err
}

// fromRecord makes the user of a record: fault.Invalid.
func (s *Service) fromRecord(rec *Record) (*pool.User, error) {
	u := &pool.User{
		Sub: pool.UserID(strings.ToLower(rec.Sub)), EmailVerified: rec.EmailVerified && rec.Email != "", PhoneVerified: rec.PhoneVerified && rec.Phone != "",
		Name: strings.TrimSpace(rec.Name), Claims: pool.CleanClaims(rec.Claims), Disabled: rec.Disabled, Epoch: rec.Epoch,
		Created: rec.Created.UTC(), Groups: slices.Compact(slices.Sorted(slices.Values(rec.Groups))),
	}
	if rec.Created.IsZero() {
		u.Created = s.now().UTC()
	}
	if u.Sub == "" {
		u.Sub = pool.UserID(secret.UUID())
	}
	if err := identify(u, rec); err != nil {
		return nil, err
	}
	if err := s.carry(u, rec); err != nil {
		return nil, err
	}
	return u, u.Validate()
}

// identify normalises what the user signs in with.
func identify(u *pool.User, rec *Record) error {
	email, err := address(&rec.Email, pool.ByEmail, "that is no e-mail address")
	if err != nil {
		return err
	}
	phone, err := address(&rec.Phone, pool.ByPhone, "that is no phone number with its country code, such as +4930123456")
	if err != nil {
		return err
	}
	u.Email, u.Phone, u.Username = *email, *phone, string(u.Sub)
	if name := rec.Username; name != "" && !strings.EqualFold(name, rec.Sub) {
		id, err := pool.ParseIdentifier(name)
		if err != nil || id.Kind != pool.ByUsername || pool.LooksLikeUUID(id.Value) {
			return fault.New(fault.Invalid, "that is no user name: it may hold no @, not begin with +, and not look like a UUID")
		}
		u.Username = id.Value
	}
	if len(u.Identifiers()) == 0 {
		return errNoIdentifier
	}
	return nil
}

// carry takes over the password's hash. What could not be checked at a
// sign-in, or only at too high a cost, is refused here.
func (s *Service) carry(u *pool.User, rec *Record) error {
	status, known := statuses()[rec.Status]
	switch {
	case !known:
		return fault.New(fault.Invalid, "the status is not known")
	case rec.Hash == "" && status != "" && status != pool.MustSetPassword:
		return fault.New(fault.Invalid, "the status needs a password hash")
	case rec.Hash == "":
		u.Status = pool.MustSetPassword
		return nil
	}
	if _, err := hashes.Parse(rec.Hash); err != nil {
		return fault.Wrap(fault.Invalid, err, err.Error())
	}
	if rec.HashNorm < 0 || rec.HashNorm > pool.PasswordNorm {
		return fault.New(fault.Invalid, "password_norm is not known")
	}
	u.Status = cmp.Or(status, pool.Confirmed)
	u.Password = &pool.PasswordEntry{Norm: rec.HashNorm, PHC: rec.Hash, Set: rec.HashSet.UTC()}
	if rec.HashSet.IsZero() {
		u.Password.Set = u.Created
	}
	return nil
}

// statuses are the words for the states of a user.
func statuses() map[string]pool.Status {
	return map[string]pool.Status{
		"": "", "confirmed": pool.Confirmed, "must_set_password": pool.MustSetPassword, "must_change_password": pool.MustChangePassword,
	}
}

var errNameTaken = fault.New(fault.Conflict, "the user name, e-mail address or phone number is that of another user")

// present reports whether a user is there already: by its sub, if it comes
// with one, else by all that it signs in with. fault.Conflict if that is
// somebody else's.
func (s *Service) present(ctx context.Context, p *pool.Pool, u *pool.User, bySub bool) (bool, error) {
	if bySub {
		_, err := s.repo.User(ctx, p.ID, u.Sub)
		if !errors.Is(err, fault.NotFound) {
			return err == nil, err
		}
	}
	var owner *pool.User
	found := 0
	for _, id := range u.Identifiers() {
		have, err := s.repo.UserByIdentifier(ctx, p.ID, id)
		if errors.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return false, err
		}
		if bySub || owner != nil && owner.Sub != have.Sub {
			return false, errNameTaken
		}
		owner = have
		found++
	}
	switch {
	case found == 0:
		return false, nil
	case found == len(u.Identifiers()):
		return true, nil
	}
	return false, errNameTaken
}

// Export returns a page of users as records, hashes included; see repo.Users.
func (s *Service) Export(ctx context.Context, by pool.Caller, p *pool.Pool, after string) ([]Record, string, error) {
	if err := s.authorizeAndRecord(ctx, by, verbExport, target{p.ID, ""}); err != nil {
		return nil, "", err
	}
	users, next, err := s.repo.Users(ctx, p.ID, after, repo.MaxPage)
	if err != nil {
		return nil, "", err
	}
	records := make([]Record, len(users))
	for i, u := range users {
		records[i] = toRecord(u)
	}
	return records, next, nil
}

// toRecord reverses fromRecord.
func toRecord(u *pool.User) Record {
	rec := Record{
		Sub: string(u.Sub), Email: u.Email, EmailVerified: u.EmailVerified, Phone: u.Phone, PhoneVerified: u.PhoneVerified,
		Name: u.Name, Claims: u.Claims, Groups: u.Groups, Disabled: u.Disabled, Epoch: u.Epoch, Created: u.Created,
	}
	for word, status := range statuses() {
		if status == u.Status {
			rec.Status = word
		}
	}
	if u.Username != string(u.Sub) {
		rec.Username = u.Username
	}
	if u.Password != nil {
		rec.Hash, rec.HashNorm, rec.HashSet = u.Password.PHC, u.Password.Norm, u.Password.Set
	}
	return rec
}
