package token

import (
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"time"
)

// idClaims is the claims of an ID token (OIDC Core 2), plus Cognito's. What
// it says about the sign-in wins over what it says about the user.
func (m *minting) idClaims(now time.Time, access string) map[string]any {
	claims := ClaimsOf(m.user, m.target.Scopes, stillAllowed(m.client, m.family.IDClaims)...)
	maps.Copy(claims, map[string]any{
		"iss": m.pool.Issuer, "sub": m.user.Sub, "aud": m.client.ID,
		"exp": now.Add(idLife(m.pool, m.client)).Unix(), "iat": now.Unix(),
		"auth_time": m.family.AuthTime.Unix(), "at_hash": atHash(access),
		"token_use": useID, "cognito:username": m.user.Username, "origin_jti": m.family.OriginJTI,
	})
	for name, value := range map[string]string{"nonce": m.nonce, "acr": m.family.ACR, "sid": m.family.Session} {
		if value != "" {
			claims[name] = value
		}
	}
	for name, list := range map[string][]string{"amr": m.family.AMR, "cognito:groups": m.user.Groups} {
		if len(list) > 0 {
			claims[name] = list
		}
	}
	return claims
}

// atHash is the left half of the access token's hash (OIDC Core 3.1.3.6);
// every algorithm of this build hashes with SHA-256.
func atHash(access string) string {
	sum := sha256.Sum256([]byte(access))
	return base64.RawURLEncoding.EncodeToString(sum[:sha256.Size/2])
}
