package scim_test

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/dbtest"
)

// The corpus is requests as real clients send them, step by step, with what a
// right answer holds. Each file runs on a connection of its own profile.

type corpusFile struct {
	Client, Flow, Profile string
	Steps                 []corpusStep
}

type corpusStep struct {
	Name, Method, Path string
	Headers            map[string]*string
	Body               json.RawMessage
	Raw                *string
	Save               map[string]string
	Level              string
	Requires           []string
	Base               string
	Expect             struct {
		Status  []int
		JSON    []corpusCheck
		Headers map[string]corpusCheck
	}
}

type corpusCheck struct {
	Path, Op string
	Value    any
}

// supported are the optional features that steps may require.
var supported = []string{"etag", "sort", "bulk", "cursor", "rootSearch"}

func TestCorpus(t *testing.T) {
	files, err := filepath.Glob("testdata/corpus/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no corpus", err)
	}
	dbtest.Each(t, func(t *testing.T, d db.DB) {
		g := newGateway(t, d, options{})
		for _, name := range files {
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var f corpusFile
			if err := json.Unmarshal(raw, &f); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			t.Run(strings.TrimSuffix(filepath.Base(name), ".json"), func(t *testing.T) { f.run(t, g) })
		}
		if g.failures.Len() > 0 {
			t.Errorf("logged as our fault: %s", g.failures)
		}
	})
}

func (f corpusFile) run(t *testing.T, g *gateway) {
	c := g.connect(g.tenant(f.Client+" "+f.Flow), f.Profile, "hard")
	var b [4]byte
	if _, err := rand.Read(b[:]); err != nil {
		t.Fatal(err)
	}
	rnd := hex.EncodeToString(b[:])
	v := variables{"rnd": rnd, "RND": strings.ToUpper(rnd), "token": c.token, "base": baseURL + c.base}
	for _, s := range f.Steps {
		if missing := slices.ContainsFunc(s.Requires, func(r string) bool { return !slices.Contains(supported, r) }); missing || s.Base != "" {
			continue
		}
		if problems := s.run(c, v); len(problems) > 0 {
			report := t.Errorf
			if s.Level == "may" {
				report = t.Logf
			}
			report("%s (%s %s): %s", s.Name, s.Method, s.Path, strings.Join(problems, "; "))
		}
	}
}

func (s corpusStep) run(c connection, v variables) []string {
	headers := map[string]*string{}
	for k, h := range s.Headers {
		if h != nil {
			text := v.text(*h)
			h = &text
		}
		headers[k] = h
	}
	var body []byte
	switch {
	case s.Raw != nil:
		body = []byte(v.text(*s.Raw))
	case s.Body != nil:
		var doc any
		if err := json.Unmarshal(s.Body, &doc); err != nil {
			return []string{err.Error()}
		}
		body = encode(c.g.t, v.in(doc))
	}
	a := c.send(c.g.t.Context(), s.Method, v.text(s.Path), headers, body)
	if !slices.Contains(s.Expect.Status, a.status) {
		return []string{fmt.Sprintf("status %d, want %v: %s", a.status, s.Expect.Status, a.raw)}
	}
	for name, path := range s.Save {
		if got, ok := lookup(a.doc, path); ok {
			v[name] = fmt.Sprint(got)
		}
	}
	if a.status == 204 {
		return nil
	}
	var problems []string
	for _, check := range s.Expect.JSON {
		got, ok := lookup(a.doc, check.Path)
		if want := v.in(check.Value); !holds(check.Op, got, ok, want) {
			problems = append(problems, fmt.Sprintf("%s %s %v, got %v", check.Path, check.Op, want, got))
		}
	}
	for name, check := range s.Expect.Headers {
		got := a.header.Get(name)
		if want := v.in(check.Value); !holds(check.Op, got, got != "", want) {
			problems = append(problems, fmt.Sprintf("header %s %s %v, got %q", name, check.Op, want, got))
		}
	}
	return problems
}

// variables are {{name}} in paths, headers, bodies and expectations.
type variables map[string]string

var variable = regexp.MustCompile(`\{\{(\w+)\}\}`)

