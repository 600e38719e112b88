package db

import (
	"encoding/json"
	"strings"
)

// Set puts any number of values into one parameter: the text of a JSON object
// whose keys are the values, for IN (SELECT key FROM json_each($n)). Values that
// hold NUL are left out: PostgreSQL cannot store them, so no row has them.
func Set(values []string) string {
	set := make(map[string]int, len(values))
	for _, v := range values {
		if strings.IndexByte(v, 0) < 0 {
			set[v] = 0
		}
	}
	text, _ := json.Marshal(set) // a map of strings always marshals
	return string(text)
}
