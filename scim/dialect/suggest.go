package dialect

import (
	"bytes"
	"strings"
)

// agents are words of User-Agent headers, in lower case.
var agents = []struct{ word, profile string }{
	{"okta", "okta"},
	{"azure", "entra"},
	{"entra", "entra"},
	{"microsoft", "entra"},
	{"msft", "entra"},
	{"onelogin", "onelogin"},
	{"jumpcloud", "jumpcloud"},
	{"google", "google"},
	{"pingone", "ping"},
	{"pingidentity", "ping"},
	{"pingfederate", "ping"},
	{"rippling", "rippling"},
}

// marks are parts of bodies that only one client writes.
var marks = []struct{ text, profile string }{
	{"schemas.microsoft.com/2006/11/ResourceManagement", "entra"},
	{"extension:enterprise:2.0User", "entra"},
	{`"urn:scim:schemas:core:2.0"`, "onelogin"},
	{`"op":"Add"`, "entra"},
	{`"op":"Replace"`, "entra"},
	{`"op":"Remove"`, "entra"},
	{`"op": "Add"`, "entra"},
	{`"op": "Replace"`, "entra"},
	{`"op": "Remove"`, "entra"},
}

// suggestBytes is how much of a body is looked at.
const suggestBytes = 4096

// Suggest guesses the profile of a client from its User-Agent header and the
// beginning of a request body; empty when neither tells. It is a hint for the
// administrator and decides nothing by itself.
func Suggest(userAgent string, body []byte) string {
	agent := strings.ToLower(userAgent[:min(len(userAgent), 256)])
	for _, a := range agents {
		if strings.Contains(agent, a.word) {
			return a.profile
		}
	}
	body = body[:min(len(body), suggestBytes)]
	for _, m := range marks {
		if bytes.Contains(body, []byte(m.text)) {
			return m.profile
		}
	}
	return ""
}
