package oidc

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/rbac/entitlement"
)

var somebody = Subject{
	ApplicationID: "app_1", ApplicationName: "Shop", TenantID: "ten_1", TenantKey: "acme", UserID: "usr_1", Email: "ada@acme.com", EmailVerified: true,
	Name: "Ada Lovelace", FirstName: "Ada", Metadata: `{"plan":"gold","seats":7,"deep":{"x":{"y":true}},"list":[1,"a"],"tricky":"{{user.email}}","quote":"\"},\"sub\":\"evil"}`,
}

func condition(t *testing.T, text string) *entitlement.Condition {
	t.Helper()
	var c entitlement.Condition
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	return &c
}

// What a claim becomes (product 2.2).
func TestTemplateClaims(t *testing.T) {
	for value, want := range map[string]string{
		`"text"`:                               `"text"`,
		`7`:                                    `7`,
		`{"a":[1,null,"{{tenant.key}}"]}`:      `{"a":[1,null,"acme"]}`,
		`"{{user.email}}"`:                     `"ada@acme.com"`,
		`"{{ user.emailVerified }}"`:           `true`,
		`"{{member.metadata.seats}}"`:          `7`,
		`"{{member.metadata.deep}}"`:           `{"x":{"y":true}}`,
		`"{{member.metadata.deep.x.y}}"`:       `true`,
		`"{{member.metadata.list}}"`:           `[1,"a"]`,
		`"{{tenant.id}}/{{application.name}}"`: `"ten_1/Shop"`,
		`"seats: {{member.metadata.seats}}"`:   `"seats: 7"`,
		`"{{member.lastName}}"`:                ``, // nothing known: no claim
		`"x{{member.lastName}}"`:               `"x"`,
		`"x{{member.metadata.deep}}"`:          `"x"`,
		`["{{member.lastName}}",1]`:            `[1]`,
		`{"a":"{{member.lastName}}","b":1}`:    `{"b":1}`,
		`"{{member.metadata.tricky}}"`:         `"{{user.email}}"`, // not looked at again
		`"{{member.metadata.quote}}"`:          `"\"},\"sub\":\"evil"`,
		`"{{member.metadata.none}}"`:           ``,
		`"{ {user.email} }"`:                   `"{ {user.email} }"`,
	} {
		var v any
		if err := json.Unmarshal([]byte(value), &v); err != nil {
			t.Fatal(err)
		}
		tpl := Template{Name: "x", TemplateSettings: TemplateSettings{Claims: map[string]any{"c": v}}}
		if err := tpl.check(); err != nil {
			t.Errorf("%s: %v", value, err)
			continue
		}
		_, got, err := Choose([]Template{tpl}, somebody)
		if want != "" {
			want = `"c":` + want
		}
		if err != nil || string(got) != want {
			t.Errorf("%s: %s %v, want %s", value, got, err, want)
		}
	}
	// What was stored before a claim became the provider's own is left out.
	_, got, err := Choose([]Template{{TemplateSettings: TemplateSettings{Claims: map[string]any{"sub": "evil", "plan": "x"}}}}, somebody)
	if err != nil || string(got) != `"plan":"x"` {
		t.Errorf("%s %v", got, err)
	}
}

