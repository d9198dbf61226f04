package hashes

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
)

// vector is a hash that somebody else has published with its password.
type vector struct{ format, hash, password, source string }

func unhex(s string) string {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(b)
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

const (
	rfc7914  = "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"
	rfc6070  = "4b007901b765489abead49d926f721d065a429c1"
	sha512x1 = "867f70cf1ade02cff3752599a3a53dc4af34c7a669815ae5d513554e1c8cf252c02d470a285a0501bad999bfe943c08f050235d7d68b1da55e63f73b60a57fce"
	sha256x4 = "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a"
	signer   = "jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA=="
)

func vectors() []vector {
	return []vector{
		{"argon2id", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", "password", "the reference implementation's test.c"},
		{"argon2i", "$argon2i$v=19$m=65536,t=2,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub+b+dWRWJTmaaJObG", "password", "the reference implementation's README"},
		{"bcrypt", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U", "crypt_blowfish's wrapper.c"},
		{"bcrypt", "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U", "crypt_blowfish's wrapper.c"},
		{"bcrypt", "$2b$05$LhayLxezLhK1LhWvKxCyLOj0j1u.Kj0jZ0pEmm134uzrQlFvQJLF6", "hashcat", "hashcat's examples, 3200 (there $2a$)"},
		{"django-bcrypt", "bcrypt$$2b$05$LhayLxezLhK1LhWvKxCyLOj0j1u.Kj0jZ0pEmm134uzrQlFvQJLF6", "hashcat", "hashcat's examples, 3200, in Django's frame"},
		{"django-bcrypt-sha256", "bcrypt_sha256$$2b$12$LZSJchsWG/DrBy1erNs4eeYo6tZNlLFQmONdxN9HPesa1EyXVcTXK", "ExjGmyUT73bFoT", "the tests of djangohashers"},
		{"django-argon2", "argon2$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", "password", "the reference implementation's test.c, in Django's frame"},
		{"scrypt", "$scrypt$ln=14,r=8,p=1$" + b64("SodiumChloride") + "$" + unhex(rfc7914), "pleaseletmein", "RFC 7914 12"},
		{"scrypt-fields", "16384$8$1$" + hex.EncodeToString([]byte("SodiumChloride")) + "$" + rfc7914, "pleaseletmein", "RFC 7914 12"},
		{"werkzeug-scrypt", "scrypt:16384:8:1$SodiumChloride$" + rfc7914, "pleaseletmein", "RFC 7914 12"},
		{"django-scrypt", "scrypt$16384$SodiumChloride$8$1$" + unhex(rfc7914), "pleaseletmein", "RFC 7914 12"},
		{"hashcat-scrypt", "SCRYPT:1024:1:1:MDIwMzMwNTQwNDQyNQ==:5FW+zWivLxgCWj7qLiQbeC8zaNQ+qdO0NUinvqyFcfo=", "hashcat", "hashcat's examples, 8900"},
		{"firebase-scrypt", "$firebase-scrypt$ln=14,r=8$42xEC+ixf3L2lw==$Bw==$" + signer + "$lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==", "user1password", "github.com/firebase/scrypt's README"},
		{"pbkdf2-sha1", "$pbkdf2$4096$" + b64("salt") + "$" + unhex(rfc6070), "password", "RFC 6070 2"},
		{"pbkdf2-sha256", "$pbkdf2-sha256$4096$" + b64("salt") + "$" + unhex(sha256x4), "password", "RFC 6070's inputs over SHA-256, as widely published"},
		{"pbkdf2-sha512", "$pbkdf2-sha512$i=1,l=64$" + b64("salt") + "$" + unhex(sha512x1), "password", "RFC 6070's inputs over SHA-512, as widely published"},
		{"pbkdf2-sha512", "$pbkdf2-sha512$25000$LyWE0HrP2RsjZCxlDGFMKQ$1vC5Ohk2mCS9b6akqsEfgeb4l74SF8XjH.SljXf3dMLHdlY1GK9ojcCKts6/asR4aPqBmk74nCDddU3tvSCJvw", "hashcat", "hashcat's examples, 20200"},
		{"ldap-pbkdf2-sha1", "{PBKDF2}4096$" + b64("salt") + "$" + unhex(rfc6070), "password", "RFC 6070 2"},
		{"ldap-pbkdf2-sha256", "{PBKDF2-SHA256}4096$" + b64("salt") + "$" + unhex(sha256x4), "password", "RFC 6070's inputs over SHA-256, as widely published"},
		{"ldap-pbkdf2-sha512", "{PBKDF2-SHA512}1$" + b64("salt") + "$" + unhex(sha512x1), "password", "RFC 6070's inputs over SHA-512, as widely published"},
		{"django-pbkdf2-sha1", "pbkdf2_sha1$4096$salt$" + unhex(rfc6070), "password", "RFC 6070 2"},
		{"django-pbkdf2-sha256", "pbkdf2_sha256$20000$H0dPx8NeajVu$GiC4k5kqbbR9qWBlsRgDywNqC2vd9kqfk7zdorEnNas=", "hashcat", "hashcat's examples, 10000"},
		{"werkzeug-pbkdf2", "pbkdf2:sha256:4096$salt$" + sha256x4, "password", "RFC 6070's inputs over SHA-256, as widely published"},
		{"ldap-sha1", "{SHA}uJ6qx+YUFzQbcQtyd2gpTQ5qJ3s=", "hashcat", "hashcat's examples, 101"},
		{"ldap-ssha", "{SSHA}AZKja92fbuuB9SpRlHqaoXxbTc43Mzc2MDM1Ng==", "hashcat", "hashcat's examples, 111"},
		{"ldap-sha256", "{SHA256}" + unhex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"), "abc", "FIPS 180-4's example"},
		{"ldap-ssha256", "{SSHA256}OZiz0cnQ5hgyel3Emh7NCbhBRCQ+HVBwYplQunHYnER7TLuV", "hashcat", "hashcat's examples, 1411"},
		{"ldap-sha512", "{SHA512}" + unhex("ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"), "abc", "FIPS 180-4's example"},
		{"ldap-ssha512", "{SSHA512}ALtwKGBdRgD+U0fPAy31C28RyKYx7+a8kmfksccsOeLknLHv2DBXYI7TDnTolQMBuPkWDISgZr2cHfnNPFjGZTEyNDU4OTkw", "hashcat", "hashcat's examples, 1711"},
		{"ldap-md5", "{MD5}" + unhex("8743b52063cd84097a65d1633f5c74f5"), "hashcat", "hashcat's examples, 0"},
		{"ldap-smd5", "{SMD5}" + unhex("01dfae6e5d4d90d9892622325959afbe"+hex.EncodeToString([]byte("7050461"))), "hashcat", "hashcat's examples, 10"},
		{"salted-digest", "$salted$md5$suffix$" + b64("7050461") + "$" + unhex("01dfae6e5d4d90d9892622325959afbe"), "hashcat", "hashcat's examples, 10"},
		{"salted-digest", "$salted$sha1$prefix$" + b64("5363620024") + "$" + unhex("cac35ec206d868b7d7cb0b55f31d9425b075082b"), "hashcat", "hashcat's examples, 120"},
		{"salted-digest", "$salted$sha256$prefix$" + b64("560407001617") + "$" + unhex("eb368a2dfd38b405f014118c7d9747fcc97f4f0ee75c05963cd9da6ee65ef498"), "hashcat", "hashcat's examples, 1420"},
		{"salted-digest", "$salted$sha512$suffix$" + b64("6352283260") + "$" + unhex("e5c3ede3e49fb86592fb03f471c35ba13e8d89b8ab65142c9a8fdafb635fa2223c24e5558fd9313e8995019dcbec1fb584146b7bb12685c7765fc8c0d51379fd"), "hashcat", "hashcat's examples, 1710"},
		{"md5-crypt", "$1$28772684$iEwNOgGugqO9.bIz5sk8k/", "hashcat", "hashcat's examples, 500"},
		{"apr1", "$apr1$71850310$gh9m4xcAn3MGxogwX/ztb.", "hashcat", "hashcat's examples, 1600"},
		{"sha256-crypt", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5", "Hello world!", "the SHA-crypt specification"},
		{"sha256-crypt", "$5$rounds=5000$GX7BopJZJxPc/KEK$le16UF8I2Anb.rOrn22AUPWvzUETDGefUmAV8AZkGcD", "hashcat", "hashcat's examples, 7400"},
		{"sha512-crypt", "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1", "Hello world!", "the SHA-crypt specification"},
		{"sha512-crypt", "{CRYPT}$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.", "Hello world!", "the SHA-crypt specification"},
		{"phpass", "$P$984478476IagS59wHZvyQMArzfx58u.", "hashcat", "hashcat's examples, 400"},
		{"phpass", "$H$9IQRaTwmfeRo7ud9Fh4E2PdI0S3r.L0", "test12345", "phpass's test.php (there $P$)"},
		{"drupal", "$S$C33783772bRXEx1aCsvY.dqgaaSu76XmVlKrW9Qu8IQlvxHlmzLf", "hashcat", "hashcat's examples, 7900"},
	}
}

func TestPublishedVectors(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range vectors() {
		h, err := Parse(v.hash)
		if err != nil {
			t.Errorf("%s: %v", v.hash, err)
			continue
		}
		seen[h.Format] = true
		if h.Format != v.format {
			t.Errorf("%s is %s", v.hash, h.Format)
		}
		if !h.Matches(v.password) {
			t.Errorf("%s: %q of %s does not match", v.format, v.password, v.source)
		}
		if wrong := v.password + "x"; h.Matches(wrong) {
			t.Errorf("%s: %q matches", v.format, wrong)
		}
	}
	for _, name := range Names() {
		if !seen[name] {
			t.Errorf("%s has no published vector", name)
		}
	}
}

// A hash that was cut, or of which a byte is another, is refused or matches no more.
func TestDamageNeverMatches(t *testing.T) {
	for _, v := range vectors() {
		if strings.HasPrefix(v.hash, "$argon2i$") || strings.Contains(v.format, "pbkdf2") || strings.Contains(v.format, "scrypt") {
			continue // slow, or a shorter output of the same function
		}
		for _, bad := range []string{v.hash[:len(v.hash)-1], v.hash[:len(v.hash)/2], v.hash + "$", v.hash + "A"} {
			if h, err := Parse(bad); err == nil && h.Matches(v.password) && strings.TrimRight(bad, "=") != strings.TrimRight(v.hash, "=") {
				t.Errorf("%s: %q matches", v.format, bad)
			}
		}
	}
}

func TestTooCostlyIsRefused(t *testing.T) {
	salt, out := b64("saltsalt"), unhex(sha512x1)
	for _, hash := range []string{
		"$argon2id$v=19$m=999999999,t=2,p=1$" + salt + "$" + out,
		"$argon2id$v=19$m=131072,t=100,p=1$" + salt + "$" + out,
		"$argon2id$v=19$m=99999999999999999999,t=1,p=1$" + salt + "$" + out,
		"$argon2i$v=19$m=256,t=2,p=200$" + salt + "$" + out,
		"$2b$15$LhayLxezLhK1LhWvKxCyLOj0j1u.Kj0jZ0pEmm134uzrQlFvQJLF6",
		"$scrypt$ln=21,r=8,p=1$" + salt + "$" + out,
		"$scrypt$ln=20,r=8,p=1$" + salt + "$" + out,
		"$scrypt$ln=14,r=8,p=1000$" + salt + "$" + out,
		"scrypt:1048576:8:1$salt$" + sha512x1,
		"$firebase-scrypt$ln=20,r=8$" + salt + "$Bw==$" + signer + "$" + signer,
		"$pbkdf2-sha256$2000001$" + salt + "$" + out,
		"$pbkdf2-sha512$i=20000000,l=64$" + salt + "$" + out,
		"pbkdf2_sha256$99999999999999999999999$salt$" + out,
		"$pbkdf2$1000000$" + salt + "$" + out, // four blocks
		"$6$rounds=1000001$salt$" + strings.Repeat("a", 86),
		"$P$V84478476IagS59wHZvyQMArzfx58u.",
		"$S$V33783772bRXEx1aCsvY.dqgaaSu76XmVlKrW9Qu8IQlvxHlmzLf",
	} {
		if _, err := Parse(hash); !errors.Is(err, ErrCostly) {
			t.Errorf("%s: %v", hash, err)
		}
	}
}

func TestUnknownAndDamagedAreRefused(t *testing.T) {
	for _, hash := range []string{"", "x", "password", "$", "$7$abc", "{FOO}bar", "$2x$05$LhayLxezLhK1LhWvKxCyLOj0j1u.Kj0jZ0pEmm134uzrQlFvQJLF6", "$y$j9T$abc$def", "$argon2d$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65"} {
		if _, err := Parse(hash); !errors.Is(err, ErrUnknown) {
			t.Errorf("%q: %v", hash, err)
		}
	}
	for _, hash := range []string{
		"$argon2id$v=16$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
		"$argon2id$v=19$m=256,t=2$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
		"$argon2id$v=19$m=0,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
		"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65", // an output so short matches by chance
		"$2b$03$LhayLxezLhK1LhWvKxCyLOj0j1u.Kj0jZ0pEmm134uzrQlFvQJLF6", "$2b$05$short",
		"scrypt:1000:8:1$salt$" + sha512x1, "3$8$1$73616c74$" + rfc7914, "$pbkdf2-sha256$0$c2FsdA$" + unhex(sha256x4),
		"$pbkdf2-sha512$i=1,l=32$" + b64("salt") + "$" + unhex(sha512x1), "pbkdf2:md4:1000$salt$" + sha256x4,
		"{SSHA}uJ6qx+YUFzQbcQtyd2gpTQ5qJ3s=", "{SHA}AZKja92fbuuB9SpRlHqaoXxbTc43Mzc2MDM1Ng==", "{SHA}!!!!",
		"$salted$md4$suffix$c2FsdA==$" + unhex("01dfae6e5d4d90d9892622325959afbe"), "$salted$md5$middle$c2FsdA==$" + unhex("01dfae6e5d4d90d9892622325959afbe"),
		"$1$toolongsalt$iEwNOgGugqO9.bIz5sk8k/", "$6$rounds=999$salt$" + strings.Repeat("a", 86), "$5$salt$short", "$P$9", "$P$!84478476IagS59wHZvyQMArzfx58u.",
		"{SHA}" + strings.Repeat("A", 600),
	} {
		if _, err := Parse(hash); !errors.Is(err, ErrDamaged) {
			t.Errorf("%q: %v", hash, err)
		}
	}
}

func TestNamesAreUnique(t *testing.T) {
	names := slices.Sorted(slices.Values(Names()))
	if len(slices.Compact(slices.Clone(names))) != len(names) || len(names) < 15 {
		t.Errorf("%d: %v", len(names), names)
	}
}

// No string makes Parse or what it returns panic, or burn more than the caps.
func FuzzParse(f *testing.F) {
	for _, v := range vectors() {
		f.Add(v.hash)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := Parse(s)
		if (h == nil) == (err == nil) {
			t.Fatal("neither a hash nor an error")
		}
	})
}
