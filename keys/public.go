package keys

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"

	"github.com/go-jose/go-jose/v4"
)

const (
	maxPublic  = 20
	minRSABits = 2048
)

var errPublic = errors.New("keys: not a set of public signing keys")

// CheckPublic refuses what is not a JSON Web Key Set (RFC 7517 §5) of 1 to 20
// public signing keys, RSA of 2048 bits or more, EC or Ed25519. A private key in
// it has been given away, so it is refused too.
func CheckPublic(body []byte) error {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return err
	}
	if len(set.Keys) == 0 || len(set.Keys) > maxPublic {
		return errPublic
	}
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if err := k.UnmarshalJSON(raw); err != nil {
			return err
		}
		if !k.IsPublic() || !k.Valid() || k.Use != "" && k.Use != "sig" {
			return errPublic
		}
		switch key := k.Key.(type) {
		case *rsa.PublicKey:
			if key.N.BitLen() < minRSABits {
				return errPublic
			}
		case *ecdsa.PublicKey, ed25519.PublicKey:
		default:
			return errPublic
		}
	}
	return nil
}
