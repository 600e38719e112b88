package api

import (
	"strconv"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// tagged is a body of which a version is known. Its tag is sent as ETag, and a
// change may ask for it with If-Match (product 7.3).
type tagged interface{ etag() string }

// versionTag is the entity tag of a version (RFC 9110 §8.8.3).
func versionTag(version int64) string { return `"v` + strconv.FormatInt(version, 10) + `"` }

// absent is the version of an object that is not there yet.
const absent = -1

var errVersion = fault.New(fault.Stale, "version_mismatch", "The object has changed since it was read. Read it again.")

// match fails with version_mismatch unless the object's version is one that the
// request names in If-Match (RFC 9110 §13.1.1); a request without it takes any.
// It is asked inside the transaction, once nobody else can change the object:
// after its row is locked, or after the change with the version before it.
func (s scope) match(version int64) error {
	if s.ifMatch == "" {
		return nil
	}
	for tag := range strings.SplitSeq(s.ifMatch, ",") {
		switch strings.Trim(tag, " \t") {
		case "*":
			if version != absent {
				return nil
			}
		case versionTag(version): // a weak tag never matches
			return nil
		}
	}
	return errVersion
}
