package hashes

import (
	"crypto/md5"
	"strings"
)

// crypt64 is the alphabet of the crypt family: six bits, lowest first.
const crypt64 = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

func notCrypt64(r rune) bool { return r > 'z' || !strings.ContainsRune(crypt64, r) }

// encode64 writes bytes in groups of three, the first the lowest.
func encode64(b []byte) string {
	var out strings.Builder
	for len(b) > 0 {
		n := min(3, len(b))
		v := 0
		for i := range n {
			v |= int(b[i]) << (8 * i)
		}
		for range n + 1 {
			out.WriteByte(crypt64[v&63])
			v >>= 6
		}
		b = b[n:]
	}
	return out.String()
}

// permuted picks bytes in the order in which a scheme of the crypt family writes them.
func permuted(sum []byte, order []int) []byte {
	out := make([]byte, len(order))
	for i, at := range order {
		out[i] = sum[at]
	}
	return out
}

// textual compares what a scheme writes; want must be of its length and alphabet.
func textual(want string, length int, compute func(password []byte) string) (func([]byte) bool, error) {
	if len(want) != length || strings.ContainsFunc(want, notCrypt64) {
		return nil, ErrDamaged
	}
	return digest([]byte(want), func(password []byte) []byte { return []byte(compute(password)) }), nil
}

// md5Crypt reads salt$hash (FreeBSD's MD5 crypt, and Apache's with another name).
func md5Crypt(magic string) parser {
	return func(rest string) (func([]byte) bool, error) {
		salt, want, ok := strings.Cut(rest, "$")
		if !ok || salt == "" || len(salt) > 8 {
			return nil, ErrDamaged
		}
		return textual(want, 22, func(password []byte) string { return md5CryptSum(password, magic, salt) })
	}
}

// md5CryptSum is the algorithm of Poul-Henning Kamp.
func md5CryptSum(password []byte, magic, salt string) string {
	inner := md5.Sum([]byte(string(password) + salt + string(password)))
	h := md5.New()
	h.Write([]byte(string(password) + magic + salt))
	h.Write(repeated(inner[:], len(password)))
	for n := len(password); n > 0; n >>= 1 {
		if n&1 == 1 {
			h.Write([]byte{0})
		} else {
			h.Write(password[:1])
		}
	}
	sum := h.Sum(nil)
	for i := range 1000 {
		sum = round(md5.New(), i, sum, password, []byte(salt))
	}
	order := []int{12, 6, 0, 13, 7, 1, 14, 8, 2, 15, 9, 3, 5, 10, 4, 11}
	return encode64(permuted(sum, order))
}

// repeated fills n bytes with block, over and over.
func repeated(block []byte, n int) []byte {
	out := make([]byte, 0, n+len(block))
	for len(out) < n {
		out = append(out, block...)
	}
	return out[:n]
}

// writer is a digest under way.
type writer interface {
	Write(p []byte) (int, error)
	Sum(b []byte) []byte
}

// round is one round of the crypt family.
func round(h writer, i int, sum, password, salt []byte) []byte {
	first, last := sum, password
	if i&1 == 1 {
		first, last = password, sum
	}
	_, _ = h.Write(first) // a digest takes everything
	if i%3 != 0 {
		_, _ = h.Write(salt)
	}
	if i%7 != 0 {
		_, _ = h.Write(password)
	}
	_, _ = h.Write(last)
	return h.Sum(nil)
}

// shaCrypt reads [rounds=N$]salt$hash (Ulrich Drepper's SHA-crypt).
func shaCrypt(alg string) parser {
	return func(rest string) (func([]byte) bool, error) {
		n := 5000
		if given, ok := strings.CutPrefix(rest, "rounds="); ok {
			digits, after, _ := strings.Cut(given, "$")
			var err error
			if n, err = cost(digits, maxSHACrypt); err != nil {
				return nil, err
			}
			if n < 1000 {
				return nil, ErrDamaged // nobody writes what the scheme would raise
			}
			rest = after
		}
		salt, want, ok := strings.Cut(rest, "$")
		if !ok || len(salt) > 16 {
			return nil, ErrDamaged
		}
		length := 43
		if alg == "sha512" {
			length = 86
		}
		return textual(want, length, func(password []byte) string { return shaCryptSum(alg, password, []byte(salt), n) })
	}
}

func shaCryptSum(alg string, password, salt []byte, n int) string {
	over := func(parts ...[]byte) []byte {
		h := sum(alg)()
		for _, p := range parts {
			h.Write(p)
		}
		return h.Sum(nil)
	}
	inner := over(password, salt, password)
	parts := [][]byte{password, salt, repeated(inner, len(password))}
	for k := len(password); k > 0; k >>= 1 {
		if k&1 == 1 {
			parts = append(parts, inner)
		} else {
			parts = append(parts, password)
		}
	}
	state := over(parts...)
	h := sum(alg)()
	for range len(password) {
		h.Write(password)
	}
	p := repeated(h.Sum(nil), len(password))
	h.Reset()
	for range 16 + int(state[0]) {
		h.Write(salt)
	}
	s := repeated(h.Sum(nil), len(salt))
	for i := range n {
		h.Reset()
		state = round(h, i, state, p, s)
	}
	return encode64(permuted(state, shaOrder(len(state))))
}

// shaOrder is the order of SHA-crypt: triples from the three thirds that turn
// with each, and what is left over.
func shaOrder(size int) []int {
	third := size / 3
	var order []int
	for i := range third {
		abc := [3]int{i, i + third, i + 2*third}
		turn := i // SHA-256 turns the other way
		if size == 32 {
			turn = 2 * i
		}
		var triple [3]int
		for j := range 3 {
			triple[2-j] = abc[(j+turn)%3] // written highest first, encoded lowest first
		}
		order = append(order, triple[:]...)
	}
	if size == 32 {
		return append(order, 30, 31)
	}
	return append(order, 63)
}

// phpass reads log2 of the rounds, eight characters of salt and the hash.
func phpass(rest string) (func([]byte) bool, error) { return portable("md5", 22, rest) }

// drupal is phpass over SHA-512, cut to 55 characters in all.
func drupal(rest string) (func([]byte) bool, error) { return portable("sha512", 43, rest) }

func portable(alg string, length int, rest string) (func([]byte) bool, error) {
	if len(rest) < 9 {
		return nil, ErrDamaged
	}
	log := strings.IndexByte(crypt64, rest[0])
	switch {
	case log < 7:
		return nil, ErrDamaged
	case log > maxStretch:
		return nil, ErrCostly
	}
	salt := []byte(rest[1:9])
	return textual(rest[9:], length, func(password []byte) string {
		h := sum(alg)()
		state := salt
		for range 1<<log + 1 {
			h.Write(state)
			h.Write(password)
			state = h.Sum(nil)
			h.Reset()
		}
		return encode64(state)[:length]
	})
}
