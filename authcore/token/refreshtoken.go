package token

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/store"
)

// A refresh token is, in unpadded base64url,
//
//	version (1) ‖ partition (1) ‖ family (16) ‖ generation (4, big endian) ‖ MAC (32)
//
// The family is the UUID that is the origin_jti of its access tokens. The MAC
// is over all before it, under a key that derives from the pool's and the
// family's. So it is deterministic: a generation has one token, and a retry
// gets the same one.
const (
	refreshVersion = 1
	refreshHead    = 1 + 1 + 16 + 4
	refreshSize    = refreshHead + 32

	familyKeySize = 32
)

// presented is a refresh token that has the right shape; whether it is
// genuine only its family can tell.
type presented struct {
	part   store.Partition
	family string
	gen    uint32
	head   []byte
	mac    []byte
}

// parseRefresh reads the shape of a refresh token. There is one spelling of each.
func parseRefresh(token string) (presented, bool) {
	if len(token) != base64.RawURLEncoding.EncodedLen(refreshSize) || strings.ContainsAny(token, "\r\n") {
		return presented{}, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) != refreshSize || raw[0] != refreshVersion {
		return presented{}, false
	}
	return presented{
		part:   store.Partition(raw[1]),
		family: formatUUID(raw[2:18]),
		gen:    binary.BigEndian.Uint32(raw[18:refreshHead]),
		head:   raw[:refreshHead],
		mac:    raw[refreshHead:],
	}, true
}

// formatRefresh is the token of a family's generation.
func formatRefresh(key []byte, part store.Partition, family string, gen uint32) (string, error) {
	id, err := hex.DecodeString(strings.ReplaceAll(family, "-", ""))
	if err != nil || len(id) != 16 {
		return "", fmt.Errorf("token: the family's name is no UUID")
	}
	raw := make([]byte, 0, refreshSize)
	raw = append(raw, refreshVersion, byte(part))
	raw = append(raw, id...)
	raw = binary.BigEndian.AppendUint32(raw, gen)
	raw = append(raw, secret.MAC(key, raw)...)
	return base64.RawURLEncoding.EncodeToString(raw), nil
}

// genuine checks the MAC in constant time.
func (t presented) genuine(key []byte) bool { return secret.Equal(secret.MAC(key, t.head), t.mac) }

// refreshKey is the MAC key of a family: neither the pool's key nor the
// family's record alone can make a token.
func (s *Service) refreshKey(ctx context.Context, id pool.ID, f *pool.Family) ([]byte, error) {
	root, err := s.repo.Secret(ctx, id, "refresh")
	if err != nil {
		return nil, fmt.Errorf("token: refresh key: %w", err)
	}
	return secret.MAC(root, f.Key, []byte(f.OriginJTI)), nil
}

// refreshToken is the token of the family's current generation.
func (s *Service) refreshToken(ctx context.Context, id pool.ID, part store.Partition, f *pool.Family) (string, error) {
	key, err := s.refreshKey(ctx, id, f)
	if err != nil {
		return "", err
	}
	return formatRefresh(key, part, f.OriginJTI, f.Gen)
}

func formatUUID(b []byte) string {
	s := hex.EncodeToString(b)
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
