package client

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"hash"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-id/gatehouse/internal/entra"
	"github.com/gatehouse-id/gatehouse/oidc"
	"github.com/gatehouse-id/gatehouse/tenants"
)

const (
	maxSub    = 255 // characters, OpenID Connect Core §2
	leeway    = 2 * time.Minute
	maxIssued = 10 * time.Minute // ago: the token comes straight from the token endpoint
)

var (
	errIssuer      = refuse("OIDC_ISSUER", "The token was issued by somebody else than the connection's identity provider.")
	errAudience    = refuse("OIDC_AUDIENCE", "The token was issued for another application.")
	errAZP         = refuse("OIDC_AZP", "The ID token was issued to another application.")
	errExpired     = refuse("OIDC_EXPIRED", "The token has expired. Check the clocks of both sides.")
	errNotYet      = refuse("OIDC_NOT_YET", "The token is not valid yet. Check the clocks of both sides.")
	errIssuedAt    = refuse("OIDC_IAT", "The token was issued too long ago, or in the future. Check the clocks of both sides.")
	errNonce       = refuse("OIDC_NONCE", "The ID token does not belong to this sign-in.")
	errSubject     = refuse("OIDC_SUB", "The ID token names no subject, or one that is too long.")
	errAtHash      = refuse("OIDC_AT_HASH", "The access token does not belong to the ID token.")
	errCHash       = refuse("OIDC_C_HASH", "The sign-in's code does not belong to the ID token.")
	errAuthTime    = refuse("OIDC_AUTH_TIME", "The application asked for a fresh sign-in, and the ID token does not say that it was one.")
	errACR         = refuse("OIDC_ACR", "The identity provider did not sign you in as strongly as is required.")
	errEntraTenant = refuse("OIDC_ENTRA_TENANT", "The ID token is of another Entra ID directory than the connection's.")
	errHostedOnly  = refuse("OIDC_HOSTED_DOMAIN", "The Google account does not belong to a Google Workspace organization that may sign in here.")
)

// expectation is what an ID token must say.
type expectation struct {
	issuer, clientID, nonce string
	accessToken, code       string // that came with it
	// authAfter is when the person was asked at the earliest, for a login that
	// demanded it (max_age=0); zero: any time will do.
	authAfter time.Time
	acr       []string // one of which is required; empty: any
	hosted    []string // domains of Google Workspace, one of which is required; empty: any
	// social: anybody with an account there may come, and is known by his subject alone.
	social bool
	// template is the issuer with {tenantid} in the place of a directory, of a
	// connection that takes people of many; empty: the issuer is one.
	template string
	now      time.Time
}

func expect(conn tenants.SSOConnection, now time.Time) expectation {
	return expectation{
		issuer: conn.OIDC.Issuer, clientID: conn.OIDC.ClientID, acr: conn.OIDC.ACRValues, hosted: conn.OIDC.HostedDomains, now: now,
	}
}

// verifyIDToken judges an ID token (OpenID Connect Core §3.1.3.7). The checks
// that were made stand in the log, in order, whatever the outcome. The claims are
// given as far as they could be read, also with an error.
func verifyIDToken(ctx context.Context, raw string, keys *oidc.KeySet, want expectation, log *checkLog) (verified, error) {
	v, err := verifyJWT(ctx, raw, typsIDToken, keys, want.now, log)
	if err != nil {
		return v, err
	}
	return v, v.judge(want, log)
}

func (v verified) judge(want expectation, log *checkLog) error {
	if err := v.judgeParties(want, log); err != nil {
		return err
	}
	if err := v.judgeTimes(want.now, log); err != nil {
		return err
	}
	if want.nonce == "" || subtle.ConstantTimeCompare([]byte(v.Nonce), []byte(want.nonce)) != 1 {
		return log.fail("nonce", "the nonce of this sign-in", present(v.Nonce), errNonce)
	}
	log.pass("nonce", "the nonce of this sign-in", "the same")
	if !validSubject(v.Subject) {
		return log.fail("sub", "1 to 255 characters", present(v.Subject), errSubject)
	}
	log.pass("sub", "1 to 255 characters", v.Subject)
	// Both hashes are optional in this flow, and binding when they are there.
	for _, h := range []struct {
		name, of, said, value string
		err                   error
	}{
		{"at_hash", "the access token", v.AtHash, want.accessToken, errAtHash},
		{"c_hash", "the code", v.CHash, want.code, errCHash},
	} {
		if h.said == "" {
			continue
		}
		if subtle.ConstantTimeCompare([]byte(h.said), []byte(leftHash(v.alg, h.value))) != 1 {
			return log.fail(h.name, "the hash of "+h.of, "another", h.err)
		}
		log.pass(h.name, "the hash of "+h.of, "the same")
	}
	return v.judgeStrength(want, log)
}

