package token

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// UserClaims is what scopes let a client know of a user (OIDC Core 5.4), the
// same in ID tokens and at userinfo.
type UserClaims struct {
	Name              string `json:"name,omitempty"`
	PreferredUsername string `json:"preferred_username,omitempty"`
	UpdatedAt         int64  `json:"updated_at,omitempty"`
	Email             string `json:"email,omitempty"`
	EmailVerified     *bool  `json:"email_verified,omitempty"`
	Phone             string `json:"phone_number,omitempty"`
	PhoneVerified     *bool  `json:"phone_number_verified,omitempty"`
}

// ClaimsOf returns the claims about a user that scopes allow.
func ClaimsOf(u *pool.User, scopes []string) UserClaims {
	var c UserClaims
	if slices.Contains(scopes, pool.ScopeProfile) {
		c.Name = u.Name
		if u.Username != string(u.Sub) {
			c.PreferredUsername = u.Username
		}
		if !u.Updated.IsZero() {
			c.UpdatedAt = u.Updated.Unix()
		}
	}
	if slices.Contains(scopes, pool.ScopeEmail) && u.Email != "" {
		verified := u.EmailVerified
		c.Email, c.EmailVerified = u.Email, &verified
	}
	if slices.Contains(scopes, pool.ScopePhone) && u.Phone != "" {
		verified := u.PhoneVerified
		c.Phone, c.PhoneVerified = u.Phone, &verified
	}
	return c
}

// identity is the claims of an ID token (OIDC Core 2), plus Cognito's.
type identity struct {
	Issuer    string        `json:"iss"`
	Sub       string        `json:"sub"`
	Audience  jose.Audience `json:"aud"`
	Expires   int64         `json:"exp"`
	IssuedAt  int64         `json:"iat"`
	AuthTime  int64         `json:"auth_time"`
	Nonce     string        `json:"nonce,omitempty"`
	ACR       string        `json:"acr,omitempty"`
	AMR       []string      `json:"amr,omitempty"`
	AtHash    string        `json:"at_hash"`
	Use       string        `json:"token_use"` // "id"
	Username  string        `json:"cognito:username"`
	Groups    []string      `json:"cognito:groups,omitempty"`
	OriginJTI string        `json:"origin_jti"`
	UserClaims
}

func (m *minting) idClaims(now time.Time, access string) identity {
	return identity{
		Issuer: m.pool.Issuer, Sub: string(m.user.Sub), Audience: jose.Audience{string(m.client.ID)},
		Expires: now.Add(idLife(m.pool, m.client)).Unix(), IssuedAt: now.Unix(),
		AuthTime: m.family.AuthTime.Unix(), Nonce: m.nonce, ACR: m.family.ACR, AMR: m.family.AMR,
		AtHash: atHash(access), Use: useID,
		Username: m.user.Username, Groups: m.user.Groups, OriginJTI: m.family.OriginJTI,
		UserClaims: ClaimsOf(m.user, m.target.Scopes),
	}
}

// atHash is the left half of the access token's hash (OIDC Core 3.1.3.6);
// every algorithm of this build hashes with SHA-256.
func atHash(access string) string {
	sum := sha256.Sum256([]byte(access))
	return base64.RawURLEncoding.EncodeToString(sum[:sha256.Size/2])
}
