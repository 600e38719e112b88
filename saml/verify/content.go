package verify

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	maxLifetime = 24 * time.Hour
	maxAge      = 10 * time.Minute
	maxNameID   = 512 // characters

	formatEntity = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"
)

// content judges what the verified trees say. A malformed assertion ends it;
// otherwise every check is made, so that an administrator sees all faults at
// once.
func (v *verifier) content(d *verified) *Assertion {
	if !v.status(d.status) {
		return nil
	}
	s, err := parseStatement(d.assertion)
	if err != nil {
		return v.stop(err, "the required parts of an Assertion")
	}
	if s.encryptedID != nil {
		if s.nameID, err = v.decryptID(s.encryptedID); err != nil {
			return v.stop(err, "a NameID encrypted for our key")
		}
	}
	v.r.pass(checkOf[CodeStructure], "the required parts of an Assertion", "as expected")
	v.r.pass(checkOf[CodeEncrypted], "no encrypted attribute", "as expected")

	a := &Assertion{
		ID:                s.element.attrOr("ID"),
		ResponseID:        d.response.attrOr("ID"),
		Issuer:            v.p.IdPEntityID,
		InResponseTo:      v.p.RequestID,
		SessionIndex:      s.authn.attrOr("SessionIndex"),
		SignedBy:          d.by,
		SignedWhat:        d.what,
		NotOnOrAfter:      time.Time{},
		AuthnContextClass: "",
	}
	v.addressing(d)
	v.issuers(d, s)
	v.confirmation(s, a)
	v.conditions(s, a)
	v.issued(d.response)
	v.issued(s.element)
	v.lifetime(s, a)
	v.authn(s, a)
	a.NameID = v.nameID(s.nameID)
	v.attributes(s, a)
	return a
}

// addressing checks the Response's InResponseTo and Destination.
func (v *verifier) addressing(d *verified) {
	got, present := d.response.attr("InResponseTo")
	v.inResponseTo("Response", got, present)
	destination, present := d.response.attr("Destination")
	ok := destination == v.p.ACS || !present && !d.responseSigned
	v.r.check(ok, CodeDestination, "the Destination of the Response is "+quoted(destination, present), v.p.ACS, quoted(destination, present))
}

func quoted(value string, present bool) string {
	if !present {
		return "(absent)"
	}
	return strconv.Quote(clip(value))
}

func (v *verifier) inResponseTo(where, got string, present bool) bool {
	if v.p.Unsolicited {
		return v.r.check(!present, CodeInResponseTo, "unsolicited, but the "+where+" has InResponseTo", "(absent)", quoted(got, present))
	}
	return v.r.check(present && got == v.p.RequestID, CodeInResponseTo, "InResponseTo of the "+where+" is "+quoted(got, present), v.p.RequestID, quoted(got, present))
}

func (v *verifier) issuers(d *verified, s *statement) {
	if d.responseIssuer != nil {
		v.issuer("Response", d.responseIssuer)
	}
	if s.issuer == nil {
		v.r.fail(refuse(CodeIssuer, "the Assertion has no Issuer"), v.p.IdPEntityID, "(absent)")
		return
	}
	v.issuer("Assertion", s.issuer)
}

// issuer compares an Issuer character by character (core §8.3.6).
func (v *verifier) issuer(where string, n *node) {
	text, ok := n.leaf()
	ok = ok && text == v.p.IdPEntityID
	v.r.check(ok, CodeIssuer, "the Issuer of the "+where+" is "+quoted(text, true), v.p.IdPEntityID, quoted(text, true))
	format, present := n.attr("Format")
	v.r.check(!present || format == formatEntity, CodeIssuer, "the Issuer of the "+where+" has Format "+clip(format), "no Format, or entity", quoted(format, present))
}

// confirmation requires one bearer SubjectConfirmation that satisfies
// everything (profiles §4.1.4.2). With several, the first that does is
// reported; if none does, the first.
func (v *verifier) confirmation(s *statement, a *Assertion) {
	var first *Report
	for _, c := range s.confirmations {
		if c.method != methodBearer {
			continue
		}
		trial := &verifier{p: v.p, r: &Report{}}
		end := trial.bearer(c.data)
		if trial.r.Err == nil {
			v.r.pass(checkOf[CodeSubjectConfirmation], methodBearer, c.method)
			v.r.Checks = append(v.r.Checks, trial.r.Checks...)
			a.NotOnOrAfter = end
			return
		}
		if first == nil {
			first = trial.r
		}
	}
	if first == nil {
		method := s.confirmations[0].method
		v.r.fail(refuse(CodeSubjectConfirmation, "no SubjectConfirmation has the method bearer"), methodBearer, method)
		return
	}
	v.r.pass(checkOf[CodeSubjectConfirmation], methodBearer, methodBearer)
	v.r.Checks = append(v.r.Checks, first.Checks...)
	if v.r.Err == nil {
		v.r.Err = first.Err
	}
}

