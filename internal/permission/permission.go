// Package permission matches permission keys, wildcards included.
//
// A key is dotted words such as fe.secure.read.users. In a held key, * stands
// for any run of characters, dots included; the match is anchored at both ends
// (product 81, 2.1). Matching splits at the stars and never compiles a regular
// expression.
package permission

import "strings"

// MaxKey is the greatest length of a permission key in bytes.
const MaxKey = 200

// Match reports whether the held key, which may contain *, covers key. Of the
// webhooks' keys, some of which are written with webhook and some with webhooks,
// either covers the other (product 3, trap C4).
func Match(held, key string) bool {
	return covers(held, key) || covers(held, otherNumber(key))
}

const webhookArea, webhookNoun = "fe.connectivity.", ".webhook"

// otherNumber gives a webhooks' key in the plural for the singular and the other
// way round, and any other key as it is.
func otherNumber(key string) string {
	if !strings.HasPrefix(key, webhookArea) {
		return key
	}
	if strings.HasSuffix(key, webhookNoun) {
		return key + "s"
	}
	if strings.HasSuffix(key, webhookNoun+"s") {
		return key[:len(key)-1]
	}
	return key
}

func covers(held, key string) bool {
	first, rest, found := strings.Cut(held, "*")
	if !found {
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

// Set is the permission keys that somebody holds, as held. The zero value is
// the empty set.
type Set struct {
	exact   map[string]struct{}
	wild    []string
	without []string // keys that the set does not cover, whatever is held
}

// NewSet makes a set of the keys.
func NewSet(keys ...string) Set {
	s := Set{exact: make(map[string]struct{}, len(keys))}
	for _, k := range keys {
		if strings.Contains(k, "*") {
			s.wild = append(s.wild, k)
		} else {
			s.exact[k] = struct{}{}
		}
	}
	return s
}

// Without gives the set less what the patterns cover, which held wildcards do not
// bring back.
func (s Set) Without(patterns ...string) Set {
	s.without = append(s.without[:len(s.without):len(s.without)], patterns...)
	return s
}

// Has reports whether a held key covers key.
func (s Set) Has(key string) bool {
	for _, w := range s.without {
		if Match(w, key) {
			return false
		}
	}
	if _, ok := s.exact[key]; ok {
		return true
	}
	if _, ok := s.exact[otherNumber(key)]; ok {
		return true
	}
	for _, w := range s.wild {
		if Match(w, key) {
			return true
		}
	}
	return false
}
