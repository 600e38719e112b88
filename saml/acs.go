package saml

import (
	"encoding/base64"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/saml/verify"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// maxResponse is the greatest size of the posted form in bytes (sso 4, step 1).
const maxResponse = 512 << 10

var (
	errForm        = fault.New(fault.Invalid, "SAML_HTTP_FORM", "The answer of the identity provider did not arrive as a SAML form post.")
	errBase64      = fault.New(fault.Invalid, "SAML_BASE64", "The answer of the identity provider is not base64.")
	errTooLarge    = fault.New(fault.TooLarge, "SAML_LIMIT", "The answer of the identity provider is too large.")
	errUnsolicited = fault.New(fault.Invalid, "SAML_UNSOLICITED", "This sign-in was not asked for by the application. Start from the application instead of the identity provider's page.")
	errReplay      = fault.New(fault.Invalid, "SAML_REPLAY", "This answer of the identity provider was already used. Start again from the application.")
	errInResponse  = fault.New(fault.Invalid, "SAML_IN_RESPONSE_TO", "The answer of the identity provider does not belong to a sign-in that is under way. Start again from the application.")
)

// send carries the request to the identity provider by its binding.
func (h *Handler) send(w http.ResponseWriter, r *http.Request, s *tenants.SAMLSettings, doc []byte) error {
	relay := secret.Random()[:22] // opaque; what to resume stands in the flow
	w.Header().Set("Cache-Control", "no-store")
	if s.SSOBinding == tenants.BindingPOST {
		h.pages.AutoPost(w, r, s.SSOURL, [][2]string{{"SAMLRequest", base64.StdEncoding.EncodeToString(doc)}, {"RelayState", relay}})
		return nil
	}
	target, err := redirectURL(s.SSOURL, doc, relay)
	if err != nil {
		return err
	}
	http.Redirect(w, r, target, http.StatusSeeOther)
	return nil
}

// acs takes a response (SAML bindings §3.5.5). Nothing is believed before
// verify.Verify accepted it; what it accepted is used up together with the
// request it answers, in one transaction.
func (h *Handler) acs(w http.ResponseWriter, r *http.Request, q request) error {
	doc, err := readResponse(w, r)
	if err != nil {
		return h.refuse(w, r, q, "", err, nil, "", "")
	}
	inResponseTo, err := verify.Peek(doc)
	if err != nil {
		return h.refuse(w, r, q, "", refusal(err), nil, "", "")
	}
	if inResponseTo == "" {
		return h.unsolicited(w, r, q)
	}
	asked, err := h.signin.FindRequest(r.Context(), h.db, q.conn.Tenant, q.conn.ID, inResponseTo)
	flowID, used := asked.FlowID, errors.Is(err, signin.ErrRequestUsed)
	if err != nil && !used {
		if fault.KindOf(err) == 0 {
			return err
		}
		return h.refuse(w, r, q, flowID, errInResponse.Because(err), nil, "", "")
	}
	if err := asked.Serves(q.conn); err != nil {
		return h.refuse(w, r, q, flowID, err, nil, "", "")
	}
	keys, err := trustedKeys(q.conn.SAML.Keys)
	if err != nil {
		return err
	}
	assertion, report := verify.Verify(doc, verify.Params{
		ACS: q.env.SAMLACSURL(q.conn.ID), EntityID: q.env.SAMLEntityID(q.conn.ID), IdPEntityID: q.conn.SAML.IdPEntityID,
		Keys: keys, RequestID: inResponseTo, Skew: q.conn.SAML.ClockSkew, Now: q.now, EmailAttribute: q.conn.Mapping.Email,
	})
	checks := checksOf(report)
	if assertion == nil {
		return h.refuse(w, r, q, flowID, refusal(report.Err), checks, "", "")
	}
	identity, err := identityOf(q.conn, assertion)
	if err != nil {
		return h.refuse(w, r, q, flowID, err, checks, assertion.NameID.Value, identity.Email)
	}
	identity.Checks = checks
	handle := ""
	err = h.db.Tx(r.Context(), func(tx db.Queryer) error {
		first, err := useAssertion(r.Context(), tx, q.conn.Tenant, q.conn.ID, assertion, q.now, q.conn.SAML.ClockSkew)
		if err != nil {
			return err
		}
		if !first {
			return errReplay
		}
		req, err := h.signin.TakeRequest(r.Context(), tx, q.conn.Tenant, q.conn.ID, inResponseTo)
		if err != nil {
			if fault.KindOf(err) == 0 {
				return err
			}
			return errInResponse.Because(err)
		}
		handle, err = h.signin.SaveResult(r.Context(), tx, q.env.ID, req.FlowID, identity)
		return err
	})
	if err != nil {
		if fault.KindOf(err) == 0 {
			return err
		}
		return h.refuse(w, r, q, flowID, err, checks, assertion.NameID.Value, identity.Email)
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, "/signin/continue/"+url.PathEscape(handle), http.StatusSeeOther)
	return nil
}

// wrongBinding answers a browser that brings a response in the query, and one
// that was sent here by hand: responses come by POST alone (SAML profiles §4.1.2).
func (h *Handler) wrongBinding(http.ResponseWriter, *http.Request, request) error { return errForm }

// readResponse takes exactly one SAMLResponse and at most one RelayState from a
// form post.
func readResponse(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/x-www-form-urlencoded" {
		return nil, errForm
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxResponse)
	if err := r.ParseForm(); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return nil, errTooLarge
		}
		return nil, errForm.Because(err)
	}
	f := r.PostForm
	if len(f["SAMLResponse"]) != 1 || len(f["RelayState"]) > 1 || len(f["SAMLart"]) != 0 || len(r.URL.Query()["SAMLResponse"]) != 0 || len(r.URL.Query()["SAMLart"]) != 0 {
		return nil, errForm
	}
	clean := strings.Map(func(c rune) rune {
		if c == ' ' || c == '\t' || c == '\r' || c == '\n' {
			return -1
		}
		return c
	}, f["SAMLResponse"][0])
	doc, err := base64.StdEncoding.Strict().DecodeString(clean)
	if err != nil || len(doc) == 0 {
		return nil, errBase64
	}
	return doc, nil
}

