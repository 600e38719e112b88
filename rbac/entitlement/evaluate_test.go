package entitlement

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/permission"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var vectorUser = UserAttributes{UserID: "u1", TenantID: "t1", Email: "jo@acme.example", EmailVerified: true}

func read[T any](t testing.TB, file string) (list []T) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// vector is a question with all that its answer depends on. want is empty for
// entitled.
type vector struct {
	Name        string
	Feature     *string
	Permission  string
	Permissions []string
	Features    map[string]featureVector
	Plans       map[string]targetingVector
	Attributes  map[string]any
	Want        Reason
}

type featureVector struct {
	Expire      *int64 // null: not granted; -1: for ever; else seconds since 1970
	Permissions []string
	Plans       []string
	Flag        *struct {
		On, Off bool
		targetingVector
	}
}

type targetingVector struct {
	Default bool
	Rules   json.RawMessage
}

func (v targetingVector) targeting(t testing.TB) Targeting {
	t.Helper()
	rules, err := ParseRules(v.Rules)
	if err != nil {
		t.Fatal(err)
	}
	return Targeting{Rules: rules, Default: v.Default}
}

func (v vector) facts(t testing.TB) Facts {
	t.Helper()
	f := Facts{
		Permissions: permission.NewSet(v.Permissions...), Features: map[string]FeatureFacts{}, Plans: map[string]Targeting{},
		Attributes: Attributes{Custom: v.Attributes, User: vectorUser}, Now: now,
	}
	for id, p := range v.Plans {
		f.Plans[id] = p.targeting(t)
	}
	for key, x := range v.Features {
		ff := FeatureFacts{Permissions: x.Permissions, Plans: x.Plans}
		if x.Expire != nil {
			ff.Grant.Granted = true
			if *x.Expire != -1 {
				ff.Grant.Until = time.Unix(*x.Expire, 0)
			}
		}
		if x.Flag != nil {
			ff.Flag = &FlagFacts{On: x.Flag.On, Off: x.Flag.Off, Targeting: x.Flag.targeting(t)}
		}
		f.Features[key] = ff
	}
	return f
}

func (v vector) ask(f Facts) Result {
	if v.Feature != nil {
		return f.Feature(*v.Feature)
	}
	return f.Permission(v.Permission)
}

// Product 99 and 2.1: the engine against vectors (product 11, acceptance 12).
func TestVectors(t *testing.T) {
	for _, v := range read[vector](t, "vectors.json") {
		got := v.ask(v.facts(t))
		if got.Reason != v.Want || got.Entitled != (v.Want == "") {
			t.Errorf("%s: %+v, want %q", v.Name, got, v.Want)
		}
	}
	if (Facts{}).Feature("sso").Reason != MissingFeature || (Facts{}).Permission("x").Reason != MissingPermission {
		t.Error("the zero facts entitle")
	}
}

// Product 2.1: every operator, negation, missing attributes and bad values.
func TestConditions(t *testing.T) {
	list := read[struct {
		If                 json.RawMessage
		Attributes, Claims map[string]any
		Want               bool
		Note               string
	}](t, "conditions.json")
	for _, c := range list {
		rules, err := ParseRules([]byte(`[{"if":` + string(c.If) + `,"treatment":true}]`))
		if err != nil {
			t.Fatalf("%s: %v", c.If, err)
		}
		a := Attributes{Custom: c.Attributes, User: vectorUser, Claims: c.Claims}
		if got := (Targeting{Rules: rules}).treatment(a); got != c.Want {
			t.Errorf("%s with %v %v: %v (%s)", c.If, c.Attributes, c.Claims, got, c.Note)
		}
	}
	if n := len(list) + len(read[vector](t, "vectors.json")); n < 100 {
		t.Errorf("only %d vectors", n)
	}
	for _, v := range []any{strings.Repeat("a", maxAttribute+1), 5, int64(5), []any{}, map[string]any{}, struct{}{}} {
		for op, value := range map[Operator]any{"contains": "a", "matches": "a", "equal": 5.0, "is": true, "on": "2026-03-01"} {
			rules := []Rule{{If: Condition{Attribute: "x", Op: op, Value: value, Negate: true}, Treatment: true}}
			if err := compile(rules); err != nil {
				t.Fatal(err)
			}
			if (Targeting{Rules: rules}).treatment(Attributes{Custom: map[string]any{"x": v}}) {
				t.Errorf("%s takes %T", op, v)
			}
		}
	}
	// Without a user there is the tenant alone.
	for name, want := range map[string]bool{"user.tenantId": true, "user.userId": false, "user.email": false, "user.emailVerified": false} {
		if got := (Attributes{User: UserAttributes{TenantID: "t1"}}).lookup(name) != nil; got != want {
			t.Errorf("%s of a tenant alone: %v", name, got)
		}
	}
	// What was not compiled fits nobody.
	if (&Condition{Attribute: "x", Op: "is", Value: true}).holds(Attributes{Custom: map[string]any{"x": true}}) {
		t.Error("an unchecked condition holds")
	}
}

