package client

import (
	"context"
	"iter"
	"maps"
	"net/url"
)

// List goes through a list of the API, page by page as the loop asks for more. An
// error is the last thing that it gives. query may be nil; limit in it is the size
// of a page, 200 when left out.
func List[T any](ctx context.Context, c *Client, path string, query url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		q := maps.Clone(query)
		if q == nil {
			q = url.Values{}
		}
		if q.Get("limit") == "" {
			q.Set("limit", "200")
		}
		for {
			page, err := Get[struct {
				Data []T     `json:"data"`
				Next *string `json:"next_cursor"`
			}](ctx, c, path, q)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, v := range page.Data {
				if !yield(v, nil) {
					return
				}
			}
			if page.Next == nil || *page.Next == "" {
				return
			}
			q.Set("cursor", *page.Next)
		}
	}
}

// Collect reads a whole list; an error comes with what was read before it.
func Collect[T any](list iter.Seq2[T, error]) (out []T, err error) {
	for v, err := range list {
		if err != nil {
			return out, err
		}
		out = append(out, v)
	}
	return out, nil
}