// judgeParties checks by whom and for whom the token is.
func (v verified) judgeParties(want expectation, log *checkLog) error {
	if want.template != "" {
		if err := v.judgeTemplate(want, log); err != nil {
			return err
		}
	} else if v.Issuer != want.issuer && !(want.issuer == googleIssuer && v.Issuer == googleShort) {
		return log.fail("issuer", want.issuer, v.Issuer, errIssuer)
	}
	log.pass("issuer", want.issuer, v.Issuer)
	if !slices.Contains(v.Audience, want.clientID) {
		return log.fail("audience", want.clientID, strings.Join(v.Audience, " "), errAudience)
	}
	log.pass("audience", want.clientID, strings.Join(v.Audience, " "))
	// With further audiences azp must be there; when there, it must be us.
	if (v.AZP != "" || len(v.Audience) > 1) && v.AZP != want.clientID {
		return log.fail("azp", want.clientID, v.AZP, errAZP)
	}
	log.pass("azp", want.clientID, v.AZP)
	if _, ok := entra.CloudOf(want.issuer); ok && want.template == "" {
		// The issuer is pinned to one directory (CheckIssuer); a token that names
		// another one in tid was made by the template of many.
		tenant := entra.TenantOf(want.issuer)
		if tenant == "" || v.TenantID != "" && !strings.EqualFold(v.TenantID, tenant) {
			return log.fail("tid", tenant, v.TenantID, errEntraTenant)
		}
		log.pass("tid", tenant, v.TenantID)
	}
	if want.issuer == googleIssuer && !want.social || len(want.hosted) > 0 {
		hd := trimmed(v.all["hd"])
		// Without hd it is a private Google account, whatever its e-mail says.
		if hd == "" || len(want.hosted) > 0 && !slices.ContainsFunc(want.hosted, func(d string) bool { return strings.EqualFold(d, hd) }) {
			return log.fail("hd", "a Google Workspace domain "+strings.Join(want.hosted, " "), hd, errHostedOnly)
		}
		log.pass("hd", "a Google Workspace domain "+strings.Join(want.hosted, " "), hd)
	}
	return nil
}

// Google writes its issuer in either form (Google, "OpenID Connect", ID token payload).
const (
	googleIssuer = "https://accounts.google.com"
	googleShort  = "accounts.google.com"
)

func (v verified) judgeTimes(now time.Time, log *checkLog) error {
	exp, ok := numericDate(v.Expiry)
	if !ok || !now.Before(exp.Add(leeway)) {
		return log.fail("exp", "after "+now.Format(time.RFC3339), showDate(v.Expiry), errExpired)
	}
	log.pass("exp", "after "+now.Format(time.RFC3339), showDate(v.Expiry))
	if v.NotBefore != "" {
		nbf, ok := numericDate(v.NotBefore)
		if !ok || now.Add(leeway).Before(nbf) {
			return log.fail("nbf", "before "+now.Format(time.RFC3339), showDate(v.NotBefore), errNotYet)
		}
	}
	iat, ok := numericDate(v.IssuedAt)
	if !ok || now.Add(leeway).Before(iat) || now.After(iat.Add(maxIssued)) {
		return log.fail("iat", "within ten minutes of "+now.Format(time.RFC3339), showDate(v.IssuedAt), errIssuedAt)
	}
	log.pass("iat", "within ten minutes of "+now.Format(time.RFC3339), showDate(v.IssuedAt))
	return nil
}

// judgeStrength checks when and how the person proved himself there.
func (v verified) judgeStrength(want expectation, log *checkLog) error {
	if v.AuthTime != "" || !want.authAfter.IsZero() {
		at, ok := numericDate(v.AuthTime)
		expected := "not later than now"
		if !want.authAfter.IsZero() {
			expected = "after " + want.authAfter.Format(time.RFC3339)
		}
		if !ok || want.now.Add(leeway).Before(at) || at.Before(want.authAfter.Add(-leeway)) && !want.authAfter.IsZero() {
			return log.fail("auth_time", expected, showDate(v.AuthTime), errAuthTime)
		}
		log.pass("auth_time", expected, showDate(v.AuthTime))
	}
	if len(want.acr) > 0 {
		if !slices.Contains(want.acr, v.ACR) {
			return log.fail("acr", strings.Join(want.acr, " or "), v.ACR, errACR)
		}
		log.pass("acr", strings.Join(want.acr, " or "), v.ACR)
	}
	return nil
}

func validSubject(sub string) bool {
	return sub != "" && len(sub) <= maxSub && !strings.ContainsFunc(sub, unicode.IsControl)
}

// numericDate reads seconds since the epoch, with or without a fraction, within
// the years 2000 to 2200: what lies outside is a unit mistake or an attack.
func numericDate(n json.Number) (time.Time, bool) {
	f, err := n.Float64()
	if err != nil || f < 946684800 || f > 7258118400 {
		return time.Time{}, false
	}
	return time.UnixMicro(int64(f * 1e6)).UTC(), true
}

func showDate(n json.Number) string {
	if t, ok := numericDate(n); ok {
		return t.Format(time.RFC3339)
	}
	return clip(string(n))
}

// leftHash is at_hash or c_hash (OpenID Connect Core §3.1.3.6, §3.3.2.11).
func leftHash(alg jose.SignatureAlgorithm, value string) string {
	var h hash.Hash
	switch {
	case strings.HasSuffix(string(alg), "384"):
		h = sha512.New384()
	case strings.HasSuffix(string(alg), "512"), alg == jose.EdDSA:
		h = sha512.New()
	default:
		h = sha256.New()
	}
	h.Write([]byte(value))
	sum := h.Sum(nil)
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}