func (v variables) text(s string) string {
	return variable.ReplaceAllStringFunc(s, func(m string) string {
		if x, ok := v[m[2:len(m)-2]]; ok {
			return x
		}
		return m
	})
}

func (v variables) in(x any) any {
	switch x := x.(type) {
	case string:
		return v.text(x)
	case []any:
		out := make([]any, len(x))
		for i := range x {
			out[i] = v.in(x[i])
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for k, w := range x {
			out[v.text(k)] = v.in(w)
		}
		return out
	}
	return x
}

var token = regexp.MustCompile(`^(?:\.([A-Za-z_$][\w$-]*)|\['([^']*)'\]|\[(\d+)\]|\[\?([\w$]+)=([^\]]*)\])`)

// lookup reads a path: $.a.b, ['any key'], [n], [?key=value].
func lookup(doc any, path string) (any, bool) {
	cur, rest := doc, path[1:]
	for rest != "" {
		m := token.FindStringSubmatch(rest)
		if m == nil {
			panic("bad path " + path)
		}
		rest = rest[len(m[0]):]
		ok := false
		switch list, isList := cur.([]any); {
		case m[3] != "":
			i, _ := strconv.Atoi(m[3])
			if ok = isList && i < len(list); ok {
				cur = list[i]
			}
		case m[4] != "":
			for _, e := range list {
				if o, isObject := e.(map[string]any); isObject && strings.EqualFold(fmt.Sprint(o[m[4]]), m[5]) {
					cur, ok = e, true
					break
				}
			}
		default:
			var o map[string]any
			if o, ok = cur.(map[string]any); ok {
				cur, ok = o[m[1]+m[2]]
			}
		}
		if !ok {
			return nil, false
		}
	}
	return cur, true
}

func holds(op string, got any, found bool, want any) bool {
	text, wanted := fmt.Sprint(got), fmt.Sprint(want)
	there := found && got != nil
	switch op {
	case "exists":
		return there
	case "absent":
		return !there
	case "absentOrEmpty":
		return !there || empty(got)
	case "equals":
		return found && reflect.DeepEqual(got, want)
	case "notEquals":
		return !reflect.DeepEqual(got, want)
	case "equalsLoose":
		return found && text == wanted
	case "equalsIgnoreCase":
		return found && strings.EqualFold(text, wanted)
	case "in":
		list, _ := want.([]any)
		return slices.ContainsFunc(list, func(w any) bool { return fmt.Sprint(w) == text })
	case "contains":
		if list, ok := got.([]any); ok {
			return slices.ContainsFunc(list, func(e any) bool { return strings.EqualFold(fmt.Sprint(e), wanted) })
		}
		return there && strings.Contains(text, wanted)
	case "type":
		return there && map[reflect.Kind]string{
			reflect.Float64: "number", reflect.String: "string", reflect.Bool: "boolean", reflect.Slice: "array", reflect.Map: "object",
		}[reflect.TypeOf(got).Kind()] == want
	case "lengthEquals", "lengthAtLeast", "lengthAtMost":
		n, _ := want.(float64)
		l := length(got)
		return l >= 0 && (op == "lengthEquals" && l == int(n) || op == "lengthAtLeast" && l >= int(n) || op == "lengthAtMost" && l <= int(n))
	case "atLeast":
		g, ok := got.(float64)
		w, _ := want.(float64)
		return ok && g >= w
	case "startsWith":
		return there && strings.HasPrefix(text, wanted)
	case "startsWithIgnoreCase":
		return there && strings.HasPrefix(strings.ToLower(text), strings.ToLower(wanted))
	case "endsWith":
		return there && strings.HasSuffix(text, wanted)
	}
	panic("unknown operator " + op)
}

func length(v any) int {
	switch v := v.(type) {
	case nil:
		return 0
	case string:
		return len(v)
	case []any:
		return len(v)
	}
	return -1
}

func empty(v any) bool {
	switch v := v.(type) {
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		for _, w := range v {
			if w != nil && !empty(w) {
				return false
			}
		}
		return true
	}
	return false
}
