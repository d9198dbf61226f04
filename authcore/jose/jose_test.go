package jose

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
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

	Untagged string
	Ours     string `json:"-"`
}

// tokenClaims are what is signed.
type tokenClaims struct {
	Sub string   `json:"sub"`
	Aud Audience `json:"aud,omitempty"`
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func TestSignedTokensVerify(t *testing.T) {
	for _, alg := range []Alg{ES256, RS256} {
		k := newTestKey(t, alg)
		token, err := k.Sign("at+jwt", tokenClaims{Sub: "ann", Aud: Audience{"a"}})
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
		token, err := k.Sign("JWT", tokenClaims{Sub: "ann"})
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
	good, err := es.Sign("at+jwt", tokenClaims{Sub: "ann"})
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
		"crit null":            signed(es, `{"alg":"ES256","kid":"`+kid+`","crit":null}`),
		"kid in Kelvin":        signed(es, `{"alg":"ES256","`+"\u212aid"+`":"`+kid+`"}`),
		"PBES2 bomb":           b64(`{"alg":"PBES2-HS256+A128KW","enc":"A128GCM","p2c":2147483647,"p2s":"AAAA","kid":"`+kid+`"}`) + ".a.b.c.d",
		"PBES2, three parts":   signed(es, `{"alg":"PBES2-HS256+A128KW","p2c":2147483647,"kid":"`+kid+`"}`),
		"header in Latin-1":    signed(es, `{"alg":"ES256","kid":"`+kid+`","x":"`+"\xe9"+`"}`),
		"header not an object": signed(es, `["ES256"]`),
		"signature too short":  parts[0] + "." + body + "." + parts[2][:40],
		"signature with zeros": parts[0] + "." + body + "." + parts[2] + "AAAA",
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
		`{"` + "\u017fub" + `":"b"}`, `{"sub":"a","` + "\u017fub" + `":"b"}`, `{"sub":"a","s\u0075b":"b"}`, "{\"sub\":\"\xff\"}",
		`{"untagged":"a"}`, `{"x":"` + strings.Repeat("a", MaxToken) + `"}`, "\ufeff{}", `{"sub":"a",}`, `{sub:"a"}`, `{"x":NaN}`,
		`{"exp":1e400}`, `{"x":{"a":1,"a":2}}`, `{"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`,
	} {
		var c claims
		if err := Decode([]byte(bad), &c); err == nil {
			t.Errorf("%s: taken as %+v", bad, c)
		}
	}
	var c claims
	if err := Decode([]byte(` {"sub":"a","aud":["x","y"],"other":{"deep":[1,{"a":null,"A":1}]},"Ours":"x","exp":12} `), &c); err != nil || c.Ours != "" || len(c.Aud) != 2 || c.Exp != 12 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestAudiences(t *testing.T) {
	for want, a := range map[string]Audience{`"a"`: {"a"}, `["a","b"]`: {"a", "b"}, `[]`: nil, `["null","https://null.example.com"]`: {"null", "https://null.example.com"}} {
		got, err := json.Marshal(a)
		if err != nil || string(got) != want {
			t.Errorf("%s, %v", got, err)
		}
		var back Audience
		if err := json.Unmarshal(got, &back); err != nil || !slices.Equal(back, a) {
			t.Errorf("%s reads back as %q, %v", got, back, err)
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
}

// TestForeignSetsAreSifted: what cannot verify is left out, and what is
// private is not told on.
func TestForeignSetsAreSifted(t *testing.T) {
	good := newTestKey(t, ES256)
	private, err := good.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	other := string(NewSet(newTestKey(t, ES256)).JWKS())
	other = strings.TrimSuffix(strings.TrimPrefix(other, `{"keys":[`), `]}`)
	with := func(kid, member string) string {
		var k map[string]any
		if err := json.Unmarshal([]byte(other), &k); err != nil {
			t.Fatal(err)
		}
		delete(k, "kid")
		if kid != "" {
			k["kid"] = kid
		}
		name, value, _ := strings.Cut(member, "=")
		k[name] = value
		out, err := json.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	small, err := rsa.GenerateKey(nil, 1024)
	if err != nil {
		t.Fatal(err)
	}
	set, err := ParseSet([]byte(`{"keys":[` + strings.Join([]string{
		string(private), with(good.ID(), "note=taken"), with("", "note=nameless"), with("encrypts", "use=enc"), with("other-alg", "alg=RS256"),
		`{"kty":"oct","kid":"shared","k":"AAAA"}`, `{"kty":"oct","kid":"shared","k":"AAAA","alg":"HS256"}`, rsaJWK("small", &small.PublicKey),
		with("fine", "secret=hunter2"),
	}, ",") + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	if !set.Has(good.ID()) || !set.Has("fine") || len(set.keys) != 2 {
		t.Errorf("%d keys: %s", len(set.keys), set.JWKS())
	}
	for _, s := range []string{`"d"`, `"k"`, "hunter2", "taken"} {
		if bytes.Contains(set.JWKS(), []byte(s)) {
			t.Errorf("%s shows in %s", s, set.JWKS())
		}
	}
	token, err := good.Sign("JWT", tokenClaims{Sub: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := set.Verify(token); err != nil {
		t.Error("a later key has taken the kid of an earlier one")
	}
}

func TestPointsOffTheCurveAreNoKeys(t *testing.T) {
	const x, y = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" // RFC 7515 A.3
	for y, want := range map[string]bool{y: true, "y" + y[1:]: false} {
		set, err := ParseSet([]byte(`{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"` + x + `","y":"` + y + `"}]}`))
		if err != nil || set.Has("a") != want {
			t.Errorf("%s: %v, %v", y, set.Has("a"), err)
		}
	}
}

func rsaJWK(kid string, k *rsa.PublicKey) string {
	return fmt.Sprintf(`{"kty":"RSA","kid":%q,"n":%q,"e":%q}`, kid, b64(string(k.N.Bytes())), b64(string(big.NewInt(int64(k.E)).Bytes())))
}

// TestWeVerifyOthers: keys, key set and signatures made with nothing but the
// standard library.
func TestWeVerifyOthers(t *testing.T) {
	es, err := ecdsa.GenerateKey(elliptic.P256(), nil)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(nil, 3072)
	if err != nil {
		t.Fatal(err)
	}
	point, err := es.PublicKey.Bytes() // 4, x, y
	if err != nil {
		t.Fatal(err)
	}
	set, err := ParseSet(fmt.Appendf(nil, `{"keys":[{"kty":"EC","crv":"P-256","kid":"es","x":%q,"y":%q},%s]}`,
		b64(string(point[1:33])), b64(string(point[33:])), rsaJWK("rs", &rs.PublicKey)))
	if err != nil {
		t.Fatal(err)
	}
	for alg, sign := range map[Alg]func(digest []byte) []byte{
		ES256: func(digest []byte) []byte {
			r, s, err := ecdsa.Sign(nil, es, digest)
			if err != nil {
				t.Fatal(err)
			}
			return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		},
		RS256: func(digest []byte) []byte {
			sig, err := rsa.SignPKCS1v15(nil, rs, crypto.SHA256, digest)
			if err != nil {
				t.Fatal(err)
			}
			return sig
		},
	} {
		kid := strings.ToLower(string(alg[:2]))
		input := b64(`{"alg":"`+string(alg)+`","kid":"`+kid+`","typ":"application/AT+JWT","x-unknown":{"a":[1]}}`) + "." + b64(`{"sub":"ann"}`)
		digest := sha256.Sum256([]byte(input))
		v, err := set.Verify(input + "." + b64(string(sign(digest[:]))))
		if err != nil || v.Type != "at+jwt" || v.KeyID != kid || string(v.Payload) != `{"sub":"ann"}` {
			t.Errorf("%s: %+v, %v", alg, v, err)
		}
	}
}

// TestRFC7515 is the example of appendix A.3. Its token has no kid, so that
// Verify refuses what its own steps accept.
func TestRFC7515(t *testing.T) {
	k, err := ParseKey([]byte(`{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
		"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}`))
	if err != nil {
		t.Fatal(err)
	}
	const input = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
	const signature = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
	raw, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil {
		t.Fatal(err)
	}
	set := NewSet(k)
	key := set.keys[k.ID()]
	if err := key.verifier.Verify([]byte(input), raw, key.raw); err != nil {
		t.Error(err)
	}
	if _, err := set.Verify(input + "." + signature); !errors.Is(err, ErrToken) {
		t.Errorf("without a kid: %v", err)
	}
}

// FuzzKeys: what is no key gives an error or an empty set, and what is read
// as a set shows nothing private.
func FuzzKeys(f *testing.F) {
	k := newTestKey(f, ES256)
	private, err := k.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(private)
	f.Add(NewSet(k, newTestKey(f, RS256)).JWKS())
	f.Add([]byte(`{"keys":[{"kty":"RSA","kid":"a","n":"AAAA","e":"AQAB"},{"kty":"OKP","crv":"Ed25519","x":"AAAA","kid":"b"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if k, err := ParseKey(raw); err == nil {
			stored, err := k.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if again, err := ParseKey(stored); err != nil || again.ID() != k.ID() {
				t.Errorf("does not read back: %v", err)
			}
		}
		set, err := ParseSet(raw)
		if err != nil {
			return
		}
		var doc struct{ Keys []map[string]any }
		if err := json.Unmarshal(set.JWKS(), &doc); err != nil {
			t.Fatal(err)
		}
		for _, k := range doc.Keys {
			for name := range k {
				if !slices.Contains([]string{"kty", "crv", "x", "y", "n", "e", "kid", "alg", "use"}, name) {
					t.Errorf("%s shows", name)
				}
			}
		}
	})
}

func FuzzVerify(f *testing.F) {
	k := newTestKey(f, ES256)
	set := NewSet(k)
	good, err := k.Sign("at+jwt", tokenClaims{Sub: "ann"})
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
		token, err := k.Sign("at+jwt", tokenClaims{Sub: "ann"})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(string(alg)+"/sign", func(b *testing.B) {
			for b.Loop() {
				if _, err := k.Sign("at+jwt", tokenClaims{Sub: "ann"}); err != nil {
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