// bearer judges one SubjectConfirmationData and returns its end.
func (v *verifier) bearer(data *node) time.Time {
	recipient, present := data.attr("Recipient")
	v.r.check(present && recipient == v.p.ACS, CodeRecipient, "the Recipient is "+quoted(recipient, present), v.p.ACS, quoted(recipient, present))
	got, present := data.attr("InResponseTo")
	v.inResponseTo("SubjectConfirmationData", got, present)
	before, present := data.attr("NotBefore")
	v.r.check(!present, CodeTimeConfirmBefore, "SubjectConfirmationData has NotBefore", "(absent)", quoted(before, present))
	end, ok := v.instant(data, "NotOnOrAfter", CodeTimeMissing)
	if ok {
		v.r.check(end.After(v.p.Now.Add(-v.p.Skew)), CodeTimeConfirmExpired, "the subject confirmation ended at "+stamp(end), "after "+v.now(), stamp(end))
	}
	return end
}

// instant reads a time attribute. Where it is absent, missing is the code of
// the refusal; an empty missing makes the attribute optional.
func (v *verifier) instant(n *node, name, missing string) (time.Time, bool) {
	raw, present := n.attr(name)
	if !present {
		if missing != "" {
			v.r.fail(refuse(missing, name+" of "+n.local+" is missing"), "a time", "(absent)")
		}
		return time.Time{}, false
	}
	t, ok := parseInstant(raw)
	if !ok {
		v.r.fail(refuse(CodeTimeFormat, name+" of "+n.local+" is "+quoted(raw, true)), "2006-01-02T15:04:05Z", quoted(raw, true))
		return time.Time{}, false
	}
	return t, true
}

func (v *verifier) now() string { return stamp(v.p.Now) + " ± " + v.p.Skew.String() }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func (v *verifier) conditions(s *statement, a *Assertion) {
	if t, ok := v.instant(s.conditions, "NotBefore", ""); ok {
		v.r.check(!t.After(v.p.Now.Add(v.p.Skew)), CodeTimeNotYet, "the assertion is valid from "+stamp(t), "at or before "+v.now(), stamp(t))
	}
	if t, ok := v.instant(s.conditions, "NotOnOrAfter", CodeTimeMissing); ok {
		v.r.check(t.After(v.p.Now.Add(-v.p.Skew)), CodeTimeExpired, "the assertion expired at "+stamp(t), "after "+v.now(), stamp(t))
		if a.NotOnOrAfter.IsZero() || t.Before(a.NotOnOrAfter) {
			a.NotOnOrAfter = t
		}
	}
	restrictions, unknown, err := s.audiences()
	if err != nil {
		v.r.fail(err, "Audience elements", err.Detail)
		return
	}
	if !v.r.check(unknown == "" && s.conditions.onlyElements(), CodeConditions, "condition "+clip(unknown)+" is not understood", "known conditions", unknown) {
		return
	}
	if !v.r.check(len(restrictions) > 0, CodeAudienceMissing, "no AudienceRestriction", v.p.EntityID, strconv.Itoa(len(restrictions))+" restrictions") {
		return
	}
	// Restrictions are joined by AND, audiences of one by OR (core §2.5.1.4).
	for _, audiences := range restrictions {
		if !slices.Contains(audiences, v.p.EntityID) {
			actual := strings.Join(audiences[:min(len(audiences), 8)], ", ")
			v.r.check(false, CodeAudience, "the audience is "+clip(actual), v.p.EntityID, actual)
			return
		}
	}
	v.r.pass(checkOf[CodeAudience], v.p.EntityID, strconv.Itoa(len(restrictions))+" restrictions")
}

// issued checks the IssueInstant of a Response or Assertion.
func (v *verifier) issued(n *node) {
	t, ok := v.instant(n, "IssueInstant", CodeTimeMissing)
	if !ok {
		return
	}
	v.r.check(!t.After(v.p.Now.Add(v.p.Skew)), CodeTimeIssuedFuture, "the "+n.local+" was issued at "+stamp(t), "at or before "+v.now(), stamp(t))
	v.r.check(!t.Before(v.p.Now.Add(-maxAge)), CodeTimeIssuedOld, "the "+n.local+" was issued at "+stamp(t), "within 10 minutes of "+stamp(v.p.Now), stamp(t))
}

