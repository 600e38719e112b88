package client

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Webhook is a delivery that was verified.
type Webhook struct {
	// ID is the same on every repetition of a delivery: handle it once.
	ID   string          `json:"-"`
	Sent time.Time       `json:"-"`         // of this attempt
	Type string          `json:"type"`      // user.created
	At   time.Time       `json:"timestamp"` // of the event
	Data json.RawMessage `json:"data"`
}

// WebhookTolerance is how old, or how far in the future, a delivery may be.
const WebhookTolerance = 5 * time.Minute

// ErrWebhook says that a delivery is not Gatehouse's, or too old.
var ErrWebhook = errors.New("client: the webhook's signature is not valid, or it is too old")

// VerifyWebhook checks a delivery by Standard Webhooks 1.0.0: body as it arrived,
// unparsed; now is the time. secret is the endpoint's, as shown when it was made:
// whsec_…, a public key whpk_…, or one of your own. While it rotates, deliveries
// carry signatures of both, so either verifies. Limit the body before you read it;
// deliveries are below 64 KiB.
func VerifyWebhook(secret string, header http.Header, body []byte, now time.Time) (Webhook, error) {
	id, stamp := header.Get("webhook-id"), header.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || id == "" || secret == "" {
		return Webhook{}, ErrWebhook
	}
	sent := time.Unix(seconds, 0)
	if age := now.Sub(sent); age > WebhookTolerance || age < -WebhookTolerance {
		return Webhook{}, ErrWebhook
	}
	if !signed(secret, header.Get("webhook-signature"), []byte(id+"."+stamp+"."+string(body))) {
		return Webhook{}, ErrWebhook
	}
	w := Webhook{ID: id, Sent: sent}
	if err := json.Unmarshal(body, &w); err != nil {
		return Webhook{}, errors.New("client: the webhook's body cannot be read")
	}
	return w, nil
}

// signed looks for one good signature in the list.
func signed(secret, list string, content []byte) bool {
	version := "v1"
	var check func(sig []byte) bool
	if encoded, ok := strings.CutPrefix(secret, "whpk_"); ok {
		key, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || len(key) != ed25519.PublicKeySize {
			return false
		}
		version, check = "v1a", func(sig []byte) bool { return ed25519.Verify(key, content, sig) }
	} else {
		key := []byte(secret)
		if encoded, ok := strings.CutPrefix(secret, "whsec_"); ok {
			decoded, err := base64.StdEncoding.DecodeString(encoded)
			if err != nil || len(decoded) == 0 {
				return false
			}
			key = decoded
		}
		mac := hmac.New(sha256.New, key)
		mac.Write(content)
		want := mac.Sum(nil)
		check = func(sig []byte) bool { return hmac.Equal(sig, want) }
	}
	parts := strings.Fields(list)
	for _, part := range parts[:min(len(parts), 20)] {
		v, encoded, _ := strings.Cut(part, ",")
		if v != version {
			continue
		}
		if sig, err := base64.StdEncoding.DecodeString(encoded); err == nil && check(sig) {
			return true
		}
	}
	return false
}
