package saml

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/saml/verify"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// maxResponse is the greatest size of the posted form in bytes, where a
// connection does not choose (sso 4, step 1).
const maxResponse = 512 << 10

var (
	errForm         = fault.New(fault.Invalid, "SAML_HTTP_FORM", "The answer of the identity provider did not arrive as a SAML form post.")
	errBase64       = fault.New(fault.Invalid, "SAML_BASE64", "The answer of the identity provider is not base64.")
	errTooLarge     = fault.New(fault.TooLarge, "SAML_LIMIT", "The answer of the identity provider is too large.")
	errUnsolicited  = fault.New(fault.Invalid, "SAML_UNSOLICITED", "This sign-in was not asked for by the application. Start from the application instead of the identity provider's page.")
	errReplay       = fault.New(fault.Invalid, "SAML_REPLAY", "This answer of the identity provider was already used. Start again from the application.")
	errNotEncrypted = fault.New(fault.Invalid, "SAML_NOT_ENCRYPTED", "The identity provider sent its answer unencrypted, and this connection takes encrypted ones only. Give your administrator the code and the number below.")
	errOldAuthn     = fault.New(fault.Invalid, "SAML_AUTHN_OLD", "This connection asks for a fresh sign-in, and your identity provider answered from an old one. Sign out there and try again.")
	errInResponse   = fault.New(fault.Invalid, "SAML_IN_RESPONSE_TO", "The answer of the identity provider does not belong to a sign-in that is under way. Start again from the application.")
)

// attempt is what the login log tells of an answer.
type attempt struct {
	flowID   string
	doc      []byte // nil: nothing that could be shown arrived
	test     bool
	signed   bool // by the identity provider
	checks   []signin.Check
	subject  string
	identity signin.Identity
}

// signatureCheck is the verifier's check that is passed by nobody else than the
// identity provider.
const signatureCheck = "signature.value"

// response is the answer as the login log keeps it: the less of it, the less is
// known of who sent it, because anybody may send one again and again.
func (at attempt) response() string {
	switch {
	case at.signed:
		return shownResponse(at.doc, at.test, maxShown)
	case at.flowID != "":
		return shownResponse(at.doc, at.test, maxShown/4)
	}
	return shownResponse(at.doc, false, maxShown/16)
}

// acs takes a response (SAML bindings §3.5.5). Nothing is believed before
// verify.Verify accepted it; what it accepted is used up together with the
// request it answers, in one transaction.
func (h *Handler) acs(w http.ResponseWriter, r *http.Request, q request) error {
	var at attempt
	doc, relayState, err := readResponse(w, r, maxForm(q.conn))
	if err != nil {
		return h.refuse(w, r, q, at, err)
	}
	at.doc = doc
	inResponseTo, err := verify.Peek(doc)
	if err != nil {
		return h.refuse(w, r, q, at, refusal(err))
	}
	if inResponseTo == "" {
		return h.unsolicited(w, r, q, at, relayState)
	}
	asked, err := h.signin.FindRequest(r.Context(), h.db, q.conn.Tenant, q.conn.ID, inResponseTo)
	at.flowID, at.test = asked.FlowID, asked.Purpose == signin.PurposeTest
	if err != nil && !errors.Is(err, signin.ErrRequestUsed) { // a replay is told from a second answer below
		if fault.KindOf(err) == 0 {
			return err
		}
		return h.refuse(w, r, q, at, errInResponse.Because(err))
	}
	if err := asked.Serves(q.conn); err != nil {
		return h.refuse(w, r, q, at, err)
	}
	assertion, err := h.judge(r.Context(), &q, &at, inResponseTo)
	if err != nil {
		return h.refuse(w, r, q, at, err)
	}
	return h.accept(w, r, q, at, assertion, func(tx db.Queryer) (string, error) {
		req, err := h.signin.TakeRequest(r.Context(), tx, q.conn.Tenant, q.conn.ID, inResponseTo)
		if err != nil && fault.KindOf(err) != 0 {
			err = errInResponse.Because(err)
		}
		return req.FlowID, err
	})
}

