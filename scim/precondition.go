package scim

import (
	"net/http"
	"strings"

	"github.com/gatehouse-id/gatehouse/tenants"
)

const hardDelete = tenants.DeleteHard

// precondition is an If-Match header (RFC 7644 §3.14). SCIM's entity tags are
// weak and compared as such, although RFC 9110 §13.1.1 asks for strong ones:
// clients send back what meta.version says.
type precondition string

func ifMatch(r *http.Request) precondition {
	return precondition(strings.Join(r.Header.Values("If-Match"), ","))
}

func (p precondition) check(version int64) error {
	if p == "" || matches(string(p), etag(version)) {
		return nil
	}
	return errPrecondition
}

// matches looks for a tag in a list of entity tags.
func matches(list, tag string) bool {
	for t := range strings.SplitSeq(list, ",") {
		t = strings.TrimSpace(t)
		if t == "*" || strings.TrimPrefix(t, "W/") == strings.TrimPrefix(tag, "W/") {
			return true
		}
	}
	return false
}

// fresh tells whether the client has the version already (If-None-Match).
func fresh(r *http.Request, tag string) bool {
	list := strings.Join(r.Header.Values("If-None-Match"), ",")
	return list != "" && matches(list, tag)
}
