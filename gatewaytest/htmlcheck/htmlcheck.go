// Package htmlcheck finds the faults in a page that a parser can see: what the
// strict Content-Security-Policy would break, and what keeps people who use a
// keyboard or a screen reader out. Tests of pages run every template through it.
package htmlcheck

import (
	"bytes"
	"fmt"
	"strings"

	"golang.org/x/net/html"
)

// Check returns one line per fault of the page, none for a good one.
func Check(page []byte) []string {
	root, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		return []string{"does not parse: " + err.Error()}
	}
	c := &checker{ids: map[string]bool{}, labels: map[string]bool{}}
	if !bytes.HasPrefix(bytes.ToLower(bytes.TrimSpace(page)), []byte("<!doctype html>")) {
		c.fault("no doctype")
	}
	c.unescaped(page)
	c.walk(root)
	c.finish()
	return c.faults
}

type checker struct {
	faults   []string
	ids      map[string]bool
	labels   map[string]bool // ids that a label names
	controls []control
	refs     []string // ids that must exist
	h1, main int
	title    bool
}

type control struct {
	tag, id string
	named   bool
}

func (c *checker) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

// unescaped looks for what html/template writes in place of values that it
// refuses; it means that a value stands where it must not.
func (c *checker) unescaped(page []byte) {
	for _, marker := range []string{"ZgotmplZ", "<no value>", "&lt;nil&gt;", "%!"} {
		if bytes.Contains(page, []byte(marker)) {
			c.fault("contains %q", marker)
		}
	}
}

func (c *checker) walk(n *html.Node) {
	if n.Type == html.ElementNode {
		c.element(n)
	}
	for child := range n.ChildNodes() {
		c.walk(child)
	}
}

func (c *checker) element(n *html.Node) {
	for _, a := range n.Attr {
		switch {
		case a.Key == "style":
			c.fault("<%s> has a style attribute", n.Data)
		case strings.HasPrefix(a.Key, "on"):
			c.fault("<%s> has an %s handler", n.Data, a.Key)
		case a.Key == "id":
			if c.ids[a.Val] {
				c.fault("id %q is given twice", a.Val)
			}
			c.ids[a.Val] = true
		case a.Key == "aria-describedby" || a.Key == "aria-labelledby" || a.Key == "data-copy" || a.Key == "aria-controls":
			c.refs = append(c.refs, strings.Fields(a.Val)...)
		case (a.Key == "href" || a.Key == "src" || a.Key == "action" || a.Key == "formaction") && strings.HasPrefix(strings.ToLower(strings.TrimSpace(a.Val)), "javascript:"):
			c.fault("<%s> leads to %s", n.Data, a.Val)
		}
	}
	switch n.Data {
	case "html":
		if attr(n, "lang") == "" {
			c.fault("no language")
		}
	case "title":
		c.title = strings.TrimSpace(text(n)) != ""
	case "h1":
		c.h1++
		if strings.TrimSpace(text(n)) == "" {
			c.fault("empty <h1>")
		}
	case "main":
		c.main++
	case "style":
		c.fault("inline <style>")
	case "label":
		c.labels[attr(n, "for")] = true
	case "img":
		if !has(n, "alt") {
			c.fault("<img> without alt")
		}
	case "a":
		if strings.TrimSpace(text(n)) == "" && attr(n, "aria-label") == "" {
			c.fault("<a href=%q> without a name", attr(n, "href"))
		}
	case "button":
		if strings.TrimSpace(text(n)) == "" && attr(n, "aria-label") == "" {
			c.fault("<button> without a name")
		}
	case "th":
		if attr(n, "scope") == "" {
			c.fault("<th> without scope")
		}
	case "input", "select", "textarea":
		if t := attr(n, "type"); t == "hidden" || t == "submit" {
			return
		}
		named := attr(n, "aria-label") != "" || attr(n, "aria-labelledby") != "" || within(n, "label")
		c.controls = append(c.controls, control{n.Data, attr(n, "id"), named})
	}
}

func (c *checker) finish() {
	if !c.title {
		c.fault("no title")
	}
	if c.h1 != 1 {
		c.fault("%d <h1>, want 1", c.h1)
	}
	if c.main != 1 {
		c.fault("%d <main>, want 1", c.main)
	}
	for _, ref := range c.refs {
		if !c.ids[ref] {
			c.fault("refers to the id %q, which is not there", ref)
		}
	}
	for _, ctl := range c.controls {
		if !ctl.named && (ctl.id == "" || !c.labels[ctl.id]) {
			c.fault("<%s id=%q> without a label", ctl.tag, ctl.id)
		}
	}
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, key string) bool {
	for _, a := range n.Attr {
		if a.Key == key {
			return true
		}
	}
	return false
}

func within(n *html.Node, tag string) bool {
	for p := n.Parent; p != nil; p = p.Parent {
		if p.Data == tag {
			return true
		}
	}
	return false
}

func text(n *html.Node) string {
	if n.Type == html.TextNode {
		return n.Data
	}
	var b strings.Builder
	for child := range n.ChildNodes() {
		b.WriteString(text(child))
	}
	return b.String()
}
