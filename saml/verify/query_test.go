package verify

import (
	"bytes"
	"compress/flate"
	"crypto"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
)

func deflated(message string) string {
	var b bytes.Buffer
	w := must(flate.NewWriter(&b, flate.BestCompression))
	must(w.Write([]byte(message)))
	if err := w.Close(); err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

func algOf(i identity) string {
	if _, ok := i.cert.PublicKey.(interface{ Size() int }); ok {
		return "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
	}
	return "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
}

// signQuery signs the string given and appends the signature.
func signQuery(i identity, signed string) string {
	return signed + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(i.raw(sum(crypto.SHA256, []byte(signed)), crypto.SHA256, false)))
}

// query is a query as the binding wants it.
func query(i identity, name, message, relay string) string {
	s := name + "=" + url.QueryEscape(deflated(message))
	if relay != "" {
		s += "&RelayState=" + url.QueryEscape(relay)
	}
	return signQuery(i, s+"&SigAlg="+url.QueryEscape(algOf(i)))
}

func TestVerifyQuery(t *testing.T) {
	for _, i := range []identity{rsaIdP(), ecIdP()} {
		keys := params(rsaSecond(), i).Keys
		other := rsaAttacker()
		if i.cert.PublicKeyAlgorithm != other.cert.PublicKeyAlgorithm {
			other = ecAttacker()
		}
		good := query(i, "SAMLRequest", baseLogoutRequest, "a b&c=d/é")
		accepted := map[string]string{
			"request":              good,
			"no RelayState":        query(i, "SAMLRequest", baseLogoutRequest, ""),
			"other order":          reorder(good, "Signature", "SigAlg", "RelayState", "SAMLRequest"),
			"other parameters":     "x=1&" + good + "&saml_y=%41&&",
			"lower-case escapes":   signQuery(i, lower("SAMLRequest="+url.QueryEscape(deflated(baseLogoutRequest))+"&SigAlg="+url.QueryEscape(algOf(i)))),
			"empty RelayState":     signQuery(i, "SAMLRequest="+url.QueryEscape(deflated(baseLogoutRequest))+"&RelayState=&SigAlg="+url.QueryEscape(algOf(i))),
			"encoding":             good + "&SAMLEncoding=" + url.QueryEscape(encodingDeflate),
			"stored, not deflated": signQuery(i, "SAMLRequest="+url.QueryEscape(stored(baseLogoutRequest))+"&SigAlg="+url.QueryEscape(algOf(i))),
		}
		for name, raw := range accepted {
			q, err := VerifyQuery(raw, keys, false)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if string(q.Message) != baseLogoutRequest || q.Response || q.SignedBy != i.key().SPKI {
				t.Errorf("%s: %+v", name, q)
			}
			if name == "request" && q.RelayState != "a b&c=d/é" {
				t.Errorf("RelayState %q", q.RelayState)
			}
		}
		if q, err := VerifyQuery(query(i, "SAMLResponse", baseLogoutResponse, "r"), keys, false); err != nil || !q.Response || string(q.Message) != baseLogoutResponse {
			t.Errorf("response: %+v %v", q, err)
		}
		unsigned := "SAMLRequest=" + url.QueryEscape(deflated(baseLogoutRequest))
		alg := "&SigAlg=" + url.QueryEscape(algOf(i))
		evil := url.QueryEscape(deflated(strings.Replace(baseLogoutRequest, testName, "admin@acme.example", 1)))
		for name, c := range map[string]struct{ raw, code string }{
			"L1 unsigned":                   {unsigned, CodeLogoutUnsigned},
			"L1 no Signature":               {unsigned + alg, CodeLogoutUnsigned},
			"L1 empty Signature":            {unsigned + alg + "&Signature=", CodeLogoutUnsigned},
			"L1 no SigAlg":                  {unsigned + "&Signature=AAAA", CodeLogoutUnsigned},
			"L2 other tenant":               {query(other, "SAMLRequest", baseLogoutRequest, ""), CodeLogoutSig},
			"L6 signed in another order":    {signQuery(i, "RelayState=r&"+unsigned+alg), CodeLogoutSig},
			"L6 SigAlg not signed":          {signQuery(i, unsigned) + alg, CodeLogoutSig},
			"L6 RelayState not signed":      {signQuery(i, unsigned+alg) + "&RelayState=evil", CodeLogoutSig},
			"L6 RelayState removed":         {strings.Replace(good, "RelayState=", "Relay=", 1), CodeLogoutSig},
			"L6 message changed":            {reorderWith(good, "SAMLRequest", evil), CodeLogoutSig},
			"L6 request as response":        {strings.Replace(good, "SAMLRequest=", "SAMLResponse=", 1), CodeLogoutSig},
			"L6 re-encoded":                 {strings.Replace(good, "%3D", "=", 1) + "x", CodeLogoutQuery},
			"L6 escape in other case":       {lowerFirst(good), CodeLogoutSig},
			"L6 duplicated SAMLRequest":     {good + "&SAMLRequest=" + evil, CodeLogoutQuery},
			"L6 duplicated, evil first":     {"SAMLRequest=" + evil + "&" + good, CodeLogoutQuery},
			"L6 encoded name":               {"SAML%52equest=" + evil + "&" + good, CodeLogoutQuery},
			"L6 semicolon":                  {good + ";SAMLRequest=" + evil, CodeLogoutQuery},
			"L6 duplicated Signature":       {good + "&Signature=AAAA", CodeLogoutQuery},
			"L6 duplicated SigAlg":          {good + alg, CodeLogoutQuery},
			"L6 duplicated RelayState":      {good + "&RelayState=", CodeLogoutQuery},
			"L6 request and response":       {good + "&SAMLResponse=" + evil, CodeLogoutQuery},
			"L6 nothing":                    {"", CodeLogoutQuery},
			"L6 malformed escape":           {strings.Replace(good, "%2F", "%2", 1), CodeLogoutQuery},
			"L6 malformed escape, name":     {good + "&%zz=1", CodeLogoutQuery},
			"L6 other encoding":             {good + "&SAMLEncoding=urn:x", CodeLogoutQuery},
			"L6 signature is not base64":    {unsigned + alg + "&Signature=*", CodeLogoutQuery},
			"L6 signature with white space": {strings.Replace(good, "&Signature=", "&Signature=+", 1), CodeLogoutQuery},
			"L6 signature too long":         {unsigned + alg + "&Signature=" + strings.Repeat("A", 1400), CodeLogoutQuery},
			"G unknown algorithm":           {strings.Replace(good, "-sha256", "-sha257", 1), CodeLogoutSigAlg},
			"G HMAC":                        {unsigned + "&SigAlg=" + url.QueryEscape("http://www.w3.org/2001/04/xmldsig-more#hmac-sha256") + "&Signature=AAAA", CodeLogoutSigAlg},
			"G other family":                {signQuery(i, unsigned+"&SigAlg="+url.QueryEscape(algOf(map[bool]identity{true: ecIdP(), false: rsaIdP()}[i.cert.PublicKeyAlgorithm == rsaIdP().cert.PublicKeyAlgorithm]))), CodeLogoutSig},
			"message is not base64":         {signQuery(i, "SAMLRequest=%2A"+alg), CodeLogoutQuery},
			"message with white space":      {signQuery(i, "SAMLRequest="+url.QueryEscape(" "+deflated(baseLogoutRequest))+alg), CodeLogoutQuery},
			"not deflated":                  {signQuery(i, "SAMLRequest="+url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(baseLogoutRequest)))+alg), CodeLogoutQuery},
			"cut off":                       {signQuery(i, "SAMLRequest="+url.QueryEscape(truncated(deflated(baseLogoutRequest)))+alg), CodeLogoutQuery},
			"something follows":             {signQuery(i, "SAMLRequest="+url.QueryEscape(extended(deflated(baseLogoutRequest)))+alg), CodeLogoutQuery},
			"B6 DEFLATE bomb":               {signQuery(i, "SAMLRequest="+url.QueryEscape(deflated(strings.Repeat(" ", 40<<20)))+alg), CodeLogoutLimit},
			"B6 bomb, unsigned":             {"SAMLRequest=" + url.QueryEscape(deflated(strings.Repeat(" ", 10<<20))), CodeLogoutUnsigned},
			"B6 long query":                 {good + "&x=" + strings.Repeat("a", 64<<10), CodeLogoutLimit},
		} {
			if q, err := VerifyQuery(c.raw, keys, false); q != nil || err == nil || err.Code != c.code {
				t.Errorf("%s: %v, want %s", name, err, c.code)
			}
		}
	}
}

