package ui_test

import (
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/template/parse"
	"unicode"

	"golang.org/x/net/html"

	"github.com/gatehouse-id/gatehouse/internal/i18n"
)

// missing lists what has no translation yet, ready to fill in:
// go test ./portal/ui -run Translated -missing /tmp/missing.json
var missing = flag.String("missing", "", "file for the texts that have no translation")

const root = "../.."

// said are the texts that people may see, with a place where each stands.
type said map[string]string

// Every text of every page is translated into every language: those of the
// templates, those that Go hands to them, and the messages of the faults and
// explanations that pages show.
func TestEveryTextIsTranslated(t *testing.T) {
	texts := said{}
	texts.fromTemplates(t)
	texts.fromGo(t, "portal", isText, true)

	texts.fromFaults(t, "signin", "onboarding", "sessions", "directory", "policy", "oidc/client", "saml")
	texts.fromCalls(t, "oidc", "saml", "internal/gateway")
	if len(texts) < 150 {
		t.Fatalf("only %d texts were found", len(texts))
	}
	catalogue := load(t, "portal/ui/locale")
	var lacking []string
	for _, lang := range catalogue.Languages() {
		for text, place := range texts {
			if !catalogue.Has(lang, text) {
				t.Errorf("%s: %s: no translation of %q", lang, place, text)
				lacking = append(lacking, text)
			}
		}
	}
	if *missing != "" {
		slices.Sort(lacking)
		var b strings.Builder
		for _, text := range lacking {
			b.WriteString(strconv.Quote(text) + "\n")
		}
		if err := os.WriteFile(*missing, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func load(t *testing.T, dir string) *i18n.Catalogue {
	t.Helper()
	c, err := i18n.Load(os.DirFS(filepath.Join(root, dir)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Nothing is translated that is nowhere said.
func TestNoTranslationIsLeftOver(t *testing.T) {
	texts := said{}
	texts.fromTemplates(t)
	for _, dir := range []string{"portal", "signin", "onboarding", "sessions", "oidc", "saml", "internal/gateway", "policy", "directory", "tenants"} {
		texts.fromGo(t, dir, func(string) bool { return true }, false)
	}
	files, err := filepath.Glob("locale/*/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("catalogues: %v, %v", files, err)
	}
	key := regexp.MustCompile(`(?m)^\s*("(?:[^"\\]|\\.)*"):`)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range key.FindAllSubmatch(data, -1) {
			text, err := strconv.Unquote(string(m[1]))
			if err != nil {
				t.Errorf("%s: %s: %v", file, m[1], err)
			} else if texts[text] == "" {
				t.Errorf("%s: nothing says %q", file, text)
			}
		}
	}
}

// isText reports whether a string of a page package is for people: it begins as a
// sentence or a label does.
func isText(s string) bool {
	first := []rune(s + "x")[0]
	return (unicode.IsUpper(first) || first == '{') && strings.ToUpper(s) != s && s != "Gatehouse"
}

// isSentence reports whether a string of a domain package is for people.
func isSentence(s string) bool {
	return isText(s) && strings.Contains(s, " ") && strings.ContainsAny(s[len(s)-1:], ".?!:")
}

// fromTemplates finds what the templates of all page packages say through {{t}},
// and fails for what they say beside it.
func (texts said) fromTemplates(t *testing.T) {
	t.Helper()
	found := 0
	err := filepath.WalkDir(filepath.Join(root, "portal"), func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(file) != ".html" {
			return err
		}
		found++
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		trees := map[string]*parse.Tree{}
		tree := parse.New(file)
		tree.Mode = parse.SkipFuncCheck
		if _, err := tree.Parse(string(data), "", "", trees); err != nil {
			return err
		}
		for _, tree := range trees {
			w := templateText{texts: texts, file: file}
			w.walk(t, tree.Root)
			w.bare(t)
		}
		return nil
	})
	if err != nil || found < 20 {
		t.Fatalf("%d templates: %v", found, err)
	}
}

type templateText struct {
	texts said
	file  string
	page  strings.Builder // the text between the actions
}

// hole stands for what an action writes.
const hole = "\uFFFC"

func (w *templateText) walk(t *testing.T, node parse.Node) {
	switch n := node.(type) {
	case *parse.ListNode:
		if n == nil {
			return
		}
		for _, child := range n.Nodes {
			w.walk(t, child)
		}
	case *parse.TextNode:
		w.page.Write(n.Text)
	case *parse.ActionNode:
		w.page.WriteString(hole)
		w.pipe(t, n.Pipe)
	case *parse.IfNode:
		w.branch(t, &n.BranchNode)
	case *parse.RangeNode:
		w.branch(t, &n.BranchNode)
	case *parse.WithNode:
		w.branch(t, &n.BranchNode)
	case *parse.TemplateNode:
		w.pipe(t, n.Pipe)
	}
}

func (w *templateText) branch(t *testing.T, n *parse.BranchNode) {
	w.pipe(t, n.Pipe)
	w.walk(t, n.List)
	w.walk(t, n.ElseList)
}

func (w *templateText) pipe(t *testing.T, p *parse.PipeNode) {
	if p == nil {
		return
	}
	for _, c := range p.Cmds {
		w.command(t, c)
	}
}

func (w *templateText) command(t *testing.T, c *parse.CommandNode) {
	id, _ := c.Args[0].(*parse.IdentifierNode)
	for i, arg := range c.Args[1:] {
		switch a := arg.(type) {
		case *parse.PipeNode:
			w.pipe(t, a)
			if id != nil && id.Ident == "t" && i == 0 { // {{t (or .Text "Continue")}}
				for _, inner := range a.Cmds {
					w.literals(inner.Args)
				}
			}
		case *parse.StringNode:
			if id != nil && id.Ident == "t" && i == 0 {
				w.texts[a.Text] = w.file
			} else if (id == nil || id.Ident == "or") && isText(a.Text) && w.texts[a.Text] == "" {
				t.Errorf("%s: %s stands outside of {{t}}", w.file, a)
			}
		}
	}
	if p, ok := c.Args[0].(*parse.PipeNode); ok {
		w.pipe(t, p)
	}
}

func (w *templateText) literals(args []parse.Node) {
	for _, arg := range args {
		if s, ok := arg.(*parse.StringNode); ok {
			w.texts[s.Text] = w.file
		}
	}
}

// spoken are the attributes that people see or hear.
var spoken = []string{"alt", "aria-label", "aria-description", "aria-roledescription", "aria-valuetext", "placeholder", "title", "label", "data-copied", "data-selected"}

// bare fails for text outside of actions. One letter or sign says nothing.
func (w *templateText) bare(t *testing.T) {
	// The tokenizer takes what stands in noscript for one text.
	z := html.NewTokenizer(strings.NewReader(strings.NewReplacer("<noscript>", "", "</noscript>", "").Replace(w.page.String())))
	silent := ""
	for {
		switch z.Next() {
		case html.ErrorToken:
			return
		case html.TextToken:
			if silent == "" {
				w.check(t, string(z.Text()))
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			token := z.Token()
			if token.Data == "script" || token.Data == "style" {
				silent = token.Data
			}
			for _, a := range token.Attr {
				if slices.Contains(spoken, a.Key) || a.Key == "value" && (token.Data == "button") && a.Val == "" {
					w.check(t, a.Val)
				}
			}
		case html.EndTagToken:
			if name, _ := z.TagName(); string(name) == silent {
				silent = ""
			}
		}
	}
}

func (w *templateText) check(t *testing.T, text string) {
	letters := strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) })
	for _, word := range letters {
		if len(word) > 1 {
			t.Errorf("%s: %q stands outside of {{t}}", w.file, strings.TrimSpace(strings.ReplaceAll(text, hole, "…")))
			return
		}
	}
}

// fromGo finds the strings for people in the sources of a directory, tests aside;
// strict fails for those that are put together.
func (texts said) fromGo(t *testing.T, dir string, wanted func(string) bool, strict bool) {
	t.Helper()
	eachFile(t, dir, func(file string, tree *ast.File) {
		ast.Inspect(tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ImportSpec, *ast.Field: // paths and tags
				return false
			case *ast.CallExpr:
				if forMachines(n) {
					return false
				}
			case *ast.ValueSpec:
				if len(n.Names) > 0 && strings.HasPrefix(n.Names[0].Name, "sql") {
					return false
				}
			case *ast.BinaryExpr:
				if s, whole := joined(n); s != "" {
					if wanted(s) && strict && !whole {
						t.Errorf("%s: %q is put together from parts", file, s)
					} else if wanted(s) {
						texts[s] = file
					}
					return !whole
				}
			case *ast.BasicLit:
				if s, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING && wanted(s) {
					texts[s] = file
				}
			}
			return true
		})
	})
}