// judge verifies a response and reads the person out of it; requestID is empty
// for one that nobody asked for. Where no trusted key signed it, the identity
// provider's metadata is asked for new keys, and the response judged once more.
func (h *Handler) judge(ctx context.Context, q *request, at *attempt, requestID string) (*verify.Assertion, error) {
	assertion, report, err := h.verify(ctx, *q, at.doc, requestID)
	if err == nil && report.Err != nil && report.Err.Code == verify.CodeUntrustedKey {
		if conn, changed := h.refreshOnUnknownKey(ctx, q.conn); changed {
			q.conn = conn
			assertion, report, err = h.verify(ctx, *q, at.doc, requestID)
		}
	}
	if err != nil {
		return nil, err
	}
	at.checks = checksOf(report)
	at.signed = slices.ContainsFunc(at.checks, func(c signin.Check) bool { return c.Name == signatureCheck && c.OK })
	if assertion == nil {
		return nil, refusal(report.Err)
	}
	at.subject = assertion.NameID.Value
	at.checks = append(at.checks, oldCertificate(q.conn, assertion.SignedBy, q.now)...)
	if q.conn.SAML.WantEncrypted {
		at.checks = append(at.checks, signin.Check{Name: "assertion.encrypted", OK: assertion.Encrypted, Expected: "EncryptedAssertion", Actual: encryptedName(assertion)})
		if !assertion.Encrypted {
			return nil, errNotEncrypted
		}
	}
	if q.conn.SAML.ForceAuthn {
		// The question is at most a flow old, so an honest answer is no older.
		oldest := q.now.Add(-signin.FlowLifetime - q.conn.SAML.ClockSkew)
		fresh := !assertion.AuthnInstant.Before(oldest)
		at.checks = append(at.checks, signin.Check{Name: "authn.fresh", OK: fresh, Expected: "after " + stamp(oldest), Actual: stamp(assertion.AuthnInstant)})
		if !fresh {
			return nil, errOldAuthn
		}
	}
	at.identity, err = identityOf(q.conn, assertion)
	at.identity.Checks = at.checks
	return assertion, err
}

func (h *Handler) verify(ctx context.Context, q request, doc []byte, requestID string) (*verify.Assertion, *verify.Report, error) {
	s := q.conn.SAML
	keys, err := trustedKeys(s.Keys)
	if err != nil {
		return nil, nil, err
	}
	p := verify.Params{
		ACS: q.env.SAMLACSURL(q.conn.ID), EntityID: q.env.SAMLEntityID(q.conn.ID), IdPEntityID: s.IdPEntityID,
		Keys: keys, RequestID: requestID, Unsolicited: requestID == "", Skew: s.ClockSkew, Now: q.now, EmailAttribute: q.conn.Mapping.Email,
		AllowSHA1Until: s.AllowSHA1Until, AllowInclusiveC14N: s.AllowInclusiveC14N, RefuseCBC: s.RefuseCBC, WantAuthnContext: s.AuthnContexts,
	}
	if bytes.Contains(doc, []byte("Encrypted")) { // who encrypts nothing costs no statement for keys
		if p.DecryptionKeys, err = h.decryptionKeys(ctx, q.conn); err != nil {
			return nil, nil, err
		}
	}
	assertion, report := verify.Verify(doc, p)
	return assertion, report, nil
}

// accept uses an assertion up, keeps the person under a handle and sends the
// browser to where its cookie proves it. flow gives the flow, in the same
// transaction.
func (h *Handler) accept(w http.ResponseWriter, r *http.Request, q request, at attempt, assertion *verify.Assertion, flow func(db.Queryer) (string, error)) error {
	if err := h.completeGroups(r.Context(), q.conn, &at); err != nil {
		return err
	}
	if at.test { // what held needs no document to explain it: its checks and claims do
		at.identity.Response = at.response()
	}
	handle := ""
	err := h.db.Tx(r.Context(), func(tx db.Queryer) error {
		first, err := useAssertion(r.Context(), tx, q.conn, assertion, q.now)
		if err != nil {
			return err
		}
		if !first {
			return errReplay
		}
		flowID, err := flow(tx)
		if err != nil {
			return err
		}
		handle, err = h.signin.SaveResult(r.Context(), tx, q.env.ID, flowID, at.identity)
		return err
	})
	if err != nil {
		return h.refuse(w, r, q, at, err)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, "/signin/continue/"+url.PathEscape(handle), http.StatusSeeOther)
	return nil
}

// oldCertificate notes that the key which signed came in a certificate whose time
// has passed. Trust is the key, so the login goes on (sso 2.1).
func oldCertificate(c tenants.SSOConnection, spki string, now time.Time) []signin.Check {
	for _, k := range c.SAML.Keys {
		if k.SPKI == spki && !k.NotAfter.IsZero() && now.After(k.NotAfter) {
			return []signin.Check{{
				Name: "signature.certificate_dates", OK: true, Expected: "a certificate that has not expired",
				Actual: "warning: it expired at " + stamp(k.NotAfter) + "; the key is trusted until it is removed",
			}}
		}
	}
	return nil
}

