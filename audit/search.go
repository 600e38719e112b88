package audit

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// A page reads a stretch of the log along an index, at most $5 events, and takes
// from it those that the filter lets through, at most $6. So no filter, however
// rare what it asks for, makes a request read the log of years: the page holds
// what the stretch had, and its cursor goes on behind the stretch.
//
//	$1 tenant (of the environment-wide list: environment)  $2, $3 time and id behind which to begin
//	$4 bound of the time on the far side                   $5 events of the stretch   $6 events of the page
//	$7 hidden events too   $8 environment   $9, $10 range of the action   $11 severities as ",high,critical,"
//	$12 outcome   $13 source   $14 pattern of the actor's document   $15 pattern of the targets' document
//	$16 to $18 patterns of the text   $19 action or actor that the index leads with
//
// An inner query with a LIMIT is read in its order, and no further than the
// outer one asks; the outer one therefore sorts nothing.
const (
	searchPage = `SELECT ` + eventColumns + ` FROM (SELECT ` + eventColumns + ` FROM audit_events e WHERE `
	searchFrom = ` LIMIT $5) e
WHERE (e.visible OR $7) AND e.environment_id = $8 AND ($9 = '' OR (e.action >= $9 AND e.action < $10))
 AND ($11 = '' OR $11 LIKE '%,' || e.severity || ',%') AND ($12 = '' OR e.outcome = $12) AND ($13 = '' OR e.source = $13)
 AND ($14 = '' OR LOWER(e.actor) LIKE $14 ESCAPE '!') AND ($15 = '' OR e.targets LIKE $15 ESCAPE '!')
 AND ($16 = '' OR LOWER(e.action || ' ' || e.actor_id || ' ' || e.actor || ' ' || e.targets) LIKE $16 ESCAPE '!'
  OR LOWER(e.actor || ' ' || e.targets) LIKE $17 ESCAPE '!' OR LOWER(e.actor || ' ' || e.targets) LIKE $18 ESCAPE '!')
LIMIT $6`

	searchEnd = `SELECT e.occurred_at, e.id FROM audit_events e WHERE `
	endRecord = `SELECT e.recorded_at, e.id FROM audit_events e WHERE `
	endOffset = ` LIMIT 1 OFFSET $5`

	newest = `(e.occurred_at, e.id) < ($2, $3) AND e.occurred_at >= $4 ORDER BY e.occurred_at DESC, e.id DESC`
	oldest = `(e.occurred_at, e.id) > ($2, $3) AND e.occurred_at < $4 ORDER BY e.occurred_at, e.id`

	sqlListNewest       = searchPage + `e.tenant_id = $1 AND ` + newest + searchFrom
	sqlListOldest       = searchPage + `e.tenant_id = $1 AND ` + oldest + searchFrom
	sqlListActionNewest = searchPage + `e.tenant_id = $1 AND e.action = $19 AND ` + newest + searchFrom
	sqlListActionOldest = searchPage + `e.tenant_id = $1 AND e.action = $19 AND ` + oldest + searchFrom
	sqlListActorNewest  = searchPage + `e.tenant_id = $1 AND e.actor_id = $19 AND ` + newest + searchFrom
	sqlListActorOldest  = searchPage + `e.tenant_id = $1 AND e.actor_id = $19 AND ` + oldest + searchFrom

	// Where a stretch of $5 + 1 events ends; no row: the log ended before.
	sqlEndNewest       = searchEnd + `e.tenant_id = $1 AND ` + newest + endOffset
	sqlEndOldest       = searchEnd + `e.tenant_id = $1 AND ` + oldest + endOffset
	sqlEndActionNewest = searchEnd + `e.tenant_id = $1 AND e.action = $6 AND ` + newest + endOffset
	sqlEndActionOldest = searchEnd + `e.tenant_id = $1 AND e.action = $6 AND ` + oldest + endOffset
	sqlEndActorNewest  = searchEnd + `e.tenant_id = $1 AND e.actor_id = $6 AND ` + newest + endOffset
	sqlEndActorOldest  = searchEnd + `e.tenant_id = $1 AND e.actor_id = $6 AND ` + oldest + endOffset

	// The vendor's list over all tenants goes along the time of recording, that of
	// the index by environment.
	recordedNewest = `e.environment_id = $1 AND (e.recorded_at, e.id) < ($2, $3) AND e.recorded_at >= $4 ORDER BY e.recorded_at DESC, e.id DESC`
	recordedOldest = `e.environment_id = $1 AND (e.recorded_at, e.id) > ($2, $3) AND e.recorded_at < $4 ORDER BY e.recorded_at, e.id`

	sqlListEnvironmentNewest = searchPage + recordedNewest + searchFrom
	sqlListEnvironmentOldest = searchPage + recordedOldest + searchFrom
	sqlEndEnvironmentNewest  = endRecord + recordedNewest + endOffset
	sqlEndEnvironmentOldest  = endRecord + recordedOldest + endOffset
)

const sqlEvent = `SELECT ` + eventColumns + ` FROM audit_events e WHERE e.tenant_id = $1 AND e.id = $2 AND (e.visible OR $3) AND e.environment_id = $4`

// path is the pair of statements that read along one index in one direction.
type path struct{ page, end string }

var paths = map[string][2]path{
	"time":        {{sqlListNewest, sqlEndNewest}, {sqlListOldest, sqlEndOldest}},
	"action":      {{sqlListActionNewest, sqlEndActionNewest}, {sqlListActionOldest, sqlEndActionOldest}},
	"actor":       {{sqlListActorNewest, sqlEndActorNewest}, {sqlListActorOldest, sqlEndActorOldest}},
	"environment": {{sqlListEnvironmentNewest, sqlEndEnvironmentNewest}, {sqlListEnvironmentOldest, sqlEndEnvironmentOldest}},
}

// quote gives the text as it stands within a stored document.
func quote(s string) string {
	b, _ := json.Marshal(s) // a string always marshals
	return string(b)
}

// pattern escapes what LIKE reads as more than itself.
func pattern(s string) string { return strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(s) }

// lowerASCII folds as LOWER does on both engines, which leave other letters alone.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}

// textPatterns gives the ways in which a text is usually written: the engines
// fold ASCII only, so letters of other alphabets are looked for in small, in
// capitals and as names are.
func textPatterns(q string) [3]string {
	if q == "" {
		return [3]string{}
	}
	words := strings.Fields(strings.ToLower(q))
	for i, w := range words {
		_, n := utf8.DecodeRuneInString(w)
		words[i] = strings.ToUpper(w[:n]) + w[n:]
	}
	var out [3]string
	for i, v := range []string{strings.ToLower(q), strings.ToUpper(q), strings.Join(words, " ")} {
		text := quote(lowerASCII(v))
		out[i] = "%" + pattern(text[1:len(text)-1]) + "%"
	}
	return out
}