// fromCalls finds the messages that protocols hand to the error page.
func (texts said) fromCalls(t *testing.T, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		eachFile(t, dir, func(file string, tree *ast.File) {
			ast.Inspect(tree, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				sel, ok := call.Fun.(*ast.SelectorExpr)
				if !ok || sel.Sel.Name != "Error" || len(call.Args) != 7 {
					return true
				}
				for _, arg := range call.Args[3:5] {
					lit, ok := arg.(*ast.BasicLit)
					if !ok {
						continue
					}
					if s, err := strconv.Unquote(lit.Value); err == nil {
						texts[s] = file
					}
				}
				return true
			})
		})
	}
}

// fromFaults finds the messages of faults that pages can show: of every code in
// upper case, and of passwords; codes in lower case are of the API.
func (texts said) fromFaults(t *testing.T, dirs ...string) {
	t.Helper()
	forPages := func(e ast.Expr) bool {
		lit, ok := e.(*ast.BasicLit)
		if !ok {
			return true // a constant
		}
		code, err := strconv.Unquote(lit.Value)
		return err == nil && (strings.ToUpper(code) == code || strings.HasPrefix(code, "password_"))
	}
	for _, dir := range dirs {
		eachFile(t, dir, func(file string, tree *ast.File) {
			add := func(e ast.Expr) {
				if s, whole := joined(e); whole && isSentence(s) {
					texts[s] = file
				}
			}
			ast.Inspect(tree, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CallExpr:
					name := ""
					switch f := n.Fun.(type) {
					case *ast.SelectorExpr:
						name = f.Sel.Name
					case *ast.Ident:
						name = f.Name
					}
					switch {
					case (name == "New" || name == "Filled") && len(n.Args) >= 3 && forPages(n.Args[1]):
						add(n.Args[2])
					case name == "refuse" && len(n.Args) == 2 && forPages(n.Args[0]):
						add(n.Args[1])
					}
				case *ast.KeyValueExpr:
					if k, ok := n.Key.(*ast.Ident); ok && k.Name == "Message" {
						add(n.Value)
					} else if sel, ok := n.Key.(*ast.SelectorExpr); ok && strings.HasPrefix(sel.Sel.Name, "Code") { // policyMessages
						add(n.Value)
					}
				}
				return true
			})
		})
	}
}

