package factor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/gatehouse-id/gatehouse/internal/db"
)

// key is a security key in software: it makes what a browser sends.
type key struct {
	*testing.T
	private *ecdsa.PrivateKey
	id      []byte
	counter uint32
	origin  string
	rpID    string
}

func newKey(t *testing.T) *key {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := make([]byte, 32)
	_, _ = rand.Read(id)
	return &key{T: t, private: private, id: id, origin: "https://id.example", rpID: "id.example"}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func challengeOf(t *testing.T, options []byte) string {
	t.Helper()
	var o struct {
		PublicKey struct {
			Challenge string `json:"challenge"`
		} `json:"publicKey"`
	}
	if err := json.Unmarshal(options, &o); err != nil || o.PublicKey.Challenge == "" {
		t.Fatal(string(options), err)
	}
	return o.PublicKey.Challenge
}

func (k *key) data(flags byte) []byte {
	k.counter++
	sum := sha256.Sum256([]byte(k.rpID))
	return binary.BigEndian.AppendUint32(append(sum[:], flags), k.counter)
}

func (k *key) client(kind, challenge string) []byte {
	text, err := json.Marshal(map[string]any{"type": "webauthn." + kind, "challenge": challenge, "origin": k.origin, "crossOrigin": false})
	if err != nil {
		k.Fatal(err)
	}
	return text
}

const present, verified, attested = 1, 4, 64

func (k *key) register(options []byte) []byte {
	k.Helper()
	public, err := k.private.PublicKey.ECDH()
	if err != nil {
		k.Fatal(err)
	}
	point := public.Bytes()
	cose, err := cbor.Marshal(map[int]any{1: 2, 3: -7, -1: 1, -2: point[1:33], -3: point[33:]})
	if err != nil {
		k.Fatal(err)
	}
	data := k.data(present | verified | attested)
	data = append(data, make([]byte, 16)...)
	data = binary.BigEndian.AppendUint16(data, uint16(len(k.id)))
	data = append(append(data, k.id...), cose...)
	object, err := cbor.Marshal(map[string]any{"fmt": "none", "attStmt": map[string]any{}, "authData": data})
	if err != nil {
		k.Fatal(err)
	}
	answer, err := json.Marshal(map[string]any{
		"id": b64(k.id), "rawId": b64(k.id), "type": "public-key",
		"response": map[string]any{"clientDataJSON": b64(k.client("create", challengeOf(k.T, options))), "attestationObject": b64(object)},
	})
	if err != nil {
		k.Fatal(err)
	}
	return answer
}

func (k *key) answer(options []byte, user string, flags byte) []byte {
	k.Helper()
	data, client := k.data(flags), k.client("get", challengeOf(k.T, options))
	sum := sha256.Sum256(client)
	digest := sha256.Sum256(append(append([]byte{}, data...), sum[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, k.private, digest[:])
	if err != nil {
		k.Fatal(err)
	}
	answer, err := json.Marshal(map[string]any{
		"id": b64(k.id), "rawId": b64(k.id), "type": "public-key",
		"response": map[string]any{"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature), "userHandle": b64([]byte(user))},
	})
	if err != nil {
		k.Fatal(err)
	}
	return answer
}

// Security keys: as a second factor, and as a passkey that says itself who it is.
func TestWebAuthn(t *testing.T) {
	each(t, func(w world) {
		k := newKey(t)
		var options []byte
		begin := func(p Person) {
			w.tx(func(q db.Queryer) (err error) { options, err = w.BeginRegister(w.ctx(), q, p, "ses_1"); return err })
		}
		finish := func(p Person, answer []byte) func(q db.Queryer) error {
			return func(q db.Queryer) error {
				_, err := w.FinishRegister(w.ctx(), q, p, "ses_1", "Yubi", answer)
				return err
			}
		}
		begin(w.ada)
		answer := k.register(options)
		w.tx(finish(w.ada, answer))
		w.refused("SIGNIN_CHALLENGE_EXPIRED", finish(w.ada, answer))
		begin(w.grace) // the same key for somebody else
		w.refused("factor_exists", finish(w.grace, k.register(options)))
		begin(w.grace)
		evil := newKey(t)
		evil.origin = "https://id.example.evil"
		w.refused("SIGNIN_WRONG_KEY", finish(w.grace, evil.register(options)))
		begin(w.grace)
		w.refused("SIGNIN_WRONG_KEY", finish(w.ada, newKey(t).register(options))) // a question to another person
		begin(w.grace)
		w.refused("SIGNIN_WRONG_KEY", finish(w.grace, []byte(`{"id":"x"}`)))

		ask := func(p Person) []byte {
			var options []byte
			w.tx(func(q db.Queryer) (err error) { options, err = w.BeginKey(w.ctx(), q, p, "flo_1"); return err })
			return options
		}
		check := func(p Person, answer []byte) (got Key, err error) {
			err = w.d.Tx(w.Context(), func(q db.Queryer) (err error) {
				got, err = w.CheckKey(w.ctx(), q, p, "flo_1", answer)
				return err
			})
			return got, err
		}
		if got, err := check(w.ada, k.answer(ask(w.ada), w.ada.UserID, present)); err != nil || got.UserID != w.ada.UserID || got.Verified {
			t.Errorf("second factor: %+v %v", got, err)
		}
		nobody := Person{Environment: w.env}
		if got, err := check(nobody, k.answer(ask(nobody), w.ada.UserID, present|verified)); err != nil || got.UserID != w.ada.UserID || !got.Verified {
			t.Errorf("passkey: %+v %v", got, err)
		}
		for name, refused := range map[string]func() (Key, error){
			"a passkey that did not verify": func() (Key, error) { return check(nobody, k.answer(ask(nobody), w.ada.UserID, present)) },
			"another person's handle":       func() (Key, error) { return check(nobody, k.answer(ask(nobody), w.grace.UserID, present|verified)) },
			"a key of nobody": func() (Key, error) {
				return check(nobody, newKey(t).answer(ask(nobody), w.ada.UserID, present|verified))
			},
			"nobody there": func() (Key, error) { return check(w.ada, k.answer(ask(w.ada), w.ada.UserID, 0)) },
			"an answer to another question": func() (Key, error) {
				old := ask(w.ada)
				ask(w.ada)
				return check(w.ada, k.answer(old, w.ada.UserID, present))
			},
			"another site's": func() (Key, error) {
				k.origin = "https://evil.example"
				defer func() { k.origin = "https://id.example" }()
				return check(w.ada, k.answer(ask(w.ada), w.ada.UserID, present))
			},
			"bound to another host": func() (Key, error) {
				k.rpID = "evil.example"
				defer func() { k.rpID = "id.example" }()
				return check(w.ada, k.answer(ask(w.ada), w.ada.UserID, present))
			},
			"another's question": func() (Key, error) { return check(w.grace, k.answer(ask(w.ada), w.grace.UserID, present)) },
			"a copy, whose counter is behind": func() (Key, error) {
				k.counter = 0
				return check(w.ada, k.answer(ask(w.ada), w.ada.UserID, present))
			},
		} {
			if got, err := refused(); !errors.Is(err, ErrWrongKey) {
				t.Errorf("%s: %+v %v", name, got, err)
			} else if copied := (CopiedError{}); errors.As(err, &copied) != strings.HasPrefix(name, "a copy") || copied.UserID != "" && copied.UserID != w.ada.UserID {
				t.Errorf("%s: the alarm is %v", name, err)
			}
			k.counter += 100
		}
		again := k.answer(ask(w.ada), w.ada.UserID, present)
		if _, err := check(w.ada, again); err != nil {
			t.Error(err)
		}
		if _, err := check(w.ada, again); !errors.Is(err, ErrExpired) {
			t.Errorf("replayed: %v", err)
		}
		if _, err := w.BeginKey(w.ctx(), w.d, w.grace, "flo_1"); !errors.Is(err, ErrNotFound) {
			t.Errorf("a person without keys: %v", err)
		}
	})
}
