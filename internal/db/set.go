package db

import (
	"encoding/json"
	"slices"
	"strings"
)

// Set puts any number of values into one parameter: the text of a JSON object
// whose keys are the values, for IN (SELECT key FROM json_each($n)). Values that
// hold NUL are left out: PostgreSQL cannot store them, so no row has them.
func Set(values []string) string {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	size := 2
	for _, v := range sorted {
		size += len(v) + len(`"":0,`)
	}
	text := append(make([]byte, 0, size), '{')
	for _, v := range slices.Compact(sorted) {
		if strings.IndexByte(v, 0) >= 0 {
			continue
		}
		if len(text) > 1 {
			text = append(text, ',')
		}
		text = append(appendKey(text, v), ":0"...)
	}
	return string(append(text, '}'))
}

// appendKey is what json.Marshal makes of a string, without its cost for ids.
func appendKey(text []byte, v string) []byte {
	for i := range len(v) {
		if c := v[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(v) // a string always marshals
			return append(text, quoted...)
		}
	}
	return append(append(append(text, '"'), v...), '"')
}
