package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	coreUser  = "urn:ietf:params:scim:schemas:core:2.0:User"
	coreGroup = "urn:ietf:params:scim:schemas:core:2.0:Group"
	patchOp   = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
)

// directory is one SCIM connection.
type directory struct {
	*server
	base, token string
}

func (s *server) directory(ctx context.Context) (*directory, error) {
	var tenant, c struct {
		ID      string
		BaseURL string `json:"base_url"`
		Token   string
	}
	if err := s.call(ctx, http.MethodPost, s.url+"/api/v1/tenants", s.key, map[string]any{"name": "Bench"}, &tenant); err != nil {
		return nil, err
	}
	err := s.call(ctx, http.MethodPost, s.url+"/api/v1/tenants/"+tenant.ID+"/scim-connections", s.key, map[string]any{"name": "Directory", "profile": "rfc"}, &c)
	return &directory{server: s, base: c.BaseURL, token: c.Token}, err
}

func userName(n int) string { return "person" + strconv.Itoa(n) + "@bench.example" }

func (d *directory) create(ctx context.Context, n int) (string, error) {
	var made struct{ ID, UserName string }
	name := userName(n)
	err := d.call(ctx, http.MethodPost, d.base+"/Users", d.token, map[string]any{
		"schemas": []string{coreUser}, "userName": name, "externalId": "ext-" + strconv.Itoa(n), "active": true,
		"name":   map[string]any{"givenName": "Given" + strconv.Itoa(n), "familyName": "Family"},
		"emails": []any{map[string]any{"value": name, "type": "work", "primary": true}},
	}, &made)
	if err == nil && made.UserName != name {
		err = fmt.Errorf("created %q, not %q", made.UserName, name)
	}
	return made.ID, err
}

type list struct {
	TotalResults int    `json:"totalResults"`
	NextCursor   string `json:"nextCursor"`
	Resources    []struct {
		ID     string `json:"id"`
		Active bool   `json:"active"`
	}
}

func (d *directory) lookup(ctx context.Context, n int, ids []string) error {
	var l list
	err := d.call(ctx, http.MethodGet, d.base+"/Users?filter="+url.QueryEscape(`userName eq "`+userName(n)+`"`), d.token, nil, &l)
	if err == nil && (len(l.Resources) != 1 || l.Resources[0].ID != ids[n]) {
		err = fmt.Errorf("looked up %d people, or another one", len(l.Resources))
	}
	return err
}

// group makes a group and adds the members as identity providers do, in parts.
func (d *directory) group(ctx context.Context, name string, ids []string) (string, error) {
	var made struct{ ID string }
	if err := d.call(ctx, http.MethodPost, d.base+"/Groups", d.token, map[string]any{"schemas": []string{coreGroup}, "displayName": name}, &made); err != nil {
		return "", err
	}
	for len(ids) > 0 {
		part := ids[:min(1000, len(ids))]
		ids = ids[len(part):]
		members := make([]any, 0, len(part))
		for _, id := range part {
			members = append(members, map[string]any{"value": id})
		}
		if err := d.patch(ctx, "/Groups/"+made.ID, map[string]any{"op": "add", "path": "members", "value": members}); err != nil {
			return "", err
		}
	}
	return made.ID, nil
}

func (d *directory) patch(ctx context.Context, path string, operation map[string]any) error {
	return d.call(ctx, http.MethodPatch, d.base+path, d.token, map[string]any{"schemas": []string{patchOp}, "Operations": []any{operation}}, nil)
}

// addRemove puts somebody into a group and takes him out again, so that the size
// stays.
func (d *directory) addRemove(ctx context.Context, group, user string) error {
	if err := d.patch(ctx, "/Groups/"+group, map[string]any{"op": "add", "path": "members", "value": []any{map[string]any{"value": user}}}); err != nil {
		return err
	}
	return d.patch(ctx, "/Groups/"+group, map[string]any{"op": "remove", "path": `members[value eq "` + user + `"]`})
}

func (d *directory) read(ctx context.Context, group string, members bool, want int) error {
	var g struct {
		ID      string
		Members []struct{ Value string }
	}
	address := d.base + "/Groups/" + group
	if !members {
		address += "?excludedAttributes=members"
	}
	err := d.call(ctx, http.MethodGet, address, d.token, nil, &g)
	if err == nil && (g.ID != group || len(g.Members) < want || !members && g.Members != nil) {
		err = fmt.Errorf("group with %d members, not %d", len(g.Members), want)
	}
	return err
}

func (d *directory) page(ctx context.Context, start, total int) error {
	var l list
	err := d.call(ctx, http.MethodGet, d.base+"/Users?count=100&startIndex="+strconv.Itoa(start), d.token, nil, &l)
	if err == nil && (l.TotalResults != total || len(l.Resources) != min(100, total-start+1)) {
		err = fmt.Errorf("page at %d: %d of %d", start, len(l.Resources), l.TotalResults)
	}
	return err
}

// walk reads all people by cursor, and compares the last tenth with the first.
func (d *directory) walk(ctx context.Context, total int, r *report) error {
	var times []time.Duration
	seen, cursor := map[string]bool{}, ""
	for {
		var l list
		began := time.Now()
		if err := d.call(ctx, http.MethodGet, d.base+"/Users?count=100&cursor="+url.QueryEscape(cursor), d.token, nil, &l); err != nil {
			return err
		}
		times = append(times, time.Since(began))
		for _, u := range l.Resources {
			seen[u.ID] = true
		}
		if cursor = l.NextCursor; cursor == "" {
			break
		}
	}
	if len(seen) != total {
		return fmt.Errorf("the cursor led to %d people of %d", len(seen), total)
	}
	tenth := max(1, len(times)/10)
	sum := func(list []time.Duration) (s time.Duration) {
		for _, t := range list {
			s += t
		}
		return s
	}
	r.Ratios["page by cursor, last tenth/first tenth"] = ratio(sum(times[len(times)-tenth:]).Seconds(), sum(times[:tenth]).Seconds())
	return nil
}

func (d *directory) deactivate(ctx context.Context, id string) error {
	if err := d.patch(ctx, "/Users/"+id, map[string]any{"op": "replace", "path": "active", "value": false}); err != nil {
		return err
	}
	return nil
}
