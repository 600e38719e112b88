// Package actor is the caller of an operation as a value.
//
// An Actor is built once, where a credential is checked, and handed to every
// domain operation as its second parameter. What it may do stands in the value,
// so that a check needs no query. The context never carries the tenant.
package actor

import (
	"math"
	"net/netip"

	"github.com/gatehouse-id/gatehouse/internal/permission"
)

// Kind says what sort of credential the actor showed.
type Kind string

// The kinds of actor; they are the audit log's actor types.
const (
	User      Kind = "user"
	APIToken  Kind = "api_token"
	SCIM      Kind = "scim"
	Staff     Kind = "vendor_user"
	System    Kind = "system"
	SetupLink Kind = "setup_link"
	Anonymous Kind = "anonymous"
	// Management is a management key of the environment.
	Management Kind = "management_key"
)

// NoLevel is the level of an actor without roles: weaker than every role
// (product 123).
const NoLevel = math.MaxInt32

// Level is the strongest level of an actor's roles. The zero value is that of an
// actor without roles, so that whoever forgets to set it makes nobody strong.
type Level int32

// LevelOf makes a Level from that of a role, 0 to 32,767, of which 0 is the
// strongest; any other value is NoLevel.
func LevelOf(level int) Level {
	if level < 0 || level > math.MaxInt16 {
		return 0
	}
	return Level(level) + 1
}

// Int gives the level as roles have it, or NoLevel.
func (l Level) Int() int {
	if l <= 0 || l > math.MaxInt16+1 {
		return NoLevel
	}
	return int(l) - 1
}

// Actor is who calls. The zero value is an anonymous actor that may nothing.
type Actor struct {
	Environment string // env_…
	Tenant      string // ten_…; empty for actors above tenants
	Kind        Kind
	Subject     string // usr_…, tok_…, key_…; empty for SCIM connections and System
	Name        string // shown in the audit log
	Email       string
	Connection  string // dir_… or sso_… when the actor is or came through a connection
	Session     string // ses_… when there is one
	Permissions permission.Set
	// Level is the strongest of the actor's effective roles (product 105, 123).
	Level Level
	// Home is the tenant that the actor's permissions come from, when he acts in a
	// sub-account of it, which is Tenant then (product 8); empty otherwise.
	Home string
	// Owner is the person whose personal API token the actor is (usr_…); empty otherwise.
	Owner string
	// Impersonator is the vendor's person behind a User who is impersonated.
	Impersonator Impersonator
	RequestID    string
	IP           netip.Addr
	UserAgent    string
}

// Impersonator is a member of the vendor's staff who acts as somebody else. The
// zero value is nobody.
type Impersonator struct {
	ID    string // stf_…
	Email string
}

// Human reports whether a person acts; own-address rules bind only people
// (design, identity rule 12).
func (a Actor) Human() bool { return a.Kind == User || a.Kind == Staff || a.Kind == SetupLink }

// May reports whether the actor holds the permission.
func (a Actor) May(key string) bool { return a.Permissions.Has(key) }