func encryptedName(a *verify.Assertion) string {
	if a.Encrypted {
		return "EncryptedAssertion"
	}
	return "Assertion"
}

// maxForm is the greatest size of the posted form in bytes (sso 4, step 1).
func maxForm(c tenants.SSOConnection) int64 {
	if n := c.SAML.MaxResponseBytes; n > 0 {
		return min(n, tenants.MaxSAMLResponse)
	}
	return maxResponse
}

// wrongBinding answers a browser that brings a response in the query, and one
// that was sent here by hand: responses come by POST alone (SAML profiles §4.1.2).
func (h *Handler) wrongBinding(http.ResponseWriter, *http.Request, request) error { return errForm }

// readResponse takes exactly one SAMLResponse and at most one RelayState from a
// form post of at most limit bytes.
func readResponse(w http.ResponseWriter, r *http.Request, limit int64) (doc []byte, relayState string, err error) {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/x-www-form-urlencoded" {
		return nil, "", errForm
	}
	r.Body = http.MaxBytesReader(w, r.Body, limit)
	if err := r.ParseForm(); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return nil, "", errTooLarge
		}
		return nil, "", errForm.Because(err)
	}
	f := r.PostForm
	if len(f["SAMLResponse"]) != 1 || len(f["RelayState"]) > 1 || len(f["SAMLart"]) != 0 || len(r.URL.Query()["SAMLResponse"]) != 0 || len(r.URL.Query()["SAMLart"]) != 0 {
		return nil, "", errForm
	}
	doc, err = decode64(f["SAMLResponse"][0])
	return doc, f.Get("RelayState"), err
}

// decode64 reads base64 with white space between its characters.
func decode64(text string) ([]byte, error) {
	clean := strings.Map(func(c rune) rune {
		if c == ' ' || c == '\t' || c == '\r' || c == '\n' {
			return -1
		}
		return c
	}, text)
	doc, err := base64.StdEncoding.Strict().DecodeString(clean)
	if err != nil || len(doc) == 0 {
		return nil, errBase64
	}
	return doc, nil
}

// refuse records an answer that did not hold and shows its code. What is not a
// fault of the answer is the caller's.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, q request, at attempt, why error) error {
	if fault.KindOf(why) == 0 {
		return why
	}
	if err := h.record(r, q, at, why); err != nil {
		return err
	}
	if at.test {
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, signin.TestPath(at.flowID), http.StatusSeeOther)
		return nil
	}
	h.pages.Fault(w, r, h.log, why, at.flowID)
	return nil
}

// source is the part of an address that refusals are counted by: an IPv6 network,
// because one machine has all its addresses.
func source(a netip.Addr) string {
	a = a.Unmap()
	if p, err := a.Prefix(64); a.Is6() && err == nil {
		return p.String()
	}
	return a.String()
}

// record writes the login log, at a bounded rate per connection and address: an
// answer that does not hold can be sent by anybody.
func (h *Handler) record(r *http.Request, q request, at attempt, why error) error {
	if err := h.refusals.Take(q.conn.ID+" "+source(q.a.IP), q.now); err != nil {
		return err
	}
	return h.db.Tx(r.Context(), func(tx db.Queryer) error {
		return h.signin.RecordLogin(r.Context(), q.a, tx, q.env.ID, q.conn.Tenant, signin.Login{
			Connection: q.conn.ID, FlowID: at.flowID, At: q.now, Outcome: signin.OutcomeFailure, Code: fault.CodeOf(why),
			Subject: at.subject, Email: at.identity.Email, Checks: at.checks, Response: at.response(),
		})
	})
}

func checksOf(report *verify.Report) []signin.Check {
	checks := make([]signin.Check, 0, len(report.Checks))
	for _, c := range report.Checks {
		checks = append(checks, signin.Check{Name: c.Name, OK: c.OK, Expected: c.Expected, Actual: c.Actual})
	}
	return checks
}

// refusal gives the page's words for a code of the verifier.
func refusal(err error) error {
	var e *verify.Error
	if !errors.As(err, &e) {
		return err
	}
	kind := fault.Invalid
	if e.Code == "SAML_LIMIT" {
		kind = fault.TooLarge
	}
	return fault.New(kind, e.Code, "The answer of the identity provider was refused. Give your administrator the code and the number below.").Because(err)
}
