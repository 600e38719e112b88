package dialect

import "github.com/gatehouse-id/gatehouse/internal/fault"

// Profile is the set of rules that a kind of client needs. It is immutable.
type Profile struct {
	name string
	on   set
}

// always are the tolerances that no client is harmed by: the RFC leaves them
// open or conformance suites themselves rely on them.
var always = rules(CoerceBool, DottedKeys, KeepActive, KeepExternalID, MissingSchemas, SingleToList, RemoveByValue, OpCase,
	RefAsValue, ValuePathCompare)

// lenient is what every identity provider's profile adds to them.
var lenient = always | rules(CoerceScalar, StringToComplex, ListToSingle, EmptyUnsets, UpsertOnFilter,
	RemovePathless, ObjectToScalar, LegacyURNs, IgnoreUnknown, IgnoreReadOnly, OnePrimary, EmptyOps)

var profiles = []*Profile{
	{"okta", lenient | rules(IgnoreUnknownPath, BareExtensionNames)},
	{"entra", lenient | rules(IgnoreUnknownPath, BareExtensionNames, BareWords, GroupPatch204, UniqueDisplayName)},
	{"onelogin", lenient | rules(IgnoreUnknownPath, BareExtensionNames)},
	{"jumpcloud", lenient | rules(IgnoreUnknownPath, BareExtensionNames)},
	{"google", lenient | rules(IgnoreUnknownPath, BareExtensionNames)},
	{"ping", lenient | rules(IgnoreUnknownPath, BareExtensionNames)},
	{"rippling", lenient | rules(IgnoreUnknownPath, BareExtensionNames)},
	{"generic", lenient | rules(UnknownIsAbsent)},
	{"rfc", always | rules(IgnoreUnknown, UnknownIsAbsent)},
}

// Lookup finds a profile by name. An unknown name is refused
// (fault.Invalid, "unknownProfile").
func Lookup(name string) (*Profile, error) {
	for _, p := range profiles {
		if p.name == name {
			return p, nil
		}
	}
	return nil, fault.New(fault.Invalid, "unknownProfile", "There is no SCIM profile of this name.").In("profile")
}

// Names lists the profiles, identity providers first.
func Names() []string {
	names := make([]string, len(profiles))
	for i, p := range profiles {
		names[i] = p.name
	}
	return names
}

// Name is the profile's name, as connections store it.
func (p *Profile) Name() string { return p.name }

// Has tells whether the profile has rule r.
func (p *Profile) Has(r Rule) bool { return p.on.has(r) }

// With returns the profile with single rules switched on and off, under the
// same name; a rule in both is off.
func (p *Profile) With(on, off []Rule) *Profile {
	return &Profile{p.name, (p.on | rules(on...)) &^ rules(off...)}
}

// Start begins a request: the profile with an empty recorder.
func (p *Profile) Start() Dialect { return Dialect{p, new(Fired)} }

// Dialect is a profile in use by one request. The zero value has no rules.
type Dialect struct {
	*Profile
	Fired *Fired
}

// Has tells whether rule r is on, without recording it.
func (d Dialect) Has(r Rule) bool { return d.Profile != nil && d.Profile.Has(r) }

// Allow tells whether rule r is on and records that it was needed.
func (d Dialect) Allow(r Rule) bool {
	if !d.Has(r) {
		return false
	}
	d.Fired.Mark(r)
	return true
}
