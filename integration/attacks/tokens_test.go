package attacks

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"hash"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func unb64(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// jwt is a token taken apart.
type jwt struct {
	header, claims map[string]any
	parts          []string
}

func open(t *testing.T, token string) jwt {
	t.Helper()
	j := jwt{parts: strings.Split(token, ".")}
	if len(j.parts) != 3 {
		t.Fatalf("not a JWT: %q", token)
	}
	for i, m := range []*map[string]any{&j.header, &j.claims} {
		if err := json.Unmarshal(unb64(t, j.parts[i]), m); err != nil {
			t.Fatal(err)
		}
	}
	return j
}

// with returns a copy of a JSON object with other members; nil removes one.
func with(m map[string]any, changes map[string]any) map[string]any {
	out := maps.Clone(m)
	for k, v := range changes {
		if v == nil {
			delete(out, k)
			continue
		}
		out[k] = v
	}
	return out
}

func part(t *testing.T, m map[string]any) string {
	t.Helper()
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b64(raw)
}

// hmacToken signs with HS256, HS384 or HS512.
func hmacToken(t *testing.T, alg string, header, claims map[string]any, key []byte) string {
	t.Helper()
	h := map[string]func() hash.Hash{"HS256": sha256.New, "HS384": sha512.New384, "HS512": sha512.New}[alg]
	signed := part(t, with(header, map[string]any{"alg": alg})) + "." + part(t, claims)
	mac := hmac.New(h, key)
	_, _ = io.WriteString(mac, signed) // never fails
	return signed + "." + b64(mac.Sum(nil))
}

// ecToken signs with ES256 and a key of the attacker's.
func ecToken(t *testing.T, key *ecdsa.PrivateKey, header, claims map[string]any) string {
	t.Helper()
	signed := part(t, with(header, map[string]any{"alg": "ES256"})) + "." + part(t, claims)
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + b64(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

// jwk is a key of our published set.
type jwk struct {
	ID  string `json:"kid"`
	Kty string `json:"kty"`
	Crv string `json:"crv"`
	X   string `json:"x"`
	Y   string `json:"y"`
	N   string `json:"n"`
	E   string `json:"e"`

	raw []byte
}

func (w *world) keys(path string) []jwk {
	w.t.Helper()
	res, body := harness.Call(w.t, "GET", w.provider.Base+path, "")
	if res.StatusCode != http.StatusOK {
		w.t.Fatalf("%s: %d", path, res.StatusCode)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal([]byte(body), &set); err != nil || len(set.Keys) == 0 {
		w.t.Fatalf("%s: %s, %v", path, body, err)
	}
	var out []jwk
	for _, raw := range set.Keys {
		k := jwk{raw: raw}
		if err := json.Unmarshal(raw, &k); err != nil {
			w.t.Fatal(err)
		}
		out = append(out, k)
	}
	return out
}

// point is an EC key, uncompressed.
func (k jwk) point(t *testing.T) []byte {
	t.Helper()
	return slices.Concat([]byte{4}, unb64(t, k.X), unb64(t, k.Y))
}

// secrets are what an attacker could take for an HMAC key: our public key in
// every form in which it is published or printed.
func (k jwk) secrets(t *testing.T) map[string][]byte {
	t.Helper()
	var public crypto.PublicKey
	if k.Kty == "EC" {
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), k.point(t))
		if err != nil {
			t.Fatal(err)
		}
		public = key
	} else {
		public = &rsa.PublicKey{N: new(big.Int).SetBytes(unb64(t, k.N)), E: int(new(big.Int).SetBytes(unb64(t, k.E)).Int64())}
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	out := map[string][]byte{
		"PEM": text, "PEM without the last newline": []byte(strings.TrimSpace(string(text))), "DER": der, "JWK": k.raw, "kid": []byte(k.ID), "empty": {},
	}
	if k.Kty == "EC" {
		out["point"], out["x"] = k.point(t), unb64(t, k.X)
	} else {
		out["n"] = unb64(t, k.N)
	}
	return out
}

func TestTokensAtTheGate(t *testing.T) {
	w := newWorld(t)
	good := w.machine("orders.read")
	genuine := open(t, good)
	w.up.take()
	try := func(t *testing.T, token string) {
		t.Helper()
		w.challenged(t, "api", w.get("api", "/", "Authorization: Bearer "+token), 401, "invalid_token", "orders.read")
	}
	accepted := func(t *testing.T, token string) {
		t.Helper()
		if a := w.get("api", "/", "Authorization: Bearer "+token); a.Status != http.StatusOK {
			t.Fatalf("%d %q", a.Status, a.Header["Www-Authenticate"])
		}
		w.up.only(t)
	}
	accepted(t, good) // without this, refusals would prove nothing

	attacker, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var published []jwk
	for _, path := range []string{"/.well-known/jwks.json", "/.well-known/assertion-jwks.json"} {
		published = append(published, w.keys(path)...)
	}

	t.Run("D01 signature", func(t *testing.T) { w.damagedSignatures(t, genuine, try) })
	accepted(t, good) // damaged twins do not poison the cache
	t.Run("D02 HMAC with a public key", func(t *testing.T) {
		for _, k := range published {
			for form, secret := range k.secrets(t) {
				for _, alg := range []string{"HS256", "HS384", "HS512"} {
					t.Run(k.Kty+" "+form+" "+alg, func(t *testing.T) {
						try(t, hmacToken(t, alg, with(genuine.header, map[string]any{"kid": k.ID}), genuine.claims, secret))
						try(t, hmacToken(t, alg, with(genuine.header, map[string]any{"kid": nil}), genuine.claims, secret))
					})
				}
			}
		}
	})
	t.Run("D03 keys in the header", func(t *testing.T) { w.keysInHeader(t, attacker, genuine, try) })
	t.Run("D04 kid", func(t *testing.T) {
		for name, kid := range map[string]any{
			"path": "../../../../dev/null", "absolute path": "/proc/self/environ", "SQL": "' OR 1=1 --", "union": "x' UNION SELECT 'key", "URL": "http://127.0.0.1:1/key",
			"10 KB": strings.Repeat("k", 10<<10), "empty": "", "missing": nil, "NUL": "a\x00b", "number": 7, "array": []string{genuine.header["kid"].(string)},
			"object": map[string]any{"a": 1}, "true": true, "ours, other case": strings.ToUpper(genuine.header["kid"].(string)) + "x", "ours": genuine.header["kid"],
			"__proto__": "__proto__", "unicode": "kid\u2028",
		} {
			t.Run(name, func(t *testing.T) {
				try(t, ecToken(t, attacker, with(genuine.header, map[string]any{"kid": kid}), genuine.claims))
			})
		}
		for _, k := range published {
			if k.ID == genuine.header["kid"] {
				continue
			}
			t.Run("another key of ours "+k.Kty, func(t *testing.T) {
				try(t, part(t, with(genuine.header, map[string]any{"kid": k.ID}))+"."+genuine.parts[1]+"."+genuine.parts[2])
			})
		}
	})
	t.Run("D05 other bearers", func(t *testing.T) {
		for name, token := range map[string]string{
			"opaque": "2YotnFZFEjr1zCsicMWpAA", "word": "null", "Cognito style": "eyJraWQiOiJ4In0.e30.x", "one dot": "a.b", "dots": "...", "four parts": good + ".x",
			"five parts": "a.b.c.d.e", "half": good[:len(good)/2], "tail": good + "A", "space inside": good[:40] + "%20" + good[40:], "quoted": `"` + good + `"`,
			"equals": "====", "JSON": `{"protected":"` + genuine.parts[0] + `"}`, "standard base64": strings.ReplaceAll(good, "-", "+") + "=", "long": strings.Repeat("a", 12<<10),
		} {
			t.Run(name, func(t *testing.T) { try(t, token) })
		}
		t.Run("another issuer's", func(t *testing.T) { try(t, w.foreignToken(t)) })
		t.Run("not one token", func(t *testing.T) {
			for _, v := range []string{"Bearer", "Bearer ", "Bearer a b", "Bearer " + good + ", Bearer " + good, "Bearer " + good + ",", "Bearer\t" + good + "\tx"} {
				if a := w.get("api", "/", "Authorization: "+v); a.Status != 401 {
					t.Errorf("%q: %d", v, a.Status)
				}
				w.noU(t)
			}
			if a := w.get("api", "/", "Authorization: Bearer "+good, "Authorization: Bearer "+good); a.Status != 401 {
				t.Errorf("two headers: %d", a.Status)
			}
			for _, path := range []string{"/?access_token=" + good, "/?authorization=Bearer+" + good} {
				w.challenged(t, "api", w.get("api", path), 401, "", "orders.read")
			}
			w.challenged(t, "api", w.get("api", "/", "X-Authorization: Bearer "+good, "Proxy-Authorization: Bearer "+good, "Cookie: access_token="+good), 401, "", "orders.read")
		})
	})
	t.Run("D06 audience", func(t *testing.T) { w.otherAudiences(t, try, accepted) })
	t.Run("scope", func(t *testing.T) {
		a := w.raw("api", w.head("api", "POST /", "Authorization: Bearer "+good, "Content-Length: 0")+"\r\n")
		w.challenged(t, "api", a, 403, "insufficient_scope", "orders.write")
		for _, method := range []string{"DELETE", "PATCH", "OPTIONS", "FOO", "get", "Get"} {
			if a := w.raw("api", w.head("api", method+" /", "Authorization: Bearer "+good)+"\r\n"); a.Status < 400 {
				t.Errorf("%s: %d", method, a.Status)
			}
			w.noU(t)
		}
	})
	t.Run("a bad bearer never falls back to the cookie", func(t *testing.T) {
		cookie := w.cookie(w.browser(bob), "app")
		w.up.take()
		for _, v := range []string{"Bearer nonsense", "Bearer", "Bearer " + good, "bearer x", "BEARER x", "Bearer  x", "Bearer\tx", "bearer \tx"} { // good is for another site
			a := w.get("app", "/", "Cookie: "+cookie, "Authorization: "+v)
			w.challenged(t, "app", a, 401, "invalid_token", "")
		}
	})
	accepted(t, good)
}

// damagedSignatures: D01.
func (w *world) damagedSignatures(t *testing.T, genuine jwt, try func(*testing.T, string)) {
	t.Helper()
	head, body, sig := genuine.parts[0], genuine.parts[1], unb64(t, genuine.parts[2])
	for i := range sig {
		bad := append([]byte(nil), sig...)
		bad[i] ^= 1 << (i % 8)
		try(t, head+"."+body+"."+b64(bad))
	}
	zero := make([]byte, len(sig))
	for _, s := range []string{"", "AA", b64(zero), b64(sig[:32]), b64(append(append([]byte(nil), sig...), 0)), b64(append([]byte{0}, sig...)), genuine.parts[2] + "=", genuine.parts[2] + "\n"} {
		if strings.HasSuffix(s, "\n") {
			continue // cannot stand in a header
		}
		try(t, head+"."+body+"."+s)
	}
	for _, alg := range []any{"none", "None", "NONE", "nOnE", "", nil, "ES384", "RS256", "PS256", "EdDSA", "es256", "ES256K", "dir", 7, []string{"ES256"}} {
		h := part(t, with(genuine.header, map[string]any{"alg": alg}))
		for _, s := range []string{"", genuine.parts[2], b64([]byte("x"))} {
			try(t, h+"."+body+"."+s)
		}
	}
	for name, claims := range map[string]map[string]any{"more scope": {"scope": "orders.read orders.write"}, "another subject": {"sub": "admin"}, "later end": {"exp": time.Now().Add(24 * time.Hour).Unix()}} {
		t.Run(name, func(t *testing.T) { try(t, head+"."+part(t, with(genuine.claims, claims))+"."+genuine.parts[2]) })
	}
	// Two members of one name: readers differ in which counts.
	twice := `{"alg":"none",` + string(unb64(t, head))[1:]
	try(t, b64([]byte(twice))+"."+body+".")
	try(t, b64([]byte(twice))+"."+body+"."+genuine.parts[2])
}

// keysInHeader: D03. Nobody may fetch what a token names.
func (w *world) keysInHeader(t *testing.T, attacker *ecdsa.PrivateKey, genuine jwt, try func(*testing.T, string)) {
	t.Helper()
	point, err := attacker.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	public := map[string]any{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "evil", "x": b64(point[1:33]), "y": b64(point[33:])}
	var fetched atomic.Int64
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetched.Add(1)
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{public}})
	}))
	defer evil.Close()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, attacker.Public(), attacker)
	if err != nil {
		t.Fatal(err)
	}
	sum1 := sha256.Sum256(cert)
	for name, members := range map[string]map[string]any{
		"jwk": {"jwk": public}, "jku": {"jku": evil.URL + "/jwks.json"}, "x5u": {"x5u": evil.URL + "/cert.pem"},
		"x5c": {"x5c": []string{base64.StdEncoding.EncodeToString(cert)}}, "x5t": {"x5t#S256": b64(sum1[:])},
		"all": {"jwk": public, "jku": evil.URL, "x5u": evil.URL, "x5c": []string{base64.StdEncoding.EncodeToString(cert)}},
		"iss": {"iss": evil.URL},
	} {
		for _, kid := range []any{nil, "evil", genuine.header["kid"]} {
			t.Run(name, func(t *testing.T) {
				try(t, ecToken(t, attacker, with(with(genuine.header, members), map[string]any{"kid": kid}), genuine.claims))
				try(t, ecToken(t, attacker, with(with(genuine.header, members), map[string]any{"kid": kid}), with(genuine.claims, map[string]any{"iss": evil.URL})))
			})
		}
	}
	if n := fetched.Load(); n != 0 {
		t.Errorf("%d requests were made for what a token named", n)
	}
}