// The first that fits is applied.
func TestTemplateTargeting(t *testing.T) {
	for name, c := range map[string]struct {
		settings TemplateSettings
		fits     bool
	}{
		"everybody":                  {TemplateSettings{}, true},
		"the application":            {TemplateSettings{Applications: []string{"app_2", "app_1"}}, true},
		"another application":        {TemplateSettings{Applications: []string{"app_2"}}, false},
		"the tenant by id":           {TemplateSettings{Tenants: []string{"ten_1"}}, true},
		"the tenant by key":          {TemplateSettings{Tenants: []string{"acme"}}, true},
		"another tenant":             {TemplateSettings{Tenants: []string{"globex"}}, false},
		"application and not tenant": {TemplateSettings{Applications: []string{"app_1"}, Tenants: []string{"globex"}}, false},
		"an address":                 {TemplateSettings{If: condition(t, `{"attribute":"user.email","op":"ends_with","value":"@acme.com"}`)}, true},
		"another address":            {TemplateSettings{If: condition(t, `{"attribute":"user.email","op":"ends_with","value":"@globex.com"}`)}, false},
		"not another address":        {TemplateSettings{If: condition(t, `{"attribute":"user.email","op":"ends_with","value":"@globex.com","negate":true}`)}, true},
		"metadata":                   {TemplateSettings{If: condition(t, `{"and":[{"attribute":"member.metadata.plan","op":"in_list","value":["gold"]},{"attribute":"member.metadata.seats","op":"greater_than","value":5}]}`)}, true},
		"other metadata":             {TemplateSettings{If: condition(t, `{"attribute":"member.metadata.plan","op":"in_list","value":["silver"]}`)}, false},
		"missing metadata, negated":  {TemplateSettings{If: condition(t, `{"attribute":"member.metadata.none","op":"in_list","value":["x"],"negate":true}`)}, false},
	} {
		tpl := Template{ID: "1", Name: "x", TemplateSettings: c.settings}
		if err := tpl.check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		got, _, err := Choose([]Template{tpl, {ID: "2"}}, somebody)
		if err != nil || (got.ID == "1") != c.fits {
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
	if got, claims, err := Choose(nil, somebody); got != nil || claims != nil || err != nil {
		t.Errorf("none: %v %s %v", got, claims, err)
	}
}

func TestTemplateRefusals(t *testing.T) {
	deep := any("x")
	for range 6 {
		deep = []any{deep}
	}
	many := map[string]any{}
	for i := range 51 {
		many["c"+strings.Repeat("x", i)] = 1
	}
	for name, c := range map[string]struct {
		t    Template
		code string
	}{
		"no name":             {Template{}, "invalid_name"},
		"a long name":         {Template{Name: strings.Repeat("x", 201)}, "invalid_name"},
		"a priority":          {Template{Name: "x", Priority: 1001}, "invalid_value"},
		"a negative priority": {Template{Name: "x", Priority: -1}, "invalid_value"},
		"a short life":        {Template{Name: "x", TemplateSettings: TemplateSettings{AccessTokenSeconds: 59}}, "invalid_value"},
		"a long life":         {Template{Name: "x", TemplateSettings: TemplateSettings{AccessTokenSeconds: 86401}}, "invalid_value"},
		"HS256":               {Template{Name: "x", TemplateSettings: TemplateSettings{Algorithm: "HS256"}}, "invalid_algorithm"},
		"alg none":            {Template{Name: "x", TemplateSettings: TemplateSettings{Algorithm: "none"}}, "invalid_algorithm"},
		"an unknown value":    {Template{Name: "x", TemplateSettings: TemplateSettings{Claims: map[string]any{"c": "{{user.password}}"}}}, "unknown_placeholder"},
		"an empty value":      {Template{Name: "x", TemplateSettings: TemplateSettings{Claims: map[string]any{"c": "{{}}"}}}, "unknown_placeholder"},
		"below metadata":      {Template{Name: "x", TemplateSettings: TemplateSettings{Claims: map[string]any{"c": "{{member.metadata.}}"}}}, "unknown_placeholder"},
		"deep inside":         {Template{Name: "x", TemplateSettings: TemplateSettings{Claims: map[string]any{"c": []any{map[string]any{"d": "{{env.SECRET}}"}}}}}, "unknown_placeholder"},
		"a claim's name":      {Template{Name: "x", TemplateSettings: TemplateSettings{Claims: map[string]any{"a b": 1}}}, "invalid_claim"},
		"no claim's name":     {Template{Name: "x", TemplateSettings: TemplateSettings{Claims: map[string]any{"": 1}}}, "invalid_claim"},
		"a deep claim":        {Template{Name: "x", TemplateSettings: TemplateSettings{Claims: map[string]any{"c": deep}}}, "invalid_claim"},
		"many claims":         {Template{Name: "x", TemplateSettings: TemplateSettings{Claims: many}}, "too_many"},
		"large claims":        {Template{Name: "x", TemplateSettings: TemplateSettings{Claims: map[string]any{"c": strings.Repeat("x", 9000)}}}, "too_many"},
		"an attribute":        {Template{Name: "x", TemplateSettings: TemplateSettings{If: condition(t, `{"attribute":"user.password","op":"in_list","value":"x"}`)}}, "invalid_rule"},
		"an operator":         {Template{Name: "x", TemplateSettings: TemplateSettings{If: condition(t, `{"attribute":"user.email","op":"like","value":"x"}`)}}, "invalid_rule"},
		"an empty condition":  {Template{Name: "x", TemplateSettings: TemplateSettings{If: condition(t, `{}`)}}, "invalid_rule"},
		"many tenants":        {Template{Name: "x", TemplateSettings: TemplateSettings{Tenants: make([]string, 501)}}, "too_many"},
		"an empty tenant":     {Template{Name: "x", TemplateSettings: TemplateSettings{Tenants: []string{""}}}, "invalid_value"},
	} {
		if err := c.t.check(); fault.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	for _, name := range append(ReservedClaims(), "SUB", "Tenantid", "tenantID", "Iss") {
		tpl := Template{Name: "x", TemplateSettings: TemplateSettings{Claims: map[string]any{name: "x"}}}
		if err := tpl.check(); fault.CodeOf(err) != "reserved_claim" {
			t.Errorf("%s: %v", name, err)
		}
	}
	large := Template{Name: "x", TemplateSettings: TemplateSettings{Claims: map[string]any{"c": strings.Repeat("x", 3000)}}}
	if large.check() != nil || large.Warning() == "" || (Template{}).Warning() != "" {
		t.Error("size warning")
	}
}
