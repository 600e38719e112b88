package oidc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// maxDocument bounds any document that is fetched, in bytes.
const maxDocument = 1 << 20

// Fetch reads a document. Compressed ones are not asked for and not unpacked.
func Fetch(ctx context.Context, c *http.Client, address string) ([]byte, http.Header, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("Accept", "application/json")
	return Do(c, r)
}

// Do sends a request and reads the answer, which must be 200 and of at most
// maxDocument bytes.
func Do(c *http.Client, r *http.Request) ([]byte, http.Header, error) {
	res, err := c.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("status %d", res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxDocument+1))
	if err == nil && len(body) > maxDocument {
		err = errors.New("the answer is too large")
	}
	return body, res.Header, err
}
