package entitlement

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The naive model: product 2.1 read sentence by sentence over plain JSON, sharing
// nothing with the engine.
type naive struct {
	permissions []string
	features    map[string]map[string]any
	plans       map[string]map[string]any
	attributes  map[string]any // flattened names, user.… and jwt.… included
	now         int64
}

func (n naive) feature(key string) string {
	x, ok := n.features[key]
	if !ok {
		return "MISSING_FEATURE"
	}
	said := map[string]bool{}
	switch e, _ := x["expire"].(float64); {
	case x["expire"] == nil:
		said["MISSING_FEATURE"] = true
	case e == -1, int64(e) > n.now:
		return ""
	default:
		said["BUNDLE_EXPIRED"] = true
	}
	if flag, ok := x["flag"].(map[string]any); ok {
		if flag["on"] == false && flag["off"] == true || flag["on"] == true && n.targets(flag) {
			return ""
		}
	}
	plans, _ := x["plans"].([]any)
	for _, id := range plans {
		if plan, ok := n.plans[id.(string)]; ok && n.targets(plan) {
			return ""
		}
	}
	if said["BUNDLE_EXPIRED"] {
		return "BUNDLE_EXPIRED"
	}
	return "MISSING_FEATURE"
}

func (n naive) permission(key string) string {
	held := false
	for _, p := range n.permissions {
		pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(p), `\*`, ".*") + "$"
		held = held || regexp.MustCompile(pattern).MatchString(key)
	}
	if !held {
		return "MISSING_PERMISSION"
	}
	linked, missing, expired := 0, 0, 0
	for name, x := range n.features {
		keys, _ := x["permissions"].([]any)
		for _, k := range keys {
			if k != key {
				continue
			}
			linked++
			switch n.feature(name) {
			case "MISSING_FEATURE":
				missing++
			case "BUNDLE_EXPIRED":
				expired++
			}
		}
	}
	switch {
	case linked == 0, missing+expired < linked:
		return ""
	case expired > 0:
		return "BUNDLE_EXPIRED"
	}
	return "MISSING_FEATURE"
}

func (n naive) targets(t map[string]any) bool {
	for _, r := range t["rules"].([]any) {
		if rule := r.(map[string]any); n.condition(rule["if"].(map[string]any)) {
			return rule["treatment"].(bool)
		}
	}
	return t["default"].(bool)
}

func (n naive) condition(c map[string]any) bool {
	if all, ok := c["and"].([]any); ok {
		met := 0
		for _, x := range all {
			if n.condition(x.(map[string]any)) {
				met++
			}
		}
		return met == len(all)
	}
	if some, ok := c["or"].([]any); ok {
		met := 0
		for _, x := range some {
			if n.condition(x.(map[string]any)) {
				met++
			}
		}
		return met > 0
	}
	v, ok := n.attributes[c["attribute"].(string)]
	if !ok || v == nil {
		return false
	}
	fits, good := n.operator(c["op"].(string), c["value"], v)
	if !good {
		return false
	}
	if c["negate"] == true {
		return !fits
	}
	return fits
}

