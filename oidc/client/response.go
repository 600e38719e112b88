package client

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/signin"
)

// Bounds of a provider's answer as the login log keeps it.
const (
	maxResponse = 64 << 10 // bytes
	maxShown    = 300      // bytes of one value
	maxItems    = 200      // of one list
	maxDepth    = 4
)

// plain are the claims of the protocol itself, which say nothing of the person.
var plain = []string{
	"iss", "aud", "azp", "exp", "iat", "nbf", "auth_time", "acr", "amr", "hd", "tid", "ver", "typ", "email_verified", "xms_edov",
	"session_expiry", "hasgroups", "_claim_names",
}

// secrets are claims that nobody needs to see, not even in a test.
var secrets = []string{"nonce", "at_hash", "c_hash", "s_hash"}

// response is the provider's answer for the login log: the decoded claims, of
// which only a test shows the values. The tokens themselves are not kept.
func (a *attempt) response() string {
	if a.idToken == nil && a.userinfo == nil {
		return ""
	}
	for _, items := range []int{maxItems, 10, 0} {
		body, err := json.Marshal(map[string]any{"id_token": a.shown(a.idToken, items), "userinfo": a.shown(a.userinfo, items)})
		if err == nil && len(body) <= maxResponse {
			return string(body)
		}
	}
	return `{"id_token":"too large to keep"}`
}

func (a *attempt) shown(claims map[string]any, items int) map[string]any {
	if claims == nil {
		return nil
	}
	out := make(map[string]any, len(claims))
	for name, v := range claims {
		if items == 0 && !slices.Contains(plain, name) {
			continue
		}
		name = cut(name)
		switch {
		case slices.Contains(secrets, name):
			out[name] = "present"
		case a.purpose == signin.PurposeTest, slices.Contains(plain, name):
			out[name] = show(v, items, maxDepth)
		default:
			out[name] = redact(v)
		}
	}
	return out
}

// redact keeps the shape of a value.
func redact(v any) any {
	switch v := v.(type) {
	case nil:
		return nil
	case string:
		if v == "" {
			return ""
		}
		return "(text)"
	case bool:
		return "(true or false)"
	case json.Number:
		return "(number)"
	case []any:
		return fmt.Sprintf("(list of %d)", len(v))
	}
	return "(object)"
}

func show(v any, items, depth int) any {
	switch v := v.(type) {
	case string:
		return cut(v)
	case json.Number:
		return json.Number(cut(string(v)))
	case []any:
		if depth == 0 {
			return redact(v)
		}
		out := make([]any, 0, min(len(v), items)+1)
		for n, e := range v {
			if n == items {
				out = append(out, fmt.Sprintf("(and %d more)", len(v)-n))
				break
			}
			out = append(out, show(e, items, depth-1))
		}
		return out
	case map[string]any:
		if depth == 0 {
			return redact(v)
		}
		out := map[string]any{}
		for k, e := range v {
			if len(out) == items {
				break
			}
			out[cut(k)] = show(e, items, depth-1)
		}
		return out
	}
	return v
}

func cut(s string) string {
	s = strings.ReplaceAll(s, "\x00", "�") // PostgreSQL stores none
	if len(s) > maxShown {
		return strings.ToValidUTF8(s[:maxShown], "") + "…"
	}
	return s
}