func TestVerifyQuerySHA1(t *testing.T) {
	s := "SAMLRequest=" + url.QueryEscape(deflated(baseLogoutRequest)) + "&SigAlg=" + url.QueryEscape(nsDsig+"rsa-sha1")
	raw := s + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(rsaIdP().raw(sum(crypto.SHA1, []byte(s)), crypto.SHA1, false)))
	keys := params(rsaIdP()).Keys
	if _, err := VerifyQuery(raw, keys, false); err == nil || err.Code != CodeLogoutSigAlg {
		t.Errorf("SHA-1: %v", err)
	}
	if _, err := VerifyQuery(raw, keys, true); err != nil {
		t.Errorf("SHA-1 allowed: %v", err)
	}
	weak := []Key{{Public: rsaWeak().signer.Public()}, {}}
	if _, err := VerifyQuery(query(rsaWeak(), "SAMLRequest", baseLogoutRequest, ""), weak, false); err == nil || err.Code != CodeLogoutSigAlg {
		t.Errorf("RSA-1024: %v", err)
	}
}

// FuzzVerifyQuery: an accepted query carries the message that was signed.
func FuzzVerifyQuery(f *testing.F) {
	keys := params(rsaIdP(), ecIdP()).Keys
	f.Add(query(rsaIdP(), "SAMLRequest", baseLogoutRequest, "relay"))
	f.Add(query(ecIdP(), "SAMLResponse", baseLogoutResponse, ""))
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := VerifyQuery(raw, keys, false)
		if (q == nil) == (err == nil) {
			t.Fatalf("%v %v", q, err)
		}
		if err != nil {
			if checkOf[err.Code] == "" {
				t.Fatalf("code %q has no check", err.Code)
			}
			return
		}
		if !q.Response && (string(q.Message) != baseLogoutRequest || q.RelayState != "relay") || q.Response && (string(q.Message) != baseLogoutResponse || q.RelayState != "") {
			t.Fatalf("accepted what nobody signed: %+v", q)
		}
	})
}

