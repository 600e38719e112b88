package verify

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"io"
	"net/url"
	"strings"
)

const (
	maxQuery  = 64 << 10  // bytes of a raw query
	maxLogout = 128 << 10 // bytes of a logout message, inflated

	encodingDeflate = "urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE"
)

// Query is a message that came by the Redirect binding, its detached signature
// verified (SAML bindings §3.4.4.1).
type Query struct {
	Message    []byte // XML, inflated; at most 128 KiB
	Response   bool   // it came as SAMLResponse
	RelayState string
	SignedBy   string // Key.SPKI
}

// queryParameters are those that the binding knows; others are ignored.
var queryParameters = []string{"SAMLRequest", "SAMLResponse", "RelayState", "SigAlg", "Signature", "SAMLEncoding"}

// VerifyQuery verifies a message of the Redirect binding: rawQuery is the
// request's query as received, at most 64 KiB. The signature is over the octets
// received, in the order SAMLRequest or SAMLResponse, RelayState, SigAlg,
// whatever order they came in. Nothing is inflated before it is verified; the
// first 16 keys are tried.
//
// The codes are SLO_QUERY, SLO_LIMIT, SLO_UNSIGNED, SLO_SIG_ALG and SLO_SIG; a
// query does not name the key that signed it, so that an unknown key is SLO_SIG.
// The message itself is not looked at: see VerifyLogoutRequest.
func VerifyQuery(rawQuery string, keys []Key, allowSHA1 bool) (*Query, *Error) {
	if len(rawQuery) > maxQuery {
		return nil, refuse(CodeLogoutLimit, "the query is longer than 64 KiB")
	}
	raw, err := splitQuery(rawQuery)
	if err != nil {
		return nil, err
	}
	name := "SAMLRequest"
	_, request := raw[name]
	_, response := raw["SAMLResponse"]
	if request == response {
		return nil, refuse(CodeLogoutQuery, "not exactly one of SAMLRequest and SAMLResponse")
	}
	if response {
		name = "SAMLResponse"
	}
	values := make(map[string]string, len(raw))
	for k, v := range raw {
		decoded, e := url.QueryUnescape(v)
		if e != nil {
			return nil, refuse(CodeLogoutQuery, "the parameter "+k+" is not percent-encoded")
		}
		values[k] = decoded
	}
	if e, ok := values["SAMLEncoding"]; ok && e != encodingDeflate {
		return nil, refuse(CodeLogoutQuery, "SAMLEncoding "+clip(e))
	}
	by, err := verifyQuery(name, raw, values, keys, allowSHA1)
	if err != nil {
		return nil, err
	}
	message, err := inflate(values[name])
	if err != nil {
		return nil, err
	}
	return &Query{Message: message, Response: response, RelayState: values["RelayState"], SignedBy: by}, nil
}

// splitQuery returns the raw values of the parameters of the binding. One that
// comes twice, or whose name is encoded, is refused: others might read another.
func splitQuery(rawQuery string) (map[string]string, *Error) {
	raw := make(map[string]string, len(queryParameters))
	for pair := range strings.SplitSeq(rawQuery, "&") {
		name, value, _ := strings.Cut(pair, "=")
		decoded, err := url.QueryUnescape(name)
		if err != nil || strings.Contains(pair, ";") {
			return nil, refuse(CodeLogoutQuery, "malformed query")
		}
		for _, known := range queryParameters {
			if decoded != known {
				continue
			}
			if name != known {
				return nil, refuse(CodeLogoutQuery, "the name of the parameter "+known+" is encoded")
			}
			if _, twice := raw[known]; twice {
				return nil, refuse(CodeLogoutQuery, "the parameter "+known+" comes twice")
			}
			raw[known] = value
		}
	}
	return raw, nil
}

func verifyQuery(name string, raw, values map[string]string, keys []Key, allowSHA1 bool) (string, *Error) {
	_, signed := raw["Signature"]
	_, named := raw["SigAlg"]
	if !signed && !named {
		return "", refuse(CodeLogoutUnsigned, "the query is not signed")
	}
	if !signed || !named || raw["Signature"] == "" {
		return "", refuse(CodeLogoutUnsigned, "the query has no Signature or no SigAlg")
	}
	method, known := signatureMethods[values["SigAlg"]]
	if !known {
		return "", refuse(CodeLogoutSigAlg, "signature algorithm "+clip(values["SigAlg"]))
	}
	if method.hash.Size() < 32 && !allowSHA1 {
		return "", refuse(CodeLogoutSigAlg, "SHA-1 in the signature of the query")
	}
	value, err := base64.StdEncoding.Strict().DecodeString(values["Signature"])
	if err != nil || len(value) > maxSignatureBytes {
		return "", refuse(CodeLogoutQuery, "the Signature is not base64 or too long")
	}
	h := method.hash.New()
	io.WriteString(h, name+"="+raw[name]) //nolint:errcheck // a hash takes everything
	if relay, ok := raw["RelayState"]; ok {
		io.WriteString(h, "&RelayState="+relay) //nolint:errcheck
	}
	io.WriteString(h, "&SigAlg="+raw["SigAlg"]) //nolint:errcheck
	hashed := h.Sum(nil)
	for _, k := range keys[:min(len(keys), maxKeys)] {
		if !method.verifies(k.Public, hashed, value) {
			continue
		}
		if weak := weakness(k.Public); weak != "" {
			return "", refuse(CodeLogoutSigAlg, "the trusted key is not accepted: "+weak)
		}
		return k.SPKI, nil
	}
	return "", refuse(CodeLogoutSig, "no trusted key made the signature of the query")
}

// inflate decodes base64 and DEFLATE (bindings §3.4.4.1, RFC 1951), and nothing
// may follow the compressed data.
func inflate(text string) ([]byte, *Error) {
	packed, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, refuse(CodeLogoutQuery, "the message is not base64")
	}
	in := bytes.NewReader(packed)
	message, err := io.ReadAll(io.LimitReader(flate.NewReader(in), maxLogout+1))
	if err != nil {
		return nil, refuse(CodeLogoutQuery, "the message is not compressed with DEFLATE")
	}
	if len(message) > maxLogout {
		return nil, refuse(CodeLogoutLimit, "the message is longer than 128 KiB")
	}
	if in.Len() > 0 {
		return nil, refuse(CodeLogoutQuery, "something follows the compressed message")
	}
	return message, nil
}
