package verify

import "time"

// parseInstant reads a SAML time value: xs:dateTime in UTC, written with "Z"
// (SAML core §1.3.3 wants UTC and no zone component; a numeric offset, a value
// without "Z", a leap second and an hour 24 are refused). Fractions of a second
// beyond nanoseconds are cut off.
func parseInstant(s string) (time.Time, bool) {
	const form = "0000-00-00T00:00:00"
	if len(s) < len(form)+1 || len(s) > len(form)+14 || s[len(s)-1] != 'Z' {
		return time.Time{}, false
	}
	for i := range len(form) {
		if form[i] == '0' {
			if s[i] < '0' || s[i] > '9' {
				return time.Time{}, false
			}
		} else if s[i] != form[i] {
			return time.Time{}, false
		}
	}
	nanos, ok := fraction(s[len(form) : len(s)-1])
	if !ok {
		return time.Time{}, false
	}
	year, month, day := digits(s[0:4]), digits(s[5:7]), digits(s[8:10])
	hour, minute, second := digits(s[11:13]), digits(s[14:16]), digits(s[17:19])
	if year == 0 || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC)
	// time.Date normalises 31 February; an unchanged date was a real one.
	if t.Year() != year || int(t.Month()) != month || t.Day() != day {
		return time.Time{}, false
	}
	return t, true
}

// fraction reads "" or "." and 1 to 12 digits as nanoseconds.
func fraction(s string) (int, bool) {
	if s == "" {
		return 0, true
	}
	if s[0] != '.' || len(s) < 2 {
		return 0, false
	}
	nanos, scale := 0, 100_000_000
	for i := 1; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		nanos += int(s[i]-'0') * scale
		scale /= 10
	}
	return nanos, true
}

func digits(s string) int {
	n := 0
	for i := 0; i < len(s); i++ {
		n = n*10 + int(s[i]-'0')
	}
	return n
}
