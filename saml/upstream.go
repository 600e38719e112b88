package saml

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/db"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/saml/verify"
	"github.com/gatehouse-id/gatehouse/sessions"
	"github.com/gatehouse-id/gatehouse/signin"
	"github.com/gatehouse-id/gatehouse/tenants"
)

// maxStops bounds the identity providers that one sign-out visits.
const maxStops = 5

// logoutKey marks the ID of a LogoutRequest among the questions to an identity
// provider. No AuthnRequest has such a key: its ID holds no colon.
const logoutKey = "slo:"

// upstreamName is a NameID as sessions.Proof.UpstreamSubject keeps it.
type upstreamName struct {
	Format          string `json:"format,omitempty"`
	NameQualifier   string `json:"name_qualifier,omitempty"`
	SPNameQualifier string `json:"sp_name_qualifier,omitempty"`
	Value           string `json:"value"`
}

// upstreamSubject writes whom the identity provider knows the session of.
func upstreamSubject(n verify.NameID) string {
	text, err := json.Marshal(upstreamName{n.Format, n.NameQualifier, n.SPNameQualifier, n.Value})
	if err != nil {
		return "" // strings marshal
	}
	return string(text)
}

// stop is an identity provider that has to be told of a sign-out.
type stop struct {
	Tenant     string `json:"tenant"`
	Connection string `json:"connection"`
	Subject    string `json:"subject"`
	Index      string `json:"index,omitempty"`
}

// journey is where a browser that signs out still has to go, kept with the
// request that it carries, whose ID is the RelayState too.
type journey struct {
	Rest []stop `json:"rest,omitempty"`
	Next string `json:"next"`
}

// LogoutUpstream begins to tell the identity providers, through which a session
// that has just ended satisfied its tenants, that it did (SAML profiles §4.4.3).
// s is the session as it was before it ended. The browser is sent to action, by a
// form with the fields when there are any; from the last of at most five
// identity providers it comes to next, an address that the caller may redirect
// to. An empty action: nobody has to be told.
//
// Where an identity provider does not answer, the browser stays there: the
// sessions here have ended before.
func (h *Handler) LogoutUpstream(ctx context.Context, env tenants.Environment, s sessions.Session, next string) (action string, fields [][2]string, err error) {
	j := journey{Next: next}
	for _, p := range s.Tenants {
		if p.UpstreamSubject != "" && p.Method == signin.SAML && len(j.Rest) < maxStops {
			j.Rest = append(j.Rest, stop{Tenant: p.Tenant, Connection: p.Connection, Subject: p.UpstreamSubject, Index: p.Upstream})
		}
	}
	c, err := h.travel(ctx, env, j)
	return c.action, c.fields, err
}

// travel sends the browser to the next identity provider that takes logout
// messages; an empty action says that there is none.
func (h *Handler) travel(ctx context.Context, env tenants.Environment, j journey) (carrier, error) {
	for len(j.Rest) > 0 {
		at := j.Rest[0]
		j.Rest = j.Rest[1:]
		c, err := h.tenants.SSOConnection(ctx, h.db, at.Tenant, at.Connection)
		if errors.Is(err, tenants.ErrConnectionNotFound) || err == nil && (c.SAML == nil || c.SAML.SLOURL == "" || c.Environment != env.ID) {
			continue // there is nobody to tell any more
		}
		if err != nil {
			return carrier{}, err
		}
		s, err := h.signer(ctx, c)
		if errors.Is(err, errNoKey) {
			continue // an unsigned request would be refused
		}
		if err != nil {
			return carrier{}, err
		}
		var name upstreamName
		if err := json.Unmarshal([]byte(at.Subject), &name); err != nil {
			return carrier{}, err
		}
		id := newRequestID()
		doc, err := buildLogoutRequest(env, c, id, nameIDText(name), at.Index, h.clock.Now())
		if err != nil {
			return carrier{}, err
		}
		kept, err := json.Marshal(j)
		if err != nil {
			return carrier{}, err
		}
		err = h.signin.NewRequest(ctx, h.db, signin.Request{Environment: env.ID, Tenant: c.Tenant, Connection: c.ID, Key: logoutKey + id, Secret: kept})
		if err != nil {
			return carrier{}, err
		}
		return carry(c.SAML.SLOBinding, c.SAML.SLOURL, paramRequest, doc, id, s)
	}
	return carrier{}, nil
}

// logoutAnswered takes the answer to a LogoutRequest of ours and sends the
// browser on. Whatever the status says, the session here has ended.
func (h *Handler) logoutAnswered(w http.ResponseWriter, r *http.Request, q request, m logoutMessage) error {
	id := inResponseTo(m.doc)
	err := h.verifyLogout(r.Context(), &q, m, id, func(p verify.LogoutParams) *verify.Report {
		_, report := verify.VerifyLogoutResponse(m.doc, p)
		return report
	})
	if err != nil {
		return h.answerRefused(w, r, q, m.relayState, err)
	}
	err = h.goOn(w, r, q, id)
	if fault.KindOf(err) == 0 {
		return err
	}
	return h.refuseLogout(w, r, q, errLogoutInResponse.Because(err))
}

// answerRefused records an answer that did not hold, and still sends the browser
// on when the RelayState is the one of a sign-out of ours: the session here has
// ended, the answer decides nothing, and some identity providers leave it
// unsigned. A person who is signed out must not end on an error page for that.
func (h *Handler) answerRefused(w http.ResponseWriter, r *http.Request, q request, relayState string, why error) error {
	refusal := h.refuseLogout(w, r, q, why)
	if fault.KindOf(refusal) == 0 || relayState == "" {
		return refusal
	}
	err := h.goOn(w, r, q, relayState)
	if fault.KindOf(err) != 0 {
		return refusal
	}
	return err
}

// goOn uses up the LogoutRequest of the ID and sends the browser to where the
// sign-out goes next. Nothing was sent when it fails.
//
// Faults: those of signin.TakeRequest.
func (h *Handler) goOn(w http.ResponseWriter, r *http.Request, q request, id string) error {
	var sent signin.Request
	err := h.db.Tx(r.Context(), func(tx db.Queryer) (err error) {
		sent, err = h.signin.TakeRequest(r.Context(), tx, q.conn.Tenant, q.conn.ID, logoutKey+id)
		return err
	})
	if err != nil {
		return err
	}
	var j journey
	if err := json.Unmarshal(sent.Secret, &j); err != nil {
		return err
	}
	c, err := h.travel(r.Context(), q.env, j)
	if err != nil {
		return err
	}
	if c.action == "" {
		c.action = j.Next
	}
	h.send(w, r, c)
	return nil
}