// unsolicited discards a response that nobody asked for and, where it can,
// starts the login that the person wanted (sso 4, step 13).
func (h *Handler) unsolicited(w http.ResponseWriter, r *http.Request, q request) error {
	err := h.record(r, q, "", errUnsolicited, nil, "", "")
	if err != nil {
		return err
	}
	if q.conn.Status != tenants.SSOActive {
		return errUnsolicited
	}
	err = h.startAtApplication(w, r, q)
	if errors.Is(err, signin.ErrNoStart) {
		return errUnsolicited
	}
	return err
}

// refuse records an answer that did not hold and shows its code.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, q request, flowID string, why error, checks []signin.Check, subject, email string) error {
	if err := h.record(r, q, flowID, why, checks, subject, email); err != nil {
		return err
	}
	h.pages.Fault(w, r, h.log, why, flowID)
	return nil
}

// record writes the login log, at a bounded rate per connection and address: an
// answer that does not hold can be sent by anybody.
func (h *Handler) record(r *http.Request, q request, flowID string, why error, checks []signin.Check, subject, email string) error {
	if err := h.refusals.Take(q.conn.ID+" "+q.a.IP.String(), q.now); err != nil {
		return err
	}
	return h.db.Tx(r.Context(), func(tx db.Queryer) error {
		return h.signin.RecordLogin(r.Context(), q.a, tx, q.env.ID, q.conn.Tenant, signin.Login{
			Connection: q.conn.ID, FlowID: flowID, At: q.now, Outcome: signin.OutcomeFailure, Code: fault.CodeOf(why),
			Subject: subject, Email: email, Checks: checks,
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
