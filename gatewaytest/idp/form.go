package idp

import (
	"errors"
	"io"
	"net/url"

	"golang.org/x/net/html"
)

// ReadForm reads the first form of an HTML page: its action and the fields that
// it would send. Tests follow auto-post pages with it, without a browser.
func ReadForm(page io.Reader) (action string, fields url.Values, err error) {
	root, err := html.Parse(page)
	if err != nil {
		return "", nil, err
	}
	for form := range root.Descendants() {
		if form.Type != html.ElementNode || form.Data != "form" {
			continue
		}
		fields = url.Values{}
		for n := range form.Descendants() {
			if name, ok := attribute(n, "name"); ok && n.Data == "input" {
				value, _ := attribute(n, "value")
				fields.Add(name, value)
			}
		}
		action, _ = attribute(form, "action")
		return action, fields, nil
	}
	return "", nil, errors.New("idp: the page has no form")
}

func attribute(n *html.Node, key string) (string, bool) {
	if n.Type == html.ElementNode {
		for _, a := range n.Attr {
			if a.Key == key {
				return a.Val, true
			}
		}
	}
	return "", false
}