func eachFile(t *testing.T, dir string, do func(string, *ast.File)) {
	t.Helper()
	found := 0
	err := filepath.WalkDir(filepath.Join(root, dir), func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return err
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		found++
		do(file, tree)
		return nil
	})
	if err != nil || found == 0 {
		t.Fatalf("%s: %d files: %v", dir, found, err)
	}
}

// forMachines reports whether the strings in the call are none for people: header
// names, attributes of the log, causes for the log.
func forMachines(call *ast.CallExpr) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	if x, ok := sel.X.(*ast.Ident); ok && (x.Name == "slog" || x.Name == "log" || x.Name == "regexp" || x.Name == "errors" || x.Name == "fmt" && sel.Sel.Name == "Errorf") {
		return true
	}
	switch sel.Sel.Name {
	case "FieldByName", "Set", "Get", "Add", "Del", "Values", "InfoContext", "ErrorContext", "WarnContext", "LogAttrs":
		return true
	}
	return false
}

// joined gives the literal parts of a + b, and whether there are no others.
func joined(e ast.Expr) (text string, whole bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		if e.Op != token.ADD {
			return "", false
		}
		a, aWhole := joined(e.X)
		b, bWhole := joined(e.Y)
		return a + b, aWhole && bWhole
	}
	return "", false
}
