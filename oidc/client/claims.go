package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// claims are those of an ID token that are judged or used. Times are numbers as
// sent: some providers write floats (RFC 7519 §2, NumericDate).
type claims struct {
	Issuer, Subject, AZP, Nonce, AtHash, CHash, ACR, SID, TenantID, ObjectID, TokenID string
	Audience, AMR                                                                     []string
	Expiry, IssuedAt, NotBefore, AuthTime, SessionExpiry                              json.Number
}

// readObject reads a JSON object whose names are all different: of two claims of
// one name it would be chance which counts (RFC 7519 §4). Numbers stay as sent.
func readObject(body []byte) (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("not an object")
	}
	all := map[string]any{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, errors.New("not JSON")
		}
		name, _ := t.(string) // a name, or Token had failed
		if _, twice := all[name]; twice {
			return nil, errors.New("a claim is given twice")
		}
		var v any
		if err := dec.Decode(&v); err != nil {
			return nil, errors.New("not JSON")
		}
		all[name] = v
	}
	if _, err := dec.Token(); err != nil {
		return nil, errors.New("not JSON")
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("more than one object")
	}
	return all, nil
}

// readClaims takes the claims by their exact names: encoding/json would take
// "SUB" for sub, and a provider may let people choose further claims.
func readClaims(all map[string]any) (claims, error) {
	var c claims
	for name, to := range map[string]*string{
		"iss": &c.Issuer, "sub": &c.Subject, "azp": &c.AZP, "nonce": &c.Nonce, "at_hash": &c.AtHash, "c_hash": &c.CHash,
		"acr": &c.ACR, "sid": &c.SID, "jti": &c.TokenID, "tid": &c.TenantID, "oid": &c.ObjectID,
	} {
		if v := all[name]; v != nil {
			s, ok := v.(string)
			if !ok {
				return c, errors.New(name + " is not a string")
			}
			*to = s
		}
	}
	for name, to := range map[string]*json.Number{
		"exp": &c.Expiry, "iat": &c.IssuedAt, "nbf": &c.NotBefore, "auth_time": &c.AuthTime, "session_expiry": &c.SessionExpiry,
	} {
		if v := all[name]; v != nil {
			n, ok := v.(json.Number)
			if !ok {
				return c, errors.New(name + " is not a number")
			}
			*to = n
		}
	}
	// Zero is how some providers say that they do not know (Keycloak before 9).
	for _, to := range []*json.Number{&c.NotBefore, &c.AuthTime} {
		if *to == "0" {
			*to = ""
		}
	}
	// aud is a string or an array of strings (RFC 7519 §4.1.3); some providers
	// write amr as a string too.
	for name, to := range map[string]*[]string{"aud": &c.Audience, "amr": &c.AMR} {
		switch v := all[name].(type) {
		case nil:
		case string:
			*to = []string{v}
		case []any:
			for _, e := range v {
				s, ok := e.(string)
				if !ok {
					return c, errors.New(name + " holds what is no string")
				}
				*to = append(*to, s)
			}
		default:
			return c, errors.New(name + " is neither a string nor a list")
		}
	}
	return c, nil
}