// The rules that are refused, and where the fault lies.
func TestRefusedRules(t *testing.T) {
	for _, c := range read[struct {
		Rules json.RawMessage
		Field string
	}](t, "refused.json") {
		_, err := ParseRules(c.Rules)
		f, ok := fault.From(err)
		if !ok || f.Field != c.Field || f.Code != "invalid_rule" && f.Code != "too_many" {
			t.Errorf("%.200s: %v, want a fault of %s", c.Rules, err, c.Field)
		}
	}
	for _, text := range []string{``, `[`, `[] []`, `[]x`, `"` + strings.Repeat("a", maxRulesText) + `"`, strings.Repeat("[", 50_000)} {
		if _, err := ParseRules([]byte(text)); err == nil {
			t.Errorf("%.20s is taken", text)
		}
	}
	if rules, err := ParseRules([]byte(`null`)); err != nil || len(rules) != 0 {
		t.Errorf("null: %v, %v", rules, err)
	}
	if _, err := rulesText([]Rule{{Description: strings.Repeat("ü", maxRulesText)}}); !errors.Is(err, errRules) {
		t.Errorf("rules without end: %v", err)
	}
}

// FuzzRules: what is accepted is bounded, survives storing with the same meaning,
// and answers any attribute.
func FuzzRules(f *testing.F) {
	for _, c := range read[struct{ If json.RawMessage }](f, "conditions.json") {
		f.Add([]byte(`[{"if":`+string(c.If)+`,"treatment":true}]`), []byte(`{"x":"acme"}`))
	}
	for _, c := range read[struct{ Rules json.RawMessage }](f, "refused.json") {
		f.Add([]byte(c.Rules), []byte(`{"x":5}`))
	}
	f.Fuzz(func(t *testing.T, text, attributes []byte) {
		rules, err := ParseRules(text)
		if err != nil {
			if _, ok := fault.From(err); !ok {
				t.Fatalf("not a fault: %v", err)
			}
			return
		}
		n := 0
		for _, r := range rules {
			n += size(r.If)
		}
		if n > maxConditions || len(rules) > maxRules {
			t.Fatalf("%d conditions in %d rules", n, len(rules))
		}
		stored, err := rulesText(rules)
		if errors.Is(err, errRules) {
			return // escapes made it longer
		}
		again, errAgain := ParseRules([]byte(stored))
		if err != nil || errAgain != nil {
			t.Fatalf("%s: %v, %v", stored, err, errAgain)
		}
		var m map[string]any
		_ = json.Unmarshal(attributes, &m)
		a := Attributes{Custom: m, User: vectorUser, Claims: m}
		for _, d := range []bool{false, true} {
			if (Targeting{rules, d}).treatment(a) != (Targeting{again, d}).treatment(a) {
				t.Fatalf("%s means something else when it is read again", stored)
			}
		}
	})
}

func size(c Condition) int {
	n := 1
	for _, x := range append(c.And, c.Or...) {
		n += size(x)
	}
	return n
}

func BenchmarkPermission(b *testing.B) {
	list := read[vector](b, "vectors.json")
	facts := make([]Facts, len(list))
	for i, v := range list {
		facts[i] = v.facts(b)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		list[i%len(list)].ask(facts[i%len(list)])
	}
}

// What is stored as rules is what was given.
func TestRulesRoundTrip(t *testing.T) {
	text := `[{"description":"d","if":{"and":[{"attribute":"x","op":"is","value":false},{"or":[{"attribute":"y","op":"between_numeric","value":{"end":2,"start":1},"negate":true}]}]},"treatment":false}]`
	rules, err := ParseRules([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := json.Marshal(rules); err != nil || string(got) != text {
		t.Errorf("%s, %v", got, err)
	}
}
