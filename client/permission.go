package client

import "strings"

// Covers reports whether a permission as it is held, which may contain *, covers
// the key. * stands for any run of characters, dots included: invoices.* covers
// invoices.lines.write, and fe.*.read.* covers fe.secure.read.users.
func Covers(held, key string) bool {
	first, rest, wild := strings.Cut(held, "*")
	if !wild {
		return held == key
	}
	if !strings.HasPrefix(key, first) {
		return false
	}
	key = key[len(first):]
	for {
		part, tail, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(key, part)
		}
		i := strings.Index(key, part)
		if i < 0 {
			return false
		}
		key, rest = key[i+len(part):], tail
	}
}

func covered(held []string, key string) bool {
	for _, h := range held {
		if Covers(h, key) {
			return true
		}
	}
	return false
}
