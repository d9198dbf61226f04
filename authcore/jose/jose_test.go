package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
)

func newTestKey(t testing.TB, alg Alg) *Key {
	t.Helper()
	k, err := Generate(alg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

type claims struct {
	Sub string   `json:"sub"`
	Aud Audience `json:"aud,omitempty"`
	Exp int64    `json:"exp,omitempty"`
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func TestSignedTokensVerify(t *testing.T) {
	for _, alg := range []Alg{ES256, RS256} {
		k := newTestKey(t, alg)
		token, err := k.Sign("at+jwt", claims{Sub: "ann", Aud: Audience{"a"}})
		if err != nil {
			t.Fatal(err)
		}
		v, err := NewSet(newTestKey(t, alg), k).Verify(token)
		if err != nil || v.Type != "at+jwt" || v.KeyID != k.ID() || string(v.Payload) != `{"sub":"ann","aud":"a"}` {
			t.Errorf("%s: %+v %s %v", alg, v, v.Payload, err)
		}
		private, err := k.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseKey(private)
		if err != nil || again.ID() != k.ID() || again.Alg() != alg {
			t.Errorf("%s: stored key: %v", alg, err)
		}
		if _, err := NewSet(newTestKey(t, alg)).Verify(token); !errors.Is(err, ErrToken) {
			t.Errorf("%s: another set: %v", alg, err)
		}
	}
}

// TestOthersCanVerify checks a signature with nothing but the standard library.
func TestOthersCanVerify(t *testing.T) {
	es, rs := newTestKey(t, ES256), newTestKey(t, RS256)
	for _, k := range []*Key{es, rs} {
		token, err := k.Sign("JWT", claims{Sub: "ann"})
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(token, ".")
		digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
		sig, err := base64.RawURLEncoding.DecodeString(parts[2])
		if err != nil {
			t.Fatal(err)
		}
		switch pub := k.raw.Public().(type) {
		case *ecdsa.PublicKey:
			r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])
			if len(sig) != 64 || !ecdsa.Verify(pub, digest[:], r, s) {
				t.Error("ES256")
			}
		case *rsa.PublicKey:
			if err := rsa.VerifyPKCS1v15(pub, crypto.SHA256, digest[:], sig); err != nil {
				t.Error("RS256", err)
			}
		}
	}
}

func TestKeySetShowsOnlyPublicHalves(t *testing.T) {
	es, rs := newTestKey(t, ES256), newTestKey(t, RS256)
	var doc struct{ Keys []map[string]any }
	if err := json.Unmarshal(NewSet(es, rs).JWKS(), &doc); err != nil || len(doc.Keys) != 2 {
		t.Fatal(err, len(doc.Keys))
	}
	for _, k := range doc.Keys {
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "k", "oth"} {
			if _, ok := k[private]; ok {
				t.Errorf("%v shows %s", k["kid"], private)
			}
		}
		for _, needed := range []string{"kty", "kid", "alg", "use"} {
			if k[needed] == nil {
				t.Errorf("%v lacks %s", k["kid"], needed)
			}
		}
	}
	set, err := ParseSet(NewSet(es, rs).JWKS())
	if err != nil || !set.Has(es.ID()) || !set.Has(rs.ID()) || set.Has("x") {
		t.Error("a published set does not read back")
	}
	for _, s := range []string{fmt.Sprint(es), fmt.Sprintf("%#v", es)} {
		if strings.Contains(s, `"d"`) || len(s) > 80 {
			t.Errorf("a key prints as %s", s)
		}
	}
}

