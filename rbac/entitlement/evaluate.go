package entitlement

import (
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/permission"
)

// Reason says why somebody is not entitled (product 2.1).
type Reason string

// The reasons.
const (
	MissingFeature    Reason = "MISSING_FEATURE"
	MissingPermission Reason = "MISSING_PERMISSION"
	BundleExpired     Reason = "BUNDLE_EXPIRED"
)

// Result is the answer to one question.
type Result struct {
	Entitled bool
	Reason   Reason // empty when entitled
}

// Facts are what is known of one user in one tenant, or of a tenant alone. The
// zero value is somebody of whom nothing is known, who is entitled to nothing.
type Facts struct {
	Permissions permission.Set
	Features    map[string]FeatureFacts // by key
	Plans       map[string]Targeting    // by id; those that hold a feature of Features
	Attributes  Attributes
	Now         time.Time
}

// FeatureFacts are what is known of one feature.
type FeatureFacts struct {
	Grant       Grant
	Permissions []string // that the feature is linked to (product 95)
	Flag        *FlagFacts
	Plans       []string // ids of all plans that hold it, given to the user or not
}

// Grant is a direct entitlement, of several the one that lasts longest.
type Grant struct {
	Granted bool
	Until   time.Time // the zero time: for ever
}

// FlagFacts are a feature flag: while off it gives Off, while on what it targets.
type FlagFacts struct {
	On, Off bool
	Targeting
}

// Targeting is rules in order, of which the first that matches decides, and what
// holds when none does.
type Targeting struct {
	Rules   []Rule
	Default bool
}

func (t Targeting) treatment(a Attributes) bool {
	for i := range t.Rules {
		if t.Rules[i].If.holds(a) {
			return t.Rules[i].Treatment
		}
	}
	return t.Default
}

// Feature answers whether the feature of the key may be used (product 99, 2.1). A
// direct entitlement, the feature's flag and its plans are asked in this order;
// one that grants is enough.
func (f Facts) Feature(key string) Result {
	x, ok := f.Features[key]
	if !ok {
		return Result{Reason: MissingFeature}
	}
	expired := false
	if x.Grant.Granted {
		if x.Grant.Until.IsZero() || f.Now.Before(x.Grant.Until) {
			return Result{Entitled: true}
		}
		expired = true
	}
	if x.Flag != nil {
		on := x.Flag.Off
		if x.Flag.On {
			on = x.Flag.treatment(f.Attributes)
		}
		if on {
			return Result{Entitled: true}
		}
	}
	for _, id := range x.Plans {
		if f.Plans[id].treatment(f.Attributes) {
			return Result{Entitled: true}
		}
	}
	if expired {
		return Result{Reason: BundleExpired}
	}
	return Result{Reason: MissingFeature}
}

// Permission answers whether the permission may be used (product 99, 2.1): it is
// held, wildcards counting, and no feature is linked to exactly this key, or one
// of those that are may be used.
func (f Facts) Permission(key string) Result {
	if !f.Permissions.Has(key) {
		return Result{Reason: MissingPermission}
	}
	out := Result{Entitled: true}
	for feature, x := range f.Features {
		if !slices.Contains(x.Permissions, key) {
			continue
		}
		r := f.Feature(feature)
		switch {
		case r.Entitled:
			return r
		case out.Entitled, r.Reason == BundleExpired:
			out = r
		}
	}
	return out
}

// Attributes are what rules look at. The names in rules are plain for custom
// ones, user.… for those of the user and jwt.… for the path of a claim.
type Attributes struct {
	Custom map[string]any
	User   UserAttributes
	Claims map[string]any // of the access token, nested as they are
}

// UserAttributes are known to us and never taken from a caller. Without a UserID
// only user.tenantId exists.
type UserAttributes struct {
	UserID        string
	TenantID      string
	Email         string
	EmailVerified bool
}

// Lookup gives the attribute that a condition names so.
func (a Attributes) Lookup(name string) any { return a.lookup(name) }

// lookup gives nil for what is missing, as for what is null.

func (a Attributes) lookup(name string) any {
	if path, ok := strings.CutPrefix(name, "jwt."); ok {
		return claim(a.Claims, path)
	}
	if field, ok := strings.CutPrefix(name, "user."); ok {
		return a.User.lookup(field)
	}
	return a.Custom[name]
}

func (u UserAttributes) lookup(field string) any {
	switch {
	case field == "tenantId" && u.TenantID != "":
		return u.TenantID
	case u.UserID == "":
		return nil
	case field == "userId":
		return u.UserID
	case field == "email":
		return u.Email
	case field == "emailVerified":
		return u.EmailVerified
	}
	return nil
}

// claim finds a flattened path. A claim's name may hold dots itself. Every claim
// has one path, so none is looked at twice.
func claim(claims map[string]any, path string) any {
	if v := claims[path]; v != nil {
		return v
	}
	for i := range len(path) {
		if path[i] != '.' {
			continue
		}
		if inner, ok := claims[path[:i]].(map[string]any); ok {
			if v := claim(inner, path[i+1:]); v != nil {
				return v
			}
		}
	}
	return nil
}
