package scim

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gatehouse-id/gatehouse/scim/schema"
)

// params are the query parameters of RFC 7644 §3.4.2, or a SearchRequest's.
type params struct {
	filter               string
	start, count         int
	cursor               *string // present, maybe empty: RFC 9865
	sortBy               string
	descending           bool
	attributes, excluded []string
}

// known are the parameters that count; others are left alone, Entra's flags
// among them.
var known = map[string]bool{
	"filter": true, "startindex": true, "count": true, "cursor": true, "sortby": true, "sortorder": true,
	"attributes": true, "excludedattributes": true,
}

// parameters reads the query: names in any case, because clients write
// startindex. A query that cannot be read is refused: leaving a broken filter
// out would answer with everybody.
func parameters(r *http.Request) (params, error) {
	p := params{start: 1, count: schema.DefaultPage}
	if r.URL.RawQuery == "" {
		return p, nil
	}
	values, err := url.ParseQuery(strings.ReplaceAll(r.URL.RawQuery, ";", "%3B"))
	if err != nil {
		return p, refuse(http.StatusBadRequest, "invalidValue", "The query of the address is malformed.")
	}
	seen := map[string]bool{}
	for key, list := range values {
		v, name := list[0], strings.ToLower(key)
		if seen[name] || len(list) > 1 && name != "attributes" && name != "excludedattributes" && known[name] {
			return p, refuse(http.StatusBadRequest, "invalidValue", "The query names "+name+" more than once.")
		}
		seen[name] = known[name]
		switch name {
		case "filter":
			p.filter = v
		case "startindex":
			p.start, err = number("startIndex", v)
		case "count":
			p.count, err = number("count", v)
		case "cursor":
			p.cursor = &v
		case "sortby":
			p.sortBy = v
		case "sortorder":
			err = p.order(v)
		case "attributes":
			p.attributes = splitNames(list)
		case "excludedattributes":
			p.excluded = splitNames(list)
		}
		if err != nil {
			return p, err
		}
	}
	return p.bounded(), nil
}

// bounded brings numbers into range (RFC 7644 §3.4.2.4).
func (p params) bounded() params {
	p.start = max(p.start, 1)
	p.count = min(max(p.count, 0), schema.MaxPage)
	return p
}

func (p *params) order(v string) error {
	switch strings.ToLower(v) {
	case "descending":
		p.descending = true
	case "", "ascending":
	default:
		return refuse(http.StatusBadRequest, "invalidValue", "sortOrder is ascending or descending.")
	}
	return nil
}

// number reads an integer; one beyond the machine's range counts as its end.
func number(name, v string) (int, error) {
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, refuse(http.StatusBadRequest, "invalidValue", name+" is a whole number.")
	}
	return int(n), nil
}

// searchParameters reads a SearchRequest (RFC 7644 §3.4.3).
func searchParameters(body *schema.Object) (params, error) {
	p := params{start: 1, count: schema.DefaultPage}
	for key, v := range body.All() {
		var err error
		switch strings.ToLower(key) {
		case "filter":
			p.filter, err = text("filter", v)
		case "startindex":
			p.start, err = whole("startIndex", v, p.start)
		case "count":
			p.count, err = whole("count", v, p.count)
		case "cursor":
			var s string
			if s, err = text("cursor", v); v != nil {
				p.cursor = &s
			}
		case "sortby":
			p.sortBy, err = text("sortBy", v)
		case "sortorder":
			var s string
			if s, err = text("sortOrder", v); err == nil {
				err = p.order(s)
			}
		case "attributes":
			p.attributes, err = texts("attributes", v)
		case "excludedattributes":
			p.excluded, err = texts("excludedAttributes", v)
		}
		if err != nil {
			return p, err
		}
	}
	return p.bounded(), nil
}

func text(name string, v any) (string, error) {
	s, ok := v.(string)
	if !ok && v != nil {
		return "", refuse(http.StatusBadRequest, "invalidSyntax", name+" is a string.")
	}
	return s, nil
}

func texts(name string, v any) ([]string, error) {
	if s, ok := v.(string); ok {
		return splitNames([]string{s}), nil
	}
	list, ok := v.([]any)
	if !ok && v != nil {
		return nil, refuse(http.StatusBadRequest, "invalidSyntax", name+" is a list of strings.")
	}
	var out []string
	for _, e := range list {
		s, err := text(name, e)
		if err != nil {
			return nil, err
		}
		out = append(out, splitNames([]string{s})...)
	}
	return out, nil
}

func whole(name string, v any, otherwise int) (int, error) {
	switch v := v.(type) {
	case nil:
		return otherwise, nil
	case json.Number:
		return number(name, v.String())
	}
	return 0, refuse(http.StatusBadRequest, "invalidSyntax", name+" is a whole number.")
}
