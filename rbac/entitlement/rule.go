package entitlement

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Rule gives a treatment to those whom its condition fits.
type Rule struct {
	Description string    `json:"description,omitempty" maxLength:"1024"`
	If          Condition `json:"if"`
	Treatment   bool      `json:"treatment" doc:"What the rule gives: access or none"`
}

// Condition is a group of conditions, of which all or any must hold, or a test of
// one attribute: exactly one of And, Or and Attribute stands. A missing attribute
// and a value of the wrong kind make a test false, negated or not (product 2.1).
type Condition struct {
	And       []Condition `json:"and,omitempty" minItems:"1" maxItems:"200"`
	Or        []Condition `json:"or,omitempty" minItems:"1" maxItems:"200"`
	Attribute string      `json:"attribute,omitempty" maxLength:"200" doc:"A name of your own, user.email, user.emailVerified, user.tenantId, user.userId, or jwt. and the path of a claim"`
	Op        Operator    `json:"op,omitempty" enum:"in_list,starts_with,ends_with,contains,matches,equal,greater_than,greater_than_equal,lower_than,lower_than_equal,between_numeric,is,on,on_or_after,on_or_before,between_date"`
	Value     any         `json:"value,omitempty" doc:"A text or a list of texts; for matches a regular expression (RE2); a number; a boolean; a date or RFC 3339 time; start and end for between_"`
	Negate    bool        `json:"negate,omitempty"`

	test test // made by compile
}

// Limits of the rules of one plan or flag.
const (
	maxRules      = 50
	maxConditions = 200      // of all rules together, groups included
	maxDepth      = 5        // of groups
	maxValues     = 500      // of a list
	maxPattern    = 500      // bytes of a regular expression
	maxString     = 1024     // bytes of any other text
	maxRulesText  = 64 << 10 // bytes of all rules as JSON
)

// errRule tells what is wrong at a path such as rules[0].if.and[2].value.
func errRule(path, message string) error {
	return fault.New(fault.Invalid, "invalid_rule", message).In(path)
}

var errRules = fault.New(fault.TooLarge, "too_many", "Give at most 50 rules with 200 conditions and 64 KiB together.").In("rules")

// ParseRules reads rules from JSON, strictly, and makes them ready.
//
// Faults: invalid_rule with the path, too_many.
func ParseRules(text []byte) ([]Rule, error) {
	if len(text) > maxRulesText {
		return nil, errRules
	}
	var rules []Rule
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&rules); err != nil {
		return nil, fault.New(fault.Invalid, "invalid_rule", "The rules are not JSON of their shape.").In("rules").Because(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errRule("rules", "Something follows the rules.")
	}
	return rules, compile(rules)
}

// compile checks the rules and makes their tests.
func compile(rules []Rule) error {
	if len(rules) > maxRules {
		return errRules
	}
	left := maxConditions
	for i := range rules {
		path := "rules[" + strconv.Itoa(i) + "]"
		if len(rules[i].Description) > maxString {
			return errRule(path+".description", "The text is too long.")
		}
		if err := rules[i].If.compile(path+".if", maxDepth, &left); err != nil {
			return err
		}
	}
	return nil
}

func (c *Condition) compile(path string, depth int, left *int) error {
	if *left--; *left < 0 {
		return errRules
	}
	kinds := 0
	for _, there := range []bool{c.And != nil, c.Or != nil, c.Attribute != ""} {
		if there {
			kinds++
		}
	}
	if kinds != 1 {
		return errRule(path, "Give exactly one of and, or and attribute.")
	}
	if c.Attribute == "" {
		group, name := c.And, ".and"
		if group == nil {
			group, name = c.Or, ".or"
		}
		if c.Op != "" || c.Value != nil || c.Negate {
			return errRule(path, "A group has no op, value or negate.")
		}
		if len(group) == 0 {
			return errRule(path+name, "A group has at least one condition.")
		}
		if depth == 0 {
			return errRule(path, "Groups are nested at most 5 deep.")
		}
		for i := range group {
			if err := group[i].compile(path+name+"["+strconv.Itoa(i)+"]", depth-1, left); err != nil {
				return err
			}
		}
		return nil
	}
	if len(c.Attribute) > maxName {
		return errRule(path+".attribute", "The name is too long.")
	}
	make, known := operators[c.Op]
	if !known {
		return errRule(path+".op", "There is no such operator.")
	}
	var ok bool
	if c.test, ok = make(c.Value); !ok {
		return errRule(path+".value", "The value does not fit the operator.")
	}
	return nil
}

// Compile checks a condition that stands alone, with the groups below it, and makes
// it ready for Holds. path is what the caller calls it.
//
// Faults: invalid_rule with the path, too_many.
func (c *Condition) Compile(path string) error {
	left := maxConditions
	return c.compile(path, maxDepth, &left)
}

// Holds reports whether a compiled condition holds of the attributes.
func (c *Condition) Holds(a Attributes) bool { return c.holds(a) }

func (c *Condition) holds(a Attributes) bool {
	for i := range c.And {
		if !c.And[i].holds(a) {
			return false
		}
	}
	if c.And != nil {
		return true
	}
	for i := range c.Or {
		if c.Or[i].holds(a) {
			return true
		}
	}
	if c.test == nil {
		return false
	}
	v := a.lookup(c.Attribute)
	if v == nil {
		return false
	}
	fits, good := c.test(v)
	return good && fits != c.Negate
}
