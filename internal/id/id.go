// Package id makes and checks identifiers: a three-letter prefix, an underscore
// and the 26 lower-case base32 characters of a UUIDv7 (RFC 9562 §5.7), so that
// ids sort by creation and select with a double click.
package id

import (
	"crypto/rand"
	"encoding/base32"
	"strings"
	"sync"
	"time"
)

// Prefixes of the kinds of object that outsiders see.
const (
	Environment = "env"
	Tenant      = "ten"
	User        = "usr"
	Group       = "grp"
	Role        = "rol"
	Permission  = "per"
	SSO         = "sso"
	Social      = "soc" // a social connection of an environment
	Directory   = "dir" // a SCIM connection
	Resource    = "res" // a SCIM resource
	Application = "app"
	Session     = "ses"
	Event       = "evt"
	Invitation  = "inv"
	InviteLink  = "lnk"
	Webhook     = "whk"
	Token       = "tok"
	Key         = "key"
	Domain      = "dom"
	Membership  = "mem"
	Identity    = "idn"
	Flow        = "flw"
	Job         = "job"
	Family      = "fam" // a family of refresh tokens
	Client      = "cli" // an OAuth 2 client of a SCIM connection
	Log         = "log" // an entry of a provisioning log
)

// Length is the number of characters after the prefix and its underscore.
const Length = 26

// encoding keeps the order of the bytes: its alphabet ascends in ASCII.
var encoding = base32.NewEncoding("234567abcdefghijklmnopqrstuvwxyz").WithPadding(base32.NoPadding)

var last struct {
	sync.Mutex
	ms  int64
	seq uint16
}

// New makes an identifier. Identifiers made by one process ascend.
func New(prefix string) string { return prefix + "_" + Raw() }

// Raw makes the 26 characters without a prefix.
func Raw() string {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic("id: no randomness: " + err.Error()) // crypto/rand does not fail on supported systems
	}
	last.Lock()
	ms := time.Now().UnixMilli()
	if ms <= last.ms {
		ms = last.ms
		last.seq++
		if last.seq > 0x0fff {
			ms++
			last.seq = 0
		}
	} else {
		last.seq = uint16(b[6])<<4&0x07ff | uint16(b[7])&0x0f
	}
	last.ms = ms
	seq := last.seq
	last.Unlock()
	b[0], b[1], b[2], b[3], b[4], b[5] = byte(ms>>40), byte(ms>>32), byte(ms>>24), byte(ms>>16), byte(ms>>8), byte(ms)
	b[6], b[7] = 0x70|byte(seq>>8), byte(seq)
	b[8] = 0x80 | b[8]&0x3f
	return encoding.EncodeToString(b[:])
}

// Ago is a lower bound of the identifiers with the prefix that were made during
// the last d, as far as the clocks of those that made them agree.
func Ago(prefix string, d time.Duration) string {
	ms := max(time.Now().Add(-d).UnixMilli(), 0)
	b := [16]byte{byte(ms >> 40), byte(ms >> 32), byte(ms >> 24), byte(ms >> 16), byte(ms >> 8), byte(ms)}
	return prefix + "_" + encoding.EncodeToString(b[:])
}

// Valid reports whether s is an identifier with the prefix.
func Valid(prefix, s string) bool {
	rest, ok := strings.CutPrefix(s, prefix+"_")
	return ok && ValidRaw(rest)
}

// ValidRaw reports whether s has the form of the 26 characters after a prefix.
func ValidRaw(s string) bool {
	if len(s) != Length {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}
