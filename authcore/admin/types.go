package admin

import (
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// What the API takes and answers. The tags doc and enum go into its OpenAPI
// document, which is made from these types; a member that may be left out is a
// pointer, or has omitempty or omitzero.

// NewUser is a user to add.
type NewUser struct {
	Identifier string   `json:"identifier" doc:"E-mail address, phone number with its country code, or user name"`
	Name       string   `json:"name,omitempty" doc:"Full name"`
	Groups     []string `json:"groups,omitempty" doc:"Names of declared groups"`
	Password   string   `json:"password,omitempty" format:"password" doc:"Without one the answer has a one-time link to set it"`
	MustChange bool     `json:"must_change,omitempty" doc:"The password is good for one sign-in, which asks for another"`
}

// UserChange is what may be changed of a user; what is left out stays.
type UserChange struct {
	Name    *string           `json:"name,omitempty" doc:"Full name"`
	Email   *string           `json:"email,omitempty" doc:"E-mail address, which counts as verified; empty takes it away"`
	Phone   *string           `json:"phone,omitempty" doc:"Phone number with its country code, which counts as verified; empty takes it away"`
	Profile map[string]string `json:"profile,omitempty" doc:"Other standard claims (OIDC Core 5.1) by name, such as given_name; those left out stay, an empty one is taken away"`
	Groups  *[]string         `json:"groups,omitempty" doc:"Instead of all groups of before"`
}

// Password is a password to set.
type Password struct {
	Password   string `json:"password" format:"password"`
	MustChange bool   `json:"must_change,omitempty" doc:"It is good for one sign-in, which asks for another"`
}

// User is what is told of a user: never a hash.
type User struct {
	Sub           pool.UserID       `json:"sub" doc:"Immutable id, a UUID"`
	Username      string            `json:"username" doc:"Immutable; equals sub for people who sign in by e-mail or phone"`
	Email         string            `json:"email,omitempty"`
	EmailVerified bool              `json:"email_verified"`
	Phone         string            `json:"phone,omitempty"`
	PhoneVerified bool              `json:"phone_verified"`
	Name          string            `json:"name,omitempty"`
	Profile       map[string]string `json:"profile,omitempty" doc:"Other standard claims (OIDC Core 5.1) by name"`
	Groups        []string          `json:"groups"`
	Status        string            `json:"status" enum:"confirmed,must_set_password,must_change_password"`
	Disabled      bool              `json:"disabled"`
	Created       time.Time         `json:"created"`
	Updated       time.Time         `json:"updated"`
	Link          string            `json:"link,omitempty" doc:"One-time link to set a password, good for a day; only in answers to adding"`
}

// Label is what a person calls the user.
func (u User) Label() string {
	for _, s := range []string{u.Email, u.Phone} {
		if s != "" {
			return s
		}
	}
	return u.Username
}

// State says in words where the user stands.
func (u User) State() string {
	if u.Disabled {
		return "disabled"
	}
	return strings.ReplaceAll(u.Status, "_", " ")
}

// Users is a page of users.
type Users struct {
	Users []User `json:"users"`
	Next  string `json:"next,omitempty" doc:"For the parameter after of the next page; absent on the last one"`
}

// Link is a one-time link.
type Link struct {
	Link string `json:"link" doc:"Good once and for a day"`
}

// Deleted says who was deleted.
type Deleted struct {
	Deleted pool.UserID `json:"deleted"`
}

// Session is a signed-in browser of a user.
type Session struct {
	ID       string    `json:"id" doc:"Names the session; it opens nothing"`
	SignedIn time.Time `json:"signed_in"`
	Used     time.Time `json:"used" doc:"Last use, to five minutes"`
	Expires  time.Time `json:"expires"`
	Address  string    `json:"address,omitempty" doc:"Client address at sign-in"`
	Agent    string    `json:"agent,omitempty" doc:"User-Agent at sign-in"`
	ACR      string    `json:"acr"`
	AMR      []string  `json:"amr"`
}

// Sessions is all sessions of a user, latest first.
type Sessions struct {
	Sessions []Session `json:"sessions"`
}

// EndSession names a session to end.
type EndSession struct {
	ID string `json:"id"`
}

// Ended says which session was ended.
type Ended struct {
	Ended string `json:"ended"`
}

// Consent is what a user lets a client have.
type Consent struct {
	Client   pool.ClientID `json:"client"`
	Host     string        `json:"host,omitempty" doc:"Of the redirect URI"`
	Resource string        `json:"resource,omitempty" doc:"Absent: the issuer"`
	Scopes   []string      `json:"scopes"`
	At       time.Time     `json:"at"`
}

// Consents is all that a user lets clients have.
type Consents struct {
	Consents []Consent `json:"consents"`
}

// Withdraw names a client that is to be asked about again.
type Withdraw struct {
	Client pool.ClientID `json:"client"`
}

// Group is a group of the configuration.
type Group struct {
	Name string `json:"name"`
}

// Groups is all declared groups, by name.
type Groups struct {
	Groups []Group `json:"groups"`
}

// Member names a user who joins or leaves a group.
type Member struct {
	User string `json:"user" doc:"E-mail address, phone number, user name or sub"`
}

// Client is what is told of a client: never a secret.
type Client struct {
	ID        pool.ClientID `json:"id"`
	Name      string        `json:"name,omitempty"`
	Auth      []string      `json:"auth" doc:"Client authentication methods"`
	Secrets   []string      `json:"secret_ids,omitempty" doc:"Public ids of its live secrets"`
	Grants    []string      `json:"grants"`
	Redirects []string      `json:"redirect_uris,omitempty"`
	Logouts   []string      `json:"post_logout_redirect_uris,omitempty"`
	Origins   []string      `json:"origins,omitempty" doc:"Whose scripts may call the endpoints"`
	Scopes    []string      `json:"scopes,omitempty" doc:"What a user may grant it"`
	Machine   []string      `json:"machine_scopes,omitempty" doc:"Its own, by client_credentials"`
	Resources []string      `json:"resources,omitempty" doc:"Audiences it may ask for"`
	Consent   bool          `json:"consent" doc:"People are asked before they share anything with it"`
	Disabled  bool          `json:"disabled"`
	Site      bool          `json:"site,omitempty" doc:"It is the gate of a site"`
}

// Clients is all clients of the configuration and the gates, by id.
type Clients struct {
	Clients []Client `json:"clients"`
}

// Key is what is told of a signing key.
type Key struct {
	ID       string      `json:"id"`
	Use      pool.KeyUse `json:"use" enum:"token,assertion"`
	Alg      jose.Alg    `json:"alg"`
	State    string      `json:"state" enum:"signing,published,retiring"`
	Created  time.Time   `json:"created"`
	SignFrom time.Time   `json:"sign_from"`
	Retire   time.Time   `json:"retire,omitzero" doc:"When it leaves the published set; absent while nothing replaces it"`
}

// Keys is all signing keys that are published: those that sign come first.
type Keys struct {
	Keys []Key `json:"keys"`
}

// Rotate says which keys to rotate and how.
type Rotate struct {
	Use pool.KeyUse `json:"use,omitempty" enum:"token,assertion" doc:"Absent: token"`
	Now bool        `json:"now,omitempty" doc:"The new keys sign at once: verifiers that keep the old set refuse them for up to 5 minutes"`
}

// DropKey names a key that somebody else may know.
type DropKey struct {
	ID string `json:"id"`
}

// Problem is the body of every error.
type Problem struct {
	Error   fault.Code `json:"error" doc:"For programs"`
	Message string     `json:"message,omitempty" doc:"For people"`
}

// nothing is the body of a request that says nothing beyond its address.
type nothing struct{}

// list is s, or an empty list: null is none.
func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

func userOf(u *pool.User) User {
	status := map[pool.Status]string{pool.MustSetPassword: "must_set_password", pool.MustChangePassword: "must_change_password"}[u.Status]
	if status == "" {
		status = "confirmed"
	}
	return User{
		Sub: u.Sub, Username: u.Username, Email: u.Email, EmailVerified: u.EmailVerified, Phone: u.Phone, PhoneVerified: u.PhoneVerified,
		Name: u.Name, Profile: u.Claims, Groups: list(u.Groups), Status: status, Disabled: u.Disabled, Created: u.Created, Updated: u.Updated,
	}
}

func clientOf(c *pool.Client) Client {
	out := Client{
		ID: c.ID, Name: c.Name, Auth: list(c.AuthMethods), Grants: list(c.Grants), Redirects: c.RedirectURIs, Logouts: c.LogoutURIs,
		Origins: c.Origins, Scopes: c.Scopes, Machine: c.MachineScopes, Resources: c.Resources, Consent: c.Consent, Disabled: c.Disabled, Site: c.Site,
	}
	for _, s := range c.Secrets {
		out.Secrets = append(out.Secrets, s.ID)
	}
	return out
}

func keysOf(infos []keyring.Info) Keys {
	out := Keys{Keys: make([]Key, 0, len(infos))}
	for _, k := range infos {
		out.Keys = append(out.Keys, Key(k))
	}
	return out
}