func reorder(raw string, names ...string) string {
	var out []string
	for _, n := range names {
		for _, p := range strings.Split(raw, "&") {
			if strings.HasPrefix(p, n+"=") {
				out = append(out, p)
			}
		}
	}
	return strings.Join(out, "&")
}

func reorderWith(raw, name, value string) string {
	parts := strings.Split(raw, "&")
	for i, p := range parts {
		if strings.HasPrefix(p, name+"=") {
			parts[i] = name + "=" + value
		}
	}
	return strings.Join(parts, "&")
}

// lower writes percent escapes with small letters, as .NET does.
func lower(raw string) string {
	for _, e := range []string{"%2B", "%2F", "%3D", "%3A"} {
		raw = strings.ReplaceAll(raw, e, strings.ToLower(e))
	}
	return raw
}

func lowerFirst(raw string) string { return strings.Replace(raw, "%3A", "%3a", 1) }

func stored(message string) string {
	var b bytes.Buffer
	w := must(flate.NewWriter(&b, flate.NoCompression))
	must(w.Write([]byte(message)))
	w.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

func truncated(b64 string) string {
	b := must(base64.StdEncoding.DecodeString(b64))
	return base64.StdEncoding.EncodeToString(b[:len(b)-9])
}

func extended(b64 string) string {
	return base64.StdEncoding.EncodeToString(append(must(base64.StdEncoding.DecodeString(b64)), 0))
}
