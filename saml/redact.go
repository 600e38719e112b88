package saml

import (
	"bytes"
	"encoding/xml"
	"strings"
)

// maxShown is the greatest size in bytes of any response in the login log.
const maxShown = 64 << 10

// redacted stands for text that the login log does not keep.
const redacted = "[redacted]"

// shownText names the elements whose text the login log keeps: what an
// administrator compares, and nothing about the person. Everything else that is
// not white space is redacted, so that an element which nobody thought of does
// not tell more than it should.
var shownText = map[string]bool{
	"Issuer": true, "Audience": true, "StatusMessage": true, "AuthnContextClassRef": true,
	"AuthenticatingAuthority": true, "X509Certificate": true, "X509SubjectName": true, "X509IssuerName": true, "X509SerialNumber": true,
}

// shownResponse gives a response as the login log keeps it, at most limit bytes:
// as it came for a test, whose admin has to see the values (sso 2.2), else with
// its shape, algorithms, names of attributes and addresses, and no values. What
// comes after a fault of form is left out. The document may be anybody's.
func shownResponse(doc []byte, full bool, limit int) string {
	if len(doc) == 0 {
		return ""
	}
	if full {
		text := doc[:min(len(doc), limit)]
		return strings.ReplaceAll(strings.ToValidUTF8(string(text), "\uFFFD"), "\x00", "\uFFFD")
	}
	dec := xml.NewDecoder(bytes.NewReader(doc))
	var b strings.Builder
	var open []string
	for b.Len() < limit {
		tok, err := dec.RawToken()
		if err != nil {
			break
		}
		switch t := tok.(type) {
		case xml.StartElement:
			b.WriteString("<" + qualified(t.Name))
			for _, a := range t.Attr {
				b.WriteString(" " + qualified(a.Name) + `="`)
				escape(&b, a.Value)
				b.WriteString(`"`)
			}
			b.WriteString(">")
			open = append(open, t.Name.Local)
		case xml.EndElement:
			b.WriteString("</" + qualified(t.Name) + ">")
			if len(open) > 0 {
				open = open[:len(open)-1]
			}
		case xml.CharData:
			switch {
			case len(bytes.TrimSpace(t)) == 0:
				b.Write(t)
			case len(open) > 0 && shownText[open[len(open)-1]]:
				escape(&b, string(t))
			default:
				b.WriteString(redacted)
			}
		}
	}
	out := b.String()
	return strings.ToValidUTF8(out[:min(len(out), limit)], "")
}

func qualified(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}

func escape(b *strings.Builder, s string) {
	_ = xml.EscapeText(b, []byte(s)) // a builder takes everything
}
