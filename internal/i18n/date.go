package i18n

import (
	"strconv"
	"time"
	_ "time/tzdata" // of hosts that have none
)

var germanMonths = [...]string{"Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November", "Dezember"}

// Date writes a time to the minute, in its own zone, as the language writes it:
// "2 January 2006, 15:04 UTC", "2. Januar 2006, 15:04 UTC".
func Date(lang string, t time.Time) string {
	if lang == "de" {
		return strconv.Itoa(t.Day()) + ". " + germanMonths[t.Month()-1] + t.Format(" 2006, 15:04 MST")
	}
	return t.Format("2 January 2006, 15:04 MST")
}

// Zone is the time zone of that name in the IANA database; UTC if there is none.
// "Local" is none: the server's zone means nothing to the reader.
func Zone(name string) *time.Location {
	if name == "Local" {
		return time.UTC
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC
	}
	return zone
}
