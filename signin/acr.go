package signin

import "slices"

// Authentication context classes that a sign-in here reaches, from the weakest to
// the strongest (OpenID Connect Core §2, acr). Applications ask for them by
// acr_values, and tokens carry the one that was reached.
const (
	// ACRSingle is one factor: level of assurance 1 of ISO/IEC 29115.
	ACRSingle = "1"
	// ACRMultiFactor is two factors (OpenID PAPE 1.0, whose name for it is the field's).
	ACRMultiFactor = "http://schemas.openid.net/pape/policies/2007/06/multi-factor"
	// ACRPhishingResistant is two factors, one of which is bound to this address: a
	// passkey or a security key (OpenID EAP ACR Values 1.0).
	ACRPhishingResistant = "phr"
)

// ACRs are the classes that can be asked for.
func ACRs() []string { return slices.Clone(classes) }

var classes = []string{ACRSingle, ACRMultiFactor, ACRPhishingResistant}

// level is the rank of a class of ours, from 1; 0: it is none of ours.
func level(acr string) int { return slices.Index(classes, acr) + 1 }

// ACRReaches reports whether somebody who reached one class meets what is asked
// for. Of classes that are not ours, such as an identity provider's, only the very
// same one does.
func ACRReaches(reached, asked string) bool {
	if n := level(asked); n > 0 {
		return max(level(reached), 1) >= n
	}
	return reached == asked
}

// acrOf is the class that factors reach which were checked here, or whose evidence
// is trusted (RFC 8176 §2).
func acrOf(amr []string) string {
	switch {
	case !hasMFA(amr):
		return ACRSingle
	case slices.Contains(amr, "hwk"), slices.Contains(amr, "swk"):
		return ACRPhishingResistant
	}
	return ACRMultiFactor
}

// acrOfIdentity is the class of a sign-in through an identity provider: what was
// checked here beside it, or its evidence where the connection trusts that, or else
// its own word, which cannot be one of ours.
func acrOfIdentity(identity Identity, trusted bool, here []string) string {
	switch {
	case hasMFA(here):
		return acrOf(here)
	case trusted && hasMFA(identity.AMR):
		return ACRMultiFactor
	case identity.ACR == "" || level(identity.ACR) > 0:
		return ACRSingle
	}
	return identity.ACR
}

// methods joins what two steps of a sign-in proved, each method once.
func methods(a, b []string) []string {
	var all []string
	for _, m := range slices.Concat(a, b) {
		if !slices.Contains(all, m) {
			all = append(all, m)
		}
	}
	return all
}

// Demand is what an application asks a sign-in to prove beyond what policies want.
type Demand struct {
	// ACRs are classes of which one is to be reached where the person can, the
	// preferred first; empty: any will do.
	ACRs []string `json:"acr_values,omitempty"`
	// Choose: the person says for which organization, though he has only one.
	Choose bool `json:"choose,omitempty"`
}

// ACRMet gives the asked class that somebody met who reached one; empty: none.
func ACRMet(reached string, asked []string) string {
	for _, a := range asked {
		if ACRReaches(reached, a) {
			return a
		}
	}
	return ""
}

// unmet reports whether a second factor would help to meet the demand; asked are the
// classes that the person can reach by one.
func (d Demand) unmet(reached string, asked []string) bool {
	return len(asked) > 0 && ACRMet(reached, d.ACRs) == ""
}

// stronger is the higher of two classes of ours, or the first of equal ones.
func stronger(a, b string) string {
	if level(b) > max(level(a), 1) {
		return b
	}
	return a
}
