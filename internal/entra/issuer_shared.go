package entra

import (
	"net/url"
	"strings"
)

// tenantPlace stands for the directory in the issuer of a discovery document that
// serves many (Microsoft, "OpenID Connect on the Microsoft identity platform").
const tenantPlace = "{tenantid}"

// Named gives how the discovery document of an issuer names itself, and, of one that
// stands for many directories, the template of the issuers in its tokens. Every
// other issuer names itself as it is, and has no template.
func Named(issuer string) (named, template string) {
	base, directory, ok := shared(issuer)
	if !ok {
		return issuer, ""
	}
	template = base + tenantPlace + "/v2.0"
	if directory == consumers {
		return base + consumers + "/v2.0", template
	}
	return template, template
}

// IssuerOf gives the issuer of one directory under a template.
func IssuerOf(template, directory string) string {
	return strings.Replace(template, tenantPlace, directory, 1)
}

// Admits reports whether an issuer that stands for many directories stands for this
// one, a GUID: organizations is everybody's but Microsoft's own for private people,
// consumers that alone, and common all of them.
func Admits(issuer, directory string) bool {
	_, of, ok := shared(issuer)
	if !ok || !isGUID(directory) {
		return false
	}
	private := strings.EqualFold(directory, consumers)
	switch of {
	case "organizations":
		return !private
	case consumers:
		return private
	}
	return true
}

// shared takes an issuer apart that stands for many directories; directory is
// common, organizations or the GUID of consumers.
func shared(issuer string) (base, directory string, ok bool) {
	u, err := url.Parse(issuer)
	if err != nil {
		return "", "", false
	}
	if _, known := CloudOf(issuer); !known || u.RawQuery != "" || u.Fragment != "" {
		return "", "", false
	}
	directory, rest, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if rest != "v2.0" {
		return "", "", false
	}
	base = u.Scheme + "://" + u.Host + "/"
	switch strings.ToLower(directory) {
	case "common", "organizations":
		return base, strings.ToLower(directory), true
	case "consumers", consumers:
		return base, consumers, true
	}
	return "", "", false
}
