package saml

import (
	"bytes"
	"context"
	"encoding/xml"
	"mime"
	"net/http"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/audit"
	"github.com/gatehouse-id/gatehouse/internal/actor"
	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/saml/verify"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// Limits of logout messages.
const (
	maxLogoutForm     = 256 << 10 // bytes of a posted form
	maxLogoutSessions = 100       // sessions that one request may name
	maxRelayState     = 1024      // bytes that we give back; the bindings say 80 (§3.4.3)
)

// reasonLogout is why sessions end that the identity provider asked to end.
const reasonLogout = "idp_logout"

// Statuses of our answers (SAML core §3.2.2.2).
const (
	statusSuccess          = "urn:oasis:names:tc:SAML:2.0:status:Success"
	statusRequester        = "urn:oasis:names:tc:SAML:2.0:status:Requester"
	statusUnknownPrincipal = "urn:oasis:names:tc:SAML:2.0:status:UnknownPrincipal"
)

var (
	errLogoutForm       = fault.New(fault.Invalid, "SLO_HTTP_FORM", "The sign-out message of the identity provider did not arrive as a SAML form post.")
	errLogoutDisabled   = fault.New(fault.Invalid, "SLO_DISABLED", "This connection knows no sign-out address of the identity provider. Ask your administrator to set it.")
	errLogoutReplay     = fault.New(fault.Invalid, "SLO_REPLAY", "This sign-out message was already used.")
	errLogoutLimit      = fault.New(fault.Invalid, verify.CodeLogoutLimit, "The sign-out message names too many sessions.")
	errLogoutInResponse = fault.New(fault.Invalid, verify.CodeLogoutInResponseTo, "The identity provider's answer belongs to no sign-out that is under way. You are signed out here.")
)

// logoutMessage is a logout message as it came, through either binding.
type logoutMessage struct {
	doc        []byte
	response   bool
	relayState string
	signedBy   string // of the query's signature; empty with the POST binding, where the document is signed
}

// logoutRedirect takes a logout message by the Redirect binding, whose signature
// stands beside it in the query (SAML bindings §3.4.4.1).
func (h *Handler) logoutRedirect(w http.ResponseWriter, r *http.Request, q request) error {
	query, err := h.verifyQuery(r.Context(), &q, r.URL.RawQuery)
	if err != nil {
		if v := r.URL.Query(); v.Has(paramResponse) && fault.KindOf(err) != 0 {
			return h.answerRefused(w, r, q, v.Get("RelayState"), err)
		}
		return h.refuseLogout(w, r, q, err)
	}
	return h.logout(w, r, q, logoutMessage{doc: query.Message, response: query.Response, relayState: query.RelayState, signedBy: query.SignedBy})
}

// logoutPost takes a logout message by the POST binding. It carries no cookie of
// ours, as any cross-site post, and needs none.
func (h *Handler) logoutPost(w http.ResponseWriter, r *http.Request, q request) error {
	m, err := readLogout(w, r)
	if err != nil {
		return h.refuseLogout(w, r, q, err)
	}
	return h.logout(w, r, q, m)
}

func (h *Handler) logout(w http.ResponseWriter, r *http.Request, q request, m logoutMessage) error {
	if m.response {
		return h.logoutAnswered(w, r, q, m)
	}
	return h.logoutAsked(w, r, q, m)
}

// readLogout takes exactly one message and at most one RelayState from a form post.
func readLogout(w http.ResponseWriter, r *http.Request) (m logoutMessage, err error) {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/x-www-form-urlencoded" {
		return m, errLogoutForm
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxLogoutForm)
	if err := r.ParseForm(); err != nil {
		return m, errLogoutForm.Because(err)
	}
	f, name := r.PostForm, paramRequest
	if m.response = len(f[paramResponse]) > 0; m.response {
		name = paramResponse
	}
	if len(f[paramRequest])+len(f[paramResponse]) != 1 || len(f["RelayState"]) > 1 || len(r.URL.Query()) != 0 {
		return m, errLogoutForm
	}
	if m.doc, err = decode64(f[name][0]); err != nil {
		return m, errLogoutForm.Because(err)
	}
	m.relayState = f.Get("RelayState")
	return m, nil
}

