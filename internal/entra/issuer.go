package entra

import (
	"net/url"
	"strings"
)

// Cloud is where a cloud of Microsoft's is reached, without a slash at the end.
type Cloud struct {
	Login string // tokens
	Graph string
}

// The clouds (Microsoft, "National cloud deployments").
var (
	Global = Cloud{Login: "https://login.microsoftonline.com", Graph: "https://graph.microsoft.com"}
	USGov  = Cloud{Login: "https://login.microsoftonline.us", Graph: "https://graph.microsoft.us"}
	China  = Cloud{Login: "https://login.partner.microsoftonline.cn", Graph: "https://microsoftgraph.chinacloudapi.cn"}
)

// clouds are the hosts of issuers and of sign-in addresses.
var clouds = map[string]Cloud{
	"login.microsoftonline.com":        Global,
	"login.windows.net":                Global,
	"sts.windows.net":                  Global,
	"login.microsoftonline.us":         USGov,
	"login.partner.microsoftonline.cn": China,
	"sts.chinacloudapi.cn":             China,
}

// CloudOf gives the cloud of an issuer, entity ID or sign-in address; false when
// it is not of Entra ID.
func CloudOf(address string) (Cloud, bool) {
	u, err := url.Parse(address)
	if err != nil {
		return Cloud{}, false
	}
	c, ok := clouds[strings.ToLower(u.Hostname())]
	return c, ok
}

// TenantOf gives the directory (tenant) that an issuer is pinned to: the GUID in
// its path, in small letters. It is empty for the issuers that stand for many
// directories (common, organizations, consumers, the template {tenantid}) and for
// names in the place of the GUID, which can come to be somebody else's.
func TenantOf(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if !isGUID(first) || strings.EqualFold(first, consumers) {
		return ""
	}
	return strings.ToLower(first)
}

// consumers is the directory of all personal Microsoft accounts: anybody's.
const consumers = "9188040d-6c67-4c5b-b112-36a304b66dad"

func isGUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
		default:
			return false
		}
	}
	return true
}