// foreignToken is genuine, for the same resource, of the same client, from
// another installation.
func (w *world) foreignToken(t *testing.T) string {
	t.Helper()
	s := harness.Start(t, `{
	admin {{admin}}
	gatehouse {
		resource {{resource}} orders.read orders.write
		client batch {
			secret batch-secret-0123456789abcdef
			grant client_credentials orders.read
		}
	}
}
http://localhost:{{port app}} {
	gatehouse
	respond ok
}
`, harness.Options{Vars: map[string]string{"resource": w.URL("api")}})
	return harness.Provider{Base: s.URL("app") + "/_auth"}.Machine(t, batch(), "orders.read")
}

// otherAudiences: D06, and tokens of other kinds.
func (w *world) otherAudiences(t *testing.T, try, accepted func(*testing.T, string)) {
	t.Helper()
	b := harness.NewBrowser(t)
	redeem := func(scope string) *harness.Answer {
		a, err := w.provider.Redeem(shop(), w.provider.GetCode(t, b, shop(), scope, bob, password))
		if err != nil || a.Status != http.StatusOK {
			t.Fatalf("%+v, %v", a, err)
		}
		return a
	}
	orders := redeem("openid orders.read")
	w.up.take()
	accepted(t, orders.Access) // the issuer beside the resource is allowed
	other, bare := redeem("openid other.read"), redeem("openid")
	w.up.take()
	assertion := func() string {
		w.get("app", "/", "Cookie: "+w.cookie(w.browser(bob), "app"))
		seen := w.up.take()
		return seen[len(seen)-1].values("X-Auth-Assertion")[0]
	}()
	for name, token := range map[string]string{
		"another resource": other.Access, "another resource, machine": w.machine("other.read"), "the issuer only": bare.Access,
		"ID token": orders.ID, "ID token of the bare sign-in": bare.ID, "refresh token": orders.Refresh, "assertion": assertion,
	} {
		t.Run(name, func(t *testing.T) { try(t, token) })
	}
}