// logoutAsked ends the sessions that the identity provider names, and tells it so
// (SAML profiles §4.4.4). The applications are told by the job that sessions.End
// sets to work.
func (h *Handler) logoutAsked(w http.ResponseWriter, r *http.Request, q request, m logoutMessage) error {
	if q.conn.SAML.SLOURL == "" {
		return h.refuseLogout(w, r, q, errLogoutDisabled)
	}
	var asked *verify.LogoutRequest
	err := h.verifyLogout(r.Context(), &q, m, "", func(p verify.LogoutParams) (report *verify.Report) {
		asked, report = verify.VerifyLogoutRequest(m.doc, p)
		return report
	})
	if err != nil {
		return h.refuseLogout(w, r, q, err)
	}
	known := false
	err = h.db.Tx(r.Context(), func(tx db.Queryer) (err error) {
		known, err = h.endAsked(r.Context(), tx, q, asked)
		return err
	})
	if err != nil {
		return h.refuseLogout(w, r, q, err)
	}
	code := statusCode{Value: statusSuccess}
	if !known {
		code = statusCode{Value: statusRequester, Sub: &statusCode{Value: statusUnknownPrincipal}}
	}
	doc, err := buildLogoutResponse(q.env, q.conn, asked.ID, code, q.now)
	if err != nil {
		return err
	}
	s, err := h.signer(r.Context(), q.conn)
	if err != nil {
		return err
	}
	if len(m.relayState) > maxRelayState {
		m.relayState = ""
	}
	c, err := carry(q.conn.SAML.SLOBinding, logoutResponseURL(q.conn.SAML), paramResponse, doc, m.relayState, s)
	if err != nil {
		return err
	}
	h.send(w, r, c)
	return nil
}

// endAsked ends what a request names: the sessions of its indexes, or all of the
// person through this connection when it names none (SAML core §3.7.1). Sessions
// that are over already are no failure. known is false where the NameID is
// nobody's.
func (h *Handler) endAsked(ctx context.Context, q db.Queryer, in request, asked *verify.LogoutRequest) (known bool, err error) {
	first, err := useOnce(ctx, q, in.conn, "logout", asked.ID, asked.Issuer, in.now, in.now.Add(logoutRequestAge+2*in.conn.SAML.ClockSkew))
	if err != nil {
		return false, err
	}
	if !first {
		return false, errLogoutReplay
	}
	user, err := h.signin.UpstreamUser(ctx, q, in.conn.Tenant, in.conn.ID, subjectKeys(in.env, in.conn, asked.NameID))
	if err != nil || user == "" {
		return false, err
	}
	indexes := slices.Compact(slices.Sorted(slices.Values(asked.SessionIndexes)))
	if len(indexes) > maxLogoutSessions {
		return false, errLogoutLimit
	}
	if len(asked.SessionIndexes) == 0 {
		indexes = []string{""}
	}
	who := in.a
	who.Kind, who.Name = actor.System, in.conn.Name
	sel := sessions.Selector{Environment: in.env.ID, Tenant: in.conn.Tenant, Connection: in.conn.ID, User: user}
	for _, index := range indexes {
		if sel.Upstream = index; index == "" && len(asked.SessionIndexes) > 0 {
			continue // an index that names nothing would mean every session
		}
		if _, err := h.sessions.End(ctx, who, q, sel, reasonLogout); err != nil {
			return false, err
		}
	}
	return true, nil
}

// logoutRequestAge is how old a logout message may be, as the verifier has it.
const logoutRequestAge = 10 * time.Minute

// subjectKeys are the link keys under which a NameID may have come at login. It
// means the same with a qualifier and without one that would say what is so
// anyhow, and an unspecified format is the same as none (SAML core §8.3). The
// NameID as it is written comes first.
func subjectKeys(env tenants.Environment, c tenants.SSOConnection, n verify.NameID) []string {
	same := func(value, meant string) []string {
		switch value {
		case "":
			return []string{"", meant}
		case meant:
			return []string{meant, ""}
		}
		return []string{value}
	}
	var keys []string
	for _, format := range same(n.Format, formatUnspecified) {
		for _, idp := range same(n.NameQualifier, c.SAML.IdPEntityID) {
			for _, sp := range same(n.SPNameQualifier, env.SAMLEntityID(c.ID)) {
				keys = append(keys, signin.Identity{SubjectParts: []string{format, idp, sp, n.Value}}.SubjectKey())
			}
		}
	}
	return keys
}

