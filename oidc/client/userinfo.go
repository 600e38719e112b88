package client

import (
	"context"
	"errors"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/oidc"
)

var (
	errUserinfo    = refuse("OIDC_USERINFO", "The identity provider did not give the person's profile. Try again in a moment.")
	errUserinfoSub = refuse("OIDC_USERINFO_SUB", "The identity provider gave the profile of another person.")
	errUserinfoFor = refuse("OIDC_USERINFO_ISSUER", "The profile was issued by somebody else, or for another application.")
)

// userinfo asks the userinfo endpoint when the ID token lacks the e-mail or the
// groups. Its subject must be the ID token's (OpenID Connect Core §5.3.2). An
// endpoint that fails refuses the login only when the e-mail is missing: groups
// that are not known stay as they are.
func (h *Handler) userinfo(ctx context.Context, a *attempt, p *provider, accessToken string, id verified) error {
	claim := groupsClaim(a.conn)
	_, hasGroups := id.all[claim]
	hasGroups = hasGroups || a.social != nil // which asks for none
	if p.userinfo == "" || accessToken == "" || (id.all[emailClaim(a.conn)] != nil && (hasGroups || overage(id.all, claim))) {
		return nil
	}
	info, err := h.askUserinfo(ctx, a, p, accessToken)
	if err != nil {
		err = a.log.fail("userinfo", "an answer", cause(err), errUserinfo.Because(err))
		if id.all[emailClaim(a.conn)] == nil {
			return err
		}
		return nil
	}
	subject, _ := info["sub"].(string)
	if subject != id.Subject {
		return a.log.fail("userinfo sub", id.Subject, subject, errUserinfoSub)
	}
	a.log.pass("userinfo sub", id.Subject, subject)
	// A signed answer says who it is by and for (OpenID Connect Core §5.3.2).
	if iss, ok := info["iss"]; ok && iss != a.conn.OIDC.Issuer && iss != id.Issuer {
		return a.log.fail("userinfo iss", a.conn.OIDC.Issuer, trimmed(iss), errUserinfoFor)
	}
	if aud, ok := info["aud"]; ok && !slices.Contains(stringsOf(aud), a.conn.OIDC.ClientID) {
		return a.log.fail("userinfo aud", a.conn.OIDC.ClientID, strings.Join(stringsOf(aud), " "), errUserinfoFor)
	}
	a.userinfo = info
	return nil
}

func (h *Handler) askUserinfo(ctx context.Context, a *attempt, p *provider, accessToken string) (map[string]any, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.userinfo, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+accessToken)
	r.Header.Set("Accept", "application/json, application/jwt")
	body, header, err := oidc.Do(h.providers.http, r)
	if err != nil {
		return nil, err
	}
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	switch {
	case err == nil && media == "application/jwt":
		// In the log the signature of the profile would look like the ID token's.
		signed, err := verifyJWT(ctx, strings.TrimSpace(string(body)), typsUserinfo, p.keys, a.now, &checkLog{})
		return signed.all, err
	case err == nil && media == "application/json":
		return readObject(body)
	}
	return nil, errors.New("neither application/json nor application/jwt")
}

// merged gives the claims of both answers. What the ID token says wins; that an
// e-mail is verified counts only for the very address that it was said of.
func (a *attempt) merged() map[string]any {
	all := maps.Clone(a.userinfo)
	if all == nil {
		all = map[string]any{}
	}
	email, here := a.idToken["email"]
	_, there := all["email"]
	about := []string{"email_verified", "xms_edov"}
	if here && email != all["email"] {
		maps.DeleteFunc(all, func(name string, v any) bool { return slices.Contains(about, name) && isTrue(v) })
	}
	for name, v := range a.idToken {
		if here || !there || !slices.Contains(about, name) || !isTrue(v) {
			all[name] = v
		}
	}
	return all
}
