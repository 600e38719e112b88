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
	{"ping identity", "ping"},
	{"pingfederate", "ping"},
	{"pingdata", "ping"},
	{"rippling", "rippling"},
}

// marks are parts of queries and bodies that only one client writes, in lower case.
var marks = []struct{ text, profile string }{
	{"aadoptscim", "entra"},
	{"azureadscimpatch", "entra"},
	{"schemas.microsoft.com/2006/11/resourcemanagement", "entra"},
	{"extension:enterprise:2.0user", "entra"},
	{`"urn:scim:schemas:core:2.0"`, "onelogin"},
	{`"urn:scim:schemas:extension:enterprise:2.0"`, "onelogin"},
	{`"urn:okta:`, "okta"},
	{`"externalid":"00u`, "okta"}, // ids of its users
	{`"externalid": "00u`, "okta"},
	{`"urn:onelogin:`, "onelogin"},
	{`"urn:jumpcloud:`, "jumpcloud"},
	{`"urn:google:`, "google"},
	{`"urn:pingidentity:`, "ping"},
	{`"urn:rippling:`, "rippling"},
}

// suggestBytes is how much of a body is looked at.
const suggestBytes = 4096

// Suggest guesses the profile of a client from its User-Agent header and the
// query or the beginning of the body of a request; empty when neither tells. It
// is a hint for the administrator and decides nothing by itself.
func Suggest(userAgent string, sent []byte) string {
	agent := strings.ToLower(userAgent[:min(len(userAgent), 256)])
	agent = strings.ReplaceAll(agent, "microsoft windows", "") // where some client runs
	for _, a := range agents {
		if strings.Contains(agent, a.word) {
			return a.profile
		}
	}
	if len(sent) == 0 {
		return ""
	}
	sent = sent[:min(len(sent), suggestBytes)]
	lower := bytes.ToLower(sent)
	for _, m := range marks {
		if bytes.Contains(lower, []byte(m.text)) {
			return m.profile
		}
	}
	if capitalOp(sent) {
		return "entra"
	}
	return ""
}

// capitalOp finds "op" : "Add" and its like: the first operation of a PATCH as
// Entra spells it.
func capitalOp(body []byte) bool {
	_, rest, found := bytes.Cut(body, []byte(`"op"`))
	if !found {
		return false
	}
	rest, found = bytes.CutPrefix(bytes.TrimLeft(rest, " \t\r\n"), []byte{':'})
	if !found {
		return false
	}
	rest = bytes.TrimLeft(rest, " \t\r\n")
	for _, name := range []string{`"Add"`, `"Replace"`, `"Remove"`} {
		if bytes.HasPrefix(rest, []byte(name)) {
			return true
		}
	}
	return false
}