// verifyQuery verifies the signature of a query. It does not say which key made
// it, so that any signature that does not hold may be a new key's, for which the
// metadata is read once more.
func (h *Handler) verifyQuery(ctx context.Context, q *request, rawQuery string) (*verify.Query, error) {
	var out *verify.Query
	err := h.withNewKeys(ctx, q, verify.CodeLogoutSig, func(keys []verify.Key) (refused *verify.Error) {
		out, refused = verify.VerifyQuery(rawQuery, keys, q.now.Before(q.conn.SAML.AllowSHA1Until))
		return refused
	})
	return out, err
}

// verifyLogout holds a logout message against the connection.
func (h *Handler) verifyLogout(ctx context.Context, q *request, m logoutMessage, requestID string, check func(verify.LogoutParams) *verify.Report) error {
	p := verify.LogoutParams{
		Destination: q.env.SAMLSLOURL(q.conn.ID), IdPEntityID: q.conn.SAML.IdPEntityID, SignedBy: m.signedBy,
		RequestID: requestID, Skew: q.conn.SAML.ClockSkew, Now: q.now, AllowSHA1Until: q.conn.SAML.AllowSHA1Until,
	}
	if bytes.Contains(m.doc, []byte("EncryptedID")) {
		var err error
		if p.DecryptionKeys, err = h.decryptionKeys(ctx, q.conn); err != nil {
			return err
		}
	}
	return h.withNewKeys(ctx, q, verify.CodeLogoutUntrustedKey, func(keys []verify.Key) *verify.Error {
		p.Keys = keys
		return check(p).Err
	})
}

// withNewKeys checks a message with the connection's keys and, where it is
// refused with the code of an unknown key and the metadata has others, once more.
func (h *Handler) withNewKeys(ctx context.Context, q *request, unknown string, check func([]verify.Key) *verify.Error) error {
	keys, err := trustedKeys(q.conn.SAML.Keys)
	if err != nil {
		return err
	}
	refused := check(keys)
	if refused != nil && refused.Code == unknown {
		if conn, changed := h.refreshOnUnknownKey(ctx, q.conn); changed {
			if keys, err = trustedKeys(conn.SAML.Keys); err != nil {
				return err
			}
			q.conn, refused = conn, check(keys)
		}
	}
	if refused != nil {
		return logoutRefusal(refused)
	}
	return nil
}

// inResponseTo reads the attribute of the root element, to find the request that
// a logout response claims to answer: a hint by whoever sent it.
func inResponseTo(doc []byte) string {
	dec := xml.NewDecoder(bytes.NewReader(doc))
	for {
		switch tok, err := dec.RawToken(); t := tok.(type) {
		case nil:
			_ = err // the verifier says what is wrong with the document
			return ""
		case xml.StartElement:
			for _, a := range t.Attr {
				if a.Name.Space == "" && a.Name.Local == "InResponseTo" {
					return a.Value
				}
			}
			return ""
		}
	}
}

// logoutRefusal gives the page's words for a code of the verifier.
func logoutRefusal(err *verify.Error) error {
	return fault.New(fault.Invalid, err.Code, "The sign-out message of the identity provider was refused. Give your administrator the code.").Because(err)
}

// refuseLogout shows the code of a message that did not hold and writes the audit
// log, at a bounded rate. Nobody is answered: who sent it is not known.
func (h *Handler) refuseLogout(w http.ResponseWriter, r *http.Request, q request, why error) error {
	if fault.KindOf(why) == 0 {
		return why
	}
	if err := h.refusals.Take(q.conn.ID+" "+source(q.a.IP), q.now); err != nil {
		return err
	}
	err := h.db.Tx(r.Context(), func(tx db.Queryer) error {
		return audit.Record(r.Context(), tx, audit.Event{
			Environment: q.env.ID, Tenant: q.conn.Tenant, Action: "logout.failed", Outcome: audit.Failure, Actor: q.a, Connection: q.conn.ID,
			At: q.now, Metadata: map[string]any{"code": fault.CodeOf(why)},
		})
	})
	if err != nil {
		return err
	}
	return why
}
