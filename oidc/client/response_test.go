package client

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/signin"
)

// sso 2.2: the login log keeps the shape of the answer; its values only of a test.
func TestResponse(t *testing.T) {
	read := func(text string) map[string]any {
		t.Helper()
		all, err := readObject([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	a := attempt{
		idToken: read(`{"iss":"https://idp.example","aud":["us"],"exp":1772366400,"sub":"00u1","email":"ada@acme.example","email_verified":true,"nonce":"n-1","at_hash":"h",
			"groups":["engineering","everyone"],"address":{"street":"Lane"},"age":36,"flag":true,"nothing":null,"empty":"","amr":["mfa"]}`),
		userinfo: read(`{"sub":"00u1","name":"Ada"}`),
	}
	a.purpose = signin.PurposeAuthorize
	want := `{"id_token":{"address":"(object)","age":"(number)","amr":["mfa"],"at_hash":"present","aud":["us"],"email":"(text)","email_verified":true,"empty":"","exp":1772366400,` +
		`"flag":"(true or false)","groups":"(list of 2)","iss":"https://idp.example","nonce":"present","nothing":null,"sub":"(text)"},"userinfo":{"name":"(text)","sub":"(text)"}}`
	if got := a.response(); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	a.purpose = signin.PurposeTest
	got := a.response()
	for _, shown := range []string{`"ada@acme.example"`, `["engineering","everyone"]`, `"Lane"`, `"name":"Ada"`, `"nonce":"present"`, `"age":36`} {
		if !strings.Contains(got, shown) {
			t.Errorf("%s lacks %s", got, shown)
		}
	}
	if strings.Contains(got, "n-1") || (&attempt{}).response() != "" {
		t.Errorf("%s", got)
	}
}

// Whatever comes, the entry is bounded JSON that both stores take.
func TestResponseIsBounded(t *testing.T) {
	list := make([]any, 5000)
	for n := range list {
		list[n] = fmt.Sprintf("group-%d-%s", n, strings.Repeat("g", 500))
	}
	var deep any = "bottom"
	for range 100 {
		deep = []any{deep}
	}
	many := map[string]any{}
	for n := range 5000 {
		many[fmt.Sprintf("claim-%d", n)] = strings.Repeat("v", 100)
	}
	for name, claims := range map[string]map[string]any{
		"groups": {"groups": list}, "deep": {"x": deep}, "many": many, "wide": {"o": many}, "long": {"x": strings.Repeat("ü", 60_000)}, "NUL": {"x\x00": "a\x00b"},
		"long name": {strings.Repeat("n", 100_000): "x"}, "iss": {"iss": strings.Repeat("i", 60_000), "_claim_names": many, "aud": list},
	} {
		for _, purpose := range []string{signin.PurposeAuthorize, signin.PurposeTest} {
			a := attempt{idToken: claims, userinfo: claims, purpose: purpose}
			got := a.response()
			if len(got) > maxResponse || !json.Valid([]byte(got)) || strings.Contains(got, `\u0000`) {
				t.Errorf("%s: %d bytes: %.200s", name, len(got), got)
			}
		}
	}
}