// lifetime bounds how long the assertion may be valid, counted from its
// IssueInstant; it relies on the checks before it and repeats none.
func (v *verifier) lifetime(s *statement, a *Assertion) {
	issued, ok := parseInstant(s.element.attrOr("IssueInstant"))
	if !ok {
		return
	}
	ends := []string{s.conditions.attrOr("NotOnOrAfter")}
	for _, c := range s.confirmations {
		if c.method == methodBearer {
			ends = append(ends, c.data.attrOr("NotOnOrAfter"))
		}
	}
	longest := time.Duration(0)
	for _, raw := range ends {
		if t, ok := parseInstant(raw); ok {
			longest = max(longest, t.Sub(issued))
		}
	}
	v.r.check(longest <= maxLifetime, CodeTimeLifetime, "the assertion is valid for "+longest.String(), "at most 24h", longest.String())
	from, ok1 := parseInstant(s.conditions.attrOr("NotBefore"))
	to, ok2 := parseInstant(s.conditions.attrOr("NotOnOrAfter"))
	if ok1 && ok2 {
		v.r.check(from.Before(to), CodeTimeLifetime, "NotBefore is not before NotOnOrAfter", "before "+stamp(to), stamp(from))
	}
}

func (v *verifier) authn(s *statement, a *Assertion) {
	if t, ok := v.instant(s.authn, "AuthnInstant", CodeTimeMissing); ok {
		v.r.check(!t.After(v.p.Now.Add(v.p.Skew)), CodeTimeAuthnFuture, "the user authenticated at "+stamp(t), "at or before "+v.now(), stamp(t))
		a.AuthnInstant = t
	}
	if t, ok := v.instant(s.authn, "SessionNotOnOrAfter", ""); ok {
		v.r.check(t.After(v.p.Now.Add(-v.p.Skew)), CodeTimeSessionEnded, "the identity provider's session ended at "+stamp(t), "after "+v.now(), stamp(t))
		a.SessionNotOnOrAfter = t
	}
	class, err := s.contextClass()
	if err != nil {
		v.r.fail(err, "one AuthnContextClassRef", err.Detail)
		return
	}
	ok := len(v.p.WantAuthnContext) == 0 || slices.Contains(v.p.WantAuthnContext, class)
	want := "any"
	if len(v.p.WantAuthnContext) > 0 {
		want = strings.Join(v.p.WantAuthnContext, ", ")
	}
	v.r.check(ok, CodeAuthnContext, "the user was authenticated by "+clip(class), want, class)
	a.AuthnContextClass = class
}

// nameID requires a value that needs no cleaning: whoever trims or folds a
// name makes two names one.
func (v *verifier) nameID(n *node) NameID {
	value, ok := n.leaf()
	if !ok {
		v.r.fail(refuse(CodeXMLProfile, "an element inside NameID"), "text", "an element")
		return NameID{}
	}
	id := NameID{
		Value:           value,
		Format:          n.attrOr("Format"),
		NameQualifier:   n.attrOr("NameQualifier"),
		SPNameQualifier: n.attrOr("SPNameQualifier"),
	}
	length := runes(value)
	ok = value != "" && trimmed(value) && length <= maxNameID && strings.IndexFunc(value, unicode.IsControl) < 0
	for _, part := range []string{id.Format, id.NameQualifier, id.SPNameQualifier} {
		ok = ok && runes(part) <= 2*maxNameID && strings.IndexFunc(part, unicode.IsControl) < 0
	}
	v.r.check(ok, CodeNameID, "the NameID is empty, too long, or has surrounding white space or control characters", "1 to 512 characters, trimmed", strconv.Itoa(length)+" characters, Format "+id.Format)
	return id
}

func (v *verifier) attributes(s *statement, a *Assertion) {
	a.Attributes = make([]Attribute, 0, len(s.attributes))
	for _, n := range s.attributes {
		attr, err := readAttribute(n)
		if err != nil {
			v.r.fail(err, "named attributes with text values", err.Detail)
			return
		}
		a.Attributes = append(a.Attributes, attr)
	}
	v.r.pass(checkOf[CodeAttribute], "named attributes with text values", strconv.Itoa(len(a.Attributes))+" attributes")
	v.r.check(!ambiguousEmail(a.Attributes, v.p.EmailAttribute), CodeAttrAmbiguous, "the e-mail address is given with different values", "one e-mail address", "see the attributes named e-mail")
}