func TestForgedTokensAreRefused(t *testing.T) {
	es, rs, foreign := newTestKey(t, ES256), newTestKey(t, RS256), newTestKey(t, ES256)
	set := NewSet(es, rs)
	good, err := es.Sign("at+jwt", claims{Sub: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	body := parts[1]
	with := func(head string) string { return b64(head) + "." + body }
	hmacWith := func(head string, key []byte) string {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(with(head)))
		return with(head) + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
	}
	signed := func(k *Key, head string) string {
		sig, err := k.signer.Sign([]byte(with(head)), k.raw)
		if err != nil {
			t.Fatal(err)
		}
		return with(head) + "." + base64.RawURLEncoding.EncodeToString(sig)
	}
	kid := es.ID()
	flipped := []byte(good)
	flipped[len(flipped)-10] ^= 1
	cases := map[string]string{
		"flipped signature":    string(flipped),
		"empty signature":      parts[0] + "." + body + ".",
		"no signature":         parts[0] + "." + body,
		"none":                 with(`{"alg":"none","kid":"`+kid+`"}`) + ".",
		"None, old signature":  with(`{"alg":"None","kid":"`+kid+`"}`) + "." + parts[2],
		"HS256, JWKS as key":   hmacWith(`{"alg":"HS256","kid":"`+kid+`"}`, set.JWKS()),
		"HS256, kid as key":    hmacWith(`{"alg":"HS256","kid":"`+kid+`"}`, []byte(kid)),
		"foreign key, our kid": signed(foreign, `{"alg":"ES256","kid":"`+kid+`"}`),
		"foreign kid":          signed(foreign, `{"alg":"ES256","kid":"`+foreign.ID()+`"}`),
		"no kid":               signed(es, `{"alg":"ES256"}`),
		"huge kid":             signed(es, `{"alg":"ES256","kid":"`+strings.Repeat("k", 10000)+`"}`),
		"kid as path":          signed(es, `{"alg":"ES256","kid":"../../etc/passwd"}`),
		"alg of another key":   signed(es, `{"alg":"RS256","kid":"`+kid+`"}`),
		"key of another alg":   signed(es, `{"alg":"ES256","kid":"`+rs.ID()+`"}`),
		"crit":                 signed(es, `{"alg":"ES256","kid":"`+kid+`","crit":["x"],"x":1}`),
		"empty crit":           signed(es, `{"alg":"ES256","kid":"`+kid+`","crit":[]}`),
		"b64 false":            signed(es, `{"alg":"ES256","kid":"`+kid+`","b64":false}`),
		"enc":                  signed(es, `{"alg":"ES256","kid":"`+kid+`","enc":"A128GCM"}`),
		"zip":                  signed(es, `{"alg":"ES256","kid":"`+kid+`","zip":"DEF"}`),
		"member twice":         signed(es, `{"alg":"ES256","alg":"ES256","kid":"`+kid+`"}`),
		"member in caps":       signed(es, `{"alg":"ES256","ALG":"none","kid":"`+kid+`"}`),
		"alg a number":         signed(es, `{"alg":256,"kid":"`+kid+`"}`),
		"JWE":                  good + ".a.b",
		"JSON serialisation":   `{"protected":"` + parts[0] + `","payload":"` + body + `","signature":"` + parts[2] + `"}`,
		"detached":             parts[0] + ".." + parts[2],
		"padded":               good + "=",
		"line break":           good + "\n",
		"huge":                 good + strings.Repeat("A", MaxToken),
		"empty":                "",
		"dots":                 "..",
	}
	for name, token := range cases {
		if v, err := set.Verify(token); !errors.Is(err, ErrToken) {
			t.Errorf("%s: %+v, %v", name, v, err)
		}
	}
	// Keys that a token brings along count for nothing, either way.
	jwks := string(NewSet(foreign).JWKS())
	ours := signed(es, `{"alg":"ES256","kid":"`+kid+`","jku":"https://evil.example","jwk":`+jwks+`,"x5u":"x","x5c":["x"]}`)
	if _, err := set.Verify(ours); err != nil {
		t.Errorf("our own token with extra members: %v", err)
	}
	theirs := signed(foreign, `{"alg":"ES256","kid":"`+kid+`","jwk":`+jwks+`}`)
	if _, err := set.Verify(theirs); !errors.Is(err, ErrToken) {
		t.Errorf("a key in the header was used: %v", err)
	}
}

func TestStrictClaims(t *testing.T) {
	for _, bad := range []string{
		``, `[]`, `"x"`, `null`, `{`, `{} {}`, `{}x`, `{"sub":"a","sub":"b"}`, `{"SUB":"a"}`, `{"sub":"a","Sub":"b"}`,
		`{"aud":1}`, `{"aud":[["a"]]}`, `{"aud":[1]}`, `{"aud":null}`, `{"aud":{"a":1}}`, `{"aud":[null]}`, `{"exp":"1"}`, `{"exp":1.5}`,
		`{"exp":1e400}`, `{"x":{"a":1,"a":2}}`, `{"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`,
	} {
		var c claims
		if err := Decode([]byte(bad), &c); err == nil {
			t.Errorf("%s: taken as %+v", bad, c)
		}
	}
	var c claims
	if err := Decode([]byte(` {"sub":"a","aud":["x","y"],"other":{"deep":[1,{"a":null}]},"exp":12} `), &c); err != nil || len(c.Aud) != 2 || c.Exp != 12 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestAudienceIsWrittenShort(t *testing.T) {
	for want, a := range map[string]Audience{`"a"`: {"a"}, `["a","b"]`: {"a", "b"}} {
		if got, err := json.Marshal(a); err != nil || string(got) != want {
			t.Errorf("%s, %v", got, err)
		}
	}
}

func TestWeakKeysAreRefused(t *testing.T) {
	for _, bad := range []string{
		``, `{}`, `{"kty":"oct","k":"AAAA"}`,
		`{"kty":"EC","crv":"P-384","x":"AA","y":"AA","d":"AA"}`,
		`{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`,
	} {
		if _, err := ParseKey([]byte(bad)); err == nil {
			t.Errorf("taken: %s", bad)
		}
	}
	if _, err := Generate("HS256"); err == nil {
		t.Error("HS256")
	}
	if _, err := ParseSet([]byte(`{"keys":[{"kty":"oct","k":"AAAA","kid":"a"},{"kty":"EC","crv":"P-384","x":"AA","y":"AA","kid":"b"}]}`)); err == nil {
		if s, _ := ParseSet([]byte(`{"keys":[{"kty":"oct","k":"AAAA","kid":"a"}]}`)); s != nil && s.Has("a") {
			t.Error("a symmetric key in a set")
		}
	}
}

func FuzzVerify(f *testing.F) {
	k := newTestKey(f, ES256)
	set := NewSet(k)
	good, err := k.Sign("at+jwt", claims{Sub: "ann"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := set.Verify(token); err == nil && token != good {
			t.Errorf("verified: %q", token)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"sub":"a","aud":["x"],"exp":1}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		var c claims
		if Decode(payload, &c) == nil && !json.Valid(payload) {
			t.Error("not JSON")
		}
	})
}

func BenchmarkSignAndVerify(b *testing.B) {
	for _, alg := range []Alg{ES256, RS256} {
		k := newTestKey(b, alg)
		set := NewSet(k)
		token, err := k.Sign("at+jwt", claims{Sub: "ann"})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(string(alg)+"/sign", func(b *testing.B) {
			for b.Loop() {
				if _, err := k.Sign("at+jwt", claims{Sub: "ann"}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(string(alg)+"/verify", func(b *testing.B) {
			for b.Loop() {
				if _, err := set.Verify(token); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
