package token

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
)

const (
	codeLife     = 60 * time.Second
	siteCodeLife = 30 * time.Second
)

// CodeOrder asks for an authorization code.
type CodeOrder struct {
	Client      *pool.Client
	RedirectURI string // as it was sent; if it was not, the client's only one
	Challenge   string // S256; empty if none was sent
	Nonce       string
	Scopes      []string
	Resources   []string
	IDClaims    []string      // asked for by name, for the ID token (OIDC Core 5.5)
	InfoClaims  []string      // asked for by name, at userinfo
	Session     pool.Session  // the SSO session that grants it
	SessionName string        // its name
	Life        time.Duration // 0: 60 s (sites: 30 s), which is also the most
}

// IssueCode stores a code and returns it. fault.LoginRequired if the session
// has ended meanwhile; fault.InvalidRequest if the challenge is missing or
// is no S256 challenge.
func (s *Service) IssueCode(ctx context.Context, p *pool.Pool, o CodeOrder) (string, error) {
	if err := checkChallenge(o.Client, o.Challenge); err != nil {
		return "", err
	}
	part := repo.UserPartition(p.ID, o.Session.Sub)
	handle := repo.NewHandle(part)
	_, name, ok := repo.ParseHandle(handle)
	if !ok {
		return "", fault.New(fault.Internal, "a new handle cannot be read")
	}
	code := pool.Code{
		Client: o.Client.ID, RedirectURI: o.RedirectURI, Challenge: o.Challenge, Nonce: o.Nonce,
		Scopes: o.Scopes, Resources: o.Resources, IDClaims: o.IDClaims, InfoClaims: o.InfoClaims,
		Sub: o.Session.Sub, Session: o.SessionName, Epoch: o.Session.Epoch,
		AuthTime: o.Session.AuthTime, ACR: o.Session.ACR, AMR: o.Session.AMR,
	}
	life := lifeOfCode(o)
	_, err := s.repo.Update(ctx, p.ID, part, func(tx *repo.Tx) error {
		e, err := repo.Read(tx, repo.SessionKey(p.ID, part, o.SessionName))
		if err != nil {
			return err
		}
		if !e.Found || e.Value.Sub != code.Sub || e.Value.Epoch != code.Epoch {
			return fault.New(fault.LoginRequired, "the session has ended")
		}
		return repo.Put(tx, repo.CodeKey(p.ID, part, name), code, tx.Now().Add(life))
	})
	if err != nil {
		return "", fmt.Errorf("token: issue code: %w", err)
	}
	return handle, nil
}

func lifeOfCode(o CodeOrder) time.Duration {
	most := codeLife
	if o.Client.Site {
		most = siteCodeLife
	}
	if o.Life > 0 {
		return min(o.Life, most)
	}
	return most
}

// checkChallenge is the last line of RFC 9700 2.1.1: no code without a
// challenge, unless the client is confidential and excused.
func checkChallenge(c *pool.Client, challenge string) error {
	if challenge == "" {
		if c.PKCEOptional && len(c.Secrets) > 0 && !c.Site {
			return nil
		}
		return fault.New(fault.InvalidRequest, "code_challenge is required")
	}
	if sum, err := base64.RawURLEncoding.Strict().DecodeString(challenge); err != nil || len(sum) != sha256.Size {
		return fault.New(fault.InvalidRequest, "code_challenge is not an S256 challenge")
	}
	return nil
}

// Redemption is what a client presents for a code.
type Redemption struct {
	Client      *pool.Client // authenticated
	Code        string
	RedirectURI string   // empty if not sent
	Verifier    string   // PKCE, empty if not sent
	Resource    string   // narrows; empty: the first granted
	Scopes      []string // narrows; nil: all
}

// bound checks that a code was issued to who presents it. It comes before
// anything is spent or ended: a stolen code is of no use for burning either.
func (r Redemption) bound(c pool.Code) error {
	switch {
	case c.Client != r.Client.ID:
		return badGrant("the code was issued to another client")
	case !r.sameRedirect(c.RedirectURI):
		return badGrant("redirect_uri is not the one of the authorization request")
	case !proves(r.Verifier, c.Challenge):
		return badGrant("code_verifier does not match")
	}
	return nil
}

// sameRedirect accepts an absent redirect_uri only if there is no doubt which
// one it was (OAuth 2.1 10.2), and enforces one that was sent.
func (r Redemption) sameRedirect(issued string) bool {
	if r.RedirectURI == "" {
		return len(r.Client.RedirectURIs) == 1
	}
	return r.RedirectURI == issued
}

// proves checks PKCE (RFC 7636 4.6). A verifier without a challenge is
// refused too: somebody has dropped the challenge on the way (RFC 9700 4.8.2).
func proves(verifier, challenge string) bool {
	if challenge == "" || verifier == "" {
		return challenge == verifier
	}
	if !validVerifier(verifier) {
		return false
	}
	sum := sha256.Sum256([]byte(verifier))
	return secret.Equal([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge))
}

// validVerifier is the grammar of RFC 7636 4.1.
func validVerifier(v string) bool {
	if len(v) < 43 || len(v) > 128 {
		return false
	}
	for i := range len(v) {
		c := v[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '.', c == '_', c == '~':
		default:
			return false
		}
	}
	return true
}
