package entra

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Bounds of reading a person's groups.
const (
	MaxGroups = 2000
	timeout   = 5 * time.Second // for all requests together
	maxBody   = 1 << 20         // bytes of one answer
	maxPages  = 20
)

// App is an application registered in a directory that may read its groups
// (application permission GroupMember.Read.All, or User.Read.All with it).
type App struct {
	Cloud  Cloud  // Global when zero
	Tenant string // GUID of the directory
	Client string
	Secret string
}

// Usable reports whether everything is there that a token needs.
func (a App) Usable() bool { return isGUID(a.Tenant) && a.Client != "" && a.Secret != "" }

// ErrTooMany says that the person is in more than MaxGroups groups. A part of
// them would take roles away at random.
var ErrTooMany = fmt.Errorf("entra: more than %d groups", MaxGroups)

// Groups gives the object ids of the security groups that a person is in,
// nested ones included (Microsoft Graph, directoryObject: getMemberObjects). oid
// is the person's object id. It never runs inside a transaction.
func Groups(ctx context.Context, c *http.Client, a App, oid string) ([]string, error) {
	if !a.Usable() || !isGUID(oid) {
		return nil, errors.New("entra: the application or the object id is incomplete")
	}
	if a.Cloud == (Cloud{}) {
		a.Cloud = Global
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	token, err := accessToken(ctx, c, a)
	if err != nil {
		return nil, err
	}
	first := a.Cloud.Graph + "/v1.0/users/" + url.PathEscape(oid) + "/getMemberObjects"
	groups, next, err := page(ctx, c, http.MethodPost, first, token)
	for n := 1; err == nil && next != ""; n++ {
		// The next page is where Graph says, as long as that is Graph.
		if n == maxPages || !strings.HasPrefix(next, a.Cloud.Graph+"/") {
			return nil, errors.New("entra: the list of groups has no end, or goes on elsewhere")
		}
		var more []string
		more, next, err = page(ctx, c, http.MethodGet, next, token)
		groups = append(groups, more...)
		if len(groups) > MaxGroups {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	if len(groups) > MaxGroups {
		return nil, ErrTooMany
	}
	return groups, nil
}

// accessToken is the client credentials grant (RFC 6749 §4.4).
func accessToken(ctx context.Context, c *http.Client, a App) (string, error) {
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {a.Client}, "client_secret": {a.Secret}, "scope": {a.Cloud.Graph + "/.default"},
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, a.Cloud.Login+"/"+a.Tenant+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var answer struct {
		Token string `json:"access_token"`
		Error string `json:"error"`
	}
	status, err := exchange(c, r, &answer)
	switch {
	case err != nil:
		return "", err
	case status != http.StatusOK || answer.Token == "":
		return "", fmt.Errorf("entra: no token: status %d, error %.80q", status, answer.Error)
	}
	return answer.Token, nil
}

func page(ctx context.Context, c *http.Client, method, address, token string) (groups []string, next string, err error) {
	var body io.Reader
	if method == http.MethodPost {
		body = bytes.NewReader([]byte(`{"securityEnabledOnly":true}`))
	}
	r, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, "", err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	var answer struct {
		Value *[]string `json:"value"`
		Next  string    `json:"@odata.nextLink"`
		Error struct {
			Code string `json:"code"`
		} `json:"error"`
	}
	status, err := exchange(c, r, &answer)
	switch {
	case err != nil:
		return nil, "", err
	case status != http.StatusOK || answer.Value == nil:
		return nil, "", fmt.Errorf("entra: no groups: status %d, error %.80q", status, answer.Error.Code)
	}
	return *answer.Value, answer.Next, nil
}

// exchange reads a JSON answer of any status.
func exchange(c *http.Client, r *http.Request, into any) (status int, err error) {
	res, err := c.Do(r)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if err != nil {
		return 0, err
	}
	if len(body) > maxBody {
		return 0, fmt.Errorf("entra: an answer of more than %d bytes", maxBody)
	}
	if err := json.Unmarshal(body, into); err != nil && res.StatusCode == http.StatusOK {
		return 0, fmt.Errorf("entra: an answer that is not the JSON expected: %w", err)
	}
	return res.StatusCode, nil
}