func (n naive) operator(op string, value, v any) (fits, good bool) {
	switch op {
	case "in_list", "starts_with", "ends_with", "contains":
		s, ok := v.(string)
		for _, x := range value.([]any) {
			w := x.(string)
			i := strings.Index(s, w)
			switch op {
			case "in_list":
				fits = fits || s == w
			case "starts_with":
				fits = fits || i == 0
			case "ends_with":
				fits = fits || i >= 0 && s[len(s)-len(w):] == w
			default:
				fits = fits || i >= 0
			}
		}
		return fits, ok
	case "matches":
		s, ok := v.(string)
		fits, _ = regexp.MatchString(value.(string), s)
		return fits, ok
	case "is":
		_, ok := v.(bool)
		return v == value, ok
	case "on", "on_or_after", "on_or_before", "between_date":
		// Days as texts: those of this model have no time.
		s, ok := v.(string)
		if x, number := v.(float64); number {
			s, ok = time.UnixMilli(int64(x*1000)).UTC().Format("2006-01-02"), true
		}
		if _, err := time.Parse("2006-01-02", s); err != nil {
			return false, false
		}
		switch d, _ := value.(string); op {
		case "on":
			return s == d, ok
		case "on_or_after":
			return s >= d, ok
		case "on_or_before":
			return s <= d, ok
		}
		m := value.(map[string]any)
		return s >= m["start"].(string) && s <= m["end"].(string), ok
	}
	x, ok := v.(float64)
	if op == "between_numeric" {
		m := value.(map[string]any)
		return x >= m["start"].(float64) && x <= m["end"].(float64), ok
	}
	y := value.(float64)
	return map[string]bool{
		"equal": x == y, "greater_than": x > y, "greater_than_equal": !(x < y), "lower_than": x < y, "lower_than_equal": !(x > y),
	}[op], ok
}

type object = map[string]any

var (
	words       = rapid.SampledFrom([]string{"a", "ab", "acme", "jo@acme.example", "b", "2026-03-01"})
	days        = rapid.SampledFrom([]string{"2026-02-28", "2026-03-01", "2026-03-02"})
	names       = rapid.SampledFrom([]string{"x", "y", "gone", "user.email", "user.emailVerified", "user.tenantId", "jwt.n", "jwt.a.b", "jwt.a"})
	featureKeys = rapid.SampledFrom([]string{"sso", "scim", "audit"})
	held        = rapid.SampledFrom([]string{"fe.secure.*", "fe.*.users", "fe.secure.read.users", "fe.secure.read.roles", "*"})
	asked       = rapid.SampledFrom([]string{"fe.secure.read.users", "fe.secure.read.roles", "fe.secure.*", "invoices.read"})
	planIDs     = rapid.SampledFrom([]string{"p", "q"})
	anything    = rapid.OneOf(words.AsAny(), days.AsAny(), rapid.Float64Range(-2, 2).AsAny(), rapid.SampledFrom([]float64{-1, 0, 1}).AsAny(), rapid.Bool().AsAny(),
		rapid.SliceOfN(words, 0, 2).AsAny(), rapid.Just[any](nil))
)

func conditions(depth int) *rapid.Generator[object] {
	return rapid.Custom(func(t *rapid.T) object {
		if depth > 0 && rapid.IntRange(0, 2).Draw(t, "group") == 0 {
			return object{rapid.SampledFrom([]string{"and", "or"}).Draw(t, "logic"): rapid.SliceOfN(conditions(depth-1), 1, 3).Draw(t, "conditions")}
		}
		number := rapid.SampledFrom([]float64{-1, 0, 0.5, 1})
		op := rapid.SampledFrom([]string{
			"in_list", "starts_with", "ends_with", "contains", "matches", "equal", "greater_than", "greater_than_equal", "lower_than",
			"lower_than_equal", "between_numeric", "is", "on", "on_or_after", "on_or_before", "between_date",
		}).Draw(t, "op")
		c := object{"attribute": names.Draw(t, "attribute"), "op": op, "negate": rapid.Bool().Draw(t, "negate")}
		switch op {
		case "in_list", "starts_with", "ends_with", "contains":
			c["value"] = rapid.SliceOfN(words, 1, 3).Draw(t, "value")
		case "matches":
			c["value"] = rapid.SampledFrom([]string{"^a", "b$", "a.*e", "[0-9]+"}).Draw(t, "value")
		case "between_numeric":
			start := number.Draw(t, "start")
			c["value"] = object{"start": start, "end": start + 1}
		case "is":
			c["value"] = rapid.Bool().Draw(t, "value")
		case "on", "on_or_after", "on_or_before":
			c["value"] = days.Draw(t, "value")
		case "between_date":
			start := days.Draw(t, "start")
			c["value"] = object{"start": start, "end": max(start, days.Draw(t, "end"))}
		default:
			c["value"] = number.Draw(t, "value")
		}
		return c
	})
}

