package client

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestVerifyWebhook(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	const id, body = "msg_1", `{"type":"user.created","timestamp":"2026-03-01T11:59:59Z","data":{"id":"usr_1"}}`
	raw := []byte("0123456789abcdef0123456789abcdef")
	whsec := "whsec_" + base64.StdEncoding.EncodeToString(raw)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	whpk := "whpk_" + base64.StdEncoding.EncodeToString(public)
	content := func(at time.Time, body string) []byte {
		return []byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "." + body)
	}
	mac := func(key []byte, at time.Time, body string) string {
		h := hmac.New(sha256.New, key)
		h.Write(content(at, body))
		return "v1," + base64.StdEncoding.EncodeToString(h.Sum(nil))
	}
	asymmetric := "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(private, content(now, body)))
	for _, c := range []struct {
		why       string
		secret    string
		at        time.Time
		signature string
		body      string
		ok        bool
	}{
		{"a shared secret", whsec, now, mac(raw, now, body), body, true},
		{"a secret of one's own", "hunter2hunter2", now, mac([]byte("hunter2hunter2"), now, body), body, true},
		{"a public key", whpk, now, asymmetric, body, true},
		{"a rotation", whsec, now, mac([]byte("new"), now, body) + " " + asymmetric + " " + mac(raw, now, body), body, true},
		{"five minutes old", whsec, now.Add(-WebhookTolerance), mac(raw, now.Add(-WebhookTolerance), body), body, true},
		{"too old", whsec, now.Add(-WebhookTolerance - time.Second), mac(raw, now.Add(-WebhookTolerance-time.Second), body), body, false},
		{"from the future", whsec, now.Add(WebhookTolerance + time.Second), mac(raw, now.Add(WebhookTolerance+time.Second), body), body, false},
		{"another time than was signed", whsec, now.Add(time.Second), mac(raw, now, body), body, false},
		{"another body", whsec, now, mac(raw, now, body), strings.Replace(body, "usr_1", "usr_2", 1), false},
		{"another secret", whsec, now, mac([]byte("x"), now, body), body, false},
		{"no signature", whsec, now, "", body, false},
		{"an empty signature", whsec, now, "v1,", body, false},
		{"an unknown version", whsec, now, "v2," + mac(raw, now, body)[3:], body, false},
		{"the other scheme's version", whpk, now, mac(public, now, body), body, false}, // the public key is no shared secret
		{"a signature that is no base64", whsec, now, "v1,*", body, false},
		{"hidden behind many", whsec, now, strings.Repeat("v1,AAAA ", 20) + mac(raw, now, body), body, false},
		{"no secret", "", now, mac(nil, now, body), body, false},
		{"an empty whsec_", "whsec_", now, mac(nil, now, body), body, false},
		{"a broken whpk_", "whpk_AAAA", now, asymmetric, body, false},
		{"not JSON", whsec, now, mac(raw, now, "x"), "x", false},
	} {
		h := http.Header{}
		h.Set("webhook-id", id)
		h.Set("webhook-timestamp", strconv.FormatInt(c.at.Unix(), 10))
		h.Set("webhook-signature", c.signature)
		w, err := VerifyWebhook(c.secret, h, []byte(c.body), now)
		if (err == nil) != c.ok || c.ok && (w.ID != id || w.Type != "user.created" || string(w.Data) != `{"id":"usr_1"}` || !w.Sent.Equal(c.at)) {
			t.Errorf("%s: %+v, %v", c.why, w, err)
		}
	}
	for _, missing := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
		h := http.Header{}
		h.Set("webhook-id", id)
		h.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
		h.Set("webhook-signature", mac(raw, now, body))
		h.Del(missing)
		if _, err := VerifyWebhook(whsec, h, []byte(body), now); !errors.Is(err, ErrWebhook) {
			t.Errorf("without %s: %v", missing, err)
		}
	}
}
