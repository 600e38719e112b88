package schema

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

func TestDecode(t *testing.T) {
	good := func(in, want string) {
		t.Helper()
		o, err := Decode([]byte(in))
		if err != nil {
			t.Errorf("Decode(%q): %v", in, err)
			return
		}
		if got := string(o.Bytes()); got != want {
			t.Errorf("Decode(%q) = %s, want %s", in, got, want)
		}
	}
	bad := func(in string) {
		t.Helper()
		if o, err := Decode([]byte(in)); fault.CodeOf(err) != "invalidSyntax" {
			t.Errorf("Decode(%q) = %v, %v, want invalidSyntax", in, o, err)
		}
	}
	good(`{}`, `{}`)
	good("\ufeff {\"b\":1,\"a\":[true,false,null,{}]} \n", `{"b":1,"a":[true,false,null,{}]}`)
	good(`{"s":"a\"\\\/\b\f\n\r\té😀"}`, `{"s":"a\"\\/\u0008\u000c\n\r\té😀"}`)
	good(`{"n":-0.5e+10,"m":0}`, `{"n":-0.5e+10,"m":0}`)
	good(strings.Repeat(`{"a":`, MaxDepth-1)+`{}`+strings.Repeat(`}`, MaxDepth-1), strings.Repeat(`{"a":`, MaxDepth-1)+`{}`+strings.Repeat(`}`, MaxDepth-1))

	bad(``)
	bad(`[]`)                     // not an object
	bad(`"x"`)                    // not an object
	bad(`{"a":1} x`)              // trailing data
	bad(`{"a":1}{"a":1}`)         // trailing object
	bad(`{"a":1,"a":2}`)          // duplicate key
	bad(`{"a":1,}`)               // trailing comma
	bad(`{a:1}`)                  // unquoted key
	bad(`{"a":01}`)               // leading zero
	bad(`{"a":1.}`)               // no digits
	bad(`{"a":+1}`)               // plus
	bad(`{"a":NaN}`)              // no such literal
	bad(`{"a":"` + "\x01" + `"}`) // raw control character
	bad(`{"a":"` + "\xff" + `"}`) // not UTF-8
	bad(`{"a":"\u0000"}`)         // NUL
	bad(`{"a":"\ud83d"}`)         // lone surrogate
	bad(`{"a":"\ud83dA"}`)        // half a pair
	bad(`{"a":"\x"}`)             // bad escape
	bad(`{"a":"\u12"}`)           // short escape
	bad(`{"a":"`)                 // open string
	bad(`{"a":"\`)                // open escape
	bad(`{"a"`)                   // open object
	bad(`{"a":[1`)                // open list
	bad(`{"a":` + strings.Repeat("1", maxNumber+1) + `}`)
	bad(strings.Repeat(`{"a":`, MaxDepth) + `{}` + strings.Repeat(`}`, MaxDepth))
	bad(`{"a":` + strings.Repeat("[", 100000))
	var many strings.Builder
	for i := range 100 {
		many.WriteString(`"k` + strings.Repeat("x", i) + `":1,`)
	}
	bad(`{` + many.String() + `"k":1}`) // duplicate among many
}

func genValue(depth int) *rapid.Generator[any] {
	leaf := []*rapid.Generator[any]{
		rapid.Map(rapid.StringN(0, 8, -1), func(s string) any { return strings.ReplaceAll(s, "\x00", "") }),
		rapid.Map(rapid.Int(), func(n int) any { b, _ := json.Marshal(n); return json.Number(b) }),
		rapid.Map(rapid.Bool(), func(b bool) any { return b }),
		rapid.Just[any](nil),
	}
	if depth > 0 {
		leaf = append(leaf,
			rapid.Map(rapid.SliceOfN(genValue(depth-1), 0, 3), func(l []any) any { return l }),
			rapid.Map(genObject(depth-1), func(o *Object) any { return o }))
	}
	return rapid.OneOf(leaf...)
}

func genObject(depth int) *rapid.Generator[*Object] {
	return rapid.Custom(func(t *rapid.T) *Object {
		o := NewObject(4)
		for range rapid.IntRange(0, 4).Draw(t, "n") {
			o.Set(strings.ReplaceAll(rapid.StringN(0, 5, -1).Draw(t, "key"), "\x00", ""), genValue(depth).Draw(t, "value"))
		}
		return o
	})
}

// What is encoded reads back equal, with us and with encoding/json.
func TestEncodeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := genObject(3).Draw(t, "object")
		b := o.Bytes()
		back, err := Decode(b)
		if err != nil {
			t.Fatalf("Decode(%q): %v", b, err)
		}
		if !Equal(o, back) || string(back.Bytes()) != string(b) {
			t.Fatalf("%s reads back as %s", b, back.Bytes())
		}
		if !Equal(o, o.Clone()) {
			t.Fatal("a clone differs")
		}
		var want, got any
		if err := json.Unmarshal(b, &want); err != nil {
			t.Fatalf("encoding/json refuses %q: %v", b, err)
		}
		again, err := json.Marshal(back)
		if err != nil || json.Unmarshal(again, &got) != nil || !reflect.DeepEqual(want, got) {
			t.Fatalf("encoding/json reads %q otherwise", b)
		}
	})
}

func TestEqual(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{`{"a":1,"b":2}`, `{"b":2,"a":1.0}`, true},
		{`{"a":[1,2]}`, `{"a":[2,1]}`, false},
		{`{"a":"1"}`, `{"a":1}`, false},
		{`{"a":null}`, `{}`, false},
		{`{"a":[]}`, `{"a":{}}`, false},
		{`{"a":true}`, `{"a":[true]}`, false},
		{`{"a":1e400}`, `{"a":1e401}`, true}, // beyond the numbers of JSON implementations
		{`{"a":12345678901234567890}`, `{"a":12345678901234567891}`, false},
	} {
		a, _ := Decode([]byte(c.a))
		b, _ := Decode([]byte(c.b))
		if Equal(a, b) != c.want || Equal(b, a) != c.want {
			t.Errorf("Equal(%s, %s) = %v", c.a, c.b, !c.want)
		}
	}
}

func TestObject(t *testing.T) {
	o, _ := Decode([]byte(`{"a":"x","B":true,"c":[1],"d":{"e":"f"}}`))
	if k, v, ok := o.Fold("b"); k != "B" || v != true || !ok {
		t.Errorf("Fold = %q %v %v", k, v, ok)
	}
	if b, ok := o.Bool("B"); !b || !ok || o.String("a") != "x" || len(o.List("c")) != 1 || o.Object("d").String("e") != "f" {
		t.Error("typed reads fail")
	}
	if o.String("c") != "" || o.Object("a") != nil || o.List("d") != nil || o.Object("zz").String("q") != "" {
		t.Error("typed reads of other types are not zero")
	}
	o.Prepend("z", "first")
	o.Delete("a")
	if got := string(o.Bytes()); got != `{"z":"first","B":true,"c":[1],"d":{"e":"f"}}` {
		t.Error(got)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"a":[1,2,{"b":"\u00e9"}]}`))
	f.Add([]byte(`{"a":-1.5e3,"a":"\ud83d\ude00"}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		o, err := Decode(in)
		if err != nil {
			return
		}
		back, err := Decode(o.Bytes())
		if err != nil || !Equal(o, back) {
			t.Fatalf("%q does not survive: %v", in, err)
		}
		var v any
		if err := json.Unmarshal(o.Bytes(), &v); err != nil {
			t.Fatalf("%q is accepted and encoding/json refuses it: %v", in, err)
		}
	})
}

func TestUnique(t *testing.T) {
	for _, n := range []int{3, pairwise, 3 * pairwise} {
		var list []any
		for i := range n {
			list = append(list, decode(t, `{"value":"v`+strings.Repeat("x", i/2)+`","type":"t"}`), decode(t, `{"type":"t","value":"v`+strings.Repeat("x", i/2)+`"}`))
		}
		if got := Unique(list); len(got) != (n+1)/2 {
			t.Errorf("%d of %d elements are unique", len(got), 2*n)
		}
	}
}
