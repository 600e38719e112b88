package idp

import (
	"crypto"
	"crypto/x509"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/beevik/etree"
)

// Omit as the value of a knob leaves the attribute, element or claim out.
const Omit = "\x00omit"

// SignTarget says which element of a response carries a signature.
type SignTarget int

// What a response signs.
const (
	SignAssertion SignTarget = iota
	SignResponse
	SignBoth
	SignNone
)

// SAMLKnobs change a SAML response. The zero value is a good response; every
// string replaces the good value, or takes it away with Omit.
type SAMLKnobs struct {
	Sign SignTarget

	NameIDFormat   string // short ("persistent", "transient", "unspecified", "emailAddress") or a URN
	NameID         string
	Audience       string
	Recipient      string
	Destination    string
	Issuer         string // of assertion and response
	ResponseIssuer string // of the response alone
	InResponseTo   string // of response and subject confirmation

	TimeShift           time.Duration // moves every time of the response
	Lifetime            time.Duration // of the assertion; 5 minutes when zero
	SessionNotOnOrAfter time.Time
	SessionIndex        string
	AuthnContext        string // class reference; PasswordProtectedTransport when empty

	Key            crypto.Signer     // signs instead of the IdP's key
	KeyCertificate *x509.Certificate // goes into KeyInfo instead of the IdP's
	OmitKeyInfo    bool
	SHA1           bool // rsa-sha1 with SHA-1 digests
	ECDSADER       bool // ECDSA signature in DER instead of r||s

	EncryptTo  *x509.Certificate
	Encryption string // aes128-gcm (default), aes192-gcm, aes256-gcm, aes128-cbc, aes192-cbc, aes256-cbc

	ReplayLast     bool // the bytes of the last response again
	ExtraAssertion bool // an unsigned copy with another NameID beside the signed one
	NameIDComment  bool // a comment inside the NameID

	AttributeNames map[string]string // email, firstName, lastName, displayName, id, groups → name in the document
	DuplicateEmail string            // a second e-mail attribute with this value
	GroupCount     int               // so many generated groups instead of the person's
	JoinGroups     string            // one value with this separator instead of one value each
	EntraOverage   bool              // groups.link instead of groups

	Status        string // not Success: short ("Responder") or a URN; no assertion is sent
	SubStatus     string // such as "AuthnFailed"
	StatusMessage string

	Mutate       func(*etree.Document) // before signing
	MutateSigned func(*etree.Document) // after signing and encryption
}

// OIDCKnobs change the answers of the OpenID provider. The zero value is a good
// provider; every string replaces the good value, or takes it away with Omit.
type OIDCKnobs struct {
	// Alg "none" sends an unsigned token, "HS256" one keyed with HMACKey.
	Alg     string
	HMACKey []byte // the PEM of the public key when nil
	KID     string // with Omit the JWKS has none either

	Issuer          string
	Audience        any // string or []string
	AZP             string
	Nonce           string
	Subject         string
	UserinfoSubject string
	Lifetime        time.Duration // of the ID token; 5 minutes when zero
	TimeShift       time.Duration // moves iat, exp and auth_time

	State           string // of the authorization response
	ResponseIssuer  string // iss of the authorization response (RFC 9207)
	DiscoveryIssuer string

	Error            string // authorization error instead of a code
	ErrorDescription string
	TokenError       string // error of the token endpoint

	CacheControl string // of discovery and keys; an hour when empty
	SignUserinfo bool   // userinfo as a JWT

	// Endpoints break discovery, jwks, authorize, token or userinfo.
	Endpoints map[string]Fault

	TokenRequest    func(url.Values) // is shown the form of each token request
	MutateDiscovery func(map[string]any)
	MutateClaims    func(map[string]any)
	MutateHeader    func(map[string]any)
	MutateUserinfo  func(map[string]any)
}

// Fault is an endpoint that does not do what it should.
type Fault struct {
	Delay      time.Duration // waits, or until the client gives up
	RedirectTo string        // 302
	Status     int           // with Body
	Body       string
	Type       string // Content-Type of Body; application/json when empty
	Huge       int64  // answers 200 with a JSON object of so many bytes
}

// override gives the knob's value, the good one when the knob is empty, "" with
// Omit.
func override(knob, good string) string {
	switch knob {
	case "":
		return good
	case Omit:
		return ""
	}
	return knob
}

// faulty puts the fault of an endpoint, if one is set, before its handler.
func (i *IdP) faulty(name string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, k := i.knobs()
		f := k.Endpoints[name]
		if f.Delay > 0 {
			select {
			case <-time.After(f.Delay):
			case <-r.Context().Done():
				return
			}
		}
		switch {
		case f.RedirectTo != "":
			http.Redirect(w, r, f.RedirectTo, http.StatusFound)
		case f.Huge > 0:
			w.Header().Set("Content-Type", "application/json")
			huge(w, f.Huge)
		case f.Status != 0:
			w.Header().Set("Content-Type", override(f.Type, "application/json"))
			w.WriteHeader(f.Status)
			_, _ = w.Write([]byte(f.Body)) // the client may have gone away
		default:
			next(w, r)
		}
	}
}

// huge writes a JSON object of n bytes, or as much of it as the client takes.
func huge(w http.ResponseWriter, n int64) {
	const open, end = `{"a":"`, `"}`
	w.Header().Set("Content-Length", strconv.FormatInt(max(n, int64(len(open+end))), 10))
	if _, err := w.Write([]byte(open)); err != nil {
		return
	}
	chunk := []byte(strings.Repeat("x", 64<<10))
	for left := n - int64(len(open+end)); left > 0; left -= int64(len(chunk)) {
		if _, err := w.Write(chunk[:min(left, int64(len(chunk)))]); err != nil {
			return
		}
	}
	_, _ = w.Write([]byte(end)) // the client may have gone away
}
