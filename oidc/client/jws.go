package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/oidc"
)

const (
	maxToken = 64 << 10 // bytes; a token with 200 groups has about 10,000
)

// refusals, each with its own code.
func refuse(code, message string) *fault.Error { return fault.New(fault.Invalid, code, message) }

var (
	errTokenForm  = refuse("OIDC_TOKEN_FORM", "The identity provider's token cannot be read.")
	errAlg        = refuse("OIDC_ALG", "The identity provider's token is signed in a way that is not accepted.")
	errTyp        = refuse("OIDC_TYP", "The identity provider sent a token of another kind.")
	errKey        = refuse("OIDC_KEY_UNKNOWN", "The identity provider's token is signed with a key that it does not publish.")
	errKeyUnclear = refuse("OIDC_KEY_AMBIGUOUS", "The identity provider's token does not say which of several keys signed it.")
	errSig        = refuse("OIDC_SIG", "The signature of the identity provider's token does not hold.")
)

// Types of tokens, as the header says them (RFC 8725 §3.11). Many providers say
// nothing, or JWT; what names another kind is one, whatever its claims.
var (
	typsIDToken    = []string{"", "jwt"}
	typsUserinfo   = []string{"", "jwt"}
	typsLogout     = []string{"", "jwt", "logout+jwt"}
	typsRevocation = []string{"", "jwt", "global-token-revocation+jwt"}
)

// verified is a token whose signature holds.
type verified struct {
	all map[string]any
	claims
	alg jose.SignatureAlgorithm
	// keyIssuer is whom the key signs for, where the provider says it.
	keyIssuer string
}

// verifyJWT reads a token that one of the keys signed. Its claims are still to
// be judged.
func verifyJWT(ctx context.Context, raw string, typs []string, keys *oidc.KeySet, now time.Time, log *checkLog) (verified, error) {
	var v verified
	payload, alg, of, err := signature(ctx, raw, typs, keys, now, log)
	if err != nil {
		return v, err
	}
	v.alg, v.keyIssuer = alg, of
	if v.all, err = readObject(payload); err == nil {
		v.claims, err = readClaims(v.all)
	}
	if err != nil {
		return v, log.fail("token", "a JSON object with claims of the right types", err.Error(), errTokenForm.Because(err))
	}
	return v, nil
}

// signature gives the payload of a token, the algorithm that signed it and whom the
// key signs for, where that is said. Of its
// header only alg, kid, typ and crit count: keys that it carries or points to
// (jwk, jku, x5c, x5u) are nobody's.
func signature(ctx context.Context, raw string, typs []string, keys *oidc.KeySet, now time.Time, log *checkLog) ([]byte, jose.SignatureAlgorithm, string, error) {
	if len(raw) > maxToken || strings.Count(raw, ".") != 2 {
		return nil, "", "", log.fail("token", "a signed JWT in compact form", "", errTokenForm)
	}
	// ParseSigned refuses an alg outside the list, none and MACs included.
	jws, err := jose.ParseSignedCompact(raw, oidc.Algorithms)
	if err != nil {
		var unexpected *jose.ErrUnexpectedSignatureAlgorithm
		if errors.As(err, &unexpected) {
			return nil, "", "", log.fail("algorithm", "RS, PS, ES or EdDSA", string(unexpected.Got), errAlg.Because(err))
		}
		return nil, "", "", log.fail("token", "a signed JWT in compact form", "", errTokenForm.Because(err))
	}
	header := jws.Signatures[0].Protected
	typ, isText := header.ExtraHeaders[jose.HeaderType].(string)
	_, given := header.ExtraHeaders[jose.HeaderType]
	if short := strings.TrimPrefix(strings.ToLower(typ), "application/"); given && !isText || !slices.Contains(typs, short) {
		return nil, "", "", log.fail("type", strings.Join(typs[1:], " or ")+", or none", typ, errTyp)
	}
	// No extension is understood here, so none may be critical (RFC 7515 §4.1.11).
	if crit, ok := header.ExtraHeaders["crit"]; ok {
		return nil, "", "", log.fail("crit", "absent", fmt.Sprint(crit), errTokenForm)
	}
	log.pass("algorithm", "RS, PS, ES or EdDSA", header.Algorithm)
	key, doc, err := signingKey(ctx, keys, header, nil, now, log)
	if err != nil {
		return nil, "", "", err
	}
	payload, err := jws.Verify(key.Key)
	if err != nil {
		// Another key may have come under the id, or without any.
		again, fresh, e := signingKey(ctx, keys, header, doc, now, &checkLog{})
		if e == nil && fresh != doc {
			key, doc = again, fresh
			payload, err = jws.Verify(key.Key)
		}
	}
	log.pass("key", "one of the provider's published keys", key.KeyID)
	if err != nil {
		return nil, "", "", log.fail("signature", "valid", "invalid", errSig.Because(err))
	}
	log.pass("signature", "valid", "valid")
	return payload, jose.SignatureAlgorithm(header.Algorithm), doc.Issuer(key.KeyID), nil
}

// signingKey finds the one published key that may have signed.
func signingKey(ctx context.Context, keys *oidc.KeySet, header jose.Header, refused *oidc.Published, now time.Time, log *checkLog) (jose.JSONWebKey, *oidc.Published, error) {
	candidates, doc, err := keys.Find(ctx, header.KeyID, now, refused)
	if err != nil {
		return jose.JSONWebKey{}, nil, log.fail("key", "the provider's published keys", "not reachable", errDiscovery.Because(err))
	}
	usable := candidates[:0:0]
	for _, k := range candidates {
		if oidc.KeyFits(k, jose.SignatureAlgorithm(header.Algorithm)) {
			usable = append(usable, k)
		}
	}
	switch {
	case len(candidates) == 0:
		return jose.JSONWebKey{}, nil, log.fail("key", "one of the provider's published keys", header.KeyID, errKey)
	case len(usable) == 0:
		return jose.JSONWebKey{}, nil, log.fail("key", "a key for "+header.Algorithm, header.KeyID, errAlg)
	case len(usable) > 1:
		return jose.JSONWebKey{}, nil, log.fail("key", "a kid, because the provider publishes several keys", header.KeyID, errKeyUnclear)
	}
	return usable[0], doc, nil
}