func drawTargeting(t *rapid.T) object {
	rule := rapid.Custom(func(t *rapid.T) object {
		return object{"if": conditions(2).Draw(t, "if"), "treatment": rapid.Bool().Draw(t, "treatment")}
	})
	return object{"default": rapid.IntRange(0, 3).Draw(t, "default") == 0, "rules": rapid.SliceOfN(rule, 0, 3).Draw(t, "rules")}
}

// Product 99 and 2.1: the engine and the naive model agree.
func TestModel(t *testing.T) {
	asks := map[Reason]int{}
	rapid.Check(t, func(rt *rapid.T) {
		plans := object{}
		for _, id := range []string{"p", "q"} {
			plans[id] = drawTargeting(rt)
		}
		features := object{}
		for range rapid.IntRange(0, 3).Draw(rt, "features") {
			x := object{
				"expire":      rapid.SampledFrom([]any{nil, nil, -1, now.Unix() - 1, now.Unix(), now.Unix() + 1}).Draw(rt, "expire"),
				"permissions": rapid.SliceOfNDistinct(asked, 0, 2, rapid.ID[string]).Draw(rt, "permissions"),
				"plans":       rapid.SliceOfNDistinct(planIDs, 0, 2, rapid.ID[string]).Draw(rt, "plans"),
			}
			if rapid.Bool().Draw(rt, "flagged") {
				flag := drawTargeting(rt)
				flag["on"], flag["off"] = rapid.Bool().Draw(rt, "on"), rapid.IntRange(0, 3).Draw(rt, "off") == 0
				x["flag"] = flag
			}
			features[featureKeys.Draw(rt, "key")] = x
		}
		text, err := json.Marshal(object{
			"permissions": rapid.SliceOfN(held, 0, 2).Draw(rt, "held"), "features": features, "plans": plans,
			"attributes": object{"x": anything.Draw(rt, "x"), "y": anything.Draw(rt, "y")},
		})
		if err != nil {
			rt.Fatal(err)
		}
		var claims object
		claimsText, _ := json.Marshal(object{"n": anything.Draw(rt, "n"), "a": object{"b": anything.Draw(rt, "b")}})
		var v vector
		var raw struct {
			Permissions []string
			Features    map[string]map[string]any
			Plans       map[string]map[string]any
			Attributes  map[string]any
		}
		for target, from := range map[any][]byte{&v: text, &raw: text, &claims: claimsText} {
			if err := json.Unmarshal(from, target); err != nil {
				rt.Fatal(err)
			}
		}
		f := v.facts(t)
		f.Attributes.Claims = claims
		raw.Attributes["user.email"], raw.Attributes["user.emailVerified"], raw.Attributes["user.tenantId"] = vectorUser.Email, vectorUser.EmailVerified, vectorUser.TenantID
		raw.Attributes["jwt.n"], raw.Attributes["jwt.a.b"] = claims["n"], claims["a"].(object)["b"]
		m := naive{raw.Permissions, raw.Features, raw.Plans, raw.Attributes, now.Unix()}
		same := func(what string, got Result, want string) {
			asks[got.Reason]++
			if string(got.Reason) != want || got.Entitled != (want == "") {
				rt.Fatalf("%s: %+v, the model says %q\n%s %s", what, got, want, text, claimsText)
			}
		}
		for _, key := range []string{"", "sso", "scim", "audit"} {
			same("feature "+key, f.Feature(key), m.feature(key))
		}
		key := asked.Draw(rt, "permission")
		same(fmt.Sprint("permission ", key), f.Permission(key), m.permission(key))
	})
	if len(asks) != 4 {
		t.Errorf("not every answer came up: %v", asks)
	}
}
