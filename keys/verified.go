package keys

import (
	"crypto/sha256"
	"sync"
)

// keptVerified bounds what is remembered of verified tokens, in bytes of payloads, in
// each of two generations.
const keptVerified = 2 << 20

// verified remembers tokens whose signature held, so that a resource which asks about
// the same token at every request costs one signature. A signature that held once
// holds for ever; whether its key is still published is asked each time. Times and
// everything else that ends are the caller's to check, as of a token that is new.
type verified struct {
	mu       sync.Mutex
	now, old map[[sha256.Size]byte]verifiedToken
	size     int // of now
}

type verifiedToken struct {
	kid     string
	payload []byte // shared: not to be changed
}

// tokenKey tells tokens of environments and types apart.
func tokenKey(environment, typ, token string) [sha256.Size]byte {
	b := make([]byte, 0, len(environment)+len(typ)+len(token)+2)
	b = append(append(b, environment...), 0)
	b = append(append(b, typ...), 0)
	return sha256.Sum256(append(b, token...))
}

func (v *verified) find(key [sha256.Size]byte) (verifiedToken, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	t, ok := v.now[key]
	if !ok {
		if t, ok = v.old[key]; ok {
			v.put(key, t)
		}
	}
	return t, ok
}

func (v *verified) add(key [sha256.Size]byte, t verifiedToken) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.put(key, t)
}

// put keeps a token; when there are many, those that nobody asked about lately go.
func (v *verified) put(key [sha256.Size]byte, t verifiedToken) {
	if v.now == nil || v.size > keptVerified {
		v.old, v.now, v.size = v.now, map[[sha256.Size]byte]verifiedToken{}, 0
	}
	v.now[key] = t
	v.size += len(t.payload) + 128
}
